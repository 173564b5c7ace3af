"""Which system calls a set of programs and libraries can reach: their call graphs in, numbers and open sites out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model.bracket import Place
from ..model.frozen import frozen
from ..model.program import Code, Program, Site

LOOK_UP = frozenset({"dlsym", "dlvsym"})
OPEN = frozenset({"dlopen", "dlmopen"})
FROM_AFAR = frozenset({"libc.so.6", "ld-linux-x86-64.so.2", "libdl.so.2"})
"""Whose own dlopen and dlsym do not count: they load what glibc documents (NSS, gconv, libgcc_s), see docs/scan.md."""


@frozen
class Reached:
    """`numbers`: number -> the first place found; `sites`: (file, site) of unknown numbers; both of what is reachable.

    `opening` are the files that load others at run time, `undefined` the names that nothing defines, `pieces` and
    `all_pieces` the functions that are reachable and that there are.
    """

    numbers: dict[int, Place]
    sites: tuple[tuple[str, Site], ...]
    opening: tuple[str, ...]
    undefined: tuple[str, ...]
    pieces: int
    all_pieces: int


class _Search:
    """A fixed point: what is reachable makes more reachable, across files by the names of symbols."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.programs = programs
        self.seen: list[set[int]] = [set() for _ in programs]
        self.imported: set[str] = set()
        self.undefined: set[str] = set()
        self.opening: set[str] = set()
        self._looking: set[int] = set()
        self._work: list[tuple[int, int]] = []
        self._definers: dict[str, list[tuple[int, int]]] = {}
        for index, program in enumerate(programs):
            for name, piece in program.exports:
                # Every definition counts, whichever the loader would choose, and every version of it.
                self._definers.setdefault(name.partition("@")[0], []).append((index, piece))

    def add(self, program: int, piece: int) -> None:
        if piece >= 0 and piece not in self.seen[program]:
            self.seen[program].add(piece)
            self._work.append((program, piece))

    def name(self, name: str, importer: int) -> None:
        """A symbol that reachable code of a file refers to."""
        if name in OPEN and self.programs[importer].name not in FROM_AFAR:
            self.opening.add(self.programs[importer].name)
        if (
            name in LOOK_UP
            and self.programs[importer].name not in FROM_AFAR
            and importer not in self._looking
        ):
            self._looking.add(importer)
            for word in self.programs[importer].searched:
                for definer, piece in self._definers.get(word, ()):
                    self.add(definer, piece)
        if name in self.imported:
            return
        self.imported.add(name)
        definers = self._definers.get(name)
        if definers is None:
            self.undefined.add(name)
        for definer, piece in definers or ():
            self.add(definer, piece)

    def run(self) -> None:
        while self._work:
            program, piece = self._work.pop()
            code: Code = self.programs[program].codes[piece]
            for lead in code.leads:
                self.add(program, lead)
            for name in code.imports:
                self.name(name, program)


def reach(programs: Sequence[Program], opened: Iterable[int] = ()) -> Reached:
    """What is reachable once all of `programs` are loaded; of those in `opened` (indices) every exported function.

    An entry point, initialisers and every function whose address stands in a file's data are reachable from the
    start; a function whose address code takes is reachable where that code is.
    """
    search = _Search(programs)
    wide = frozenset(opened)
    for index, program in enumerate(programs):
        for piece in range(len(program.codes)) if program.whole else program.roots:
            search.add(index, piece)
        for name in program.root_imports:
            search.name(name, index)
        if index in wide:
            for _, piece in program.exports:
                search.add(index, piece)
    search.run()
    numbers: dict[int, Place] = {}
    sites: list[tuple[str, Site]] = []
    for program, pieces in zip(programs, search.seen, strict=True):
        for piece in sorted(pieces):
            code = program.codes[piece]
            for number in code.numbers:
                numbers.setdefault(number, Place(program=program.name, function=code.name))
            sites += ((program.name, site) for site in code.unresolved)
    return Reached(
        numbers=numbers,
        sites=tuple(sites),
        opening=tuple(sorted(search.opening)),
        undefined=tuple(sorted(search.undefined.difference(*(program.weak for program in programs)))),
        pieces=sum(len(pieces) for pieces in search.seen),
        all_pieces=sum(len(program.codes) for program in programs),
    )
