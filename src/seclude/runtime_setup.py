"""An engine's configuration file in; the same file with a runtime that records, or without it again, out.

All that the file says otherwise is kept. What was there before the first installation is kept beside it, so that the
last removal restores it to the byte.
"""

from __future__ import annotations

import os
import shutil

from . import launcher
from .enginefiles import FILES
from .enginefiles.editor import EngineFile
from .errors import SecludeError
from .inputs import read_text
from .launcher import Launcher, is_launcher, read_launcher
from .model.frozen import frozen
from .outputs import Output

NAME = "seclude"
REAL = ("runc", "crun")
KEPT = ".before-seclude"
"""What is added to the name of an engine's file for the one that was there before."""

LARGEST = 4 * 1024 * 1024
_LONGEST_NAME = 64
_DEFAULT_MODE = 0o644
_MORE_PLACES = ":/usr/local/sbin:/usr/sbin:/sbin"


@frozen
class Changed:
    """What was done: the `files` that were written or removed, and what the user must know or do, a sentence each."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


def launcher_path(engine: str, name: str) -> str:
    """Where the launcher of an engine's runtime of this name lies unless another place is given."""
    return os.path.join(launcher.DIRECTORY, f"{engine}-{name}")


def real_runtime(wanted: str = "") -> str:
    """The absolute path of the runtime that makes the containers; raises SecludeError if there is none."""
    for name in (wanted,) if wanted else REAL:
        path = shutil.which(name, path=os.environ.get("PATH", "") + _MORE_PLACES)
        if path is None:
            continue
        with open(path, "rb") as file:
            if is_launcher(file.read(4096).decode("utf-8", "replace")):
                raise SecludeError(f"{path} is a launcher of seclude", hint="name the real runtime")
        return os.path.abspath(path)
    raise SecludeError(
        f"there is no runtime {wanted or ' or '.join(REAL)}", hint="install one, or give --runtime PATH"
    )


def install(target: Launcher, *, config: str, path: str, name: str, package: str) -> Changed:
    """Write the launcher at `path` and name it in the engine's file `config`; raises SecludeError.

    Where the file cannot be edited nothing is written. `package` is the directory that holds the package `seclude`.
    """
    _check_name(name)
    file = FILES[target.engine]
    config, path = os.path.realpath(config), os.path.realpath(path)
    before = _text(config)
    named = file.paths(before or "", config).get(name, "")
    if named and not _is_ours(named):
        raise SecludeError(
            f"{config} has a runtime {name} that is not seclude's: {named}", hint="choose another --name"
        )
    after = file.added(before or "", name, path, target, config)
    for directory in (os.path.dirname(path), os.path.dirname(config)):
        try:
            os.makedirs(directory, mode=0o755, exist_ok=True)
        except OSError as error:
            reason = os.strerror(error.errno or 0)
            raise SecludeError(f"{directory} cannot be made: {reason}", hint="run as root") from error
    output = Output(path, "launcher of seclude", is_launcher, mode=launcher.MODE)
    output.check()
    if before is not None and not _any_ours(file, before, config):
        _engine_file(config + KEPT, _mode(config)).write(before)
    output.write(target.text(package))
    # The same text again would be a change of the file's time for nothing.
    files = (path,) if after == before else (path, config)
    if after != before:
        _engine_file(config, _mode(config)).write(after)
    return Changed(files=files, notes=file.notes(after, name, config))


def uninstall(engine: str, *, config: str, name: str) -> Changed:
    """Take the runtime out of the engine's file and remove its launcher; raises SecludeError."""
    file = FILES[engine]
    config = os.path.realpath(config)
    before = _text(config)
    named = file.paths(before, config).get(name, "") if before is not None else ""
    if before is None or not named:
        return Changed(files=(), notes=(f"{config} has no runtime {name}",))
    if not _is_ours(named):
        raise SecludeError(f"the runtime {name} of {config} is not seclude's: {named}")
    after = file.removed(before, name, config)
    files = [config]
    if _any_ours(file, after, config):
        _engine_file(config, _mode(config)).write(after)
    else:
        files += _put_back(file, after, config)
    if os.path.lexists(named):
        Output(os.path.realpath(named), "launcher of seclude", is_launcher).remove()
        files.append(named)
    return Changed(files=tuple(files), notes=file.notes(_text(config) or "", name, config))


def _put_back(file: EngineFile, after: str, config: str) -> list[str]:
    """Write the file that was there before us, or remove it where there was none; what else is removed."""
    original = _text(config + KEPT)
    if original is None and not file.value(after, config):
        _engine_file(config, _DEFAULT_MODE).remove()
        return []
    # Somebody else may have changed the file since: then only what is ours is taken out.
    same = original is not None and file.value(original, config + KEPT) == file.value(after, config)
    _engine_file(config, _mode(config)).write(original if same and original is not None else after)
    if original is None:
        return []
    _engine_file(config + KEPT, _DEFAULT_MODE).remove()
    return [config + KEPT]


def _is_ours(path: str) -> bool:
    """Whether a runtime's program is a launcher; one that is gone can have been nothing else of worth."""
    return read_launcher(path) is not None or not os.path.lexists(path)


def _any_ours(file: EngineFile, text: str, config: str) -> bool:
    return any(read_launcher(path) is not None for path in file.paths(text, config).values())


def _check_name(name: str) -> None:
    plain = name.replace("-", "").replace("_", "")
    if not (plain.isascii() and plain.isalnum()) or len(name) > _LONGEST_NAME or name in REAL:
        raise SecludeError(
            f"{name[:80]!r} cannot be the name of a runtime of ours",
            hint=f"take letters, digits, '-' and '_', at most {_LONGEST_NAME}, and not the name of a real runtime",
        )


def _text(path: str) -> str | None:
    """The text of a file, None where there is none; raises SecludeError."""
    if not os.path.lexists(path):
        return None
    return read_text(path, limit=LARGEST, error=SecludeError)


def _mode(path: str) -> int:
    """The file's mode: it may hold the password of a registry, and stays as closed as it is."""
    try:
        return os.stat(path).st_mode & 0o777
    except OSError:
        return _DEFAULT_MODE


def _engine_file(path: str, mode: int) -> Output:
    """The engine's file, which was read and understood before it is replaced."""
    return Output(path, "configuration of an engine", lambda _: True, mode=mode)
