"""Runtimes measured without an engine: what is shipped is what they call, and enough for what it says it is for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from podman_config import runtime_path
from recording import Recorder

from seclude.baseline import baselines, ordered_version
from seclude.bundle import runtime_version
from seclude.model.baseline import CONDITIONS, Baseline

pytestmark = pytest.mark.engine

OPTIONS = {
    "plain": (),
    "terminal": ("--tty",),
    "user": ("--user", "1000:1000", "--group-add", "10"),
    "read-only": ("--read-only",),
    "user-namespace": ("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"),
    "no-capabilities": ("--cap-drop", "all"),
    "all-capabilities": ("--cap-add", "all"),
    "working-directory": ("--workdir", "/tmp"),
}
"""What podman calls the conditions under which a runtime is measured."""

SCHEDULING = {"getpid", "mmap", "nanosleep", "rt_sigreturn", "sched_yield", "tgkill"}
"""What Go calls or not by how busy the machine is: a few runs of a condition may agree on it by chance."""


def _shipped(runtime: str, *, no_new_privileges: bool) -> Baseline:
    version = ordered_version(runtime_version(runtime_path(runtime) or ""))
    for entry in baselines():
        same = (entry.runtime, ordered_version(entry.version)) == (runtime, version)
        if same and entry.no_new_privileges == no_new_privileges:
            return entry
    pytest.skip(f"this version of {runtime} is not among the shipped baselines")


@pytest.mark.slow
def test_measured_is_what_is_shipped(recorder: Recorder, runtime: str) -> None:
    file = recorder.path(".json")
    path = runtime_path(runtime)
    done = recorder.seclude(
        "baseline", "record", "--runtime", path, "--runs", "2", "-o", file, "--json", timeout=290
    ).succeeded()
    entries = baselines(str(file))
    assert [entry.no_new_privileges for entry in entries] == [False, True]
    assert json.loads(done.err)["output"] == str(file)
    for entry in entries:
        assert {item.condition for item in (*entry.conditions, *entry.unknown)} == set(CONDITIONS)
        assert {item.condition for item in entry.unknown} <= {"init"}, (
            "it takes a static init, which may be missing"
        )
        assert "execve" in entry.always
        assert not set(entry.calls) & {"mount", "pivot_root", "sethostname", "seccomp", "unshare"}
        known = set(_shipped(runtime, no_new_privileges=entry.no_new_privileges).calls)
        more = set(entry.calls) - known - (SCHEDULING if runtime == "runc" else set())
        assert not more, f"not in data/baselines.json: {sorted(more)}"
    listed = recorder.seclude("baseline", "list", "--calls", file).succeeded().out
    assert f"{entries[0].runtime} {entries[0].version}, no-new-privileges\n" in listed
    assert recorder.bed.remains() == []


@pytest.mark.parametrize("condition", OPTIONS)
@pytest.mark.parametrize("mode", [(), ("--security-opt", "no-new-privileges")], ids=["", "no-new-privileges"])
def test_enough_under_each_condition(
    recorder: Recorder, runtime: str, condition: str, mode: tuple[str, ...]
) -> None:
    """A container starts under the calls of the application and those that the baseline has for the condition."""
    options = [*OPTIONS[condition], *mode]
    application = {"image": "workloads", "runtime": runtime, "options": options}
    recorded = recorder.record("true", seccomp="unconfined", **application)
    recorded.result.succeeded()
    own = _shipped(runtime, no_new_privileges=bool(mode)).under(condition)
    profile = recorder.bed.write_profile(recorder.path(".json"), [*recorded.names("app"), *own])
    recorder.bed.run("true", seccomp=profile, **application).succeeded()


def _script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'test "$1" = --version && echo "runc version 9.9" || { echo no such thing; exit 3; }',
            "no such thing",
        ),
        ('test "$1" = --version && echo "runc version 9.9"; exit 0', "wrote no pid"),
        ('test "$1" = --version && echo "runc version 9.9" || kill -9 $$', "create failed: it ended with -9"),
    ],
)
def test_a_runtime_that_fails(recorder: Recorder, tmp_path: Path, text: str, said: str) -> None:
    """Nothing is written and nothing stays."""
    program, file = _script(tmp_path / "runc", text), recorder.path(".json")
    done = recorder.seclude("baseline", "record", "--runtime", program, "-o", file)
    assert (done.status, done.out) == (1, "")
    assert said in done.err
    assert "Traceback" not in done.err
    assert not file.exists()
    assert recorder.bed.remains() == []
