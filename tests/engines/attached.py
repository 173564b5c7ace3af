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

LONGEST = 120.0
"""Seconds that it gets to attach, and to end."""


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
            # Whoever starts the tests under nohup has them ignore SIGHUP, and what they start as well.
            [*prefix, "env", "--default-signal=HUP", sys.executable, "-c", MAIN, *map(str, wanted)],
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        self._told = "--duration" in wanted  # to end

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def status(self) -> int | None:
        return self._process.returncode

    def __enter__(self) -> Attached:
        """Returns once it is attached; AssertionError with what it said if it never is."""
        if self._read("attached to"):
            return self
        self.wait()
        raise AssertionError(self.said)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second signal may come when it has heard enough of the first to let the next one end it.
        if not self._told:
            self.stop()
        self.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def stop(self, number: int = signal.SIGTERM) -> None:
        self._told = True
        self._process.send_signal(number)

    def wait(self) -> None:
        """To its end; killed if that takes too long."""
        self._read()
        self._process.wait(LONGEST)

    def _read(self, wanted: str | None = None) -> bool:
        """Read what it says up to a line with `wanted`, or to its end; whether there was such a line.

        Every line is read here, none by communicate(): that would miss what the reader of lines has in store.
        """
        assert self._process.stderr is not None
        watchdog = threading.Timer(LONGEST, self._process.kill)
        watchdog.start()
        try:
            for line in self._process.stderr:
                self.lines.append(line.rstrip("\n"))
                if wanted is not None and wanted in line:
                    return True
        finally:
            watchdog.cancel()
        return False

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
