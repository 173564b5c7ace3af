"""Profiles proved by an ordinary user in rootless podman: denials named as root sees them, and `seclude ci`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue import CONTEXTS
from ordinary import ordinary_user
from podman_bed import WORKLOADS_DIR, Bed
from recording import Recorder
from rootless_bed import UNTIL, Rootless, Running

from seclude import syscalls
from seclude.trace import seccomp_notify

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a user takes root"),
    pytest.mark.skipif(bool(seccomp_notify.unusable()), reason=seccomp_notify.unusable() or "usable"),
]
EVERY = syscalls.names("x86_64")
WAITING = frozenset(("futex", "restart_syscall", "sched_yield", "clock_nanosleep"))
"""Calls that are made or not as threads and processes happen to wait for one another."""

# crun takes no hybrid hierarchy of control groups: one is hidden from all that the user runs.
NOT_HYBRID = """
if grep -q '^[^ ]* /sys/fs/cgroup/unified cgroup2 ' /proc/self/mounts; then
    umount /sys/fs/cgroup/unified || exit 1
fi
exec "$@"
"""


@pytest.fixture(scope="module")
def rootless(bed: Bed) -> Iterator[Rootless]:
    """A user who can run containers, with runc and crun, as long as the module's tests run."""
    with ordinary_user() as user:
        user.before = ("unshare", "--mount", "--propagation", "private", "sh", "-c", NOT_HYBRID, "sh")
        yield Rootless(user, bed.images, bed)


def profile_of(rootless: Rootless, names: frozenset[str], *rules: dict[str, Any], **more: Any) -> Path:
    """A profile of the user's that allows `names`, and has other rules."""
    path = rootless.user.home / "profile.json"
    value = {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}, *rules],
    }
    path.write_text(json.dumps(value | more))
    return path


def verify(
    rootless: Rootless, profile: Path, *command: str, more: tuple[str, ...] = (), **run: Any
) -> tuple[int, dict[str, Any], str]:
    """(exit status, the result, all that was said) of `seclude verify` by the user."""
    line = rootless.command(*command, **run)
    done = rootless.user.seclude("verify", "-p", profile, "--json", *more, "--", *line)
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines, done
    return done.returncode, json.loads(lines[-1]), done.stdout


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_a_denial_is_named(rootless: Rootless, runtime: str) -> None:
    profile = profile_of(rootless, EVERY - {"mkdir", "mkdirat"})
    status, result, _ = verify(rootless, profile, "mkdir", "/tmp/made", "-m", "700", runtime=runtime)
    assert (status, result["clean"], result["lost"]) == (2, False, 0), result
    assert (result["statuses"], result["expected"]) == ([1], 0)
    [denied], [denial] = result["denied"], result["denials"]
    assert (denied["call"], denied["count"], denied["processes"], denied["cause"]) == (
        "mkdir",
        1,
        1,
        "no rule",
    )
    assert (denial["comm"], denial["data"], denial["arguments"][1]) == ("mkdir", 1, 0o777)


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_what_runs_is_clean(rootless: Rootless, runtime: str) -> None:
    """Under exactly what was recorded; what crun calls to deliver its listener is no denial of the profile's."""
    recording, profile = rootless.user.home / "r.json", rootless.user.home / "ls.json"
    line = rootless.command("ls", "/", runtime=runtime)
    done = rootless.user.seclude("record", "-o", profile, "--recording", recording, "--", *line)
    assert done.returncode == 0, done
    names = Bed.allowed(profile) | WAITING
    if runtime == "crun":
        names -= {"kill", "wait4"}
    path = profile_of(rootless, names)
    status, result, out = verify(rootless, path, "ls", "/", runtime=runtime, more=("--repeat", "2"))
    assert (status, result["denied"], result["lost"]) == (0, [], 0), result
    assert result["statuses"] == [0, 0]
    assert out.count("etc\n") == 3
    # Whether write was made is not known; what the runtime calls only when timing has it so may not be.
    assert set(result["unused"]) <= WAITING | {"rt_sigreturn", "nanosleep", "tgkill", "getpid", "epoll_pwait"}
    assert "write" not in result["used"]
    assert result["unnamed"] == []


@pytest.mark.parametrize("runtime", ["runc", "crun"])
def test_conditions_on_arguments(rootless: Rootless, runtime: str) -> None:
    condition = [{"index": 1, "value": 0o700, "op": "SCMP_CMP_EQ"}]
    profile = profile_of(
        rootless,
        EVERY - {"chmod"},
        {"names": ["chmod"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28, "args": condition},
    )
    script = "chmod 700 /tmp; chmod 755 /tmp; chmod 700 /tmp"
    status, result, _ = verify(rootless, profile, "sh", "-c", script, runtime=runtime)
    assert status == 2
    found = {(each["call"], each["count"], each["processes"], each["cause"]) for each in result["denied"]}
    assert found == {("chmod", 2, 2, "rule"), ("chmod", 1, 1, "arguments")}
    assert {(denial["data"], denial["arguments"][1]) for denial in result["denials"]} == {
        (28, 0o700),
        (1, 0o755),
    }


@pytest.mark.parametrize(("runtime", "data"), [("runc", 38), ("crun", 1)])
def test_what_is_newer_than_the_profile(rootless: Rootless, runtime: str, data: int) -> None:
    """runc answers it with ENOSYS, whatever the profile's errno; so the program sees the same under notify."""
    newest = frozenset(
        name for name in EVERY if (number := syscalls.number_of("x86_64", name)) is not None and number < 334
    )
    profile = profile_of(rootless, newest | {"rseq", "write"})
    program = "use Errno; $! = 0; syscall(439, -100, 0, 0, 0); print 0 + $!, qq(\\n); syscall(334, 0); exit 0"
    command = ("perl", "-e", program)
    status, result, out = verify(rootless, profile, *command, runtime=runtime, image="programs")
    line = rootless.command(
        *command, runtime=runtime, image="programs", options=("--security-opt", f"seccomp={profile}")
    )
    under = rootless.user.run(*line)
    assert out.splitlines()[-1:] == under.stdout.splitlines()[-1:] == [str(data)]
    assert status == 2
    [denial] = [each for each in result["denials"] if each["name"] == "faccessat2"]
    assert denial["data"] == data


def test_a_runtime_that_is_denied_what_it_needs(rootless: Rootless) -> None:
    """The container does not start, and the reason is named."""
    profile = profile_of(rootless, EVERY - {"capset"})
    status, result, _ = verify(rootless, profile, "true")
    assert (status, result["expected"]) == (2, 0)
    assert result["statuses"] != [0]
    assert "capset" in {denied["call"] for denied in result["denied"]}


def test_what_cannot_be_named_is_said(rootless: Rootless) -> None:
    rules = (
        {
            "names": ["write"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 5,
            "args": [{"index": 2, "value": 7777, "op": "SCMP_CMP_EQ"}],
        },
        {"names": ["reboot"], "action": "SCMP_ACT_KILL_PROCESS"},
    )
    profile = profile_of(rootless, frozenset(), *rules, defaultAction="SCMP_ACT_ALLOW")
    status, result, _ = verify(rootless, profile, "true")
    assert status == 0, result
    assert result["unnamed"] == [
        "calls that are answered with SCMP_ACT_KILL_PROCESS",
        "write, which can be refused",
    ]


def test_threads_and_contexts_are_as_root_s(recorder: Recorder, rootless: Rootless) -> None:
    command = CONTEXTS.argv(WORKLOADS_DIR)
    profile = profile_of(rootless, EVERY - {"syncfs", "times"})
    _, by_user, _ = verify(rootless, profile, *command)
    line = recorder.bed.run_arguments(*command)
    done = recorder.seclude("verify", "-p", profile, "--json", "--", *line)
    by_root = json.loads([line for line in done.err.splitlines() if line.startswith("{")][-1])
    found = [
        {
            (each["name"], each.get("context", ""), each["count"], each["data"], each["comm"])
            for each in result["denials"]
        }
        for result in (by_user, by_root)
    ]
    assert found[0] == found[1]
    assert by_user["denied"]


def test_a_dead_receiver_does_not_hang_the_container(rootless: Rootless) -> None:
    profile = profile_of(rootless, EVERY - {"mkdir", "mkdirat"})
    script = f"mkdir /tmp/a; {UNTIL}; mkdir /tmp/b"
    wanted = ("-p", profile, "--json", "--expect-status", "1")
    container = Running(rootless, "unproved", script, ("verify", *wanted))
    [receiver] = container.receivers()
    os.kill(receiver, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while container.receivers() in ([], [receiver]):
        assert time.monotonic() < deadline, "no other receiver"
        time.sleep(0.05)
    container.let_go()
    _, err = container.process.communicate(timeout=60)
    assert container.process.returncode == 2, err
    result = json.loads([line for line in err.splitlines() if line.startswith("{")][-1])
    assert (result["statuses"], result["lost"]) == ([1], 0)
    assert [(each["call"], each["count"], each["processes"]) for each in result["denied"]] == [
        ("mkdir", 2, 2)
    ]


class TestCi:
    CONFIGURATION = """
image = "{image}"
options = ["--network", "none"{options}]
[[test]]
name = "first"
run = ["sh", "-c", "{script}"]
"""

    @pytest.fixture
    def place(self, rootless: Rootless) -> Iterator[Path]:
        configuration = rootless.user.home / ".config" / "containers" / "containers.conf"
        configuration.write_text('[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\n')
        directory = rootless.user.home / "repository"
        (directory / ".git").mkdir(parents=True)
        shutil.chown(directory, rootless.user.name)
        yield directory
        shutil.rmtree(directory)
        configuration.unlink()

    def ci(
        self, rootless: Rootless, place: Path, script: str, options: str = ""
    ) -> tuple[int, dict[str, Any], str]:
        image = rootless.image("workloads")
        text = self.CONFIGURATION.format(image=image, script=script, options=options)
        (place / "seclude.toml").write_text(text)
        reports = place / "reports"
        done = rootless.user.seclude("ci", "--config", place / "seclude.toml", "--report-dir", reports)
        assert (reports / "report.json").exists(), done
        return done.returncode, json.loads((reports / "report.json").read_text()), done.stdout

    def test_whole(self, rootless: Rootless, place: Path) -> None:
        status, report, said = self.ci(rootless, place, "ls /")
        assert (status, (place / "seccomp.json").exists()) == (0, True), said
        notes = " ".join(each["message"] for each in report["findings"] if each["rule"] == "note")
        assert "using notify" in notes
        assert "verify first" in said

    def test_what_the_new_profile_denies(self, rootless: Rootless, place: Path) -> None:
        once = place / "once"
        once.mkdir(mode=0o777)
        once.chmod(0o777)
        script = "ls /; [ -e /once/a ] && mkdir /tmp/made; touch /once/a; ls /"
        status, _, said = self.ci(rootless, place, script, f', "--volume", "{once}:/once"')
        assert (status, (place / "seccomp.json").exists()) == (2, False), said
        assert "mkdir was denied to test 'first' under the new profile" in said
