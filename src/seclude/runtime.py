"""An OCI runtime's command line in; the real runtime in our place out, on `create` with our hooks in its bundle.

Engines start this instead of runc or crun. All but the creation of a container that asks to be recorded goes to the
real runtime as it is: same process, same files, same environment. Nothing heavy is imported.
"""

from __future__ import annotations

import os
import sys

from .errors import EXIT_ERROR, SecludeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

OPTIONS = ("runtime", "engine", "bpffs", "state-dir", "policy")
"""Our own options, --seclude-NAME=VALUE, which stand before all others: the launcher gives them."""

RUNTIMES = ("runc", "crun")
LARGEST_CONFIG = 64 * 1024 * 1024
PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_PREFIX = "--seclude-"
_SIGPIPE, _SIGXFSZ = 13, 25

# Options whose value can be the next word: of runc and crun before the command, and of create and run.
_GLOBAL_VALUES = ("log", "log-format", "root", "criu", "rootless", "cgroup-manager")
_VALUES = ("bundle", "b", "config", "f", "console-socket", "pid-file", "preserve-fds")


def leave() -> NoReturn:
    """What the launcher calls: becomes the real runtime, or ends with 1 and the reason."""
    status = main()
    sys.stderr.flush()
    os._exit(status)


def main() -> int:
    """Become the real runtime; where that cannot be, 1, with the bundle as it was."""
    try:
        own, words = own_options(sys.argv[1:])
        runtime = own.get("runtime") or _found()
    except SecludeError as error:
        print(f"seclude: {error}", file=sys.stderr)
        return EXIT_ERROR
    restore: Callable[[], None] | None = None
    try:
        restore = prepare(words, own)
    except SecludeError as error:
        _refuse(error, words, own)
        return EXIT_ERROR
    except Exception as error:
        # Whatever is wrong with us, containers are started; `seclude hook status` tells why none was recorded.
        _note(f"not recorded: {type(error).__name__}: {error}", own)
    try:
        _become(runtime, words)
    except OSError as error:
        reason = f"the runtime {runtime} cannot be started: {os.strerror(error.errno or 0)}"
        try:
            if restore is not None:
                restore()
        except SecludeError as failure:
            reason = f"{reason}; {failure}"
        hint = "`seclude runtime install --runtime PATH` names another"
        _refuse(SecludeError(reason, hint=hint), words, own)
    return EXIT_ERROR


def own_options(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """(our own options, the runtime's command line); raises SecludeError."""
    own: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith(_PREFIX):
        name, equals, value = rest.pop(0).removeprefix(_PREFIX).partition("=")
        if name not in OPTIONS or not equals:
            raise SecludeError(
                f"unknown or incomplete option {_PREFIX}{name}",
                hint="the launcher is written by `seclude runtime install`",
            )
        own[name] = value
    return own, rest


def _found() -> str:
    """The first real runtime on the PATH; raises SecludeError."""
    for name in RUNTIMES:
        for directory in os.environ.get("PATH", os.defpath).split(":"):
            path = os.path.join(directory, name)
            if os.path.isabs(path) and os.access(path, os.X_OK):
                return path
    raise SecludeError(f"there is neither {' nor '.join(RUNTIMES)} on the PATH", hint="install one of them")


def _become(runtime: str, words: Sequence[str]) -> None:
    """Execute the real runtime with what was handed to us; raises OSError."""
    # `signal` itself imports enum, which takes longer than all the rest.
    import _signal  # type: ignore[import-not-found]

    # Python ignores these, and what is ignored stays so through exec.
    for number in (_SIGPIPE, _SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    os.execve(runtime, [runtime, *words], _environment())  # noqa: S606 - there is nothing for a shell to do


def _environment() -> dict[bytes, bytes]:
    """The environment that we were started with: Python puts LC_CTYPE into it where it finds the C locale (PEP 538)."""
    try:
        with open("/proc/self/environ", "rb") as file:
            items = [item.partition(b"=") for item in file.read().split(b"\0") if b"=" in item]
    except OSError:
        return dict(os.environb)
    return {name: value for name, _, value in items}


def configuration_of(words: Sequence[str]) -> str:
    """The path of the config.json that a runtime's command line creates a container from; empty for all others."""
    rest = list(words)
    if _skip(rest, _GLOBAL_VALUES, {}) not in ("create", "run"):
        return ""
    found: dict[str, str] = {}
    while rest:
        _skip(rest, _VALUES, found)
    bundle = found.get("bundle") or found.get("b") or "."
    return os.path.join(bundle, found.get("config") or found.get("f") or "config.json")


def _skip(rest: list[str], with_value: Sequence[str], found: dict[str, str]) -> str:
    """Take options off the front, and the word after them, which is returned; values go into `found`."""
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or word == "-":
            return word
        if word == "--":
            return rest.pop(0) if rest else ""
        # Go's programs take one dash or two (urfave/cli).
        name, equals, value = word.lstrip("-").partition("=")
        if name in with_value:
            found[name] = value if equals or not rest else rest.pop(0)
    return ""


def prepare(words: Sequence[str], own: dict[str, str]) -> Callable[[], None] | None:
    """Put our hooks into the bundle that is about to be created, if it asks for it; what takes them out again.

    Raises SecludeError, and then the bundle is as it was. What the real runtime refuses all by itself is left to it.
    """
    path = configuration_of(words)
    raw = _read(path) if path else b""
    if not raw:
        return None
    from .bundlehooks import MARKS

    if not any(mark in raw for mark in MARKS):
        return None
    from .bundlehooks import with_hooks
    from .formats import jsontext
    from .registrations import STATE

    try:
        config = jsontext.decode(raw.decode("utf-8"), path, quote=False)
    except UnicodeDecodeError as error:
        raise SecludeError(f"{path} is not UTF-8 text: byte {error.start}") from error
    options = {"bpffs": "--bpffs", "state-dir": "--state-dir", "policy": "--policy"}
    changed = with_hooks(
        config,
        engine=own.get("engine", ""),
        places={option: own[name] for name, option in options.items() if name in own},
        state=own.get("state-dir", STATE),
        package=PACKAGE,
    )
    if changed is None:
        return None
    _replace(path, jsontext.encode(changed).encode())
    return lambda: _replace(path, raw)


def _read(path: str) -> bytes:
    """The bytes of a configuration, none where the real runtime will find it missing; raises SecludeError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(LARGEST_CONFIG + 1)
    except OSError:
        return b""
    if len(raw) > LARGEST_CONFIG:
        raise SecludeError(f"{path} is larger than {LARGEST_CONFIG} bytes")
    return raw


def _replace(path: str, raw: bytes) -> None:
    """Put other bytes in a file's place at once, with its owner and mode; raises SecludeError, and it is as it was.

    No fsync: a bundle does not outlive the machine's next start.
    """
    beside = os.path.join(os.path.dirname(path) or ".", f".config.json.seclude-{os.urandom(8).hex()}")
    try:
        status = os.stat(path)
        descriptor = os.open(
            beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(raw)
                file.flush()
                os.fchown(descriptor, status.st_uid, status.st_gid)
                os.fchmod(descriptor, status.st_mode & 0o7777)
            os.rename(beside, path)
        except OSError:
            os.unlink(beside)
            raise
    except OSError as error:
        raise SecludeError(f"{path} cannot be changed: {os.strerror(error.errno or 0)}") from error


def _refuse(error: SecludeError, words: Sequence[str], own: dict[str, str]) -> None:
    """Say why no container is created: on standard error, and in the log from which engines take a runtime's words."""
    print(f"seclude: {error}", file=sys.stderr)
    _note(str(error), own)
    found: dict[str, str] = {}
    _skip(list(words), _GLOBAL_VALUES, found)
    if "log" not in found:
        return
    line = f"seclude: {error}"
    if found.get("log-format") == "json":
        from .formats import jsontext

        line = jsontext.encode({"msg": line, "level": "error"})
    try:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        log = os.open(found["log"], flags, 0o600)
        try:
            os.write(log, f"{line}\n".encode("utf-8", "backslashreplace"))
        finally:
            os.close(log)
    except OSError:
        pass  # it stands on standard error as well


def _note(message: str, own: dict[str, str]) -> None:
    from .registrations import STATE, Registrations

    Registrations(own.get("state-dir", STATE)).note_error(message)


if __name__ == "__main__":
    leave()
