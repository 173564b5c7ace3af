"""What can be reached of small programs, of hostile files and of file systems that lead out of themselves."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from seclude import store
from seclude.analyse.bracket import bracket
from seclude.analyse.reach import reach
from seclude.cli.scan import command
from seclude.errors import SecludeError
from seclude.model.frozen import replace
from seclude.model.recording import Call, FirstSeen, Recording
from seclude.scanning.cache import Cache
from seclude.scanning.disassembly import examine
from seclude.scanning.document import loads
from seclude.scanning.gotable import go_functions
from seclude.scanning.image import Image, NotElf
from seclude.scanning.registers import effect
from seclude.scanning.root import Root
from seclude.scanning.scan import Scan, scan
from seclude.scanning.slots import effect_on_slot
from seclude.syscalls import name_of, number_of

BARE = ("-nostdlib", "-static", "-O1", "-fno-stack-protector")
START = """
static inline long call(long n) {
    long r; __asm__ volatile("syscall" : "=a"(r) : "a"(n) : "rcx", "r11", "memory"); return r;
}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    """One for all: the C library is read once."""
    return Cache(str(tmp_path_factory.mktemp("cache")))


def build(directory: Path, source: str, *options: str, name: str = "program") -> Path:
    (directory / f"{name}.c").write_text(source)
    target = directory / name
    subprocess.run(["gcc", "-o", target, directory / f"{name}.c", *options], check=True, capture_output=True)
    return target


def scanned(cache: Cache, *programs: Path, also: tuple[Path, ...] = ()) -> Scan:
    with Root("/") as root:
        return scan(root, [str(path) for path in programs], also=[str(path) for path in also], cache=cache)


def calls(found: Scan) -> set[str]:
    return {name_of("x86_64", number) for number in found.reached.numbers}


def test_direct_calls(tmp_path: Path, cache: Cache) -> None:
    source = START + (
        "void _start(int argc) { call(39); call(argc > 1 ? 57 : 102);"
        " for (int i = 0; i < argc; i++) call(24); call(60); }"
    )
    found = scanned(cache, build(tmp_path, source, *BARE))
    assert calls(found) == {"getpid", "fork", "getuid", "sched_yield", "exit"}
    assert found.reached.sites == ()


def test_a_number_that_a_caller_hands_over(tmp_path: Path, cache: Cache) -> None:
    source = START + (
        "__attribute__((noinline)) long inner(long a, long n) { return call(n) + a; }"
        "__attribute__((noinline)) long outer(long n) { return inner(5, n) + 1; }"
        "void _start(void) { outer(39); outer(102); call(60); }"
    )
    assert calls(scanned(cache, build(tmp_path, source, *BARE))) == {"getpid", "getuid", "exit"}


def test_a_number_that_lay_on_the_stack(tmp_path: Path, cache: Cache) -> None:
    source = START + "void _start(void) { volatile long n = 102; call(n); call(60); }"
    found = scanned(cache, build(tmp_path, source, *BARE))
    assert calls(found) == {"getuid", "exit"}


def test_a_number_that_nobody_knows_is_named(tmp_path: Path, cache: Cache) -> None:
    source = START + "long n; void _start(void) { n = (long)&n >> 3; call(n + 7); call(60); }"
    found = scanned(cache, build(tmp_path, source, *BARE, "-O0"))
    assert [program for program, _ in found.reached.sites] == ["program"]
    assert not bracket(found.reached, [], scanned=found.entries, unread={}).exact


def test_the_32_bit_way_in_is_named(tmp_path: Path, cache: Cache) -> None:
    source = START + 'void _start(void) { __asm__("mov $20, %eax; int $0x80"); call(60); }'
    sites = scanned(cache, build(tmp_path, source, *BARE)).reached.sites
    assert ["int 0x80" in site.reason for _, site in sites] == [True]


def test_wrappers_and_syscall_of_the_library(tmp_path: Path, cache: Cache) -> None:
    source = """
        #define _GNU_SOURCE
        #include <unistd.h>
        #include <sys/mount.h>
        int main(int argc, char **argv) {
            if (argc > 7) return mount("", "", "", 0, 0);
            return syscall(321, 0) + (argc > 2 ? syscall(175) : 0);
        }
    """
    found = scanned(cache, build(tmp_path, source, "-O1"))
    assert {"mount", "bpf", "init_module", "exit_group"} <= calls(found)
    assert not {"umount2", "ptrace", "kexec_load", "swapon"} & calls(found)
    assert not [site for program, site in found.reached.sites if program == "program"]


@pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-O1", "-no-pie"), ("-O1", "-static")])
def test_functions_by_pointer(tmp_path: Path, cache: Cache, options: tuple[str, ...]) -> None:
    source = """
        #include <sys/swap.h>
        #include <unistd.h>
        #include <sys/ptrace.h>
        static int by_table(void) { return swapoff("x"); }
        static int by_code(void) { return chroot("x"); }
        int unused(void) { return (int)ptrace(0, 0, 0, 0); }
        static int (*const volatile table[])(void) = {by_table};
        int (*volatile pointer)(void);
        int main(int argc, char **argv) { pointer = by_code; return table[argc - 1]() + pointer(); }
    """
    found = calls(scanned(cache, build(tmp_path, source, *options)))
    assert {"swapoff", "chroot"} <= found
    # All of a static program counts, but only what its linker put in.
    assert ("ptrace" in found) == ("-static" in options)


def test_a_switch_into_a_cold_part(tmp_path: Path, cache: Cache) -> None:
    cases = "".join(f"case {n}: r += {n} * argc; {'cold();' if n == 5 else ''} break;" for n in range(12))
    source = f"""
        #include <unistd.h>
        __attribute__((cold, noinline)) static void cold(void) {{ chroot("x"); }}
        int main(int argc, char **argv) {{ volatile int r = 0; switch (argc) {{ {cases} }} return r; }}
    """
    assert "chroot" in calls(scanned(cache, build(tmp_path, source, "-O2")))


def test_libraries_beside_the_program_and_those_loaded_later(tmp_path: Path, cache: Cache) -> None:
    library = build(
        tmp_path, "#include <unistd.h>\nint f(void) { return chroot(0); }", "-shared", "-fPIC", name="libf.so"
    )
    module = build(
        tmp_path,
        "#include <sys/swap.h>\nint g(void) { return swapoff(0); }",
        "-shared",
        "-fPIC",
        name="module.so",
    )
    source = """
        #include <dlfcn.h>
        int f(void);
        int main(void) { return f() + (dlopen("module.so", 1) != 0); }
    """
    program = build(tmp_path, source, f"-L{tmp_path}", "-lf", "-Wl,-rpath,$ORIGIN", "-Wl,--enable-new-dtags")
    found = scanned(cache, program)
    assert str(library) in [item.path for item in found.loaded]
    assert "chroot" in calls(found) and "swapoff" not in calls(found)
    assert found.reached.opening == ("program",)
    assert "swapoff" in calls(scanned(cache, program, also=(module,)))
    library.unlink()
    assert scanned(cache, program).unread == {"libf.so": f"needed by {program}, not found"}


def test_a_script_is_the_program_that_runs_it(tmp_path: Path, cache: Cache) -> None:
    script = tmp_path / "script"
    script.write_text("#!/usr/bin/env cat\n")
    assert scanned(cache, script).entries[str(script)].endswith("/bin/cat")


def test_a_program_that_was_started_by_a_descriptor(tmp_path: Path, cache: Cache) -> None:
    program = build(tmp_path, START + "void _start(void) { call(60); }", *BARE)
    with open(program, "rb") as file:
        found = scanned(cache, program, Path(f"/dev/fd/{file.fileno()}"))
    assert list(found.entries) == [str(program)]
    assert [reason.partition(":")[0] for reason in found.unread.values()] == [
        "it was started by a descriptor"
    ]


# Recordings


def recording(*names: str, executable: str) -> Recording:
    first = FirstSeen(time=0, pid=1, tid=1, comm="x", executable=executable, arguments=(0,) * 6)
    return Recording(
        created="",
        duration=1,
        seclude="",
        tracer="",
        kernel="",
        machine="x86_64",
        engine="process",
        calls=tuple(
            Call(
                abi="x86_64",
                phase="app",
                context="",
                number=number_of("x86_64", name) or 0,
                name=name,
                first=first,
            )
            for name in names
        ),
    )


def test_the_bracket(tmp_path: Path, cache: Cache) -> None:
    source = START + "void _start(void) { call(39); call(101); call(57); call(435); call(60); }"
    program = build(tmp_path, source, *BARE)
    found = scanned(cache, program)
    seen = recording("getpid", "clone", "restart_syscall", "swapon", executable=str(program))
    known = bracket(found.reached, [seen], scanned=found.entries, unread=found.unread)
    assert known.recorded == ("clone", "getpid", "restart_syscall", "swapon")
    assert [item.name for item in known.beyond][:1] == ["ptrace"]
    assert {item.name: item.siblings for item in known.beyond}["clone3"] == ("clone",)
    assert {item.name: bool(item.reason) for item in known.outside} == {
        "clone": False,
        "restart_syscall": True,
        "swapon": False,
    }
    strange = replace(seen, calls=tuple(replace(call, abi="x86") for call in seen.calls[:1]))
    (item,) = bracket(found.reached, [strange], scanned=found.entries, unread=found.unread).outside
    assert (item.name, item.reason) == ("getpid (x86)", "only calls of x86_64 are looked for")
    other = recording("swapon", executable="/bin/other")
    known = bracket(found.reached, [other], scanned=found.entries, unread=found.unread)
    assert known.outside[0].reason == "/bin/other was not scanned"


# Hostile files


def test_damaged_files_are_refused_and_nothing_else(tmp_path: Path) -> None:
    data = build(tmp_path, "#include <unistd.h>\nint main(void) { return getpid(); }").read_bytes()
    draw = random.Random(7)
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(draw.randint(1, 30)):
            damaged[draw.randrange(len(damaged) if draw.random() < 0.5 else 1200)] = draw.randrange(256)
        try:
            program = examine(
                Image(bytes(damaged[: draw.choice((len(data), draw.randrange(len(data))))])), "x"
            )
        except NotElf:
            continue
        reach([program])


@pytest.mark.parametrize(
    "data", [b"", b"\x7fELF", b"\x7fELF" + b"\xff" * 60, b"#!/bin/sh\n", b"\x7fELF\x02\x01" + b"\0" * 500]
)
def test_what_is_no_program_is_refused(data: bytes) -> None:
    with pytest.raises(NotElf):
        Image(data)


def test_no_link_leads_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("outside")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "secret").write_text("inside")
    (root / "etc/up").symlink_to("../../../secret")
    (root / "etc/absolute").symlink_to("/secret")
    (root / "etc/round").symlink_to("round")
    os.mkfifo(root / "etc/pipe")
    with Root(str(root)) as place:
        for path in ("/etc/up", "etc/absolute", "/../../secret", "/etc/../../secret"):
            assert place.read(path) == (b"inside", "/secret")
        for path in ("/etc/round", "/etc/pipe", "/etc", "/nothing"):
            with pytest.raises(OSError):
                place.read(path)
    with pytest.raises(SecludeError, match="is no directory"):
        Root(str(tmp_path / "secret"))


def test_the_cache_is_only_believed_where_it_is_whole(tmp_path: Path) -> None:
    data = build(tmp_path, START + "void _start(void) { call(60); }", *BARE).read_bytes()
    program = examine(Image(data), "a")
    cache = Cache(str(tmp_path / "kept"))
    assert cache.get(data, "a") is None
    cache.put(data, program)
    assert cache.get(data, "a") == program
    assert cache.get(data + b"\0", "a") is None, "the same build-id is not the same file"
    entry = next((tmp_path / "kept").iterdir())
    for text in ("", "[]", "{", entry.read_text().replace('"version":2', '"version":3'), "[" * 100_000):
        entry.write_text(text)
        assert cache.get(data, "a") is None


# Single instructions


@pytest.mark.parametrize(
    ("mnemonic", "operands", "register", "expected"),
    [
        ("mov", "eax, 0x3c", "rax", ("constant", 60)),
        ("xor", "eax, eax", "rax", ("constant", 0)),
        ("mov", "al, 0x3c", "rax", ("low", 60)),
        ("mov", "eax, r9d", "rax", ("copy", "r9")),
        ("cmovne", "eax, edx", "rax", ("either", "rdx")),
        ("mov", "eax, dword ptr [rbx]", "rax", ("unknown", "from memory")),
        ("cmp", "eax, 1", "rax", ("unchanged", None)),
        ("syscall", "", "r9", ("unchanged", None)),
        ("syscall", "", "rax", ("unknown", "a result of syscall")),
        ("rep stosq", "qword ptr [rdi], rax", "rdi", ("unknown", "a result of stosq")),
        ("add", "eax, 1", "rax", ("unknown", "computed by add")),
    ],
)
def test_registers(mnemonic: str, operands: str, register: str, expected: tuple[str, object]) -> None:
    assert effect(mnemonic, operands, register) == expected


@pytest.mark.parametrize(
    ("mnemonic", "operands", "word", "expected"),
    [
        ("mov", "qword ptr [rsp + 8], rax", "[8]", ("copy", "rax")),
        ("mov", "dword ptr [rsp], 0x10", "[0]", ("constant", 16)),
        ("movups", "xmmword ptr [rsp], xmm0", "[8]", ("unknown", "from memory")),
        ("sub", "rsp, 0x20", "[40]", ("copy", "[8]")),
        ("push", "rbx", "[8]", ("copy", "[0]")),
        ("push", "0x3c", "[0]", ("constant", 60)),
        ("lea", "rdi, [rsp + 8]", "[8]", ("unknown", "from memory")),
        ("cmp", "qword ptr [rsp + 8], 0", "[8]", ("unchanged", None)),
    ],
)
def test_words_on_the_stack(mnemonic: str, operands: str, word: str, expected: tuple[str, object]) -> None:
    assert effect_on_slot(mnemonic, operands, word) == expected


# The command


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = build(tmp_path, START + "void _start(void) { call(101); call(60); }", *BARE)
    done = CliRunner().invoke(command, [str(program), "--json"], standalone_mode=False)
    assert done.return_value == 0, done.output
    values = json.loads(done.stdout)
    assert set(values["reachable"]) == {"exit", "ptrace"} and values["exact"] is True
    assert values["reachable"]["ptrace"] == {"file": "program", "function": "_start"}
    document = loads(done.stdout, "x")
    with Root("/") as root:
        found = scan(root, [str(program)], cache=Cache(""))
    assert (document.reached, document.entries) == (found.reached, found.entries)
    assert values["files"][0]["cached"] is False
    done = CliRunner().invoke(command, ["-q", str(tmp_path), "--entry", "/program"], standalone_mode=False)
    assert "reachable     2 of " in done.stdout and "ptrace  critical" in done.stdout


def test_a_recording_of_a_container_and_the_files_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    program = build(tmp_path, START + "void _start(void) { call(101); call(60); }", *BARE)
    for engine, wrong in (("process", False), ("podman", True)):
        seen = replace(recording("exit", executable=str(program)), engine=engine)
        (tmp_path / "seen.json").write_text(store.dumps(seen))
        words = ["-q", "/", "--recording", str(tmp_path / "seen.json")]
        done = CliRunner().invoke(command, words, standalone_mode=False)
        assert done.return_value == 0
        assert ("the recording is of a container" in done.stdout) == wrong


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{}",), "does not say which programs run in it"),
        (("{}", "/bin/true"), "is a root file system, and there are other paths"),
        (("{}/nothing",), "nothing: no such file"),
        (("{}", "--entry", "/nothing"), "nothing could be scanned (/nothing: No such file or directory)"),
        (("{}", "--entry", "/text"), "/text: no ELF file"),
        (("{}", "--entry", "/cut"), "/cut: it is cut off: 5000 bytes, and what is loaded ends at"),
        (
            ("{}", "--entry", "/short"),
            "/short: it is cut off: 40 bytes, and the header of an ELF file has 64",
        ),
        (("{}", "--entry", "/i386"), "/i386: it is for i386 (32 bits), and only x86_64"),
        (("{}", "--entry", "/aarch64"), "/aarch64: it is for aarch64 (64 bits), and only x86_64"),
        (("{}", "--entry", "/s390"), "/s390: it is for s390 (64 bits, big endian), and only x86_64"),
        (("{}", "--entry", "/x", "--recording", "{}/other.json"), "was recorded on aarch64, and only x86_64"),
        (("{}/layout",), "is an OCI layout and no root file system"),
    ],
)
def test_what_the_command_refuses(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    elf = Path("/bin/true").read_bytes()

    def made(name: str, data: bytes) -> None:
        (tmp_path / name).write_bytes(data)

    made("text", b"#no program\n")
    made("cut", elf[:5000])
    made("short", elf[:40])
    made("i386", elf[:4] + b"\1" + elf[5:18] + b"\3\0" + elf[20:])
    made("aarch64", elf[:18] + b"\xb7\0" + elf[20:])
    made("s390", elf[:5] + b"\2" + elf[6:18] + b"\0\x16" + elf[20:])
    other = replace(recording("read", executable="/x"), machine="aarch64")
    (tmp_path / "other.json").write_text(store.dumps(other))
    (tmp_path / "layout").mkdir()
    (tmp_path / "layout" / "oci-layout").touch()
    words = [word.format(tmp_path) for word in arguments]
    with pytest.raises(SecludeError) as caught:
        CliRunner().invoke(command, words, standalone_mode=False, catch_exceptions=False)
    assert message in caught.value.message


def test_without_capstone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "capstone", None)
    with pytest.raises(SecludeError, match="reads machine code, is not installed") as caught:
        CliRunner().invoke(command, ["/bin/true"], standalone_mode=False, catch_exceptions=False)
    assert caught.value.hint == "pip install 'seclude[static]'"


def test_a_program_for_another_machine_is_named_beside_one_that_is_read(tmp_path: Path, cache: Cache) -> None:
    """One that cannot be read does not hide the other, and is named."""
    program = build(tmp_path, START + "void _start(void) { call(101); call(60); }", *BARE)
    (tmp_path / "arm").write_bytes(Path("/bin/true").read_bytes()[:18] + b"\xb7\0" + bytes(100))
    found = scanned(cache, program, tmp_path / "arm")
    assert calls(found) == {"ptrace", "exit"}
    assert "aarch64" in found.unread[str(tmp_path / "arm")]
    assert not bracket(found.reached, [], scanned=found.entries, unread=found.unread).exact


def test_the_work_for_one_file_is_limited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = build(tmp_path, START + "void _start(void) { call(39); call(60); }", *BARE).read_bytes()
    monkeypatch.setattr("seclude.scanning.disassembly.MOST_SITES", 1)
    with pytest.raises(NotElf, match="more than 1 places"):
        examine(Image(data), "x")
    monkeypatch.undo()
    monkeypatch.setattr("seclude.scanning.numbers.MOST_STEPS_ALL", 0)
    reasons = {site.reason for code in examine(Image(data), "x").codes for site in code.unresolved}
    assert reasons == {"too long to trace"}


def test_names_that_are_looked_up(tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
        #define _GNU_SOURCE
        #include <dlfcn.h>
        int main(void) { return dlsym(RTLD_DEFAULT, "pkey_alloc") != 0; }
    """
    program = build(tmp_path, source)
    found = scanned(cache, program)
    assert "pkey_alloc" in calls(found)
    assert [site for name, site in found.reached.sites if name == "program"] == []
    for module in ("layout", "disassembly"):
        monkeypatch.setattr(f"seclude.scanning.{module}.MOST_WORDS", 1)
    sites = [site for name, site in scanned(Cache(""), program).reached.sites if name == "program"]
    assert [site.reason for site in sites] == ["more than 1 names that it may look functions up by"]


def test_pieces_that_are_too_long_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path("/usr/bin/bash").read_bytes()
    monkeypatch.setattr("seclude.scanning.numbers.LONGEST_PIECE", 16)
    program = examine(Image(data), "x")
    assert any(code.unresolved for code in program.codes) or not any(code.numbers for code in program.codes)


@pytest.mark.parametrize("name", ["docker", "podman", "runc"])
def test_functions_of_go_programs(name: str) -> None:
    """Wherever the linker put their table: docker's lies among other data."""
    path = f"/usr/{'sbin' if name == 'runc' else 'bin'}/{name}"
    if not os.path.exists(path):
        pytest.skip(f"{name} is not installed")
    found = go_functions(Image(Path(path).read_bytes()))
    assert {"main.main", "syscall.forkAndExecInChild1"} <= set(found.values())


def test_long_pieces_are_read_in_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path("/usr/bin/bash").read_bytes()
    whole = examine(Image(data), "x")
    monkeypatch.setattr("seclude.scanning.disassembly.CHUNK", 100)
    assert examine(Image(data), "x") == whole
