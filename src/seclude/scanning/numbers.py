"""Traces the numbers of system calls back through the code that sets them: a disassembly in, numbers by piece out."""

from __future__ import annotations

import re

from ..model.program import Site
from .disassembly import Disassembly, Instruction, relative
from .registers import CONSTANT, COPY, EITHER, LOW, UNCHANGED, UNKNOWN, effect
from .slots import distance, effect_on_slot, slot

MOST_STEPS = 20_000
"""Instructions looked at for one system call."""

MOST_STEPS_ALL = 4_000_000
"""The same for one file; what is left then is not resolved, and says so."""

MOST_HELD = 4_000_000
"""Bytes of code whose instructions are held at a time."""

LONGEST_PIECE = 2_000_000
LARGEST_NUMBER = 2**31
_STOPS = ("ret", "jmp", "hlt", "ud2", "retf", "bnd jmp", "notrack jmp", "bnd ret", ".byte")
_FILLING = ("nop", "int3", "xchg", "data16")
_LARGEST_STORED = 1024
_AT_POINTER = re.compile(r"[er]\w+, dword ptr \[(r\w+)\]")
_STORED = re.compile(r"dword ptr \[r[sb]p(?: [+-] \w+)?\], (0x[0-9a-f]+|\d+)")


class _Piece:
    """The instructions of one piece, where each is, and which jumps inside it lead where."""

    def __init__(self, instructions: list[Instruction]) -> None:
        self.instructions = instructions
        self.at = {address: index for index, (address, _, _, _) in enumerate(instructions)}
        self.jumps: dict[int, list[int]] = {}
        for index, (_, _, mnemonic, operands) in enumerate(instructions):
            jumps = mnemonic[0] == "j" or "jmp" in mnemonic or mnemonic.startswith("loop")
            if jumps and operands.startswith("0x") and int(operands, 16) in self.at:
                self.jumps.setdefault(int(operands, 16), []).append(index)


class Numbers:
    """`known`: piece -> numbers that it sets; `unresolved`: piece -> sites whose number it loses.

    A number belongs to the piece that sets it, since whoever makes the call with it has come through there.
    """

    def __init__(self, disassembly: Disassembly) -> None:
        self._code = disassembly
        self._layout = disassembly.layout
        self._held: dict[int, _Piece] = {}
        self._bytes = 0
        self._left = MOST_STEPS_ALL
        self._exported = {
            self._layout.pieces[index][0] for index in self._layout.exports.values() if index >= 0
        }
        self.known: dict[int, set[int]] = {}
        self.unresolved: dict[int, list[Site]] = {}

    def resolve(self) -> None:
        """Trace every site, and every call of the library's syscall()."""
        for index, address, mnemonic, _ in self._code.sites:
            if mnemonic == "syscall":
                self._trace(index, address, "rax", address)
            else:
                what = "int 0x80" if mnemonic == "int" else mnemonic
                self._lose(index, address, f"{what} makes a call of the 32-bit ABI")
        for index, address, called in self._code.wrapped:
            if called:
                self._trace(index, address, "rdi", address)
            else:
                self._lose(index, address, "the address of syscall() is taken")

    def name(self, index: int) -> str:
        """The function; what the linker made to call another file has that one's name."""
        start, end, _ = self._layout.pieces[index]
        imports = self._code.imports[index]
        if end - start <= 16 and len(imports) == 1 and start not in self._layout.names:
            return f"{next(iter(imports))}@plt"
        return self._layout.name(start)

    def _lose(self, index: int, site: int, reason: str) -> None:
        found = Site(address=site, function=self.name(index), reason=reason)
        sites = self.unresolved.setdefault(index, [])
        if found not in sites:
            sites.append(found)

    def _piece(self, index: int) -> _Piece:
        if index not in self._held:
            start, end, _ = self._layout.pieces[index]
            self._bytes += end - start
            if self._bytes > MOST_HELD:
                self._held.clear()
                self._bytes = end - start
            self._held[index] = _Piece(list(self._code.read(index)) if end - start <= LONGEST_PIECE else [])
        return self._held[index]

    def _trace(self, index: int, address: int, register: str, site: int) -> None:
        """All that `register` can be when the instruction at `address` is reached."""
        work: list[tuple[int, int, str, int]] = [(index, address, register, -1)]
        seen = set(work)
        while work:
            item = work.pop()
            self._left -= 1
            if len(seen) > MOST_STEPS or self._left < 0:
                self._lose(item[0], site, "too long to trace")
                return
            for following in self._before(item, site):
                if following not in seen:
                    seen.add(following)
                    work.append(following)

    def _before(self, item: tuple[int, int, str, int], site: int) -> list[tuple[int, int, str, int]]:
        """Where the value came from: the same question asked of the instructions that run just before."""
        index, address, register, low = item
        piece = self._piece(index)
        position = piece.at.get(address)
        if position is None:
            self._lose(index, site, "its code cannot be read in order")
            return []
        found: list[tuple[int, int, str, int]] = []
        ways = 0
        for source in piece.jumps.get(address, ()):
            ways += 1
            found.append((index, piece.instructions[source][0], register, low))
        for place in self._code.arrivals.get(address, ()):
            ways += 1
            above = self._above(place, register)
            if above:
                found.append((self._layout.piece(place), place, above, low))
            else:
                self._lose(index, site, "from memory")
        start = self._layout.pieces[index][0]
        entered = address in self._code.taken or address == start
        if position and piece.instructions[position - 1][2] not in _STOPS:
            ways += 1
            found += self._through(index, piece.instructions[position - 1], register, low, site)
        elif not position and index and self._falls_into(index):
            ways += 1
            if before := self._piece(index - 1).instructions[-1:]:
                found += self._through(index - 1, before[0], register, low, site)
            else:
                self._lose(index, site, "the code before it is too long")
        if entered and self._called_from_afar(address):
            # The library's own syscall(): who imports it is traced there.
            if not (register == "rdi" and self._layout.names.get(start) == "syscall"):
                self._lose(index, site, f"the caller of {self._layout.name(start)} chooses it")
        elif not ways and piece.instructions[position][2] not in _FILLING:
            # The target of a jump that was not understood, or code that nothing leads to.
            jumps = [i for i in piece.instructions if i[2].endswith("jmp") and not i[3].startswith("0x")]
            if not jumps or address == start:
                self._lose(index, site, "nothing is known to lead there")
            found += [(index, jump[0], register, low) for jump in jumps if address != start]
        return found

    def _above(self, place: int, register: str) -> str:
        """The same value for the caller, above whose words a call puts where to return; empty for none of his."""
        if register[0] != "[":
            return register
        piece = self._piece(self._layout.piece(place))
        position = piece.at.get(place)
        if position is None:
            return ""
        if not piece.instructions[position][2].endswith("call"):
            return register
        return f"[{distance(register) - 8}]" if distance(register) >= 8 else ""

    def _falls_into(self, index: int) -> bool:
        before = self._layout.pieces[index - 1]
        return before[1] == self._layout.pieces[index][0] and index in self._code.leads[index - 1]

    def _called_from_afar(self, address: int) -> bool:
        return address in self._exported or address in self._code.taken or address == self._layout.image.entry

    def _through(
        self, index: int, instruction: Instruction, register: str, low: int, site: int
    ) -> list[tuple[int, int, str, int]]:
        """Backwards through one instruction."""
        address, _, mnemonic, operands = instruction
        if register[0] == "[":
            what, value = effect_on_slot(mnemonic, operands, register)
        else:
            what, value = effect(mnemonic, operands, register)
            if what == UNKNOWN:
                # It may have been put aside on the stack.
                kept = "[0]" if mnemonic == "pop" else slot(operands.partition(", ")[2])
                if kept and mnemonic in ("mov", "movsxd", "pop"):
                    what, value = COPY, kept
        if what == UNCHANGED:
            return [(index, address, register, low)]
        if what == CONSTANT:
            number = int(value)  # type: ignore[call-overload]
            number = number & ~0xFF | low if low >= 0 else number
            if number < LARGEST_NUMBER:
                self.known.setdefault(index, set()).add(number)
            return []
        if what == LOW:
            return [(index, address, register, low if low >= 0 else int(value))]  # type: ignore[call-overload]
        if what == COPY:
            return [(index, address, str(value), low)]
        if what == EITHER:
            return [(index, address, register, low), (index, address, str(value), low)]
        if (stored := self._unchanging(instruction)) is not None:
            self.known.setdefault(index, set()).add(stored)
        elif not (value == "from memory" and self._handed_over(index, address)):
            self._lose(index, site, str(value))
        return []

    def _unchanging(self, instruction: Instruction) -> int | None:
        """The number that the file has in a variable that nothing writes and nothing points at."""
        address, size, mnemonic, operands = instruction
        kind, _, place = operands.partition(", ")[2].partition(" ptr ")
        if mnemonic != "mov" or not place.startswith("[rip") or kind not in ("dword", "qword"):
            return None
        target = relative(operands, address + size)
        # A pointer to it would stand in the data or among the relocations.
        if target in self._code.written or self._layout.image.data.find(target.to_bytes(8, "little")) >= 0:
            return None
        if self._layout.image.offset(target) < 0 or target in self._layout.slots:
            return None
        return self._layout.image.word(target) & (0xFFFFFFFF if kind == "dword" else 2**63 - 1)

    def _handed_over(self, index: int, address: int) -> bool:
        """Whether the number at a pointer is one that the callers put in memory, which then are known.

        So glibc sets ids in all threads: setuid() and its like hand over a structure that begins with the number, and
        a signal handler finds it by a pointer in a variable.
        """
        piece = self._piece(index)
        position = piece.at[address]
        _, _, mnemonic, operands = piece.instructions[position]
        match = _AT_POINTER.fullmatch(operands)
        if match is None or mnemonic not in ("mov", "movsxd"):
            return False
        holders = {index}
        for earlier, length, other, text in reversed(piece.instructions[max(0, position - 12) : position]):
            if other == "mov" and text.startswith(f"{match[1]}, qword ptr [rip"):
                holders |= set(self._code.stores.get(relative(text, earlier + length), ()))
                break
        callers = {
            self._layout.piece(place)
            for holder in holders
            for place in self._code.arrivals.get(self._layout.pieces[holder][0], ())
        } - holders
        stored = {
            caller: {
                int(match[1], 0)
                for _, _, other, text in self._piece(caller).instructions
                if other == "mov"
                and (match := _STORED.fullmatch(text))
                and int(match[1], 0) < _LARGEST_STORED
            }
            for caller in callers
        }
        if not callers or not all(stored.values()):
            return False
        for caller, numbers in stored.items():
            self.known.setdefault(caller, set()).update(numbers)
        return True
