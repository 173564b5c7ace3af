"""What an editor of an engine's configuration file can do: text in, text out; nothing is read or written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..launcher import Launcher


class EngineFile(Protocol):
    """One engine's file. `place` is where it lies; `source` names the file in errors.

    Each method raises SecludeError for a text that the engine itself would not understand.
    """

    engine: str
    place: str

    def value(self, text: str, source: str) -> Mapping[str, object]:
        """What the text says, without empty tables."""
        ...

    def paths(self, text: str, source: str) -> dict[str, str]:
        """Runtime's name -> its program, for the runtimes that name one."""
        ...

    def added(self, text: str, name: str, path: str, target: Launcher, source: str) -> str:
        """The text with a runtime of this name, whose program is the launcher at `path`; all else as it was."""
        ...

    def removed(self, text: str, name: str, source: str) -> str:
        """The text without that runtime."""
        ...

    def notes(self, text: str, name: str, source: str) -> tuple[str, ...]:
        """What the user must know or do for the changed text to take effect, a sentence each."""
        ...


def pruned(value: Mapping[str, object]) -> dict[str, object]:
    """The same without members that are empty tables."""
    inner = {name: pruned(item) if isinstance(item, Mapping) else item for name, item in value.items()}
    return {name: item for name, item in inner.items() if item != {}}


def member(value: object, *names: str) -> dict[str, object]:
    """The table at this path, empty where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return dict(value) if isinstance(value, Mapping) else {}
