"""`seclude minimize` on containers: the smaller profile does ten times, and no container stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from podman_bed import Bed, Result
from recording import SOURCES, Recorder

pytestmark = pytest.mark.engine

_MAIN = (
    f"import sys; sys.path.insert(0, {str(SOURCES)!r}); sys.argv[0] = 'seclude'; "
    "from seclude.cli import main; sys.exit(main())"
)
SECLUDE = (sys.executable, "-c", _MAIN)
# In the foreground, so that its own end counts: an nginx that dies of a signal once it has answered does not work.
# Whether it is there at the first look is a matter of luck, so what a further look takes must work in any case.
NGINX = (
    "mkdir -p /var/log/nginx; nginx -g 'daemon off;' & sleep 0.1 && kill -0 $! || exit 1; "
    "curl -s http://127.0.0.1:9/; [ $? = 7 ] || exit 1; i=0; "
    "until curl -sf -m 1 -o /dev/null http://127.0.0.1/; do "
    "i=$((i + 1)); [ $i -lt 20 ] && sleep 0.1 && kill -0 $! || exit 1; done; "
    "nginx -s quit && wait $!"
)


def minimized(bed: Bed, profile: Path, *words: str, **options: Any) -> Result:
    return bed.host(*SECLUDE, "minimize", "-p", profile, *words, **{"timeout": 280} | options)


def recorded(recorder: Recorder, *command: str, **run: Any) -> Path:
    """The profile that was recorded of a container."""
    seen = recorder.record(*command, **run)
    seen.result.succeeded()
    return seen.profile


def containers(bed: Bed) -> set[str]:
    """All that the bed has; other tests may have left some that have ended."""
    return set(bed.podman("ps", "--all", "--quiet").succeeded().lines)


def passes_ten_times(bed: Bed, profile: Path, *command: str, **run: Any) -> None:
    for _ in range(10):
        bed.run(*command, seccomp=profile, **run).succeeded()


def test_ls(recorder: Recorder) -> None:
    bed, run = recorder.bed, {"image": "debian", "runtime": "runc"}
    profile, small = recorded(recorder, "ls", "/", **run), recorder.path(".json")
    done = minimized(bed, profile, "-o", str(small), "--", *bed.run_arguments("ls", "/", **run))
    done.succeeded()
    for line in (
        "calls allowed",
        "required",
        "tolerate ENOSYS",
        "tolerate EPERM",
        "kept",
        "runs spent",
        "bound",
    ):
        assert line in done.out
    assert {"execve", "getdents64", "rt_sigreturn"} <= bed.allowed(small) < bed.allowed(profile)
    passes_ten_times(bed, small, "ls", "/", **run)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_nginx(recorder: Recorder) -> None:
    bed = recorder.bed
    try:
        bed.images["programs"]
    except KeyError:
        pytest.skip("the bed has no image `programs` with nginx")
    run = {"image": "programs", "runtime": "crun"}
    command = ("sh", "-c", NGINX)
    profile, small = recorded(recorder, *command, **run), recorder.path(".json")
    line = bed.run_arguments(*command, **run)
    done = minimized(bed, profile, "-o", str(small), "--json", "--", *line, timeout=1700)
    values = json.loads(done.succeeded().out)
    assert values["runs"] <= values["bound"] or values["given_back"]
    assert {"execve", "bind", "listen"} <= set(values["required"]), values
    passes_ten_times(bed, small, *command, **run)


def test_a_container_that_spins_is_ended(recorder: Recorder) -> None:
    # Refused mkdir, it never ends, and takes no notice of SIGTERM.
    script = "trap '' TERM; until mkdir /tmp/made; do :; done 2>/dev/null"
    bed, run = recorder.bed, {"image": "workloads", "runtime": "runc", "remove": False}
    profile = recorded(recorder, "sh", "-c", script, **run | {"remove": True})
    keep = [word for name in sorted(bed.allowed(profile) - {"mkdir"}) for word in ("--keep", name)]
    line = bed.run_arguments("sh", "-c", script, options=("--name", "judged"), **run)
    there = containers(bed)
    done = minimized(bed, profile, "--json", *keep, "--", *line)
    assert json.loads(done.succeeded().out)["required"] == ["mkdir"]
    assert containers(bed) <= there


def test_an_interrupt_ends_the_container(recorder: Recorder) -> None:
    bed = recorder.bed
    profile = recorded(recorder, "sleep", "0.1")
    before, there = profile.read_bytes(), containers(bed)
    line = bed.run_arguments("sleep", "60", options=("--name", "interrupted"))
    words = bed.command(*SECLUDE, "minimize", "-p", profile, "--write", "--", *line)
    with subprocess.Popen(
        words,
        env=bed.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        deadline = time.monotonic() + 60
        while "interrupted" not in bed.podman("ps", "--format", "{{.Names}}").out:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "undecided" in out
    assert profile.read_bytes() == before
    assert containers(bed) <= there


class TestErrors:
    def refused(self, bed: Bed, profile: Path, *words: str) -> str:
        done = minimized(bed, profile, *words)
        assert (done.status, done.out) == (1, ""), str(done)
        assert "Traceback" not in done.err
        return done.err

    def test_the_profile_is_not_in_force(self, recorder: Recorder) -> None:
        profile = recorded(recorder, "true")
        line = recorder.bed.run_arguments("true", seccomp="unconfined")
        assert "the profile was not in force" in self.refused(recorder.bed, profile, "--", *line)

    def test_detached(self, recorder: Recorder) -> None:
        profile = recorded(recorder, "true")
        line = recorder.bed.run_arguments("true", options=("--detach",))
        assert "a detached container tells nothing" in self.refused(recorder.bed, profile, "--", *line)

    def test_the_container_fails(self, recorder: Recorder) -> None:
        profile = recorded(recorder, "true")
        line = recorder.bed.run_arguments("sh", "-c", "mkdir /tmp/x")
        text = self.refused(recorder.bed, profile, "--", *line)
        assert "under the full profile, not with 0" in text
        assert "Operation not permitted" in text


def test_runc_answers_what_the_profile_says(recorder: Recorder) -> None:
    # runc answers ENOSYS to calls that are newer than all that are named: number 444, landlock_create_ruleset.
    bed, run = recorder.bed, {"image": "debian", "runtime": "runc"}
    command = ("perl", "-e", "exit(syscall(444, 0, 0, 1) < 0 && $! == 38 ? 3 : 0)")
    profile = recorded(recorder, *command, **run)
    assert "landlock_create_ruleset" in bed.allowed(profile)
    small = recorder.path(".json")
    keep = [word for name in bed.allowed(profile) - {"landlock_create_ruleset"} for word in ("--keep", name)]
    line = bed.run_arguments(*command, **run)
    done = minimized(bed, profile, "-o", str(small), "--json", *keep, "--", *line).succeeded()
    assert json.loads(done.out)["tolerates_eperm"] == ["landlock_create_ruleset"]
    [rule] = [rule for rule in bed.profile(small)["syscalls"] if rule["action"] == "SCMP_ACT_ERRNO"]
    assert (rule["names"], rule["errnoRet"]) == (["landlock_create_ruleset"], 1)
    # The test of the test: without that rule it is not so.
    value = bed.profile(small)
    bare = recorder.path(".json")
    bare.write_text(json.dumps(value | {"syscalls": [each for each in value["syscalls"] if each != rule]}))
    assert bed.run(*command, seccomp=bare, **run).status == 3
