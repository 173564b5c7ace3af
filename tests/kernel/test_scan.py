"""Soundness on real programs: what was recorded of them is reachable in them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from plain import SECLUDE, record, run

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading the recorder takes root"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="scan reads x86_64 only"),
]

WORKLOADS = {
    "bash": (
        "for i in 1 2; do echo $i | while read x; do :; done; done; umask 022; ulimit -n; kill -0 $$; echo x > b;"
        ' test -f b; (exit 3); trap "echo hi" USR1; kill -USR1 $$; printf "%s" ~root',
    ),
    "ls": ("ls -laR . /etc/apt",),
    "cat": ("cat /etc/passwd",),
    "grep": ("grep -r root /etc/apt /etc/passwd",),
    "tar": ("tar -czf ../w.tgz . && tar -tzf ../w.tgz",),
    "git": (
        "git init -q g && cd g && git config user.email a@b && git config user.name n && echo a>f && git add f"
        " && git commit -qm x && git log && git status",
    ),
    "busybox": (
        "busybox sh -c 'busybox ls / | busybox grep r; busybox tar -cf ../b.tar .; busybox sleep 0.01'",
    ),
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, so that the C library is read once, and as it is now."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("program", sorted(WORKLOADS))
def test_what_was_recorded_is_reachable(
    program: str, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    here = tmp_path / "w"
    here.mkdir()
    recorded = record(tmp_path, shutil.which("bash") or "bash", "-c", f"cd {here}; {WORKLOADS[program][0]}")
    assert recorded.done.returncode == 0, recorded.done.stderr
    done = run(*SECLUDE, "scan", "/", "--recording", tmp_path / "recording.json", "--json")
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    missing = set(values["recorded"]) - set(values["reachable"])
    assert values["outside"] == [] and missing == set()
    assert values["unread"] == {}
    # Name services may bring libraries in which numbers are not known; the rest is resolved to the last site.
    ours = {program, "bash", "libc.so.6", "ld-linux-x86-64.so.2"}
    assert [site for site in values["unresolved"] if site["file"] in ours] == []
    assert any(Path(path).name == program for path in values["programs"])
    # A bound that holds everything would say nothing.
    assert len(values["reachable"]) < 210
