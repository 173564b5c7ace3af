"""What was read of an ELF file: its pieces of code, the calls each makes, and what each leads to."""

from __future__ import annotations

from .frozen import frozen


@frozen
class Site:
    """A place that makes system calls whose number is not known: its address, the function, and why."""

    address: int
    function: str
    reason: str


@frozen
class Code:
    """A function, or what follows it up to the next one: the numbers it calls, and the code it leads to.

    `leads` are indices of other pieces in the same file, `imports` names that any file may define.
    """

    name: str
    numbers: tuple[int, ...] = ()
    leads: tuple[int, ...] = ()
    imports: tuple[str, ...] = ()
    unresolved: tuple[Site, ...] = ()


@frozen
class Program:
    """One ELF file. `roots` are run, or may be, once it is loaded: its entry, initialisers, pointers in its data.

    `whole`: all of its code counts, since it is static. `searched` are words of its data that it may look symbols up
    by at run time. `exports` is (name, piece), the piece -1 for data; of `weak` names none need be defined.
    `instructions` is the number that was read.
    """

    name: str
    build_id: str
    needed: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    interpreter: str
    whole: bool
    codes: tuple[Code, ...]
    exports: tuple[tuple[str, int], ...]
    roots: tuple[int, ...]
    root_imports: tuple[str, ...]
    weak: tuple[str, ...]
    searched: tuple[str, ...]
    instructions: int
