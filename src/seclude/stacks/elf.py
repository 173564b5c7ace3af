"""Reads the functions of an ELF file that a container controls: a descriptor in, names of offsets out."""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from elftools.elf.structs import ELFStructs

from ..model.frozen import frozen

LARGEST_FILE = 256 * 1024 * 1024
MOST_SYMBOLS = 500_000
MOST_SECTIONS = 1024
MOST_SEGMENTS = 128
LONGEST_NAME = 200

NEAR = 64 * 1024
"""How far a function without a size (assembly) may reach, if no other begins and its section does not end."""

NESTED = 64
"""So many symbols that begin before an address are asked whether they contain it."""

MAGIC = b"\x7fELF"
HEADER = 64
LAST = 2**62  # larger offsets are errors to pread, not merely beyond the file
LONGEST_CALL = 7
FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
PF_X = 1
SYMBOL_TABLES = ("SHT_SYMTAB", "SHT_DYNSYM")
SYMBOL_LAYOUTS = {32: "IIIBBH", 64: "IBBHQQ"}


@frozen
class Segment:
    """What the program loads of the file: `size` bytes from `offset`, to the virtual address `address`."""

    offset: int
    address: int
    size: int
    executable: bool


class Functions:
    """The functions of one file; holds no descriptor, so that a container's file system can be unmounted.

    Names stay in the file: symbol tables have up to 500,000 of them, and a stack needs a few.
    """

    def __init__(self, machine: str, segments: tuple[Segment, ...], symbols: list[tuple[int, int, int, int]]):
        """`symbols` are (start, end, 1 if local, where in the file the name begins)."""
        self.machine = machine
        self.segments = segments
        symbols.sort()
        self._starts = array("Q", (symbol[0] for symbol in symbols))
        self._ends = array("Q", (symbol[1] for symbol in symbols))
        self._local = array("B", (symbol[2] for symbol in symbols))
        self._names = array("Q", (symbol[3] for symbol in symbols))

    def __len__(self) -> int:
        return len(self._starts)

    def executable(self, offset: int) -> bool:
        """Whether the program executes what lies at this offset of the file."""
        segment = self._segment(offset)
        return segment is not None and segment.executable

    def name(self, descriptor: int, offset: int) -> str:
        """The function around this offset, as the linker knows it (mangled); empty if there is none.

        Of several names for one function the most public one: not local, without underscores before it, short.
        """
        segment = self._segment(offset)
        if segment is None:
            return ""
        address = offset - segment.offset + segment.address
        found: list[tuple[int, int, int, str]] = []
        start = -1
        last = bisect_right(self._starts, address) - 1
        for index in range(last, max(-1, last - NESTED), -1):
            if found and self._starts[index] != start:
                break
            if address < self._ends[index]:
                start = self._starts[index]
                name = _name(descriptor, self._names[index])
                if name:
                    bare = name.lstrip("_")
                    found.append((self._local[index], len(name) - len(bare), len(bare), name))
        return min(found)[3] if found else ""

    def follows_call(self, descriptor: int, offset: int) -> bool | None:
        """Whether the instruction before `offset` can be a call; None for a machine whose calls we do not know."""
        code = os.pread(descriptor, min(LONGEST_CALL, offset), max(0, offset - LONGEST_CALL))
        if self.machine in ("EM_X86_64", "EM_386"):
            if code[-5:-4] == b"\xe8":  # call rel32
                target = self._moved(offset, int.from_bytes(code[-4:], "little", signed=True))
                if target is not None and self.executable(target):
                    return True
            return _ends_with_indirect_call(code)
        if self.machine == "EM_AARCH64":
            word = int.from_bytes(code[-4:], "little")
            # BL; BLR; BLRAA and its relatives, which check the pointer's signature.
            return (
                word & 0xFC000000 == 0x94000000
                or word & 0xFFFFFC1F == 0xD63F0000
                or word & 0xFEFFF800 == 0xD63F0800
            )
        return None

    def _segment(self, offset: int) -> Segment | None:
        for segment in self.segments:
            if segment.offset <= offset < segment.offset + segment.size:
                return segment
        return None

    def _moved(self, offset: int, distance: int) -> int | None:
        """The offset that lies `distance` further in memory."""
        here = self._segment(offset)
        if here is None:
            return None
        address = offset - here.offset + here.address + distance
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        return None


NOTHING = Functions("", (), [])


def read_functions(descriptor: int) -> Functions:
    """The functions of the file; NOTHING if it is no ELF file that can be understood within the limits.

    pyelftools knows the headers, whose sizes are fixed. Of the rest it would read as much as the file says, one
    Python object for each symbol. All that is read here has a limit and is parsed from memory: the file may lie,
    and it may change or shrink at any time (which is a SIGBUS for those who have mapped it).
    """
    try:
        if os.fstat(descriptor).st_size > LARGEST_FILE:
            return NOTHING
        return _read(descriptor)
    except Exception:
        # pyelftools fails on a wrong file with errors of many kinds; each of them means the same to us.
        return NOTHING


def _read(descriptor: int) -> Functions:
    start = os.pread(descriptor, HEADER, 0)
    if start[:4] != MAGIC:
        return NOTHING
    little = start[5] == 1
    bits = 64 if start[4] == 2 else 32
    layouts: Any = ELFStructs(little_endian=little, elfclass=bits)
    layouts.create_basic_structs()
    header = layouts.Elf_Ehdr.parse(start)
    layouts.create_advanced_structs(header["e_type"], header["e_machine"], header["e_ident"]["EI_OSABI"])

    def table(layout: Any, kind: str, most: int) -> list[Any]:
        count, size = header[f"e_{kind}num"], header[f"e_{kind}entsize"]
        if count > most or size != layout.sizeof():
            return []
        raw = os.pread(descriptor, count * size, header[f"e_{kind}off"])
        return [layout.parse(raw[at : at + size]) for at in range(0, len(raw) - size + 1, size)]

    segments = tuple(
        Segment(
            offset=entry["p_offset"],
            address=entry["p_vaddr"],
            size=entry["p_filesz"],
            executable=bool(entry["p_flags"] & PF_X),
        )
        for entry in table(layouts.Elf_Phdr, "ph", MOST_SEGMENTS)
        if entry["p_type"] == "PT_LOAD"
    )
    sections = table(layouts.Elf_Shdr, "sh", MOST_SECTIONS)
    layout = struct.Struct(("<" if little else ">") + SYMBOL_LAYOUTS[bits])
    symbols: list[tuple[int, int, int, int]] = []
    for section in sections:
        if section["sh_type"] in SYMBOL_TABLES and section["sh_link"] < len(sections):
            symbols += _symbols(descriptor, layout, section, sections, MOST_SYMBOLS - len(symbols))
    return Functions(header["e_machine"], segments, symbols)


def _symbols(
    descriptor: int, layout: struct.Struct, table: Any, sections: Sequence[Any], most: int
) -> list[tuple[int, int, int, int]]:
    """The functions of one table of symbols: (start, end, 1 if local, where in the file the name begins)."""
    strings = sections[table["sh_link"]]
    first, length = strings["sh_offset"], strings["sh_size"]
    raw = os.pread(descriptor, min(table["sh_size"], most * layout.size), table["sh_offset"])
    found: list[tuple[int, int, int, int]] = []
    for entry in layout.iter_unpack(raw[: len(raw) // layout.size * layout.size]):
        if layout.size == 24:
            name, kind, _, section, start, size = entry
        else:
            name, start, size, kind, _, section = entry
        if kind & 15 in FUNCTIONS and 0 < section < len(sections) and start and name < length:
            if not size:
                of = sections[section]
                size = max(0, min(NEAR, of["sh_addr"] + of["sh_size"] - start))
            found.append((start, min(start + size, LAST), int(kind < 16), min(first + name, LAST)))
    return found


def _name(descriptor: int, position: int) -> str:
    """The text at this place of the file, without the version that linkers put after an @."""
    raw = os.pread(descriptor, LONGEST_NAME + 1, position).split(b"\0", 1)[0]
    text = raw.decode("utf-8", "backslashreplace")[:LONGEST_NAME]
    return text.partition("@")[0] or text


def _ends_with_indirect_call(code: bytes) -> bool:
    """Whether x86 code ends with FF /2, a call through a register or memory, in any of its lengths."""
    for length in range(2, min(LONGEST_CALL, len(code)) + 1):
        if code[-length] != 0xFF or code[1 - length] >> 3 & 7 != 2:
            continue
        mode, base = code[1 - length] >> 6, code[1 - length] & 7
        expected = 2
        if mode != 3 and base == 4:  # a SIB byte
            expected += 1
            if mode == 0 and length > 3 and code[2 - length] & 7 == 5:
                expected += 4
        if mode == 1:
            expected += 1
        elif mode == 2 or (mode == 0 and base == 5):
            expected += 4
        if expected == length:
            return True
    return False
