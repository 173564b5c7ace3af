"""Rootless podman recorded by its user: the application's calls are those that root sees by eBPF."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import CONTEXTS, PROCESSES, WORKLOADS, Workload
from ordinary import ordinary_user
from podman_bed import WORKLOADS_DIR, Bed
from programs import DIRECTORY, PROGRAMS, SCRIPTS, Program, record
from recording import Recorder
from rootless_bed import UNTIL, Rootless, Running

from seclude import store
from seclude.model.recording import Recording
from seclude.trace import seccomp_notify

pytestmark = [
    pytest.mark.engine,
    pytest.mark.skipif(os.geteuid() != 0, reason="making a user takes root"),
    pytest.mark.skipif(bool(seccomp_notify.unusable()), reason=seccomp_notify.unusable() or "usable"),
]

WAITING = frozenset(("futex", "restart_syscall", "sched_yield", "clock_nanosleep"))
"""Calls that are made or not as threads and processes happen to wait for one another."""


@pytest.fixture(scope="module")
def rootless(bed: Bed) -> Iterator[Rootless]:
    """A user who can run containers, as long as the module's tests run."""
    with ordinary_user() as user:
        yield Rootless(user, bed.images, bed)


def application(recording: Recording) -> frozenset[str]:
    """The application's calls in either kind of recording."""
    return recording.names("app") - WAITING - {"write"}


def test_programs_are_enough() -> None:
    assert len(PROGRAMS) >= 10


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_rootless_is_as_rootful(recorder: Recorder, rootless: Rootless, program: Program) -> None:
    rootful = record(recorder, program, "runc").recording
    options = ("--volume", f"{SCRIPTS}:{DIRECTORY}:ro", *program.options)
    done, recording = rootless.record(*program.command, image="programs", options=options)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (program.status, [program.line]), done.stderr
    assert (recording.tracer, recording.unseen) == ("notify", ("write",))
    assert recording.losses.calls == 0
    assert application(recording) == application(rootful)


@pytest.mark.parametrize(
    "workload",
    [
        workload
        for workload in WORKLOADS
        if workload.name
        in ("threads", "fork", "thread-exec", "hops", "contexts", "int80", "compat", "ugly-names")
    ],
    ids=lambda workload: workload.name,
)
def test_workload(recorder: Recorder, rootless: Rootless, workload: Workload) -> None:
    command = workload.argv(WORKLOADS_DIR)
    rootful = recorder.record(*command)
    done, recording = rootless.record(*command)
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (workload.status, [workload.line]), done.stderr
    found = [
        {(call.abi, call.name, call.context) for call in seen.calls if call.phase == "app"}
        for seen in (rootful.recording, recording)
    ]
    differing = {name for _, name, _ in found[0] ^ found[1]}
    assert differing <= WAITING | {"write"}
    assert recording.losses.calls == 0


def test_the_profile_lets_it_run(recorder: Recorder, rootless: Rootless) -> None:
    workload = next(each for each in PROCESSES if each.name == "fork")
    command = workload.argv(WORKLOADS_DIR)
    done, recording = rootless.record(*command)
    assert "allowed without having been seen, which notify cannot: write" in done.stderr
    assert (recording.engine, recording.runtime, recording.confined) == ("podman", "runc", True)
    profile = rootless.user.home / "profile.json"
    allowed = Bed.allowed(profile)
    assert allowed == Bed.allowed(recorder.record(*command).profile) | WAITING & allowed
    less = rootless.user.home / "less.json"
    less.write_text(
        json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": _allowing(allowed - {"getitimer"})})
    )
    for path, status in ((profile, workload.status), (less, 99)):
        options = ("--security-opt", f"seccomp={path}")
        again = rootless.user.run(*rootless.command(*command, options=options))
        assert again.returncode == status, again.stderr


def _allowing(names: frozenset[str]) -> list[dict[str, object]]:
    return [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}]


def test_under_a_profile_of_the_users(rootless: Rootless) -> None:
    """What it refuses stays refused, and is not recorded."""
    profile = rootless.user.home / "refusing.json"
    profile.write_text(
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
            }
        )
    )
    options = ("--security-opt", f"seccomp={profile}")
    done, recording = rootless.record("mkdir", "/tmp/new", options=options)
    assert done.returncode == 1
    assert "Operation not permitted" in done.stderr
    assert not recording.names() & {"mkdir", "mkdirat"}
    assert "execve" in recording.names("app") | recording.names("runtime")
    assert recording.confined


def test_unconfined(recorder: Recorder, rootless: Rootless) -> None:
    rootful = recorder.record("ls", "/", seccomp="unconfined").recording
    done, recording = rootless.record("ls", "/", options=("--security-opt", "seccomp=unconfined"))
    assert done.returncode == 0, done.stderr
    assert not recording.confined
    assert recording.names("runtime") == {"execve"}
    assert application(recording) == application(rootful)
    # What the runtime needs under a filter comes from the baseline.
    assert {"capset", "setuid"} <= Bed.allowed(rootless.user.home / "profile.json")


def test_exec_sessions_are_recorded(rootless: Rootless) -> None:
    container = Running(rootless, "with-session", UNTIL)
    workload = next(each for each in PROCESSES if each.name == "fork")
    done = container.exec(*workload.argv(WORKLOADS_DIR))
    assert done.returncode == workload.status, done.stderr
    container.let_go()
    _, recording = container.ended()
    assert recording.names("app") >= workload.native


def test_a_dead_receiver_does_not_hang_the_container(rootless: Rootless) -> None:
    container = Running(rootless, "unlucky", f"{UNTIL}; mkdir /tmp/last")
    [receiver] = container.receivers()
    os.kill(receiver, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while container.receivers() in ([], [receiver]):
        assert time.monotonic() < deadline, "no other receiver"
        time.sleep(0.05)
    container.let_go()
    err, recording = container.ended()
    assert "another one has taken over" in err
    assert "mkdir" in recording.names("app")


def test_a_runtime_that_cannot_deliver_is_helped(rootless: Rootless) -> None:
    """Go's own calls between runc's filter and its message would wait for ever: each in some ten starts."""
    container = Running(rootless, "often", UNTIL)
    statuses = [container.exec("true").returncode for _ in range(15)]
    container.let_go()
    _, recording = container.ended()
    assert statuses == [0] * 15
    assert recording.losses.calls == 0


class TestRefusals:
    def failed(self, rootless: Rootless, *arguments: str | Path) -> str:
        file = rootless.user.home / "failed.json"
        done = rootless.user.seclude("record", "--recording", file, *arguments)
        assert done.returncode, done
        assert not file.exists()
        return done.stderr

    def test_detached(self, rootless: Rootless) -> None:
        said = self.failed(rootless, "--", *rootless.command("true", options=("--detach",)))
        assert "still running when podman returns" in said

    def test_an_agent_of_its_own(self, rootless: Rootless) -> None:
        profile = rootless.user.home / "agent.json"
        rule = {"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}
        profile.write_text(
            json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/tmp/a", "syscalls": [rule]})
        )
        options = ("--security-opt", f"seccomp={profile}")
        said = self.failed(rootless, "--", *rootless.command("true", options=options))
        assert "has an agent of its own" in said

    def test_no_such_program(self, rootless: Rootless) -> None:
        done = rootless.user.seclude("record", "-o", "p.json", "--", *rootless.command("no-such-program"))
        assert done.returncode
        assert "no-such-program" in done.stderr

    def test_no_such_image(self, rootless: Rootless) -> None:
        command = ["podman", "run", "--pull=never", "localhost/no-such-image", "true"]
        said = self.failed(rootless, "--", *command)
        assert "and nothing was recorded" in said

    def test_no_ranges_of_ids(self, rootless: Rootless, tmp_path: Path) -> None:
        """What podman says of it is passed through."""
        user = rootless.user
        subuid = Path("/etc/subuid").read_text()
        assert f"{user.name}:" in subuid
        environment = {"PATH": str(tmp_path), "XDG_RUNTIME_DIR": str(user.runtime)}
        words = user.words("record", "--recording", "none.json", "--", "/usr/bin/podman", "run", "x", "true")
        done = user.run(*words, env=environment)
        assert done.returncode, done
        assert "nothing was recorded" in done.stderr


@pytest.mark.parametrize("workload", [PROCESSES[0], CONTEXTS], ids=lambda workload: workload.name)
def test_root_may_choose_notify(recorder: Recorder, runtime: str, workload: Workload) -> None:
    command = recorder.bed.run_arguments(*workload.argv(WORKLOADS_DIR), runtime=runtime)
    found = []
    for tracer in ("ebpf", "notify"):
        file, profile = recorder.path(".recording.json"), recorder.path(".json")
        wanted = ("--quiet", "--tracer", tracer, "--recording", file, "-o", profile)
        done = recorder.seclude("record", *wanted, "--", *command)
        assert (done.status, done.lines[-1:]) == (workload.status, [workload.line]), str(done)
        found.append((store.read(str(file)), Bed.allowed(profile)))
    (by_ebpf, allowed), (by_notify, allowed_too) = found
    # The runtime takes longer and Go interrupts itself for that: its baseline has the call in any case.
    for phase, varying in (("runtime", {"rt_sigreturn"}), ("app", set())):
        assert by_ebpf.names(phase) ^ by_notify.names(phase) <= WAITING | {"write"} | varying
    assert by_notify.runtime == runtime
    assert allowed ^ allowed_too <= WAITING
