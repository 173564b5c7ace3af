"""Reads an ELF file that nobody vouches for: its bytes in, its code, symbols, relocations and needs out.

All tables have limits. Segments and the dynamic table are believed before sections, as the kernel and the loader do.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ..errors import SecludeError
from ..model.frozen import frozen

MOST_SEGMENTS = 128
MOST_SECTIONS = 2048
MOST_SYMBOLS = 500_000
MOST_RELOCATIONS = 3_000_000
MOST_FRAMES = 500_000
MOST_DYNAMIC = 4096
LONGEST_NAME = 4096
MOST_NAMES = 128 * 1024 * 1024

MAGIC = b"\x7fELF"
EM_X86_64 = 62
MACHINES = {
    2: "sparc",
    3: "i386",
    8: "mips",
    20: "ppc",
    21: "ppc64",
    22: "s390",
    40: "arm",
    62: "x86_64",
    183: "aarch64",
    243: "riscv",
    258: "loongarch",
}
"""e_machine -> what it is called (elf.h)."""

ET_EXEC, ET_DYN = 2, 3
PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE, PT_EH_FRAME = 1, 2, 3, 4, 0x6474E550
SHT_SYMTAB, SHT_DYNSYM = 2, 11
SHF_EXECINSTR = 4
DT_NEEDED, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 6, 10, 14, 15, 29
DT_RELA, DT_RELASZ, DT_JMPREL, DT_PLTRELSZ, DT_RELR, DT_RELRSZ = 7, 8, 23, 2, 36, 35
DT_INIT, DT_FINI, DT_INIT_ARRAY, DT_INIT_ARRAYSZ, DT_FINI_ARRAY, DT_FINI_ARRAYSZ = 12, 13, 25, 27, 26, 28
DT_PREINIT_ARRAY, DT_PREINIT_ARRAYSZ = 32, 33
SYMBOL = struct.Struct("<IBBHQQ")
RELOCATION = struct.Struct("<QQq")


class NotElf(SecludeError):
    """A file that is no x86_64 program or library, or that contradicts itself."""


@frozen
class Segment:
    """What is loaded: `size` bytes from `offset` of the file to `address`."""

    offset: int
    address: int
    size: int
    executable: bool


@frozen
class Symbol:
    """`section` 0 is a symbol that another file defines; `kind` and `binding` are the STT_ and STB_ numbers."""

    name: str
    address: int
    size: int
    kind: int
    binding: int
    section: int


class Image:
    """One file's tables; raises NotElf where they cannot be read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._names_left = MOST_NAMES
        try:
            self._read()
        except (struct.error, ValueError, IndexError, OverflowError) as error:
            raise NotElf(f"the file contradicts itself: {error}") from error

    def _read(self) -> None:
        data = self.data
        _check_kind(data)
        self.type, self.entry = struct.unpack_from("<H6xQ", data, 16)
        ph, sh = struct.unpack_from("<QQ", data, 32)
        ph_size, ph_count, sh_size, sh_count, names = struct.unpack_from("<HHHHH", data, 54)
        if self.type not in (ET_EXEC, ET_DYN):
            raise NotElf("neither a program nor a shared library")
        if ph_size != 56 or ph_count > MOST_SEGMENTS or sh_count > MOST_SECTIONS:
            raise NotElf(f"{ph_count} segments and {sh_count} sections are beyond the limits")
        headers = [struct.unpack_from("<IIQQQQQQ", data, ph + at * 56) for at in range(ph_count)]
        for kind, _, offset, _, _, size, _, _ in headers:
            if kind == PT_LOAD and offset + size > len(data):
                raise NotElf(f"it is cut off: {len(data)} bytes, and what is loaded ends at {offset + size}")
        self.segments = tuple(
            Segment(offset=offset, address=address, size=size, executable=bool(flags & 1))
            for kind, flags, offset, address, _, size, _, _ in headers
            if kind == PT_LOAD
        )
        self._tables = {kind: (offset, size, address) for kind, _, offset, address, _, size, _, _ in headers}
        self._notes = [(offset, size) for kind, _, offset, _, _, size, _, _ in headers if kind == PT_NOTE]
        self.sections: list[tuple[str, int, int, int, int, int, int, int]] = []
        if sh_size == 64 and sh_count:
            self._read_sections(sh, sh_count, names)
        self.dynamic = self._read_dynamic()

    def _read_sections(self, start: int, count: int, names: int) -> None:
        """(name, type, flags, address, offset, size, link, size of an entry) of each section, where they are sound."""
        try:
            raw = [struct.unpack_from("<IIQQQQIIQQ", self.data, start + at * 64) for at in range(count)]
            base = raw[names][4]
        except (struct.error, IndexError):
            return  # a stripped table; the loader does not read it either
        for name, kind, flags, address, offset, size, link, _, _, entry in raw:
            self.sections.append((self._text(base + name), kind, flags, address, offset, size, link, entry))

    def _text(self, position: int) -> str:
        end = self.data.find(b"\0", position, position + LONGEST_NAME)
        return self.data[position : end if end >= 0 else position].decode("utf-8", "backslashreplace")

    def _read_dynamic(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        offset, size, _ = self._tables.get(PT_DYNAMIC, (0, 0, 0))
        for at in range(min(size // 16, MOST_DYNAMIC)):
            tag, value = struct.unpack_from("<QQ", self.data, offset + at * 16)
            if tag == 0:
                break
            found.setdefault(tag, []).append(value)
        return found

    def offset(self, address: int) -> int:
        """Where in the file an address lies, -1 where it does not."""
        for segment in self.segments:
            if segment.address <= address < segment.address + segment.size:
                return address - segment.address + segment.offset
        return -1

    def word(self, address: int) -> int:
        """The eight bytes at an address, 0 where there are none."""
        at = self.offset(address)
        return int.from_bytes(self.data[at : at + 8], "little") if at >= 0 else 0

    def _value(self, tag: int) -> int:
        return self.dynamic.get(tag, [0])[0]

    def strings(self, tag: int) -> tuple[str, ...]:
        """The texts that entries of the dynamic table name."""
        base = self.offset(self._value(DT_STRTAB))
        if base < 0:
            return ()
        return tuple(self._text(base + value) for value in self.dynamic.get(tag, ()))

    def interpreter(self) -> str:
        """The loader that the kernel starts, empty for a static program or a library."""
        return self._text(self._tables[PT_INTERP][0]) if PT_INTERP in self._tables else ""

    def build_id(self) -> str:
        """The linker's identification in hexadecimal, empty without one."""
        for start, length in self._notes:
            at, end = start, min(start + length, start + 65536)
            while at + 12 <= end:
                name, size, kind = struct.unpack_from("<III", self.data, at)
                body = at + 12 + (name + 3) // 4 * 4
                if kind == 3 and self.data[at + 12 : at + 16] == b"GNU\0":
                    return self.data[body : body + min(size, 64)].hex()
                at = body + (size + 3) // 4 * 4
        return ""

    def dynamic_symbols(self) -> list[Symbol]:
        """The symbols that the loader sees, in the order of relocations' indices."""
        start, strings = self.offset(self._value(DT_SYMTAB)), self.offset(self._value(DT_STRTAB))
        if start < 0 or strings < 0:
            return []
        # The dynamic table does not say how many there are. Every linker puts the strings right behind the symbols;
        # the section, where there is one, knows.
        count = (strings - start) // SYMBOL.size if strings > start else 0
        for _, kind, _, _, offset, size, _, _ in self.sections:
            if kind == SHT_DYNSYM and offset == start:
                count = size // SYMBOL.size
        return self._symbols(start, min(count, MOST_SYMBOLS), strings)

    def static_symbols(self) -> list[Symbol]:
        """The symbols for debuggers; none in a stripped file."""
        for _, kind, _, _, offset, size, link, _ in self.sections:
            if kind == SHT_SYMTAB and link < len(self.sections):
                return self._symbols(offset, min(size // SYMBOL.size, MOST_SYMBOLS), self.sections[link][4])
        return []

    def _symbols(self, start: int, count: int, strings: int) -> list[Symbol]:
        raw = self.data[start : start + count * SYMBOL.size]
        found: list[Symbol] = []
        for name, info, _, section, address, size in SYMBOL.iter_unpack(raw[: len(raw) // 24 * 24]):
            text = self._text(strings + name)
            self._names_left -= len(text)
            if self._names_left < 0:
                raise NotElf(f"more than {MOST_NAMES} bytes of names")  # they may overlap in the file
            found.append(
                Symbol(
                    name=text,
                    address=address,
                    size=size,
                    kind=info & 15,
                    binding=info >> 4,
                    section=section,
                )
            )
        return found

    def relocations(self) -> Iterator[tuple[int, int, int, int]]:
        """(place, type, index of the symbol, addend) of each; those of DT_RELR as R_X86_64_RELATIVE."""
        for tag, size in ((DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ)):
            start = self.offset(self._value(tag)) if tag in self.dynamic else -1
            length = min(self._value(size), MOST_RELOCATIONS * 24) // 24 * 24
            if start >= 0:
                raw = self.data[start : start + length]
                for place, info, addend in RELOCATION.iter_unpack(raw[: len(raw) // 24 * 24]):
                    yield place, info & 0xFFFFFFFF, info >> 32, addend
        if DT_RELR in self.dynamic:
            for place in self._packed(self.offset(self._value(DT_RELR)), self._value(DT_RELRSZ)):
                yield place, 8, 0, self.word(place)

    def _packed(self, start: int, size: int) -> Iterator[int]:
        """The places of DT_RELR: an address, then bitmaps of the 63 words that follow."""
        place = 0
        for at in range(min(size // 8, MOST_RELOCATIONS // 64) if start >= 0 else 0):
            entry = int.from_bytes(self.data[start + at * 8 : start + at * 8 + 8], "little")
            if not entry & 1:
                yield entry
                place = entry + 8
                continue
            for bit in range(63):
                if entry >> (bit + 1) & 1:
                    yield place + bit * 8
            place += 63 * 8

    def frames(self) -> list[int]:
        """Where functions begin, by the tables for unwinding, which stripped files have too."""
        start, size, address = self._tables.get(PT_EH_FRAME, (0, 0, 0))
        if size < 12 or self.data[start : start + 4] != b"\x01\x1b\x03\x3b":
            return self._unsorted_frames()
        count = struct.unpack_from("<I", self.data, start + 8)[0]
        raw = self.data[start + 12 : start + 12 + min(count, MOST_FRAMES, (size - 12) // 8) * 8]
        return [address + entry for entry, _ in struct.iter_unpack("<ii", raw[: len(raw) // 8 * 8])]

    def _unsorted_frames(self) -> list[int]:
        """The same of a static program, which has no sorted table: entry by entry, with relative 32-bit addresses."""
        found: list[int] = []
        for name, _, _, address, start, size, _, _ in self.sections:
            at, end = start, min(start + size, len(self.data))
            while name == ".eh_frame" and at + 12 <= end and len(found) < MOST_FRAMES:
                length, owner, begin = struct.unpack_from("<IIi", self.data, at)
                if length in (0, 0xFFFFFFFF):
                    break
                # The pointer goes back to a CIE; what is found is checked, since the encoding is only assumed.
                target = address + at + 8 - start + begin
                if owner and self.offset(target) >= 0:
                    found.append(target)
                at += 4 + length
        return found

    def initialisers(self) -> list[int]:
        """Addresses that the loader calls, as far as they stand in the file (others are relocations)."""
        found = [self._value(tag) for tag in (DT_INIT, DT_FINI) if tag in self.dynamic]
        for tag, size in (
            (DT_INIT_ARRAY, DT_INIT_ARRAYSZ),
            (DT_FINI_ARRAY, DT_FINI_ARRAYSZ),
            (DT_PREINIT_ARRAY, DT_PREINIT_ARRAYSZ),
        ):
            for at in range(min(self._value(size) // 8, 65536)):
                found.append(self.word(self._value(tag) + at * 8))
        return found

    def executable(self) -> list[tuple[str, int, int, int]]:
        """(name, address, offset, size) of code: the sections that say so, else whole segments."""
        segments = [segment for segment in self.segments if segment.executable]
        found = [
            (name, address, offset, size)
            for name, kind, flags, address, offset, size, _, _ in self.sections
            if flags & SHF_EXECINSTR
            and kind == 1
            and any(s.address <= address and address + size <= s.address + s.size for s in segments)
            and self.offset(address) == offset
        ]
        return found or [("", s.address, s.offset, s.size) for s in segments]


def _check_kind(data: bytes) -> None:
    """Raise NotElf with the kind of file that it is, where it is not for x86_64."""
    if data[:4] != MAGIC:
        raise NotElf("no ELF file")
    if len(data) < 64:
        raise NotElf(f"it is cut off: {len(data)} bytes, and the header of an ELF file has 64")
    big = data[5] == 2
    machine = int.from_bytes(data[18:20], "big" if big else "little")
    if data[4] != 2 or data[5] != 1 or machine != EM_X86_64:
        name = MACHINES.get(machine, f"machine {machine}")
        bits = {1: 32, 2: 64}.get(data[4], "unknown")
        raise NotElf(
            f"it is for {name} ({bits} bits{', big endian' if big else ''}), and only x86_64 in 64 bits is read"
        )
