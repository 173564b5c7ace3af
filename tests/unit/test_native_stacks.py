"""Symbols of ELF files, real ones, odd ones and hostile ones: descriptors in, names out, within limits."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import SymbolTableSection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seclude.model.denial import Frame, Place
from seclude.stacks import elf, native
from seclude.stacks.elf import Functions, Segment, read_functions
from seclude.stacks.native import NativeStacks
from seclude.stacks.patience import STUCK, Patience

SOURCE = """
__attribute__((noinline)) int inner(int x) { __asm__ volatile(""); return x * 3; }
__attribute__((noinline)) static int hidden(int x) { __asm__ volatile(""); return inner(x) + 1; }
__attribute__((noinline)) int outer(int x) { return hidden(x) + 1; }
__asm__(".text\\n.globl sizeless\\n.type sizeless, @function\\nsizeless:\\n nop\\n nop\\n ret\\n");
int main(int argc, char **argv) { (void)argv; return outer(argc); }
"""
WAYS = {
    "pie": ["-pie", "-fPIE"],
    "no-pie": ["-no-pie"],
    "static": ["-static"],
    "static-pie": ["-static-pie", "-fPIE"],
    "optimized": ["-O2"],
    "lto": ["-O2", "-flto"],
}


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles SOURCE with these options of gcc."""
    directory = tmp_path_factory.mktemp("elf")
    (directory / "program.c").write_text(SOURCE)

    def build(*options: str) -> Path:
        target = directory / ("program" + "".join(options).replace("/", "_"))
        if not target.exists():
            subprocess.run(["gcc", "-w", *options, "-o", target, directory / "program.c"], check=True)
        return target

    return build


def functions_of(path: Path) -> Functions:
    with open(path, "rb") as file:
        return read_functions(file.fileno())


def name_at(path: Path, offset: int) -> str:
    with open(path, "rb") as file:
        return read_functions(file.fileno()).name(file.fileno(), offset)


def places_of(path: Path, *names: str) -> dict[str, tuple[int, int]]:
    """Name -> (offset into the file, size), as pyelftools alone sees them."""
    found = {}
    with open(path, "rb") as file:
        program = ELFFile(file)
        for section in program.iter_sections():
            if isinstance(section, SymbolTableSection):
                for symbol in section.iter_symbols():
                    if symbol.name in names and symbol["st_shndx"] != "SHN_UNDEF":
                        offset = next(iter(program.address_offsets(symbol["st_value"])))
                        found[symbol.name] = (offset, symbol["st_size"])
    return found


@pytest.mark.parametrize("way", WAYS)
def test_names_the_functions_of_a_program(compiled: Callable[..., Path], way: str) -> None:
    path = compiled(*WAYS[way])
    expected = ("inner", "main") if way == "lto" else ("inner", "hidden", "outer", "main")
    places = places_of(path, *expected)
    assert set(places) == set(expected)
    for name, (offset, size) in places.items():
        assert [name_at(path, offset), name_at(path, offset + size - 1)] == [name, name]
        assert name_at(path, offset + size) != name


def test_a_function_without_size_reaches_to_the_next(compiled: Callable[..., Path]) -> None:
    path = compiled("-no-pie")
    offset, size = places_of(path, "sizeless")["sizeless"]
    assert size == 0
    assert name_at(path, offset + 2) == "sizeless"
    assert name_at(path, places_of(path, "main")["main"][0]) == "main"


def test_a_stripped_program_has_its_exported_names_only(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    path = compiled("-pie", "-fPIE", "-rdynamic")
    places = places_of(path, "outer", "hidden")
    stripped = tmp_path / "stripped"
    subprocess.run(["strip", "-o", stripped, path], check=True)
    assert name_at(stripped, places["outer"][0]) == "outer"
    assert name_at(stripped, places["hidden"][0]) == ""
    assert functions_of(stripped).executable(places["hidden"][0])


def test_without_section_headers_there_are_segments_still(
    compiled: Callable[..., Path], tmp_path: Path
) -> None:
    path = compiled("-no-pie")
    offset = places_of(path, "outer")["outer"][0]
    raw = bytearray(path.read_bytes())
    raw[0x28:0x30] = bytes(8)  # e_shoff
    raw[0x3A:0x40] = bytes(6)  # e_shentsize, e_shnum, e_shstrndx
    bare = tmp_path / "bare"
    bare.write_bytes(raw)
    functions = functions_of(bare)
    assert (len(functions), functions.executable(offset)) == (0, True)
    assert name_at(bare, offset) == ""


def test_of_several_names_the_public_one(tmp_path: Path) -> None:
    libc = Path(
        subprocess.run(["gcc", "-print-file-name=libc.so.6"], capture_output=True, text=True).stdout.strip()
    )
    for name, (offset, _) in places_of(libc, "write", "getppid", "prctl", "syscall").items():
        assert name_at(libc, offset) == name


def test_finds_every_call_of_a_real_program(compiled: Callable[..., Path]) -> None:
    path = compiled("-static")
    functions = functions_of(path)
    if functions.machine != "EM_X86_64":
        pytest.skip("the disassembly that is compared with is x86's")
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", "-j", ".text", path],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = re.findall(r"^ +([0-9a-f]+):\t(\S+)(.*)$", listing, re.MULTILINE)
    text = next(segment for segment in functions.segments if segment.executable)
    calls = others = mistaken = 0
    with open(path, "rb") as file:
        for (_, operation, operand), (after, *_) in pairwise(rows):
            offset = int(after, 16) - text.address + text.offset
            called = functions.follows_call(file.fileno(), offset)
            if operand.lstrip().startswith("0 <"):
                continue  # of a weak function that is not there
            if operation == "call" or (operation in ("addr32", "notrack", "bnd") and "call" in operand):
                calls += 1
                assert called, (after, operand)
            else:
                others += 1
                mistaken += bool(called)
    assert calls > 1000
    assert mistaken < others / 1000


TEXT = Segment(offset=0x1000, address=0x401000, size=0x2000, executable=True)
DATA = Segment(offset=0x3000, address=0x404000, size=0x1000, executable=False)
CALLS = {
    "call +0": (b"\xe8\0\0\0\0", True),
    "call into data": (b"\xe8\0\x28\0\0", False),
    "call to nowhere": (b"\xe8\0\0\0\x10", False),
    "call rax": (b"\xff\xd0", True),
    "call r11": (b"\x41\xff\xd3", True),
    "call [rax]": (b"\xff\x10", True),
    "call [rax+8]": (b"\xff\x50\x08", True),
    "call [rsp+8]": (b"\xff\x54\x24\x08", True),
    "call [rax*8+0x10203040]": (b"\xff\x14\xc5\x40\x30\x20\x10", True),
    "call [rax+rbx]": (b"\xff\x14\x18", True),
    "call [rip+0x10203040]": (b"\xff\x15\x40\x30\x20\x10", True),
    "call [rbx+0x10203040]": (b"\xff\x93\x40\x30\x20\x10", True),
    "call [rsp+0x10203040]": (b"\xff\x94\x24\x40\x30\x20\x10", True),
    "jmp rax": (b"\xff\xe0", False),
    "push [rax]": (b"\xff\x30", False),
    "call rax; nop": (b"\xff\xd0\x90", False),
    "syscall": (b"\x0f\x05", False),
}


@pytest.mark.parametrize("machine", ["EM_X86_64", "EM_386"])
@pytest.mark.parametrize("name", CALLS)
def test_knows_calls_of_x86(tmp_path: Path, machine: str, name: str) -> None:
    code, expected = CALLS[name]
    assert calls(tmp_path, machine, bytes(16) + code) is expected


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        (0x94000010, True),  # bl
        (0x97FFFFF0, True),  # bl, backwards
        (0xD63F0000, True),  # blr x0
        (0xD63F03C0, True),  # blr x30
        (0xD63F081F, True),  # blraaz x0
        (0xD73F0822, True),  # blraa x1, x2
        (0x14000010, False),  # b
        (0xD61F0000, False),  # br x0
        (0xD65F03C0, False),  # ret
        (0xD4000001, False),  # svc #0
    ],
)
def test_knows_calls_of_aarch64(tmp_path: Path, word: int, expected: bool) -> None:
    assert calls(tmp_path, "EM_AARCH64", word.to_bytes(4, "little")) is expected


def test_of_other_machines_nothing_is_known(tmp_path: Path) -> None:
    assert calls(tmp_path, "EM_S390", b"\x0d\xe1") is None


def calls(directory: Path, machine: str, code: bytes) -> bool | None:
    path = directory / "code"
    path.write_bytes(bytes(0x1000) + code)
    with open(path, "rb") as file:
        return Functions(machine, (TEXT, DATA), []).follows_call(file.fileno(), 0x1000 + len(code))


# Files made by hand: one segment that holds everything, a table of symbols, its strings.
def crafted(
    symbols: list[tuple[bytes, int, int]] | None = None,
    *,
    bits: int = 64,
    little: bool = True,
    header: dict[str, int] | None = None,
    table: dict[str, int] | None = None,
    strings: dict[str, int] | None = None,
    segment: dict[str, int] | None = None,
) -> bytes:
    """An ELF file with these functions (name, address, size); the rest replaces what its headers would say."""
    symbols = [(b"first", 0x1000, 16), (b"second", 0x1010, 16)] if symbols is None else symbols
    order = "<" if little else ">"
    sizes = {64: (64, 56, 64, 24), 32: (52, 32, 40, 16)}[bits]
    names = b"\0" + b"".join(name + b"\0" for name, _, _ in symbols)
    entries, at = bytearray(), 1
    for name, address, size in symbols:
        if bits == 64:
            entries += struct.pack(f"{order}IBBHQQ", at, 0x12, 0, 1, address, size)
        else:
            entries += struct.pack(f"{order}IIIBBH", at, address, size, 0x12, 0, 1)
        at += len(name) + 1
    start = sizes[0] + sizes[1]
    where = {"symbols": start, "strings": start + len(entries), "sections": start + len(entries) + len(names)}
    head = {"phoff": sizes[0], "shoff": where["sections"], "phentsize": sizes[1], "phnum": 1}
    head |= {"shentsize": sizes[2], "shnum": 4, "shstrndx": 3, **(header or {})}
    load = {"type": 1, "flags": 5, "offset": 0, "address": 0, "size": 0x10000} | (segment or {})
    symtab = {"type": 2, "offset": where["symbols"], "size": len(entries), "link": 3, "entsize": sizes[3]}
    strtab = {"type": 3, "offset": where["strings"], "size": len(names), "link": 0, "entsize": 0}
    word = "Q" if bits == 64 else "I"
    raw = b"\x7fELF" + bytes([bits // 32, 1 if little else 2, 1, 0]) + bytes(8)
    raw += struct.pack(f"{order}HHI{word}", 3, 62 if bits == 64 else 3, 1, 0x1000)
    raw += struct.pack(
        f"{order}{word}{word}IHHHHHH", head["phoff"], head["shoff"], 0, sizes[0], *list(head.values())[2:]
    )
    where_to = (load["offset"], load["address"], load["address"], load["size"], load["size"])
    if bits == 64:
        raw += struct.pack(f"{order}IIQQQQQQ", load["type"], load["flags"], *where_to, 4096)
    else:
        raw += struct.pack(f"{order}IIIIIIII", load["type"], *where_to, load["flags"], 4096)
    text = {"type": 1, "offset": 0x1000, "size": 0x1000, "link": 0, "entsize": 0, "address": 0x1000}
    raw += entries + names
    for section in ({}, text, symtab | (table or {}), strtab | (strings or {})):
        field = section.get
        raw += struct.pack(
            f"{order}II{word}{word}{word}{word}II{word}{word}",
            *(0, field("type", 0), 0, field("address", 0), field("offset", 0), field("size", 0)),
            *(field("link", 0), 0, 1, field("entsize", 0)),
        )
    return raw


def written(directory: Path, raw: bytes) -> Path:
    path = directory / "crafted"
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("little", [True, False])
def test_both_sizes_and_byte_orders(tmp_path: Path, bits: int, little: bool) -> None:
    path = written(tmp_path, crafted(bits=bits, little=little))
    assert [name_at(path, offset) for offset in (0xFFF, 0x1000, 0x101F, 0x1020)] == [
        "",
        "first",
        "second",
        "",
    ]


HUGE = 2**64 - 1
HOSTILE = {
    "symbols without end": {"table": {"size": HUGE}},
    "symbols beyond the file": {"table": {"offset": 2**40}},
    "symbols at no offset": {"table": {"offset": HUGE}},
    "symbols of no size": {"table": {"entsize": 0}},
    "strings beyond the file": {"strings": {"offset": 2**40}},
    "strings at no offset": {"strings": {"offset": HUGE}},
    "strings without end": {"strings": {"size": HUGE}},
    "strings are the symbols": {"table": {"link": 2}},
    "strings in no section": {"table": {"link": 2**32 - 1}},
    "sections without end": {"header": {"shnum": 0xFFFF}},
    "sections beyond the file": {"header": {"shoff": 2**40}},
    "sections at no offset": {"header": {"shoff": HUGE}},
    "sections of no size": {"header": {"shentsize": 0}},
    "sections counted elsewhere": {"header": {"shnum": 0}},
    "segments without end": {"header": {"phnum": 0xFFFF}},
    "segments at no offset": {"header": {"phoff": HUGE}},
    "segments of no size": {"header": {"phentsize": 0}},
    "a segment everywhere": {"segment": {"size": HUGE, "address": HUGE, "offset": HUGE}},
    "functions everywhere": {"symbols": [(b"f", 1, HUGE)] * 500 + [(b"g", HUGE, HUGE)] * 500},
    "a name without end": {"symbols": [(b"n" * 1_000_000, 0x1000, 16)]},
    "a name that is no text": {"symbols": [(b"\xff\x1b[2J\n", 0x1000, 16)]},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_give_short_names_or_none(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, crafted(**HOSTILE[name]))  # type: ignore[arg-type]
    functions = functions_of(path)
    with open(path, "rb") as file:
        for offset in (-1, 0, 0x1000, 0x1011, 2**40):
            functions.executable(offset)
            assert len(functions.name(file.fileno(), offset)) <= elf.LONGEST_NAME


def test_a_lie_about_one_table_leaves_the_rest(tmp_path: Path) -> None:
    assert name_at(written(tmp_path, crafted(header={"phnum": 0xFFFF})), 0x1000) == ""
    assert functions_of(written(tmp_path, crafted(header={"shnum": 0xFFFF}))).executable(0x1000)


def test_symbols_beyond_the_limit_are_left_out(tmp_path: Path) -> None:
    path = written(
        tmp_path, crafted([(b"f", 0x1000 + number % 4096, 8) for number in range(elf.MOST_SYMBOLS + 9)])
    )
    assert len(functions_of(path)) == elf.MOST_SYMBOLS


def test_a_file_beyond_the_limit_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path, crafted())
    os.truncate(path, elf.LARGEST_FILE)
    assert len(functions_of(path)) == 2
    os.truncate(path, elf.LARGEST_FILE + 1)
    assert len(functions_of(path)) == 0


def test_a_file_that_shrinks_after_it_was_read(tmp_path: Path) -> None:
    path = written(tmp_path, crafted())
    with open(path, "rb") as file:
        functions = read_functions(file.fileno())
        os.truncate(path, 100)
        assert functions.name(file.fileno(), 0x1000) == ""
        assert functions.follows_call(file.fileno(), 0x1010) is False


@pytest.mark.parametrize("length", range(0, len(crafted()), 7))
def test_a_file_cut_anywhere(tmp_path: Path, length: int) -> None:
    assert name_at(written(tmp_path, crafted()[:length]), 0x1000) in ("", "first")


@settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    bits=st.sampled_from([32, 64]),
    changes=st.lists(st.tuples(st.integers(0, len(crafted()) - 1), st.integers(0, 255)), max_size=12),
    offset=st.integers(-(2**64), 2**64),
)
def test_any_damage_is_survived(
    tmp_path: Path, bits: int, changes: list[tuple[int, int]], offset: int
) -> None:
    raw = bytearray(crafted(bits=bits))
    for position, value in changes:
        raw[min(position, len(raw) - 1)] = value
    path = written(tmp_path, bytes(raw))
    with open(path, "rb") as file:
        functions = read_functions(file.fileno())
        assert len(functions.name(file.fileno(), offset)) <= elf.LONGEST_NAME
        assert len(functions.name(file.fileno(), 0x1000)) <= elf.LONGEST_NAME


def test_a_file_is_read_once_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    monkeypatch.setattr(native, "read_functions", lambda fd: read.append(fd) or read_functions(fd))
    stacks = NativeStacks()

    def look(path: Path) -> Functions:
        with open(path, "rb") as file:
            return stacks.functions(file.fileno())

    paths = [tmp_path / str(number) for number in range(native.MOST_FILES + 1)]
    for path in paths:
        path.write_bytes(crafted())
    assert look(paths[0]) is look(paths[0])
    assert len(read) == 1
    paths[0].write_bytes(crafted([(b"other", 0x1000, 8)]))
    assert len(look(paths[0])) == 1
    for path in paths[1:]:  # one more than are kept
        look(path)
    read.clear()
    look(paths[-1])
    assert len(read) == 0
    look(paths[0])
    assert len(read) == 1


def test_the_symbols_of_all_files_together_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(native, "MOST_SYMBOLS", 3)
    stacks = NativeStacks()
    for number in range(4):
        path = tmp_path / str(number)
        path.write_bytes(crafted())
        with open(path, "rb") as file:
            stacks.functions(file.fileno())
    assert sum(len(functions) for functions in stacks._kept.values()) <= 3


def test_of_a_process_that_is_gone_there_is_what_the_kernel_said() -> None:
    places = [
        Place(address=0x1000, offset=0x10, inode=0, module=""),
        Place(address=0x2000, offset=0x20, inode=7, module="libc.so.6", guess=True),
        Place(address=0x3000, offset=0x30, inode=7, module="libc.so.6"),
        Place(address=0x4000, offset=0x40, inode=0, module=""),
        Place(address=0x3000, offset=0x30, inode=7, module="libc.so.6"),
    ]
    expected = Frame(module="libc.so.6", offset=0x30)
    for pid in (4_194_305, 0, -1):
        frames = NativeStacks().frames(pid, 1, places, relatives=[0, 4_194_305])
        assert frames == (Frame(module="[anonymous]"), expected, expected)
    assert NativeStacks().frames(1, 0, []) == ()


def test_patience_ends_and_comes_back() -> None:
    patience = Patience(0.05)
    release = threading.Event()
    for _ in range(STUCK):
        assert patience.result(lambda: release.wait(30) and "late", lambda: "otherwise") == "otherwise"
    patience.seconds = 30
    assert patience.result(lambda: "at once", lambda: "otherwise") == "otherwise"
    release.set()
    deadline = time.monotonic() + 60
    while (found := patience.result(lambda: "at once", lambda: "otherwise")) != "at once":
        assert time.monotonic() < deadline
    assert found == "at once"
    with pytest.raises(KeyError):
        patience.result(lambda: {}["missing"], lambda: "otherwise")
