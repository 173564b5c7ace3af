"""The other processor: the BPF objects compile for it and open, and a portable profile has what it calls instead."""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from seclude.analyse.faithful import faithful
from seclude.model.environment import Environment
from seclude.model.profile import Profile
from seclude.portable import ALWAYS, siblings
from seclude.syscalls import names, number_of

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))
import hatch_build  # noqa: E402

OTHER = {"x86_64": "aarch64", "aarch64": "x86_64"}
EM_BPF = 247  # include/uapi/linux/elf-em.h
REGISTERS = {"aarch64": {b"pstate", b"syscallno"}, "x86_64": {b"orig_ax"}}
"""Fields of struct pt_regs that only one processor has; relocations name them (arch/*/include/asm/ptrace.h)."""

NOWHERE_ELSE = frozenset(
    """
    _sysctl afs_syscall arch_prctl create_module epoll_ctl_old epoll_wait_old get_kernel_syms get_thread_area getpmsg
    ioperm iopl modify_ldt putpmsg query_module security set_thread_area sysfs tuxcall uprobe uretprobe uselib ustat
    vserver
    """.split()
)
"""Calls of x86_64 in whose place nothing is called on aarch64: its own, never implemented, or gone."""


@pytest.fixture(scope="module", params=["recorder", "watch", "adopt"])
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Machine -> the object compiled for it."""
    if not shutil.which("clang"):
        pytest.skip("clang is not installed")
    directory = tmp_path_factory.mktemp("objects")
    source = f"bpf/{request.param}.bpf.c"
    return {
        machine: hatch_build.compile_object(ROOT, source, directory / f"{machine}.bpf.o", wanted=machine)
        for machine in OTHER
    }


def _sections(path: Path) -> dict[str, bytes]:
    with open(path, "rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == EM_BPF or elf["e_machine"] == "EM_BPF"
        assert elf.little_endian
        return {section.name: section.data() for section in elf.iter_sections()}


def test_the_same_programs_for_each_processor(compiled: dict[str, Path]) -> None:
    here, there = (_sections(compiled[machine]) for machine in OTHER)
    assert set(here) == set(there)
    programs = [name for name in here if name.startswith(("tp_btf/", "raw_tp", "fentry/", "iter"))]
    assert {"tp_btf/sys_enter", "tp_btf/sys_exit", "tp_btf/sched_process_fork"} & set(programs)
    for name in programs:
        assert len(there[name]) % 8 == 0
        assert here[name] != there[name] or "sys_" not in name, f"{name} reads no register"


def test_each_reads_its_own_registers(compiled: dict[str, Path]) -> None:
    """What a relocation names must be there on the machine that it is for, and the other's must not be asked for."""
    for machine, other in OTHER.items():
        sections = _sections(compiled[machine])
        strings = set(sections[".BTF"].split(b"\0"))
        at_calls = any(name.startswith("tp_btf/sys_") for name in sections)
        assert bool(strings & REGISTERS[machine]) == at_calls
        assert not strings & REGISTERS[other]


def test_libbpf_opens_what_was_compiled_for_the_other(compiled: dict[str, Path]) -> None:
    """Opened: its sections, maps, BTF and relocations are read. Not loaded: that takes a kernel of that processor."""
    library = ctypes.CDLL("libbpf.so.1", use_errno=True)
    library.bpf_object__open_file.restype = ctypes.c_void_p
    path = str(compiled[OTHER[platform.machine()]]).encode()
    opened = library.bpf_object__open_file(ctypes.c_char_p(path), None)
    assert opened, os.strerror(ctypes.get_errno())
    library.bpf_object__close(ctypes.c_void_p(opened))


@pytest.mark.parametrize("name", sorted(names("x86_64") - names("aarch64") - NOWHERE_ELSE))
def test_portable_has_what_is_called_instead(name: str) -> None:
    """An open is an openat there, a poll a ppoll, and a fork a clone."""
    assert (siblings([name]) - {name, *ALWAYS}) & names("aarch64")


def test_a_filter_is_compared_in_reasonable_time() -> None:
    """32-bit Arm has calls of its own a million numbers after the others; those between need not be asked."""
    asked: set[tuple[str, int]] = set()

    def run(abi: str, number: int, arguments: Sequence[int]) -> tuple[str, int]:
        asked.add((abi, number))
        return profile.outcome

    profile = Profile(default_action="SCMP_ACT_ERRNO", architectures=("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"))
    environment = Environment(machine="aarch64", kernel="6.1", capabilities=())
    comparison = faithful(profile, environment, run, unnamed={})
    assert comparison.differences == ()
    assert {("arm", number_of("arm", name)) for name in names("arm")} <= asked
    assert comparison.calls < 2000


def test_nowhere_else_is_true() -> None:
    assert not NOWHERE_ELSE & names("aarch64")
    assert names("x86_64") >= NOWHERE_ELSE
