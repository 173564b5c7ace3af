"""`seclude watch` beside containers that are denied something: its command line in, the denials that it told of out."""

from __future__ import annotations

import json
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def told(
    command: Sequence[str],
    environment: Mapping[str, str],
    make: Callable[[], object],
    enough: Callable[[dict[str, Any]], bool],
) -> list[dict[str, Any]]:
    """The denials up to the first that is `enough`.

    `make` has somebody denied something. It is called again and again: a watch does not say when it has begun, and
    what is denied before it does not see, or not in full.
    """
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.PIPE, text=True)
    denials: list[dict[str, Any]] = []
    try:
        assert process.stdout is not None
        deadline = time.monotonic() + 240
        while not (denials and enough(denials[-1])):
            assert process.poll() is None and time.monotonic() < deadline, denials
            make()
            if select.select([process.stdout], [], [], 1)[0]:
                denials.append(json.loads(process.stdout.readline()))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 2
    return denials


@contextmanager
def watching(command: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A watch that holds on to the process at which it looks, up to the end of the block."""
    process = subprocess.Popen(command, env=dict(environment), stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not any(_leads_to_a_process(each) for each in Path(f"/proc/{process.pid}/fd").iterdir()):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        yield process
    finally:
        process.kill()
        process.communicate()


def _leads_to_a_process(descriptor: Path) -> bool:
    try:
        return str(descriptor.readlink()) == "anon_inode:[pidfd]"
    except FileNotFoundError:
        return False
