"""Calls that a committed profile allows and the tests no longer make: how long they stay, counted from run to run."""

from __future__ import annotations

import os

from .errors import RecordingError
from .formats import jsontext
from .inputs import read_text
from .model.frozen import replace
from .outputs import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model.profile import Profile

FORMAT = "seclude-unused"
VERSION = 1
LARGEST = 1 << 20


class Keeping:
    """The counts in the file `path`; a call stays for `runs` runs in a row without it, for good if negative."""

    def __init__(self, path: str, runs: int) -> None:
        self._path = path
        self._runs = runs
        self._counts: dict[str, int] = {}

    def base(self, committed: Profile | None, made: Iterable[str]) -> tuple[Profile | None, tuple[str, ...]]:
        """The committed profile without the calls whose time is up, and those calls. Raises RecordingError."""
        if committed is None or self._runs < 0:
            return committed, ()
        before = self._read()
        permitted = {name for rule in committed.rules if rule.permits for name in rule.names}
        counts = {name: before.get(name, 0) + 1 for name in sorted(permitted.difference(made))}
        dropped = tuple(name for name, count in counts.items() if count > self._runs)
        self._counts = {name: count for name, count in counts.items() if name not in dropped}
        return without(committed, dropped), dropped

    def write(self) -> None:
        """Keep the counts for the next run, where they matter. Raises OutputError."""
        if self._runs >= 0:
            text = jsontext.encode({"format": FORMAT, "version": VERSION, "calls": self._counts})
            Output(self._path, "list of unused calls", _is_ours).write(text + "\n")

    def _read(self) -> dict[str, int]:
        if not os.path.exists(self._path):
            return {}
        value = jsontext.decode(
            read_text(self._path, limit=LARGEST, error=RecordingError), self._path, error=RecordingError
        )
        calls = value.get("calls") if isinstance(value, dict) and value.get("version") == VERSION else None
        if not isinstance(calls, dict) or not all(type(count) is int for count in calls.values()):
            raise RecordingError(
                f"{self._path} is no list of unused calls", hint="remove it: the counts begin anew"
            )
        return {str(name): int(count) for name, count in calls.items()}


def without(profile: Profile, names: Iterable[str]) -> Profile:
    """The profile without these names in rules that permit; rules that are left without a name go."""
    gone = frozenset(names)
    rules = []
    for rule in profile.rules:
        kept = tuple(name for name in rule.names if name not in gone) if rule.permits else rule.names
        if kept == rule.names:
            rules.append(rule)
        elif kept:
            rules.append(replace(rule, names=kept))
    return replace(profile, rules=tuple(rules))


def _is_ours(text: str) -> bool:
    return text.startswith(f'{{"format":"{FORMAT}"')
