"""`seclude record` attached to what runs: a bed's command line in; when it began, and what it wrote, out."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType

from recording import MAIN

from seclude import store
from seclude.model.recording import Recording


class Attached:
    """One `seclude record --container` or `--pid` from here to the end of the block, where it is told to stop.

    `command`: how a word list is started in the bed; `profile` and `file`: what it writes.
    """

    def __init__(
        self,
        directory: Path,
        words: Sequence[str | Path],
        *,
        prefix: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self.profile, self.file = directory / "attached.json", directory / "attached.recording.json"
        wanted = ("record", "-o", self.profile, "--recording", self.file, *words)
        self._process = subprocess.Popen(
            [*prefix, sys.executable, "-c", MAIN, *map(str, wanted)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.returncode

    def __enter__(self) -> Attached:
        """Returns once it is attached; AssertionError with what it said if it never is."""
        assert self._process.stderr is not None
        watchdog = threading.Timer(60, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stderr:
                self.lines.append(line.rstrip("\n"))
                if "attached to" in line:
                    return self
        finally:
            watchdog.cancel()
        raise AssertionError("\n".join(self.lines))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None and "--duration" not in self._process.args:  # type: ignore[operator]
            self.stop()
        self.wait()

    def stop(self, number: int = signal.SIGTERM) -> None:
        self._process.send_signal(number)

    def wait(self) -> None:
        """To its end."""
        try:
            _, rest = self._process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        self.lines += rest.splitlines()

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    @cached_property
    def recording(self) -> Recording:
        return store.read(str(self.file))

    @property
    def allowed(self) -> frozenset[str]:
        profile = json.loads(self.profile.read_text())
        return frozenset(name for rule in profile["syscalls"] for name in rule["names"])
