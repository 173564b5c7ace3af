"""The file that an engine starts as its runtime: what it leads to in, the text of a shell script out, and back.

Engines know a runtime by one path, and start it several times for each container. The script starts Python only for
what may create one, and never stands in the way: without our package the real runtime is started as it is.
"""

from __future__ import annotations

import os
import shlex
import stat

from .errors import SecludeError
from .formats import jsontext
from .hookwords import python_words
from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DIRECTORY = "/usr/local/lib/seclude"
MODE = 0o755
_MARK = "# seclude-runtime "
_VERSION = 1
_LARGEST = 64 * 1024


@frozen
class Launcher:
    """What a launcher leads to: the engine it is for, the real runtime, and the places of recordings."""

    engine: str
    runtime: str
    bpffs: str
    state: str
    policy: str

    def text(self, package: str) -> str:
        """The script; `package` is the directory that holds the package `seclude`."""
        python, *words = python_words("runtime", {}, package)
        options = {
            "runtime": self.runtime,
            "engine": self.engine,
            "bpffs": self.bpffs,
            "state-dir": self.state,
            "policy": self.policy,
        }
        own = shlex.join([*words, *(f"--seclude-{name}={value}" for name, value in options.items())])
        python, module = shlex.quote(python), shlex.quote(os.path.join(package, "seclude", "runtime.py"))
        values = {"version": _VERSION, **{name: getattr(self, name) for name in _FIELDS}}
        return f"""#!/bin/sh
{_MARK}{jsontext.encode(values)}
# Written by `seclude runtime install`. Whatever creates a container passes through seclude, if it is still there.
for word; do
    case $word in
    create | run)
        if [ -x {python} ] && [ -r {module} ]; then
            exec {python} {own} "$@"
        fi
        break
        ;;
    esac
done
exec {shlex.quote(self.runtime)} "$@"
"""


_FIELDS = ("engine", "runtime", "bpffs", "state", "policy")


def is_launcher(text: str) -> bool:
    """Whether a text is a launcher of ours, of whatever version."""
    return text.startswith(f"#!/bin/sh\n{_MARK}")


def read_launcher(path: str) -> Launcher | None:
    """The launcher at `path`, None where there is none such; raises SecludeError for one that cannot be relied upon.

    It is read and not asked: who answers for the engine may name any program.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as file:
        text = file.read(_LARGEST).decode("utf-8", "replace")
    if not is_launcher(text):
        return None
    if status.st_uid != 0 or status.st_mode & 0o022:
        raise SecludeError(
            f"{path} can be changed by others than root", hint=f"chown root {path}; chmod 755 {path}"
        )
    again = "write it again: `seclude runtime install`"
    found: Any = jsontext.decode(text.splitlines()[1].removeprefix(_MARK), path)
    if not isinstance(found, dict) or found.get("version") != _VERSION:
        raise SecludeError(f"{path} was written by another version of seclude", hint=again)
    values = {name: found[name] for name in _FIELDS if isinstance(found.get(name), str)}
    if len(values) != len(_FIELDS):
        raise SecludeError(f"{path} is no complete launcher", hint=again)
    return Launcher(**values)
