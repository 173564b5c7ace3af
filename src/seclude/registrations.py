"""Which containers are being recorded on this machine: one small file each, and the lock around the shared recorder.

A registration is what the hook's second start (poststop) needs to know of its first (createRuntime).
"""

from __future__ import annotations

import fcntl
import os
import time

from .bundle import Container
from .errors import TraceError
from .formats import jsontext
from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

STATE = "/run/seclude"
VERSION = 1
LONGEST_ID = 128
LAST_ERROR = "last-error"
LONGEST_ERROR = 4096
SESSION = "session-"
"""How the names begin of the directories that each `seclude record` has for itself in the state directory."""


def is_of_session(path: str, state: str) -> bool:
    """Whether a file, by its absolute path, is in the directory of a `seclude record`."""
    return path.startswith(os.path.join(os.path.realpath(state), SESSION))


@frozen
class Request:
    """What is wanted of a container's recording: absolute paths, empty where not wanted."""

    profile: str = ""
    base: str = ""
    recording: str = ""
    counts: bool = False
    denials: bool = False
    arguments: bool = False
    stacks: bool = False


@frozen
class Registration:
    """One container under recording.

    `number` is the recorder's; `started` the init process's start in clock ticks since boot (proc(5), stat field
    22), which tells a reused pid apart.
    """

    number: int
    pid: int
    started: int
    request: Request
    known: Container

    def alive(self) -> bool:
        """Whether the container's first process is still there."""
        return start_of(self.pid) == self.started


def _is_id(container: str) -> bool:
    """Whether a runtime can have given a container this id (runc, libcontainer/factory_linux.go, idRegex)."""
    return 0 < len(container) <= LONGEST_ID and all(
        character.isascii() and (character.isalnum() or character in "_.+-") for character in container
    )


def start_of(pid: int) -> int:
    """The start of a process in clock ticks since boot, 0 if there is none such."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name may hold spaces and brackets; the fields go on after its last bracket.
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


class Registrations:
    """The registrations in one directory, private to root. Use as a context manager to hold the machine's lock."""

    def __init__(self, directory: str = STATE) -> None:
        self.directory = directory
        self._lock = -1

    def __enter__(self) -> Registrations:
        self._prepare()
        path = os.path.join(self.directory, "lock")
        try:
            self._lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise TraceError(f"{path} cannot be opened: {os.strerror(error.errno or 0)}") from error
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._lock)
        self._lock = -1

    def _prepare(self) -> None:
        try:
            os.mkdir(self.directory, 0o700)
        except FileExistsError:
            pass
        except OSError as error:
            raise TraceError(
                f"{self.directory} cannot be made: {os.strerror(error.errno or 0)}", hint="run as root"
            ) from error
        status = os.lstat(self.directory)
        if status.st_uid != os.geteuid() or status.st_mode & 0o022 or os.path.islink(self.directory):
            raise TraceError(
                f"{self.directory} must be a directory of ours that nobody else can write to",
                hint=f"remove it, or chown root {self.directory}; chmod 700 {self.directory}",
            )

    def _path(self, container: str) -> str:
        if not _is_id(container):
            raise TraceError(f"{container[:LONGEST_ID]!r} is no container id")
        return os.path.join(self.directory, f"{container}.json")

    def add(self, registration: Registration) -> None:
        path = self._path(registration.known.container)
        beside = f"{path}.new"
        try:
            with open(beside, "w", encoding="utf-8") as file:
                file.write(jsontext.encode({"version": VERSION, **_plain(registration)}))
            os.rename(beside, path)
        except OSError as error:
            if os.path.exists(beside):
                os.unlink(beside)
            raise TraceError(f"{path} cannot be written: {os.strerror(error.errno or 0)}") from error

    def get(self, container: str) -> Registration | None:
        """The registration of a container, None if there is none; raises TraceError if it cannot be understood."""
        path = self._path(container)
        try:
            with open(path, encoding="utf-8") as file:
                values = jsontext.decode(file.read(), path, error=TraceError)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise TraceError(f"{path} cannot be read: {error}") from error
        hint = "remove it with `seclude hook gc --all`"
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise TraceError(f"{path} was written by another version", hint=hint)
        try:
            known: dict[str, Any] = {
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.pop("known").items()
            }
            return Registration(
                known=Container(**known), request=Request(**values.pop("request")), **_numbers(values)
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise TraceError(f"{path} is no registration: {error}", hint=hint) from error

    def remove(self, container: str) -> None:
        try:
            os.unlink(self._path(container))
        except FileNotFoundError:
            pass

    def note_error(self, message: str) -> None:
        """Keep the hook's last error, for runtimes that throw away what hooks say; where it cannot be kept, nothing."""
        try:
            self._prepare()
            path = os.path.join(self.directory, LAST_ERROR)
            descriptor = os.open(
                path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
            )
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {message[:LONGEST_ERROR]}")
        except (OSError, TraceError):
            return

    def last_error(self) -> str:
        """When the hook last refused or failed (UTC), and what it said; empty if it has not since the start."""
        try:
            with open(os.path.join(self.directory, LAST_ERROR), encoding="utf-8", errors="replace") as file:
                return file.read(LONGEST_ERROR + 32)
        except OSError:
            return ""

    def containers(self) -> tuple[str, ...]:
        """The ids of all registered containers, sorted."""
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise TraceError(
                f"{self.directory} cannot be read: {os.strerror(error.errno or 0)}", hint="run as root"
            ) from error
        return tuple(sorted(container for container in map(_container_of, names) if container))

    def __iter__(self) -> Iterator[Registration]:
        for container in self.containers():
            registration = self.get(container)
            if registration is not None:
                yield registration


def _container_of(name: str) -> str:
    """The container whose registration has this file name, empty for other files."""
    container = name.removesuffix(".json")
    return container if name != container and _is_id(container) else ""


def _numbers(values: dict[str, Any]) -> dict[str, int]:
    for name, value in values.items():
        if type(value) is not int:
            raise TypeError(f"{name} is no number")
    return values


def _plain(item: object) -> dict[str, object]:
    values: dict[str, object] = {}
    for name in type(item).__fields__:  # type: ignore[attr-defined]
        value = getattr(item, name)
        nested = hasattr(type(value), "__fields__")
        values[name] = _plain(value) if nested else list(value) if isinstance(value, tuple) else value
    return values
