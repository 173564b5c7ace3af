"""Where the pieces of code in one file begin, and what its relocated words point at: an image in, a layout out."""

from __future__ import annotations

import re
from bisect import bisect_right

from .gotable import go_functions
from .image import ET_EXEC, Image, NotElf, Symbol

LARGEST_CODE = 64 * 1024 * 1024
MOST_PIECES = 600_000
MOST_WORDS = 300_000
"""Node's library, with V8 in it, has 34,000."""

MOST_VERSIONS = 64

FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC
WEAK = 2  # STB_WEAK
R_64, R_GLOB_DAT, R_JUMP_SLOT, R_RELATIVE, R_IRELATIVE = 1, 6, 7, 8, 37
_WORD = re.compile(rb"(?<![A-Za-z0-9_.])[A-Za-z_][A-Za-z0-9_]{2,63}(?=\0)")
LOOKING_UP = ("dlsym", "dlvsym")


class Layout:
    """The code of one image cut into pieces, each from one function's beginning to the next.

    A piece without a symbol or an unwinding entry belongs to the one before it: then more counts as reachable, not
    less. Raises NotElf for a file beyond the limits.
    """

    def __init__(self, image: Image) -> None:
        self.image = image
        self.ranges = [
            (name, address, offset, size)
            for name, address, offset, size in sorted(image.executable(), key=lambda item: item[1])
            if size
        ]
        if sum(size for _, _, _, size in self.ranges) > LARGEST_CODE:
            raise NotElf(f"more than {LARGEST_CODE} bytes of code")
        self.dynamic = image.dynamic_symbols()
        self.static = image.static_symbols()
        self.imported = {symbol.name for symbol in self.dynamic if not symbol.section and symbol.name}
        self.weak = {symbol.name for symbol in self.dynamic if not symbol.section and symbol.binding == WEAK}
        self._starts, self.known = self._cut()
        self.pieces = self._pieces()
        self._beginnings = [start for start, _, _ in self.pieces]
        self.slots: dict[int, str] = {}
        self.pointers: set[int] = set()
        self.pointed: set[str] = set()
        self._relocate()
        self.exports = self._exports()
        self.names = self._names()

    def within(self, address: int) -> bool:
        """Whether an address is code."""
        return self.piece(address) >= 0

    def piece(self, address: int) -> int:
        """The index of the piece that holds an address, -1 for none."""
        index = bisect_right(self._beginnings, address) - 1
        return index if index >= 0 and address < self.pieces[index][1] else -1

    def _cut(self) -> tuple[list[int], frozenset[int]]:
        """(where pieces begin; those that an entry for unwinding vouches for)."""
        frames = frozenset(self.image.frames())
        starts = set(frames)
        # glibc's return from a signal has its entry begin one byte early, in the padding, for the sake of unwinders.
        starts.update(start + 1 for start in frames if start % 16 == 15)
        for symbol in (*self.dynamic, *self.static):
            if symbol.kind in FUNCTIONS and symbol.section and symbol.address:
                starts.add(symbol.address)
        self.go = go_functions(self.image)
        starts.update(self.go)
        if not frames and not self.go:
            starts.update(_called(self.image, self.ranges))
        starts.add(self.image.entry)
        starts.update(self.image.initialisers())
        for name, address, _, size in self.ranges:
            starts.add(address)
            if name.startswith(".plt"):
                # Stubs of the linker: 16 bytes each, or 8 where they only jump.
                step = 8 if name == ".plt.got" and size % 16 == 8 else 16
                if (
                    name == ".plt.got"
                    and self.image.data[self.image.offset(address) :][:4] != b"\xf3\x0f\x1e\xfa"
                ):
                    step = 8
                starts.update(range(address, address + size, step))
        return sorted(starts), frames

    def _pieces(self) -> list[tuple[int, int, int]]:
        """(start, end, offset of the start in the file) in the order of addresses."""
        found: list[tuple[int, int, int]] = []
        reached = 0
        for _, address, offset, size in self.ranges:
            begin, end = max(address, reached), address + size  # ranges of a hostile file may overlap
            inner = self._starts[bisect_right(self._starts, begin) :]
            last = begin
            for start in inner:
                if start >= end:
                    break
                found.append((last, start, offset + last - address))
                last = start
            if last < end:
                found.append((last, end, offset + last - address))
            reached = max(reached, end)
        if len(found) > MOST_PIECES:
            raise NotElf(f"more than {MOST_PIECES} functions")
        return found

    def _relocate(self) -> None:
        """Which word is filled with which symbol, and what data points at code."""
        for place, kind, index, addend in self.image.relocations():
            if kind in (R_RELATIVE, R_IRELATIVE):
                if self.within(addend):
                    self.pointers.add(addend)
            elif 0 < index < len(self.dynamic) and kind in (R_64, R_GLOB_DAT, R_JUMP_SLOT):
                symbol = self.dynamic[index]
                if kind == R_64:
                    self.pointed.add(symbol.name)
                    if symbol.section and self.within(symbol.address + addend):
                        self.pointers.add(symbol.address + addend)
                else:
                    self.slots[place] = symbol.name
        for address in self.image.initialisers():
            if self.within(address):
                self.pointers.add(address)
        if self.image.type == ET_EXEC:
            self._scan_words()

    def _scan_words(self) -> None:
        """A program at a fixed address has no relocations for its own pointers: every word that may be one is."""
        if not self.ranges:
            return
        least = self.ranges[0][1]
        most = max(address + size for _, address, _, size in self.ranges)
        for segment in self.image.segments:
            if segment.executable:
                continue
            raw = self.image.data[segment.offset : segment.offset + segment.size // 8 * 8]
            for at, word in enumerate(memoryview(raw).cast("Q")):
                # A word that the loader fills holds the way to the loader before.
                if least <= word < most and self.within(word) and segment.address + at * 8 not in self.slots:
                    self.pointers.add(word)

    def _exports(self) -> dict[str, int]:
        """Name -> piece, -1 for data; further definitions, of other versions, as NAME@1, NAME@2."""
        found: dict[str, list[int]] = {}
        for symbol in self.dynamic:
            if symbol.section and symbol.name:
                code = symbol.kind in (0, *FUNCTIONS)
                pieces = found.setdefault(symbol.name, [])
                piece = self.piece(symbol.address) if code else -1
                if len(pieces) >= MOST_VERSIONS:
                    raise NotElf(f"more than {MOST_VERSIONS} definitions of {symbol.name}")
                if piece not in pieces:
                    pieces.append(piece)
        return {
            f"{name}@{number}" if number else name: piece
            for name, pieces in found.items()
            for number, piece in enumerate(pieces)
        }

    def _names(self) -> dict[int, str]:
        """Address -> the most public of its names."""
        best: dict[int, Symbol] = {}
        for symbol in (*self.static, *self.dynamic):
            if symbol.kind in (0, *FUNCTIONS) and symbol.section and symbol.name:
                other = best.get(symbol.address)
                if other is None or _publicity(symbol) < _publicity(other):
                    best[symbol.address] = symbol
        return self.go | {address: symbol.name for address, symbol in best.items()}

    def name(self, address: int) -> str:
        """The function around an address, or where it begins in hexadecimal."""
        index = self.piece(address)
        start = self.pieces[index][0] if index >= 0 else address
        return self.names.get(start) or f"{start:#x}"

    def searched(self) -> tuple[tuple[str, ...], bool]:
        """(the words of the data that dlsym may be given, whether these are all); none where dlsym is not imported."""
        if not self.imported.intersection(LOOKING_UP):
            return (), True
        found: set[str] = set()
        for segment in self.image.segments:
            if not segment.executable:
                for match in _WORD.finditer(self.image.data, segment.offset, segment.offset + segment.size):
                    if len(found) >= MOST_WORDS:
                        return tuple(sorted(found)), False
                    found.add(match.group().decode())
        return tuple(sorted(found)), True


def _called(image: Image, ranges: list[tuple[str, int, int, int]]) -> set[int]:
    """The targets of all that looks like a direct call, where nothing else tells where functions begin."""
    found: set[int] = set()
    for _, address, offset, size in ranges:
        at = image.data.find(b"\xe8", offset, offset + size - 4)
        while at >= 0:
            distance = int.from_bytes(image.data[at + 1 : at + 5], "little", signed=True)
            target = address + at + 5 - offset + distance
            # Compilers align functions; a byte that is no call points anywhere.
            if target % 16 == 0 and any(start <= target < start + length for _, start, _, length in ranges):
                found.add(target)
            at = image.data.find(b"\xe8", at + 1, offset + size - 4)
    return found


def _publicity(symbol: Symbol) -> tuple[bool, int, int, str]:
    bare = symbol.name.lstrip("_")
    return symbol.binding == 0, len(symbol.name) - len(bare), len(bare), symbol.name
