"""Gives the kernel tests the workloads, compiled once for this machine."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
SOURCES = TESTS / "workloads"
# `from catalogue import WORKLOADS` and `from plain import record` in the tests
for _directory in (SOURCES, Path(__file__).resolve().parent):
    sys.path.insert(0, str(_directory))


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "seclude" / "workloads"


def _key() -> str:
    """A hash of all that the compiled workloads depend on."""
    digest = hashlib.sha256()
    sources = [*SOURCES.glob("*.[ch]"), SOURCES / "build.sh", TESTS.parent / "bpf" / "recorder.h"]
    for source in sorted(path for path in sources if path.exists()):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    digest.update(os.uname().machine.encode() + os.environ.get("CC", "").encode())
    return digest.hexdigest()[:16]


@pytest.fixture(scope="session")
def workloads() -> Iterator[Path]:
    """The directory of the compiled workloads; a compiler that is missing or fails fails the test."""
    cache = _cache()
    target = cache / _key()
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for stale in cache.glob("[0-9a-f]*"):
                if stale.stat().st_mtime < target.parent.stat().st_mtime - 7 * 86400:
                    shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as build:
                out = Path(build) / "out"
                done = subprocess.run([SOURCES / "build.sh", out], capture_output=True, text=True)
                assert done.returncode == 0, f"tests/workloads/build.sh failed:\n{done.stderr}"
                out.rename(target)
    yield target
