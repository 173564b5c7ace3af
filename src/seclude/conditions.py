"""Recorded argument values in, conditions for a profile's rules out: properties where single values would be brittle.

Only arguments that are numbers of a small, closed set; never pointers, sizes or descriptors. What the kernel reads as
32 bits is compared under a mask of 32 bits, since the upper half of the register may hold anything.
"""

from __future__ import annotations

from .model.profile import MASKED_EQUAL, Argument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .model.recording import Recording

    Conditions = tuple[Argument, ...]
    Values = frozenset[int]

LEVELS = ("none", "safe", "all")
"""`safe`: conditions that other runs of the same program hardly break; `all`: also those on commands and options."""

NARROW = 0xFFFF_FFFF
MOST_VALUES = 32
"""Distinct values up to which they are enumerated; each becomes a rule."""

# include/uapi/linux/sched.h: CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET; CLONE_THREAD
NAMESPACES, THREAD = 0x7E02_0000, 0x0001_0000
WRITE_EXECUTE = 6  # PROT_WRITE | PROT_EXEC


def _exact(index: int, values: Values) -> tuple[Conditions, ...]:
    found = sorted({value & NARROW for value in values})
    if len(found) > MOST_VALUES:
        return ()
    return tuple((_masked(index, NARROW, value),) for value in found)


def _thread_or_process(index: int, values: Values) -> tuple[Conditions, ...]:
    """No new namespaces; threads alone, if nothing but threads was started."""
    if any(value & NAMESPACES for value in values):
        return ()
    if all(value & THREAD for value in values):
        return ((_masked(index, NAMESPACES | THREAD, THREAD),),)
    return ((_masked(index, NAMESPACES, 0),),)


def _write_or_execute(index: int, values: Values) -> tuple[Conditions, ...]:
    """Never both; and not executable at all if nothing was."""
    kinds = sorted({value & WRITE_EXECUTE for value in values})
    if WRITE_EXECUTE in kinds:
        return ()
    # What is writable later is readable now; a program that maps code is not asked whether it maps data.
    kinds = sorted({0, 2, *kinds})
    return tuple((_masked(index, WRITE_EXECUTE, kind),) for kind in kinds)


def _masked(index: int, mask: int, value: int) -> Argument:
    return Argument(index=index, value=mask, value_two=value, op=MASKED_EQUAL)


SAFE: Mapping[str, tuple[int, Callable[[int, Values], tuple[Conditions, ...]]]] = {
    "socket": (0, _exact),
    "socketpair": (0, _exact),
    "clone": (0, _thread_or_process),
    "unshare": (0, _exact),
    "setns": (1, _exact),
    "personality": (0, _exact),
    "prctl": (0, _exact),
    "arch_prctl": (0, _exact),
    "keyctl": (0, _exact),
    "ptrace": (0, _exact),
    "mmap": (2, _write_or_execute),
    "mmap2": (2, _write_or_execute),
    "mprotect": (2, _write_or_execute),
    "pkey_mprotect": (2, _write_or_execute),
}
"""Call -> which of its arguments, and what becomes of its values."""

COMMANDS: Mapping[str, tuple[int, Callable[[int, Values], tuple[Conditions, ...]]]] = {
    "ioctl": (1, _exact),
    "fcntl": (1, _exact),
    "fcntl64": (1, _exact),
    "madvise": (2, _exact),
    "setsockopt": (1, _exact),
    "getsockopt": (1, _exact),
}

BEYOND = {"clone": "clone3", "mprotect": "pkey_mprotect", "mmap": "remap_file_pages"}
"""Call -> another that does the same where no filter sees it: a condition on the one is worth little beside it."""


def watched(others: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Call -> the arguments whose values a recorder has to keep, those that `others` names included."""
    found = {name: {index} for name, (index, _) in {**SAFE, **COMMANDS}.items()}
    for name, indices in others.items():
        found.setdefault(name, set()).update(indices)
    return {name: tuple(sorted(indices)) for name, indices in found.items()}


def conditions(recordings: Sequence[Recording], level: str) -> dict[str, tuple[Conditions, ...]]:
    """Call -> its alternatives, of which one must hold; a call that needs no condition is not in it.

    Only calls all of whose values every recording that made them has kept. `level` is one of LEVELS.
    """
    table = {} if level == "none" else {**SAFE, **(COMMANDS if level == "all" else {})}
    found = {}
    for name, (index, generalise) in table.items():
        values = _values(recordings, name, index)
        if values:
            alternatives = generalise(index, values)
            if alternatives:
                found[name] = alternatives
    return found


def caveats(names: Iterable[str], conditional: Iterable[str]) -> tuple[str, ...]:
    """What a reader should know: calls in `names` that get around a condition on one of `conditional`."""
    made = set(names)
    return tuple(
        f"{BEYOND[name]} is allowed too, whose arguments no filter sees: the condition on {name} can be passed by"
        for name in sorted(conditional)
        if BEYOND.get(name) in made
    )


def _values(recordings: Sequence[Recording], name: str, index: int) -> Values:
    """Every value of an argument, empty where not all are known."""
    values: set[int] = set()
    for recording in recordings:
        made = {call.abi for call in recording.calls if call.name == name and call.phase != "denied"}
        kept = {item.abi: item for item in recording.arguments if item.name == name}
        for abi in made:
            item = kept.get(abi)
            if item is None or not item.complete or index not in item.indices:
                return frozenset()
            values.update(each[item.indices.index(index)] for each in item.values)
    return frozenset(values)
