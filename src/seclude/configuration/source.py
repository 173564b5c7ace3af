"""Where a value of the configuration was given, a file, a variable or an option, so that an error can show it."""

from __future__ import annotations

from ..errors import SecludeError
from ..formats import tomltext
from ..formats.jsontext import located
from ..model.configuration import ConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    Path = tuple[str | int, ...]


class Source:
    """One place that values come from. `typed`: they have types there; elsewhere all are words in a text."""

    typed = False

    def __init__(self, name: str) -> None:
        self.name = name

    def error(self, path: Path, what: str, hint: str = "", *, at_key: bool = False) -> SecludeError:
        """`what` is wrong with the value at `path`, or with its key; a ConfigurationError to be raised."""
        return ConfigurationError(f"{self.name}: {what}", hint=hint)


class FileSource(Source):
    """A TOML file; `prefix` is the table that the configuration is in: () or ("tool", "seclude")."""

    typed = True

    def __init__(self, name: str, text: str, prefix: tuple[str, ...] = ()) -> None:
        super().__init__(name)
        self.text = text
        self.prefix = prefix

    def error(self, path: Path, what: str, hint: str = "", *, at_key: bool = False) -> SecludeError:
        """With line, column and the line itself or, where those cannot be found, the path of the key."""
        full = (*self.prefix, *path)
        offset = tomltext.offset_of(self.text, full, value=not at_key) if full else 0
        if offset is None:
            return ConfigurationError(f"{self.name}: {dotted(full)}: {what}", hint=hint)
        return ConfigurationError(located(self.text, offset, self.name, what), hint=hint)


class Spot:
    """A value with its source and its path there."""

    def __init__(self, value: object, source: Source, path: Path) -> None:
        self.value = value
        self.source = source
        self.path = path

    @property
    def name(self) -> str:
        """As messages call it: gate.acknowledged[0].call."""
        return dotted(self.path)

    def inner(self, value: object, step: str | int) -> Spot:
        """A member or an element of this value."""
        return Spot(value, self.source, (*self.path, step))

    def error(self, what: str, hint: str = "", *, at_key: bool = False) -> SecludeError:
        """`what` is wrong with it."""
        return self.source.error(self.path, what, hint, at_key=at_key)


def dotted(path: Path) -> str:
    """("gate", "acknowledged", 0, "call") as gate.acknowledged[0].call."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            shown = step if step and all(c.isalnum() or c in "-_" for c in step[:80]) else repr(step[:80])
            text += f".{shown}" if text else shown
    return text
