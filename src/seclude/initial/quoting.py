"""Any text in, a scalar of YAML or TOML out that means this text and nothing else."""

from __future__ import annotations

from ..errors import SecludeError

_SHORT = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def yaml(text: str) -> str:
    """A double-quoted scalar of YAML 1.2 (section 5.7); raises SecludeError for what is no Unicode text."""
    return f'"{"".join(_escaped(character) for character in _sound(text))}"'


def toml(text: str) -> str:
    """A basic string of TOML 1.0; raises SecludeError for what is no Unicode text."""
    # TOML 1.0 has no \x, which is the only escape of ours that it lacks.
    quoted = (_escaped(character, small="u00") for character in _sound(text))
    return f'"{"".join(quoted)}"'


def toml_list(texts: tuple[str, ...]) -> str:
    """A list of basic strings."""
    return f"[{', '.join(toml(text) for text in texts)}]"


def _sound(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # A lone surrogate: how Python shows a byte of a file's name that is no UTF-8.
        raise SecludeError(f"{text[:80]!a} is no Unicode text", hint="rename the file or directory") from None
    return text


def _escaped(character: str, *, small: str = "x") -> str:
    if character in _SHORT:
        return _SHORT[character]
    if character.isprintable() and character != "\ufeff":
        return character
    number = ord(character)
    if number <= 0xFF:
        return f"\\{small}{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"
