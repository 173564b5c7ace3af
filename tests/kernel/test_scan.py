"""Soundness on real programs: what was recorded of them is reachable in them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from scanned import PROGRAMS, Program, options, recorded, scanned

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading the recorder takes root"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="scan reads x86_64 only"),
]

RESOLVED = frozenset(
    {"bash", "dash", "busybox", "git", "tar", "grep", "sed", "libc.so.6", "ld-linux-x86-64.so.2"}
)
"""Files in which every number is known. Others have open sites, which docs/scan.md names."""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, so that the C library is read once, and as it is now."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize(
    "program", [each for each in PROGRAMS if not each.heavy], ids=lambda program: program.name
)
def test_what_was_recorded_is_reachable(program: Program, tmp_path: Path, cache: Path) -> None:
    if reason := program.missing():
        pytest.skip(reason)
    found = scanned(recorded(program, tmp_path), "/", *options(program), cache=cache)
    values = found.values
    assert (found.status, found.unexplained) == (0, [])
    # The kernel's own call is the only one for which there is no site in any file.
    assert found.outside <= {"restart_syscall"}, values["outside"]
    # crun starts a sealed copy of itself.
    assert [path for path in values["unread"] if not path.startswith("/dev/fd/")] == []
    assert [site for site in values["unresolved"] if site["file"] in RESOLVED] == []
    # A bound that holds everything would say nothing.
    assert len(values["recorded"]) < len(values["reachable"]) < 260
