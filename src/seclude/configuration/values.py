"""Raw values with their places in, checked values of the model out: one reader for each kind of key."""

from __future__ import annotations

import shlex
from datetime import date, datetime

from ..model.configuration import Acknowledgement, TestCommand
from ..model.profile import nearest
from ..syscalls import all_names
from ..syscalls import nearest as nearest_call
from . import keys
from .source import Spot

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_OPERATORS = frozenset(("&&", "||", ";", "|", "&", ">", ">>", "<", "2>", "2>&1"))
"""Words that only a shell understands: a command that has one was meant for a shell."""


def text(spot: Spot) -> str:
    """A string that is not empty; raises ConfigurationError, as all here."""
    value = _string(spot)
    if not value.strip():
        raise spot.error(f"{spot.name} is empty", "leave the key out for the default")
    return value


def printable(spot: Spot, longest: int = keys.LONGEST_NAME) -> str:
    """A string of one line that a terminal can show."""
    value = text(spot)
    if not value.isprintable():
        raise spot.error(f"{spot.name} has control characters: {value[:80]!r}")
    if len(value) > longest:
        raise spot.error(f"{spot.name} has {len(value)} characters, at most {longest} are allowed")
    return value


def whole(spot: Spot, least: int, most: int) -> int:
    """A whole number between `least` and `most`."""
    value = spot.value
    if isinstance(value, str) and not spot.source.typed:
        try:
            value = int(value)
        except ValueError:
            pass
    if not isinstance(value, int) or isinstance(value, bool):
        raise spot.error(f"{spot.name} must be a whole number, not {_shown(value)}")
    if not least <= value <= most:
        raise spot.error(f"{spot.name} is {_shown(value)}; it must be {least} to {most}")
    return value


def number(spot: Spot, least: float, most: float) -> float:
    """A number between `least` and `most`."""
    value = spot.value
    if isinstance(value, str) and not spot.source.typed:
        try:
            value = float(value)
        except ValueError:
            pass
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise spot.error(f"{spot.name} must be a number, not {_shown(value)}")
    if not least <= value <= most:  # so that NaN is refused as well
        raise spot.error(f"{spot.name} is {_shown(value)}; it must be {least:g} to {most:g}")
    return float(value)


def words(spot: Spot) -> tuple[str, ...]:
    """A list of strings; where values have no types, words as a shell splits them."""
    if isinstance(spot.value, str) and not spot.source.typed:
        return _split(spot)
    return tuple(_string(item) for item in _items(spot, "a list of strings"))


def command(spot: Spot) -> tuple[str, ...]:
    """A command: a string that is split like a shell would, or a list of words. No shell ever runs it."""
    if isinstance(spot.value, str):
        found = _split(spot)
        operators = [word for word in found if word in _OPERATORS]
        if operators:
            raise spot.error(
                f"{spot.name} has {operators[0]!r}, but no shell runs it",
                f'for a shell write {spot.path[-1]} = ["sh", "-c", "..."]',
            )
    else:
        found = tuple(_string(item) for item in _items(spot, "a string or a list of strings"))
    if not found or not found[0]:
        raise spot.error(f"{spot.name} has no command")
    return found


def names(spot: Spot, *, also: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of system calls or of `also`, each once; where values have no types, with blanks or commas between."""
    if isinstance(spot.value, str) and not spot.source.typed:
        spot = Spot(spot.value.replace(",", " ").split(), spot.source, spot.path)
    found = []
    for item in _items(spot, "a list of names"):
        name = _string(item)
        if name not in also:
            known_call(item, name, also=also)
        if name not in found:
            found.append(name)
    return tuple(found)


def known_call(spot: Spot, name: str, *, also: Sequence[str] = ()) -> str:
    """`name`, if a system call has it on any processor."""
    if name not in all_names():
        near = nearest_call(name[:80])
        hint = f"did you mean {near}?" if near else "see `man 2 syscalls`"
        raise spot.error(
            f"unknown system call {name[:80]!r}", hint + (f" Or {', '.join(also)}" if also else "")
        )
    return name


def chosen(spot: Spot, known: Sequence[str], what: str) -> str:
    """One of `known`."""
    value = text(spot)
    if value not in known:
        raise spot.error(f"unknown {what} {value[:80]!r}", nearest(value, known))
    return value


def tests(spot: Spot) -> tuple[TestCommand, ...]:
    """Test commands with unique names: a command, a list of commands, or tables with `name` and `run`.

    Where values have no types each line is a command. A test without a name is called like its command.
    """
    if isinstance(spot.value, str) and not spot.source.typed:
        spot = Spot([line for line in spot.value.splitlines() if line.strip()], spot.source, spot.path)
    if isinstance(spot.value, str):
        items = [spot]
    else:
        items = _items(spot, "a command, a list of commands or tables with name and run")
    if len(items) > keys.MOST_TESTS:
        raise spot.error(f"{len(items)} tests are given, at most {keys.MOST_TESTS} are allowed")
    found: dict[str, TestCommand] = {}
    for item in items:
        test = _test(item)
        if test.name in found:
            raise item.error(f"two tests are called {test.name!r}", "give each its own name")
        found[test.name] = test
    return tuple(found.values())


def _test(spot: Spot) -> TestCommand:
    if isinstance(spot.value, dict):
        members = _members(spot, keys.TEST, "a test")
        if "run" not in members:
            raise spot.error("a test has no run", 'such as run = "./test.sh"', at_key=True)
        run = command(members["run"])
        if "name" in members:
            return TestCommand(name=printable(members["name"]), run=run)
    else:
        run = command(spot)
    name = shlex.join(run)
    if len(name) > keys.LONGEST_NAME or not name.isprintable():
        raise spot.error(
            f"the command cannot be the test's name: it is longer than {keys.LONGEST_NAME} characters, or has such as "
            "cannot be printed",
            '[[test]] with name = "..." and run = "..." gives it one',
        )
    return TestCommand(name=name, run=run)


def acknowledgements(spot: Spot) -> tuple[Acknowledgement, ...]:
    """What [[gate.acknowledged]] says, one for each call."""
    found: dict[str, Acknowledgement] = {}
    for item in _items(spot, "tables with call and reason"):
        members = _members(item, keys.ACKNOWLEDGED, "an acknowledgement")
        for key in ("call", "reason"):
            if key not in members:
                raise item.error(
                    f"an acknowledgement has no {key}", "call and reason are needed", at_key=True
                )
        call = known_call(members["call"], text(members["call"]))
        if call in found:
            raise members["call"].error(f"{call} is acknowledged twice", "keep one of the two")
        found[call] = Acknowledgement(
            call=call,
            reason=printable(members["reason"], keys.LONGEST_TEXT),
            expires=_day(members["expires"]) if "expires" in members else "",
        )
    return tuple(found.values())


def _day(spot: Spot) -> str:
    """A date, as a string or as TOML's own, as YYYY-MM-DD."""
    value = spot.value
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    day = None
    if isinstance(value, str) and len(value) == len("YYYY-MM-DD"):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            pass
    # fromisoformat also takes weeks, such as 2027-W04-7.
    if day is None or day.isoformat() != value:
        raise spot.error(f"{spot.name} is no date: {_shown(value)}", 'such as "2027-01-31"')
    return day.isoformat()


def _members(spot: Spot, known: Sequence[str], what: str) -> dict[str, Spot]:
    if not isinstance(spot.value, dict):
        raise spot.error(f"{spot.name} must be a table with {', '.join(known)}, not {_shown(spot.value)}")
    for key in spot.value:
        if key not in known:
            raise spot.inner(None, key).error(
                f"unknown key {key[:80]!r} of {what}", nearest(key, known), at_key=True
            )
    return {key: spot.inner(value, key) for key, value in spot.value.items()}


def _items(spot: Spot, what: str) -> list[Spot]:
    if not isinstance(spot.value, (list, tuple)):
        raise spot.error(f"{spot.name} must be {what}, not {_shown(spot.value)}")
    return [spot.inner(value, index) for index, value in enumerate(spot.value)]


def _string(spot: Spot) -> str:
    if not isinstance(spot.value, str):
        raise spot.error(f"{spot.name} must be a string, not {_shown(spot.value)}")
    if "\0" in spot.value:
        raise spot.error(f"{spot.name} has a NUL character")
    return spot.value


def _split(spot: Spot) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(_string(spot)))
    except ValueError as failure:
        said = str(failure)
        raise spot.error(f"{spot.name} cannot be split into words: {said[:1].lower()}{said[1:]}") from None


def _shown(value: object) -> str:
    """A value for a message: its text if that is short, else what it is."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of many digits"
    if isinstance(value, str):
        return repr(value[:80])
    return str(value)[:80]
