"""Plain processes recorded and confined as a user does it: a command in, its exit status, output and files out."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from seclude import store
from seclude.model.recording import Recording

SOURCES = Path(__file__).resolve().parents[2] / "src"
_START = f"import sys; sys.path.insert(0, {str(SOURCES)!r}); from seclude.cli import main; sys.exit(main())"
SECLUDE = (sys.executable, "-c", _START)
"""The command `seclude` of this checkout."""


@dataclass(frozen=True)
class Recorded:
    """What `seclude record` left: how it ended, and the two files that it wrote."""

    done: subprocess.CompletedProcess[str]
    profile: Path
    recording: Recording

    def names(self, *phases: str, abi: str = "x86_64") -> frozenset[str]:
        """The calls of the given phases (the application's unless said otherwise)."""
        return self.recording.names(*(phases or ("app",)), abi=abi)

    def count(self, name: str) -> int:
        """How often a call was made, over all contexts."""
        return sum(call.count for call in self.recording.calls if call.name == name)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A command to its end, its output caught as text."""
    settings: dict[str, object] = {"capture_output": True, "text": True, "timeout": 240, "errors": "replace"}
    return subprocess.run([str(word) for word in command], **settings | options)  # type: ignore[call-overload, no-any-return]


@contextmanager
def started(*words: str | Path, before: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A Python program that has printed `ready`, up to the end of the block, where its session is killed.

    `before` is a command that starts it.
    """
    with subprocess.Popen(
        [*before, sys.executable, *map(str, words)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def record(
    directory: Path,
    *command: str | Path,
    options: Sequence[str | Path] = (),
    before: Sequence[str | Path] = (),
) -> Recorded:
    """`seclude record` of a command; `before` is a command that starts seclude in turn (strace)."""
    profile, recording = directory / "profile.json", directory / "recording.json"
    done = run(*before, *SECLUDE, "record", "-o", profile, "--recording", recording, *options, "--", *command)
    assert recording.exists(), done.stderr
    return Recorded(done=done, profile=profile, recording=store.read(str(recording)))


def confined(profile: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """`seclude run` of a command under a profile."""
    return run(*SECLUDE, "run", "--profile", profile, "--", *command)


def profile_of(
    path: Path, *names: str, action: str = "SCMP_ACT_ALLOW", default: str = "SCMP_ACT_ERRNO"
) -> Path:
    """A profile with one rule, written to `path`."""
    rule = {"names": sorted(names), "action": action}
    value = {"defaultAction": default, "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule]}
    path.write_text(json.dumps(value))
    return path


def wait_for(condition: Callable[[], bool], seconds: float = 240) -> None:
    """Returns once the condition is met; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def state_of(pid: int) -> str:
    """The state of a process as proc(5) has it (S: it sleeps); empty if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def call_of(pid: int, tid: int = 0) -> int:
    """The number of the call in which a thread waits now; -1 if it is in none, or gone."""
    try:
        first = Path(f"/proc/{pid}/task/{tid or pid}/syscall").read_text().split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return int(first) if first.isdigit() else -1


def children_of(pid: int) -> list[int]:
    """The children of a process's main thread."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def straced(text: str, first: int) -> list[tuple[int, str]]:
    """(pid, call) for each call in the output of `strace -f`, from the exec of process `first` on, of it and all that
    were started after it.

    A call that strace shows in two parts counts where it begins.
    """
    calls: list[tuple[int, str]] = []
    for line in text.splitlines():
        found = re.match(r"(\d+) +([a-z_0-9]+)\(", line)
        if not found:
            continue
        pid, name = int(found[1]), found[2]
        if not calls and (pid != first or name != "execve"):
            continue
        if not calls:
            others = {int(earlier) for earlier in re.findall(r"^(\d+)", text.partition(line)[0], re.M)} - {
                first
            }
        if pid not in others:
            calls.append((pid, name))
    return calls
