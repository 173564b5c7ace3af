"""Recordings and denials as text: a Recording to versioned JSON, Denials to lines of it, and back, strictly."""

from __future__ import annotations

import gc
import os

from . import calltext
from .errors import RecordingError, SecludeError
from .formats import jsontext
from .inputs import opened, read_text
from .model.denial import Denial, Frame
from .model.frozen import replace
from .model.origin import Origin
from .model.recording import (
    FORMAT,
    VERSION,
    ArgumentValues,
    Call,
    Dropped,
    FirstSeen,
    Losses,
    Recording,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

DENIAL_FORMAT = "seclude-denial"
DENIAL_VERSION = 1

LARGEST = 512 * 1024 * 1024
"""Bytes of a recording that we read: two million calls of tests. The recorder's limits keep one well below."""


def dumps(recording: Recording) -> str:
    """The recording as one line of JSON with a newline; every control character in it is escaped."""
    members = {"format": FORMAT, "version": VERSION, **_members(replace(recording, calls=()))}
    return "".join(calltext.put_in(jsontext.encode(members) + "\n", recording.calls))


def loads(text: str, source: str) -> Recording:
    """The recording in `text`; raises RecordingError naming `source` and the member that is wrong."""
    chunks = (text[start : start + calltext.CHUNK] for start in range(0, len(text), calltext.CHUNK))
    recording: Recording | None = _quickly(chunks, source) if len(text) <= LARGEST else None
    return recording or _loads(Recording, text, source, FORMAT, VERSION)


def dumps_denial(denial: Denial) -> str:
    """The denial as one line of JSON with a newline; every control character in it is escaped."""
    return jsontext.encode({"format": DENIAL_FORMAT, "version": DENIAL_VERSION, **_members(denial)}) + "\n"


def loads_denials(text: str, source: str) -> tuple[Denial, ...]:
    """The denials in lines of JSON, empty lines passed over; raises RecordingError naming `source` and the line."""
    return tuple(
        _loads(Denial, line, f"{source}, line {number}", DENIAL_FORMAT, DENIAL_VERSION)
        for number, line in enumerate(text.split("\n"), 1)
        if line.strip()
    )


def _uncollected(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same, in which nothing is garbage before all is there: to look for some takes a fifth of the time."""

    def done(*arguments: Any) -> Any:
        collecting = gc.isenabled()
        gc.disable()
        try:
            return work(*arguments)
        finally:
            if collecting:
                gc.enable()

    return done


@_uncollected
def _quickly(chunks: Iterator[str], source: str) -> Recording | None:
    """The recording, if it is as we write it; what else it may be is for `_loads` to say, which sees all of it."""
    try:
        text, calls = calltext.taken_out(chunks)
        recording = _loads(Recording, text, source, FORMAT, VERSION)
    except (ValueError, RecordingError):
        return None
    return replace(recording, calls=calls)  # type: ignore[no-any-return]


@_uncollected
def _loads(cls: Any, text: str, source: str, kind: str, version: int) -> Any:
    value = jsontext.decode(text, source, error=RecordingError, largest=LARGEST, build=calltext.Facts())
    what = cls.__name__.lower()
    if not isinstance(value, dict) or value.get("format") != kind:
        raise RecordingError(f"{source} is no {what}", hint=f'a {what} has "format": "{kind}"')
    if value.get("version") != version or isinstance(value["version"], bool):
        raise RecordingError(
            f"{source} has version {value.get('version')!r}; this seclude reads version {version}",
            hint="record again, or use the seclude that wrote it",
        )
    body = {name: member for name, member in value.items() if name not in ("format", "version")}
    return _read(cls, body, source, "")


def looks_like_recording(text: str) -> bool:
    """Whether the text is a recording, judged by how it begins: what we may replace."""
    return text.startswith(f'{{"format":"{FORMAT}"')


def read(path: str) -> Recording:
    """The recording in a file; raises RecordingError."""
    with opened(path, error=RecordingError) as file:
        chunks = (file.read(calltext.CHUNK).decode("ascii") for _ in range(0, LARGEST, calltext.CHUNK))
        recording: Recording | None = (
            _quickly(chunks, path) if os.fstat(file.fileno()).st_size <= LARGEST else None
        )
    # What is wrong is for who sees the whole text to say.
    return recording or loads(read_text(path, limit=LARGEST, error=RecordingError), path)


def _value(item: object) -> object:
    """Anything in a recording as plain JSON values."""
    if isinstance(item, tuple):
        return [_value(member) for member in item]
    return _members(item) if hasattr(type(item), "__fields__") else item


def _members(item: Any) -> dict[str, object]:
    """A frozen object's fields by name; those at their default are left out."""
    defaults = type(item).__defaults__
    return {
        name: _value(getattr(item, name))
        for name in type(item).__fields__
        if name not in defaults or getattr(item, name) != defaults[name]
    }


def _read(cls: Any, value: object, source: str, path: str) -> Any:
    if type(value) is cls:
        return value
    if hasattr(type(value), "__fields__"):
        # A call where none belongs.
        value = _members(value)
    if not isinstance(value, dict):
        raise RecordingError(f"{source}: {path.rstrip('.') or 'the file'} must be an object")
    readers = _READERS[cls.__name__]
    for name in value:
        if name not in readers:
            raise RecordingError(f"{source}: unknown field {path}{name[:80]!r}")
    for name in cls.__fields__:
        if name not in value and name not in cls.__defaults__:
            raise RecordingError(f"{source}: {path}{name} is missing")
    fields = {name: readers[name](member, source, f"{path}{name}") for name, member in value.items()}
    try:
        return cls(**fields)
    except SecludeError as error:
        raise RecordingError(
            f"{source}: {path}: {error.message}".replace(".: ", ": "), hint=error.hint
        ) from None


def _plain(kind: type | tuple[type, ...], label: str) -> Callable[[object, str, str], Any]:
    def reader(value: object, source: str, path: str) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise RecordingError(f"{source}: {path} must be {label}")
        return value

    return reader


def _list(member: Callable[[object, str, str], Any]) -> Callable[[object, str, str], Any]:
    def reader(value: object, source: str, path: str) -> Any:
        if not isinstance(value, list):
            raise RecordingError(f"{source}: {path} must be a list")
        return tuple(member(item, source, f"{path}[{index}]") for index, item in enumerate(value))

    return reader


def _object(cls: type) -> Callable[[object, str, str], Any]:
    return lambda value, source, path: _read(cls, value, source, f"{path}.")


def _first(value: object, source: str, path: str) -> Any:
    if type(value) in (FirstSeen, Dropped):
        return value
    dropped = isinstance(value, dict) and "tid" not in value
    return _read(Dropped if dropped else FirstSeen, value, source, f"{path}.")


_text = _plain(str, "a string")
_whole = _plain(int, "a whole number")
_number = _plain((int, float), "a number")
_truth = _plain(bool, "true or false")

_READERS: dict[str, dict[str, Callable[[object, str, str], Any]]] = {
    "Recording": {
        "created": _text,
        "duration": _number,
        "seclude": _text,
        "tracer": _text,
        "kernel": _text,
        "machine": _text,
        "engine": _text,
        "calls": _list(_object(Call)),
        "runtime": _text,
        "runtime_version": _text,
        "image": _text,
        "container": _text,
        "command": _list(_text),
        "confined": _truth,
        "no_new_privileges": _truth,
        "counted": _truth,
        "capabilities": _list(_text),
        "arguments": _list(_object(ArgumentValues)),
        "losses": _object(Losses),
        "denials": _list(_object(Denial)),
        "attached": _truth,
        "unseen": _list(_text),
        "origins": _list(_object(Origin)),
    },
    "Call": {
        "abi": _text,
        "phase": _text,
        "context": _text,
        "number": _whole,
        "name": _text,
        "first": _first,
        "count": _whole,
    },
    "FirstSeen": {
        "time": _number,
        "pid": _whole,
        "tid": _whole,
        "comm": _text,
        "executable": _text,
        "arguments": _list(_whole),
        "result": _whole,
    },
    "Dropped": {"reason": _text},
    "Denial": {
        "action": _text,
        "data": _whole,
        "abi": _text,
        "number": _whole,
        "name": _text,
        "arguments": _list(_whole),
        "pid": _whole,
        "tid": _whole,
        "comm": _text,
        "executable": _text,
        "count": _whole,
        "first": _number,
        "last": _number,
        "context": _text,
        "container": _text,
        "python": _list(_object(Frame)),
        "native": _list(_object(Frame)),
    },
    "Origin": {
        "abi": _text,
        "name": _text,
        "context": _text,
        "pid": _whole,
        "tid": _whole,
        "python": _list(_object(Frame)),
        "native": _list(_object(Frame)),
    },
    "Frame": {"module": _text, "function": _text, "line": _whole, "offset": _whole},
    "ArgumentValues": {
        "abi": _text,
        "name": _text,
        "indices": _list(_whole),
        "values": _list(_list(_whole)),
        "complete": _truth,
    },
    "Losses": {
        "calls": _whole,
        "facts": _whole,
        "contexts": _whole,
        "executables": _whole,
        "markers": _whole,
        "denials": _whole,
    },
}
