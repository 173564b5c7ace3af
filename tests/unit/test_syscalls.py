"""The tables against their source, against libseccomp, and where names are easily mixed up."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seclude import syscalls
from seclude.model.recording import ABIS

ROOT = Path(__file__).resolve().parents[2]
X32_BIT = 0x40000000
TOKENS = {  # SCMP_ARCH_*, from AUDIT_ARCH_* of linux/audit.h
    "x86_64": 0xC000003E,
    "x86": 0x40000003,
    "x32": 0x4000003E,
    "aarch64": 0xC00000B7,
    "arm": 0x40000028,
}

# What libseccomp 2.5.4 does not know by name yet; later versions know more of them.
TOO_RECENT = frozenset(
    "statmount listmount lsm_get_self_attr lsm_set_self_attr lsm_list_modules mseal setxattrat getxattrat "
    "listxattrat removexattrat open_tree_attr file_getattr file_setattr listns rseq_slice_yield uretprobe "
    "uprobe "
    # 2.5.4 as it was released; Debian's has them
    "cachestat fchmodat2 map_shadow_stack futex_wake futex_wait futex_requeue set_mempolicy_home_node".split()
)
# On i386 libseccomp has numbers of its own for these, because they can also come through socketcall and ipc.
MULTIPLEXED = frozenset(
    "accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg "
    "sendmsg sendto setsockopt shutdown socket socketpair msgctl msgget msgrcv msgsnd semctl semget shmat "
    "shmctl shmdt shmget".split()
)
# Calls that our table has and libseccomp takes for another processor's.
FOREIGN = {"x86": MULTIPLEXED, "x32": frozenset({"map_shadow_stack"})}


class Resolver:
    """libseccomp's own tables."""

    def __init__(self) -> None:
        library = ctypes.CDLL("libseccomp.so.2")
        self._number = library.seccomp_syscall_resolve_name_arch
        self._number.argtypes = [ctypes.c_uint32, ctypes.c_char_p]
        self._name = library.seccomp_syscall_resolve_num_arch
        self._name.argtypes = [ctypes.c_uint32, ctypes.c_int]
        self._name.restype = ctypes.c_void_p
        self._free = ctypes.CDLL(None).free
        self._free.argtypes = [ctypes.c_void_p]

    def number(self, abi: str, name: str) -> int:
        """Without the x32 bit; -1 for an unknown name, less for a call of another processor."""
        number: int = self._number(TOKENS[abi], name.encode())
        return number - X32_BIT if abi == "x32" and number >= 0 else number

    def name(self, abi: str, number: int) -> str:
        found = self._name(TOKENS[abi], number + X32_BIT if abi == "x32" else number)
        if not found:
            return ""
        name = ctypes.string_at(found).decode()
        self._free(found)
        return name

    def calls(self, abi: str) -> Iterator[tuple[int, str]]:
        for number in (*range(1024), *range(0xF0000, 0xF0010)):
            if name := self.name(abi, number):
                yield number, name


@pytest.fixture(scope="module")
def resolver() -> Resolver:
    return Resolver()


def test_abis_are_those_of_the_recording() -> None:
    assert tuple(syscalls.ARCHITECTURES) == ABIS


@pytest.mark.parametrize("abi", ABIS)
def test_libseccomp_names_every_number_as_we_do(abi: str, resolver: Resolver) -> None:
    calls = list(resolver.calls(abi))
    assert len(calls) > 300
    assert [(number, name) for number, name in calls if syscalls.name_of(abi, number) != name] == []


@pytest.mark.parametrize("abi", ABIS)
def test_libseccomp_numbers_every_name_as_we_do(abi: str, resolver: Resolver) -> None:
    unknown, foreign, differing = set(), set(), set()
    for name in syscalls.names(abi):
        number = resolver.number(abi, name)
        if number == -1:
            unknown.add(name)
        elif number < 0:
            foreign.add(name)
        elif number != syscalls.number_of(abi, name):
            differing.add(name)
    assert not differing
    assert unknown <= TOO_RECENT
    assert foreign - TOO_RECENT <= FOREIGN.get(abi, frozenset())


@pytest.mark.parametrize("abi", ABIS)
def test_names_and_numbers_are_one_to_one(abi: str) -> None:
    numbers = {syscalls.number_of(abi, name) for name in syscalls.names(abi)}
    assert len(numbers) == len(syscalls.names(abi))
    assert all(
        syscalls.name_of(abi, number) in syscalls.names(abi) for number in numbers if number is not None
    )


@pytest.mark.parametrize(
    ("abi", "number", "name"),
    [
        ("x86_64", 0, "read"),
        ("x86_64", 59, "execve"),
        ("x86_64", 166, "umount2"),
        ("x86_64", 262, "newfstatat"),
        ("x86_64", 435, "clone3"),
        ("x86_64", 462, "mseal"),
        ("x86", 0, "restart_syscall"),
        ("x86", 11, "execve"),
        ("x86", 22, "umount"),
        ("x86", 52, "umount2"),
        ("x86", 102, "socketcall"),
        ("x86", 140, "_llseek"),
        ("x86", 142, "_newselect"),
        ("x86", 192, "mmap2"),
        ("x86", 300, "fstatat64"),
        ("x86", 403, "clock_gettime64"),
        ("x32", 1, "write"),
        ("x32", 512, "rt_sigaction"),
        ("x32", 520, "execve"),
        ("x32", 545, "execveat"),
        ("x32", 547, "pwritev2"),
        ("aarch64", 79, "newfstatat"),
        ("aarch64", 221, "execve"),
        ("aarch64", 277, "seccomp"),
        ("arm", 11, "execve"),
        ("arm", 327, "fstatat64"),
        ("arm", 341, "arm_sync_file_range"),
        ("arm", 0xF0001, "breakpoint"),
        ("arm", 0xF0002, "cacheflush"),
        ("arm", 0xF0005, "set_tls"),
    ],
)
def test_known_pairs(abi: str, number: int, name: str) -> None:
    assert syscalls.name_of(abi, number) == name
    assert syscalls.number_of(abi, name) == number


def test_calls_of_one_abi_only() -> None:
    assert syscalls.number_of("x86_64", "mmap2") is None
    assert syscalls.number_of("aarch64", "open") is None
    assert syscalls.number_of("x86_64", "umount") is None
    assert syscalls.number_of("arm", "sync_file_range2") is None
    assert syscalls.name_of("x32", 13) == "#13"  # x32 has 512 instead


@pytest.mark.parametrize("number", [-1, 10_000, 2**32 - 1])
@pytest.mark.parametrize("abi", ABIS)
def test_numbers_outside_the_table(abi: str, number: int) -> None:
    assert syscalls.name_of(abi, number) == f"#{number}"


def test_unknown_abi() -> None:
    with pytest.raises(KeyError):
        syscalls.name_of("vax", 1)


def test_all_names_cover_the_engines_default_profile() -> None:
    default = Path("/usr/share/containers/seccomp.json")
    if not default.exists():
        pytest.skip("containers-common's default profile is not installed")
    rules = json.loads(default.read_text())["syscalls"]
    names = {name for rule in rules for name in rule["names"]}
    assert len(names) > 300
    assert names - syscalls.all_names() == set()


def test_all_names_hold_each_abis_and_no_markers() -> None:
    every = syscalls.all_names()
    assert all(syscalls.names(abi) <= every for abi in ABIS)
    assert {"s390_pci_mmio_read", "riscv_flush_icache", "sync_file_range2"} <= every
    assert not [name for name in every if not name.replace("_", "a").isalnum() or not name.islower()]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("opneat", "openat"), ("sys_read", "read"), ("EXECVE", "execve"), ("getpids", "getpid"), ("zzzzzz", "")],
)
def test_nearest(typed: str, meant: str) -> None:
    assert syscalls.nearest(typed) == meant


def test_tables_are_what_the_pinned_package_generates() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "generate_tables.py"), "--check"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_check_notices_a_changed_table(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "src" / "seclude").mkdir(parents=True)
    for name in ("scripts/generate_tables.py", "pyproject.toml", "src/seclude/_tables.py"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    table = tmp_path / "src" / "seclude" / "_tables.py"
    table.write_text(table.read_text().replace('"read write open', '"write read open'))
    command = [sys.executable, str(tmp_path / "scripts" / "generate_tables.py")]
    check = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False)
    assert check.returncode == 1
    assert "make tables" in check.stderr
    assert "write read open" in check.stderr
    subprocess.run(command, check=True, capture_output=True)
    assert table.read_text() == (ROOT / "src" / "seclude" / "_tables.py").read_text()
