"""What each piece of code in a file leads to and where it makes system calls: a layout in, a `Program` out."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from ..model.program import Code, Program, Site
from .image import DT_NEEDED, DT_RPATH, DT_RUNPATH, ET_EXEC, Image, NotElf
from .layout import LOOKING_UP, MOST_WORDS, Layout

MOST_CASES = 4096
"""Entries of one jump table."""

MOST_ARRIVALS = 20_000_000
"""Ways through all jump tables together: each jump of a piece may use each of its tables."""

MOST_INSTRUCTIONS = 25_000_000
MOST_REFERENCES = 8_000_000
MOST_SITES = 50_000
CHUNK = 256 * 1024
LONGEST = 16
"""Bytes of one instruction, at most 15."""

HIDDEN_LISTED = 20

_RIP = re.compile(r"\[rip(?: ([+-]) (0x[0-9a-f]+|\d+))?\]")
_ABSOLUTE = re.compile(r"0x[0-9a-f]{4,16}")
_SITES = frozenset({"syscall", "sysenter", "int"})
_ENDS = frozenset(
    {"ret", "jmp", "hlt", "ud2", "retf", "iretq", "sysretq", "bnd jmp", "notrack jmp", "bnd ret"}
)
_PADDING = frozenset({"nop", "int3", "xchg", "endbr64", ".byte"})
_READERS = frozenset({"cmp", "test", "push", "bt"})
_FLOWS = frozenset(
    {"call", "bnd call", "notrack call", "bnd jmp", "notrack jmp", "loop", "loope", "loopne", "xbegin"}
)
Instruction = tuple[int, int, str, str]


class Disassembly:
    """The instructions of one file, read once in order; pieces are read again where numbers are traced.

    `arrivals`: address -> the addresses of the jumps and calls that lead there from another piece or by a table.
    """

    def __init__(self, layout: Layout) -> None:
        from capstone import CS_ARCH_X86, CS_MODE_64, Cs

        self.layout = layout
        self._engine: Any = Cs(CS_ARCH_X86, CS_MODE_64)
        self._engine.skipdata = True
        self.arrivals: dict[int, list[int]] = {}
        self.taken: set[int] = set()
        """Addresses of code that instructions or data have as pointers."""
        self.sites: list[tuple[int, int, str, str]] = []
        """(piece, address, mnemonic, operands) of each system call."""
        self.wrapped: list[tuple[int, int, bool]] = []
        """(piece, address, whether it is a call) of what reaches the library's syscall() through a slot."""
        self.leads: list[set[int]] = []
        self.imports: list[set[str]] = []
        self.instructions = 0
        self._left = MOST_REFERENCES
        self.torn: list[int] = []
        """Pieces with bytes that are no instructions."""
        self.stores: dict[int, list[int]] = {}
        """Address of a variable -> the pieces that put a pointer there."""
        self.written: set[int] = set()
        """Addresses of variables that instructions write, or take the address of."""
        self._tables: list[tuple[int, list[int], list[int]]] = []
        self._absolute = layout.image.type == ET_EXEC
        for index in range(len(layout.pieces)):
            self._walk(index)
        self._follow_tables()
        for start in layout.pointers:
            self.taken.add(start)

    def read(self, index: int) -> Iterator[Instruction]:
        """(address, length, mnemonic, operands) of a piece's instructions."""
        start, end, offset = self.layout.pieces[index]
        if end - start > CHUNK:
            return self._read_long(start, end, offset)
        code = self.layout.image.data[offset : offset + end - start]
        return self._engine.disasm_lite(code, start)  # type: ignore[no-any-return]

    def _read_long(self, start: int, end: int, offset: int) -> Iterator[Instruction]:
        """The same bit by bit: capstone makes all instructions of what it is given before it hands out the first."""
        at = start
        while at < end:
            here = offset + at - start
            code = self.layout.image.data[here : min(here + CHUNK + LONGEST, offset + end - start)]
            last = at + CHUNK
            for instruction in self._engine.disasm_lite(code, at):
                if instruction[0] >= last:
                    break
                yield instruction
                at = instruction[0] + instruction[1]

    def _walk(self, index: int) -> None:
        start, end, _ = self.layout.pieces[index]
        leads: set[int] = set()
        imports: set[str] = set()
        self.leads.append(leads)
        self.imports.append(imports)
        tables: list[int] = []
        indirect: list[int] = []
        last, count = "", 0
        references = 0
        for address, size, mnemonic, operands in self.read(index):
            count += 1
            if mnemonic[0] == "j" or mnemonic in _FLOWS:
                references += 1
                if operands[:2] == "0x":
                    target = int(operands, 16)
                    if not start < target < end:
                        self._lead(leads, target, address)
                elif "rip" in operands:
                    self._slot(index, address, size, mnemonic, operands)
                elif mnemonic[-3:] == "jmp":
                    indirect.append(address)
            elif "rip" in operands:
                references += 1
                if mnemonic == "lea":
                    target = relative(operands, address + size)
                    if self.layout.within(target):
                        self._take(leads, target)
                    else:
                        tables.append(target)
                        self.written.add(target)
                else:
                    self._slot(index, address, size, mnemonic, operands)
            elif mnemonic in _SITES:
                if mnemonic != "int" or operands == "0x80":
                    if len(self.sites) >= MOST_SITES:
                        raise NotElf(f"more than {MOST_SITES} places that make system calls")
                    self.sites.append((index, address, mnemonic, operands))
            elif mnemonic == ".byte":
                if not self.torn or self.torn[-1] != index:
                    self.torn.append(index)
            elif self._absolute and "0x" in operands:
                for text in _ABSOLUTE.findall(operands):
                    if self.layout.within(int(text, 16)):
                        self._take(leads, int(text, 16))
            if mnemonic not in _PADDING:
                last = mnemonic
            if references > self._left:
                raise NotElf(f"more than {MOST_REFERENCES} jumps, calls and references")
            if self.instructions + count > MOST_INSTRUCTIONS:
                raise NotElf(f"more than {MOST_INSTRUCTIONS} instructions")
        self._left -= references
        self.instructions += count
        if tables and indirect:
            self._tables.append((index, tables, indirect))
        # After a call that never returns compilers put the next function, which begins with a frame of its own.
        falls = last not in _ENDS and not (last[-4:] == "call" and end in self.layout.known)
        if falls and self.layout.piece(end) >= 0:
            leads.add(self.layout.piece(end))

    def _lead(self, leads: set[int], target: int, source: int) -> None:
        piece = self.layout.piece(target)
        if piece >= 0:
            leads.add(piece)
            self.arrivals.setdefault(target, []).append(source)

    def _take(self, leads: set[int], target: int) -> None:
        self.taken.add(target)
        leads.add(self.layout.piece(target))

    def _slot(self, index: int, address: int, size: int, mnemonic: str, operands: str) -> None:
        target = relative(operands, address + size)
        if "rip" in operands.partition(", ")[0] and mnemonic not in _READERS:
            self.written.add(target)
        if mnemonic == "mov" and operands.startswith("qword ptr [rip"):
            self.stores.setdefault(target, []).append(index)
        name = self.layout.slots.get(target)
        if name is not None:
            self.imports[index].add(name)
            if name == "syscall":
                self.wrapped.append((index, address, mnemonic in _FLOWS or mnemonic == "jmp"))

    def _follow_tables(self) -> None:
        """Jump tables: 32-bit distances from their own beginning, up to the next table or the first that leads out."""
        bases = sorted({base for _, tables, _ in self._tables for base in tables})
        following = dict(pairwise(bases))
        left = MOST_ARRIVALS
        for index, tables, indirect in self._tables:
            for base in sorted(set(tables)):
                at = self.layout.image.offset(base)
                if at < 0:
                    continue
                length = min(MOST_CASES * 4, following.get(base, base + MOST_CASES * 4) - base) // 4 * 4
                raw = self.layout.image.data[at : at + length]
                for (distance,) in struct.iter_unpack("<i", raw[: len(raw) // 4 * 4]):
                    piece = self.layout.piece(base + distance)
                    if piece < 0:
                        break
                    left -= len(indirect)
                    if left < 0:
                        raise NotElf(f"more than {MOST_ARRIVALS} ways through jump tables")
                    self.leads[index].add(piece)
                    self.arrivals.setdefault(base + distance, []).extend(indirect)

    def hidden(self) -> list[Site]:
        """Bytes that would be a system call where no instruction was read: data, or code that hides."""
        found: list[Site] = []
        data = self.layout.image.data
        for index in self.torn:
            start, end, offset = self.layout.pieces[index]
            read = {address for piece, address, _, _ in self.sites if piece == index}
            at = data.find(b"\x0f\x05", offset, offset + end - start)
            while at >= 0 and len(found) < HIDDEN_LISTED:
                address = start + at - offset
                if address not in read:
                    name = self.layout.name(address)
                    found.append(Site(address=address, function=name, reason="bytes between data"))
                at = data.find(b"\x0f\x05", at + 1, offset + end - start)
        return found

    def unlisted(self) -> list[Site]:
        """The same in what the kernel maps as code and no section of code holds."""
        found: list[Site] = []
        for segment in self.layout.image.segments:
            at = segment.offset - 1 if segment.executable else segment.offset + segment.size
            while len(found) < HIDDEN_LISTED:
                at = self.layout.image.data.find(b"\x0f\x05", at + 1, segment.offset + segment.size)
                if at < 0:
                    break
                address = segment.address + at - segment.offset
                if not self.layout.within(address):
                    found.append(
                        Site(address=address, function="", reason="bytes outside of all sections of code")
                    )
        return found


def relative(operands: str, following: int) -> int:
    """The address that an operand names relative to the next instruction."""
    match = _RIP.search(operands)
    if match is None or match[2] is None:
        return following
    distance = int(match[2], 0)
    return following + distance if match[1] == "+" else following - distance


def examine(image: Image, name: str) -> Program:
    """The whole of one file; raises NotElf."""
    try:
        return _examine(image, name)
    except (struct.error, ValueError, LookupError, OverflowError) as error:
        raise NotElf(f"the file contradicts itself: {error}") from error


def _examine(image: Image, name: str) -> Program:
    from .numbers import Numbers

    layout = Layout(image)
    disassembly = Disassembly(layout)
    numbers = Numbers(disassembly)
    numbers.resolve()
    unresolved = numbers.unresolved
    for site in disassembly.hidden():
        unresolved.setdefault(layout.piece(site.address), []).append(site)
    roots = {layout.piece(address) for address in (image.entry, *layout.pointers) if layout.within(address)}
    for site in disassembly.unlisted() if roots else ():
        unresolved.setdefault(min(roots), []).append(site)
    searched, all_words = layout.searched()
    for index, imports in enumerate(disassembly.imports) if not all_words else ():
        if imports.intersection(LOOKING_UP):
            reason = f"more than {MOST_WORDS} names that it may look functions up by"
            found = Site(address=layout.pieces[index][0], function=numbers.name(index), reason=reason)
            unresolved.setdefault(index, []).append(found)
    codes = tuple(
        Code(
            name=numbers.name(index),
            numbers=tuple(sorted(numbers.known.get(index, ()))),
            leads=tuple(sorted(disassembly.leads[index] - {index})),
            imports=tuple(sorted(disassembly.imports[index])),
            unresolved=tuple(unresolved.get(index, ())),
        )
        for index, (start, _, _) in enumerate(layout.pieces)
    )
    interpreter = image.interpreter()
    needed = image.strings(DT_NEEDED)
    return Program(
        name=name,
        build_id=image.build_id(),
        needed=needed,
        rpath=image.strings(DT_RPATH),
        runpath=image.strings(DT_RUNPATH),
        interpreter=interpreter,
        # Of Go programs all counts too: the linker leaves out what is not needed, and calls go through tables.
        whole=bool(layout.go)
        or (bool(image.entry) and not interpreter and not needed and not layout.exports),
        codes=codes,
        exports=tuple(sorted(layout.exports.items())),
        roots=tuple(sorted(roots)),
        root_imports=tuple(sorted(layout.pointed - {""})),
        weak=tuple(sorted(layout.weak - {""})),
        searched=searched,
        instructions=disassembly.instructions,
    )
