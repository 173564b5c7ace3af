"""Hooks directories: which of them podman reads, which file masks which, and who reacts to our annotation.

oci-hooks(5): where two directories have a file of one name, that of the later directory counts.
"""

from __future__ import annotations

import os

from ..engines.podman import HOOKS_DIRECTORIES, HOOKS_FILE
from ..errors import SecludeError
from ..formats import jsontext
from ..inputs import read_text
from ..model.frozen import frozen
from . import look
from .check import Check, degraded, ok

LARGEST = 1024 * 1024
_DEFAULT = HOOKS_DIRECTORIES[:1]
"""What podman is built with (containers/common, DefaultHooksDirs), whatever podman(1) says: /etc's is not read."""

_PACKAGE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_PEER = "oci-seccomp-bpf-hook"


@frozen
class Directories:
    """The directories that podman reads, the last with the last word, and whether it says so itself."""

    read: tuple[str, ...]
    asked: bool


@frozen
class Hook:
    """One hooks file: `problem` is why podman cannot read it; else the program, its words and the annotations."""

    path: str
    problem: str = ""
    program: str = ""
    words: tuple[str, ...] = ()
    annotations: tuple[str, ...] = ()

    @property
    def is_peer(self) -> bool:
        """Whether it reacts to the annotation that ours reacts to; its patterns are not run, they are not ours."""
        return os.path.basename(self.program) == _PEER or any(
            "trace-syscall" in text for text in self.annotations
        )


def directories(search: tuple[str, ...], timeout: float) -> Directories:
    """What podman names as the default of --hooks-dir: `hooks_dir` of all the containers.conf that it reads."""
    found = look.programs("podman", search)
    text = look.ask((found[0], "--help"), timeout).text if found else ""
    line = next((line for line in text.splitlines() if line.split()[:1] == ["--hooks-dir"]), "")
    if not line:
        return Directories(read=_DEFAULT, asked=False)
    listed = line.partition("(default [")[2].partition("])")[0]
    return Directories(read=tuple(path for path in listed.split(",") if path), asked=True)


def checks(root: str, podman: Directories) -> tuple[Check, ...]:
    """Our hooks file, and the files around it."""
    known = tuple(dict.fromkeys((*podman.read, *HOOKS_DIRECTORIES)))
    found = {directory: _files(root, directory) for directory in known}
    # name -> the hooks of that name in the directories that are read, the one that counts last
    read: dict[str, list[Hook]] = {}
    for directory in podman.read:
        for name, hook in found[directory].items():
            read.setdefault(name, []).append(hook)
    ours = [hook for hooks in found.values() for name, hook in hooks.items() if name == HOOKS_FILE]
    return _ours(root, podman, ours, read.get(HOOKS_FILE, [])), _around(read, found, podman)


def _files(root: str, directory: str) -> dict[str, Hook]:
    try:
        names = sorted(os.listdir(root + directory))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        return {"": Hook(path=directory, problem=error.strerror or "it cannot be read")}
    return {name: _read(root, os.path.join(directory, name)) for name in names if name.endswith(".json")}


def _read(root: str, path: str) -> Hook:
    try:
        value = jsontext.decode(read_text(root + path, limit=LARGEST, error=SecludeError), path)
    except SecludeError as error:
        return Hook(path=path, problem=error.message.splitlines()[0])
    entry = value if isinstance(value, dict) else {}
    hook, when = entry.get("hook"), entry.get("when")
    program: object
    words: object
    annotations: object
    if isinstance(hook, str):  # version 0.1.0
        program, words, annotations = hook, entry.get("arguments"), entry.get("annotations")
    elif isinstance(hook, dict):
        program, words = hook.get("path"), hook.get("args")
        annotations = when.get("annotations") if isinstance(when, dict) else {}
    else:
        return Hook(path=path, problem="it names no hook")
    return Hook(
        path=path,
        program=str(program),
        words=tuple(map(str, words)) if isinstance(words, list) else (),
        annotations=tuple(map(str, annotations)) if isinstance(annotations, dict | list) else (),
    )


def _ours(root: str, podman: Directories, ours: list[Hook], read: list[Hook]) -> Check:
    name = "hook"
    says = "" if podman.asked else ", as far as can be told without it"
    place = f"podman reads {', '.join(podman.read) or 'no hooks directory that it names'}{says}"
    if not ours:
        return ok(name, f"not installed (`seclude hook install` records every annotated container); {place}")
    if not read:
        target = podman.read[-1] if podman.read else ""
        next_step = (
            f"`seclude hook install --hooks-dir {target}`, or name both directories in `hooks_dir` of containers.conf"
            if target
            else "name its directory in `hooks_dir` of containers.conf"
        )
        return degraded(name, f"{', '.join(hook.path for hook in ours)}: not read, {place}", next_step)
    counts = read[-1]
    if len(read) > 1:
        masked = [hook.path for hook in read[:-1]]
        next_step = f"`seclude hook uninstall --hooks-dir {os.path.dirname(masked[0])}`"
        return degraded(name, f"{counts.path} masks {', '.join(masked)}", next_step)
    again = f"`seclude hook install --hooks-dir {os.path.dirname(counts.path)}`"
    if counts.problem:
        return degraded(name, f"{counts.path}: {counts.problem}", again)
    if not os.access(root + counts.program, os.X_OK):
        return degraded(name, f"{counts.path} starts {counts.program}, which cannot be run", again)
    if not any(repr(_PACKAGE) in word for word in counts.words):
        return degraded(name, f"{counts.path} starts another installation of seclude", again)
    unread = [hook.path for hook in ours if hook is not counts]
    return ok(name, counts.path + (f"; {', '.join(unread)} is not read" if unread else ""))


def _around(read: dict[str, list[Hook]], found: dict[str, dict[str, Hook]], podman: Directories) -> Check:
    name = "other hooks"
    in_force = [hooks[-1] for file, hooks in read.items() if file != HOOKS_FILE]
    masks = [
        f"{hooks[-1].path} masks {', '.join(hook.path for hook in hooks[:-1])}"
        for file, hooks in read.items()
        if file not in ("", HOOKS_FILE) and len(hooks) > 1
    ]
    # Podman fails at the first file that it cannot read, masked or not (containers/common, pkg/hooks, ReadDir).
    broken = [hook for file, hooks in read.items() for hook in hooks if hook.problem and file != HOOKS_FILE]
    if broken:
        said = "; ".join(f"{hook.path}: {hook.problem}" for hook in broken[:4])
        return degraded(name, said, "repair or remove it: podman may start no container until then")
    peers = [hook.path for hook in in_force if hook.is_peer]
    if peers:
        next_step = "remove one of them: both record containers that carry io.containers.trace-syscall"
        return degraded(
            name, f"{', '.join(peers)} reacts to the annotation that seclude's hook reacts to", next_step
        )
    count = f"{len(in_force)} in what podman reads" if in_force else "none"
    unread = sum(
        name not in ("", HOOKS_FILE)
        for directory, hooks in found.items()
        if directory not in podman.read
        for name in hooks
    )
    idle = f"; {unread} in a directory that it does not read" if unread else ""
    return ok(name, "; ".join((count, *masks)) + idle)
