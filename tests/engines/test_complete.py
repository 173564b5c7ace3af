"""Whatever way a process comes to be, its calls are recorded, and the profile made from them is enough for it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from catalogue import ABIS, PROCESSES, SLEEPER, Workload
from daemons import wait_for
from podman_bed import WORKLOADS_DIR
from recording import DENIED, Recorded, Recorder

pytestmark = pytest.mark.engine


KINDS = [
    pytest.param((), id="confined"),
    pytest.param(("--pid=host",), id="pid-host"),
    pytest.param(("--security-opt", "seccomp=unconfined"), id="unconfined"),
    pytest.param(("--privileged",), id="privileged"),
    pytest.param(("--security-opt", "no-new-privileges"), id="no-new-privileges"),
    pytest.param(("--user", "1000:1000", "--cap-drop=all", "--read-only"), id="unprivileged"),
]


def options_of(workload: Workload) -> list[str]:
    """What the workload needs of a container beyond the default: unshare takes CAP_SYS_ADMIN under the profile."""
    if workload.unconfined:
        return ["--security-opt", "seccomp=unconfined"]
    return ["--cap-add=SYS_ADMIN"] if workload.name == "unshare" else []


def assert_enforceable(
    recorder: Recorder, recorded: Recorded, workload: Workload, runtime: str, options: Sequence[str] = ()
) -> None:
    """Under its own profile the workload ends as before, with the same output."""
    given = [option for option in options if option not in ("seccomp=unconfined", "--privileged")]
    if len(given) != len(options):
        given = [option for option in given if option != "--security-opt"]
    enforced = recorder.bed.run(
        *workload.argv(WORKLOADS_DIR), runtime=runtime, options=given, seccomp=recorded.profile
    )
    assert (enforced.status, enforced.lines[-1:]) == (workload.status, [workload.line]), str(enforced)


def assert_holds(recorded: Recorded, workload: Workload) -> None:
    """The recording lost nothing and has each distinctive call under its own ABI."""
    assert recorded.result.status == workload.status, str(recorded.result)
    assert recorded.recording.losses.calls == 0
    assert recorded.names("app", abi="x86_64") >= workload.native
    assert recorded.names("app", abi="x86") >= workload.x86
    assert recorded.names("app", abi="x32") >= workload.x32


@pytest.mark.parametrize("workload", PROCESSES, ids=lambda workload: workload.name)
def test_processes(recorder: Recorder, runtime: str, workload: Workload) -> None:
    options = options_of(workload)
    recorded = recorder.record(*workload.argv(WORKLOADS_DIR), runtime=runtime, options=options)
    assert_holds(recorded, workload)
    assert_enforceable(recorder, recorded, workload, runtime, options)


@pytest.mark.parametrize("workload", ABIS, ids=lambda workload: workload.name)
def test_abis(recorder: Recorder, runtime: str, workload: Workload) -> None:
    """Each number is named by its own table, and the profile has that table's architecture."""
    recorded = recorder.record(*workload.argv(WORKLOADS_DIR), runtime=runtime, options=options_of(workload))
    assert_holds(recorded, workload)
    architectures = recorder.bed.profile(recorded.profile)["architectures"]
    assert architectures[0] == "SCMP_ARCH_X86_64"
    assert ("SCMP_ARCH_X86" in architectures) is bool(workload.x86)
    assert ("SCMP_ARCH_X32" in architectures) is bool(workload.x32)
    assert_enforceable(recorder, recorded, workload, runtime)


@pytest.mark.parametrize("options", KINDS)
def test_kinds_of_containers(recorder: Recorder, runtime: str, options: tuple[str, ...]) -> None:
    workload = next(workload for workload in PROCESSES if workload.name == "hops")
    recorded = recorder.record(*workload.argv(WORKLOADS_DIR), runtime=runtime, options=options)
    assert_holds(recorded, workload)
    unconfined = "seccomp=unconfined" in options or "--privileged" in options
    assert recorded.recording.confined is not unconfined
    # Recording from the filter on and from the exec on come to the same.
    default = recorder.record(*workload.argv(WORKLOADS_DIR), runtime=runtime)
    assert recorded.names("app") == default.names("app")
    assert not recorded.allowed & {"mount", "pivot_root", "umount2", "sethostname"}
    assert_enforceable(recorder, recorded, workload, runtime, options)


@pytest.mark.parametrize(
    "options",
    [(), ("--pid=host",), ("--security-opt", "seccomp=unconfined")],
    ids=["confined", "pid-host", "unconfined"],
)
def test_exec(recorder: Recorder, runtime: str, options: tuple[str, ...]) -> None:
    """A process that `podman exec` adds belongs to the container, with what it does and what it starts."""
    bed = recorder.bed
    thread, fork = (workload for workload in PROCESSES if workload.name in ("threads", "fork"))
    container, recorded = recorder.start(*SLEEPER.argv(WORKLOADS_DIR), runtime=runtime, options=options)
    bed.wait_for_line(container, SLEEPER.line)
    assert bed.podman("exec", container, *thread.argv(WORKLOADS_DIR)).status == thread.status
    inside = " ".join(fork.argv(WORKLOADS_DIR))
    assert (
        bed.podman("exec", "--user", "1000", container, "sh", "-c", f"{inside}; exit $?").status
        == fork.status
    )
    bed.podman("kill", "--signal", "TERM", container).succeeded()
    assert bed.podman("wait", container).out.strip() == str(SLEEPER.status)
    assert recorded.recording.losses.calls == 0
    assert recorded.names("app") >= SLEEPER.native | thread.native | fork.native
    assert not recorded.allowed & {"mount", "pivot_root", "setns", "umount2"}

    again = bed.start(
        *SLEEPER.argv(WORKLOADS_DIR),
        runtime=runtime,
        options=[option for option in options if option == "--pid=host"],
        seccomp=recorded.profile,
    )
    bed.wait_for_line(again, SLEEPER.line)
    enforced = bed.podman("exec", again, *thread.argv(WORKLOADS_DIR))
    assert enforced.status == thread.status, str(enforced)
    refused = bed.podman("exec", again, "mkdir", "/tmp/new")
    assert refused.status != 0
    assert DENIED in refused.err
    bed.podman("kill", "--signal", "TERM", again).succeeded()
    assert bed.podman("wait", again).out.strip() == str(SLEEPER.status)


def test_exec_after_init_unshared(recorder: Recorder, runtime: str) -> None:
    """`podman exec` into a container whose init has left the mount namespace that it began in."""
    bed = recorder.bed
    vfork = next(workload for workload in PROCESSES if workload.name == "vfork")
    ready = "unshare -m sh -c 'echo ready; exec sleep 600'"
    container, recorded = recorder.start(
        "sh", "-c", f"exec {ready}", runtime=runtime, options=["--cap-add=SYS_ADMIN"]
    )
    bed.wait_for_line(container, "ready")
    assert bed.podman("exec", container, *vfork.argv(WORKLOADS_DIR)).status == vfork.status
    bed.podman("kill", container).succeeded()
    bed.podman("wait", container).succeeded()
    assert recorded.names("app") >= vfork.native | {"unshare"}


def test_two_containers_in_one_pid_namespace(recorder: Recorder, runtime: str) -> None:
    """Each of two recorded containers that share a pid namespace has its own calls, and those of its exec."""
    bed = recorder.bed
    thread, fork = (workload for workload in PROCESSES if workload.name in ("threads", "fork"))
    first, one = recorder.start(*SLEEPER.argv(WORKLOADS_DIR), runtime=runtime)
    bed.wait_for_line(first, SLEEPER.line)
    second, two = recorder.start("sleep", "600", runtime=runtime, options=[f"--pid=container:{first}"])
    assert bed.podman("exec", first, *thread.argv(WORKLOADS_DIR)).status == thread.status
    assert bed.podman("exec", second, *fork.argv(WORKLOADS_DIR)).status == fork.status
    for container in (second, first):
        bed.podman("kill", container).succeeded()
        bed.podman("wait", container).succeeded()
    bed.podman("rm", second).succeeded()  # before the one that it depends on
    assert one.names("app") >= thread.native
    assert two.names("app") >= fork.native
    assert not one.names() & fork.native
    assert not two.names() & thread.native


def test_restarted_container(recorder: Recorder, runtime: str) -> None:
    """Each start is a recording of its own, the last one stays."""
    bed = recorder.bed
    container, recorded = recorder.start("sh", "-c", "mkdir /tmp/new || rmdir /tmp/new", runtime=runtime)
    bed.podman("wait", container).succeeded()
    assert "mkdir" in recorded.allowed
    bed.podman("start", container).succeeded()
    bed.podman("wait", container).succeeded()
    # podman's second wait may tell of the first end.
    wait_for(lambda: not recorder.status()["recordings"] and not recorder.pins())
    assert "rmdir" in bed.allowed(recorded.profile)
