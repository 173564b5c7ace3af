"""Bounded looks at a machine: the beginning of a file, the programs of a name, what a program prints in time."""

from __future__ import annotations

import os
import select
import signal
import time

from ..errors import SecludeError
from ..inputs import read_text
from ..model.frozen import frozen

LARGEST = 1024 * 1024
LONGEST_ANSWER = 64 * 1024


@frozen
class Answer:
    """What a program printed, and the status it ended with: negative if it could not be run or took too long."""

    status: int
    text: str

    @property
    def last_line(self) -> str:
        """The last that has anything in it: warnings come first, why a program gave up comes last."""
        lines = self.text.strip().splitlines()
        return lines[-1][:200] if lines else "nothing"


def contents(root: str, path: str) -> str:
    """The text of a small file below `root`, empty where it is not there or cannot be read."""
    try:
        return read_text(root + path, limit=LARGEST, error=SecludeError)
    except SecludeError:
        return ""


def mounts(root: str) -> tuple[tuple[str, str], ...]:
    """(mount point, type of file system) of everything that is mounted for this process."""
    fields = [line.split() for line in contents(root, "/proc/self/mounts").splitlines()]
    return tuple((words[1], words[2]) for words in fields if len(words) > 2)


def programs(name: str, search: tuple[str, ...]) -> tuple[str, ...]:
    """The different files that `name` could mean, the one that is run first; /bin and /usr/bin may be the same."""
    found: dict[str, str] = {}
    for directory in search:
        path = os.path.join(directory, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            found.setdefault(os.path.realpath(path), path)
    return tuple(found.values())


def ask(command: tuple[str, ...], timeout: float, *, errors: bool = False) -> Answer:
    """Run a program and take the beginning of what it prints, with `errors` also on standard error.

    It gets no input and a process group of its own, which does not outlive this call.
    """
    import subprocess

    end = time.monotonic() + timeout
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if errors else subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        return Answer(status=-1, text=f"it cannot be run: {error.strerror}")
    assert process.stdout is not None  # noqa: S101  # for the type checker: it is a pipe
    with process.stdout:
        text = _beginning(process.stdout.fileno(), end)
    ended = _has_ended(process.pid, end if len(text) < LONGEST_ANSWER else 0)
    # It has not been waited for yet, so the number of the group cannot be another's.
    os.killpg(process.pid, signal.SIGKILL)
    status = process.wait()
    if not ended and len(text) < LONGEST_ANSWER:
        text = f"no answer within {timeout:g} s".encode()
    return Answer(status=status if ended else -1, text=text.decode("utf-8", "replace"))


def _has_ended(pid: int, end: float) -> bool:
    """Whether a child ends before `end`; it stays a zombie."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def _beginning(descriptor: int, end: float) -> bytes:
    """What comes out of a pipe until it is closed, `end` has passed or there is enough."""
    text = b""
    while len(text) < LONGEST_ANSWER and (left := end - time.monotonic()) > 0:
        if not select.select([descriptor], [], [], left)[0]:
            break
        piece = os.read(descriptor, LONGEST_ANSWER - len(text))
        if not piece:
            break
        text += piece
    return text
