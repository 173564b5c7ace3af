"""containerd: what `ctr` and Kubernetes' interface start is recorded and confined as podman's containers are."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from containerd_bed import IMAGE, missing
from containerd_recorder import RUNTIME, ContainerdRecorder, open_containerd_recorder
from cri_client import Cri, CriError
from daemons import opened_or_skipped, wait_for
from podman_bed import Bed
from recording import DENIED, Recorded, Recorder

pytestmark = pytest.mark.engine

CONFINED = ("--seccomp",)
WAIT = "trap 'exit 7' TERM; : >/tmp/ready; while :; do sleep 0.1; done"
LATER = "trap 'exit 7' TERM; mkdir /tmp/later; while :; do sleep 0.1; done"


@pytest.fixture(scope="module")
def installed_containerd() -> Iterator[ContainerdRecorder]:
    with opened_or_skipped(missing(), open_containerd_recorder) as opened:
        yield opened


@pytest.fixture
def containerd(installed_containerd: ContainerdRecorder) -> Iterator[ContainerdRecorder]:
    """containerd with our runtime; after the test nothing may be registered or pinned."""
    yield installed_containerd
    installed_containerd.left_nothing()


@pytest.fixture(scope="module")
def cri(installed_containerd: ContainerdRecorder) -> Iterator[Cri]:
    """The engine as kubelet sees it."""
    logs = installed_containerd.bed.directory / "logs"
    logs.mkdir()
    client = Cri(installed_containerd.bed.socket, logs)
    yield client
    client.close()


def under(profile: Path) -> tuple[str, ...]:
    """Options of `ctr run` for a container under this profile."""
    return ("--seccomp", "--seccomp-profile", str(profile))


class TestCtr:
    def test_the_demonstration(self, containerd: ContainerdRecorder, recorder: Recorder) -> None:
        """The seed's, with the calls that podman's recording of the same command has."""
        debian = containerd.bed.import_image("debian")
        short = containerd.record("ls", "/", image=debian)
        short.result.succeeded()
        theirs = recorder.record("ls", "/", image="debian")
        assert short.names("app") == theirs.names("app")
        assert short.recording.losses.calls == 0
        bed = containerd.bed
        again = bed.run("ls", "/", options=under(short.profile), image=debian).succeeded()
        assert again.out == short.result.out
        refused = bed.run("ls", "-l", "/", options=under(short.profile), image=debian)
        assert (refused.status != 0, DENIED in refused.err) == (True, True), refused
        long = containerd.record("ls", "-l", "/", image=debian)
        assert long.names("app") == recorder.record("ls", "-l", "/", image="debian").names("app")
        assert short.names("app") < long.names("app")
        bed.run("ls", "-l", "/", options=under(long.profile), image=debian).succeeded()

    @pytest.mark.parametrize("options", [CONFINED, ()], ids=["seccomp", "unconfined"])
    def test_with_a_filter_and_without(
        self, containerd: ContainerdRecorder, recorder: Recorder, options: tuple[str, ...]
    ) -> None:
        """`ctr run` confines only where it is told to; the profile is enough for the runtime in both cases."""
        recorded = containerd.record("ls", "/", options=options)
        recording = recorded.recording
        assert (recording.engine, recording.runtime, recording.confined) == (
            "containerd",
            "runc",
            bool(options),
        )
        assert recording.command == ("ls", "/")
        assert recorded.names("app") == recorder.record("ls", "/").names("app")
        containerd.bed.run("ls", "/", options=under(recorded.profile)).succeeded()
        refused = containerd.bed.run("mkdir", "/tmp/new", options=under(recorded.profile))
        assert (refused.status, DENIED in refused.err) == (1, True), refused

    def test_exec(self, containerd: ContainerdRecorder) -> None:
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        options = [*containerd.options(profile, file), *CONFINED]
        bed = containerd.bed
        with bed.running("sh", "-c", WAIT, options=options, binary=str(containerd.launcher)) as name:
            fifos = ["--exec-id", "one", "--fifo-dir", bed.directory / "fifos"]
            bed.ctr("tasks", "exec", *fifos, name, "mkdir", "/tmp/new").succeeded()
        recorded = Recorded(bed.ctr("version"), profile, file)
        assert "mkdir" in recorded.names("app")

    @pytest.mark.parametrize("number", ["SIGTERM", "SIGKILL"])
    def test_kill(self, containerd: ContainerdRecorder, number: str) -> None:
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        options = containerd.options(profile, file)
        bed = containerd.bed
        with bed.running("sh", "-c", LATER, options=options, binary=str(containerd.launcher)) as name:
            fifos = ["--exec-id", "one", "--fifo-dir", bed.directory / "fifos"]
            wait_for(lambda: bed.ctr("tasks", "exec", *fifos, name, "ls", "/tmp/later").status == 0)
            bed.ctr("tasks", "kill", "--signal", number, name).succeeded()
            wait_for(lambda: "STOPPED" in bed.ctr("tasks", "list").out)
            bed.ctr("tasks", "delete", name)
            assert "mkdir" in Recorded(bed.ctr("version"), profile, file).names("app")

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_the_engine_ends_meanwhile(self, containerd: ContainerdRecorder, number: int) -> None:
        """As a restart after `seclude runtime install` does: the recording goes on with its container."""
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        options = containerd.options(profile, file)
        bed = containerd.bed
        with bed.running("sh", "-c", WAIT, options=options, binary=str(containerd.launcher)) as name:
            bed.restart(number)
            assert len(containerd.status()["recordings"]) == 1
            fifos = ["--exec-id", "one", "--fifo-dir", bed.directory / "fifos"]
            bed.ctr("tasks", "exec", *fifos, name, "mkdir", "/tmp/new").succeeded()
        assert "mkdir" in Bed.allowed(profile)

    def test_the_shim_is_killed(self, containerd: ContainerdRecorder) -> None:
        """containerd cleans up after it with the same runtime: the recording is written, and a neighbour goes on."""
        bed = containerd.bed
        files = [(containerd.path(".json"), containerd.path(".recording.json")) for _ in range(2)]
        binary = str(containerd.launcher)
        with (
            bed.running("sh", "-c", WAIT, options=containerd.options(*files[0]), binary=binary) as name,
            bed.running("sh", "-c", WAIT, options=containerd.options(*files[1]), binary=binary) as neighbour,
        ):
            [line] = [line for line in bed.ctr("tasks", "list").lines if line.split()[0] == name]
            shim = int(Path(f"/proc/{line.split()[1]}/stat").read_text().rpartition(")")[2].split()[1])
            assert "containerd-shim" in Path(f"/proc/{shim}/comm").read_text()
            bundle = bed.directory / "run" / "io.containerd.runtime.v2.task" / "seclude" / name
            socket = Path((bundle / "address").read_text().removeprefix("unix://"))
            os.kill(shim, signal.SIGKILL)
            wait_for(lambda: len(containerd.status()["recordings"]) == 1)
            # containerd leaves that where it is, outside of the bed.
            socket.unlink(missing_ok=True)
            assert Bed.allowed(files[0][0])
            assert [each["container"] for each in containerd.status()["recordings"]] == [neighbour]
        assert Bed.allowed(files[1][0])

    def test_who_asks_for_nothing(self, containerd: ContainerdRecorder) -> None:
        """The same output and status as through runc."""
        script = "echo out; echo err >&2; grep -E '^(Cap|Seccomp|NoNew)' /proc/self/status; id; exit 3"
        ours, theirs = (
            containerd.bed.run("sh", "-c", script, options=CONFINED, binary=binary)
            for binary in (str(containerd.launcher), "")
        )
        assert (ours.status, ours.out, ours.err) == (theirs.status, theirs.out, theirs.err)
        assert ours.status == 3

    def test_a_path_that_the_policy_forbids(self, containerd: ContainerdRecorder) -> None:
        before = Path("/etc/passwd").read_bytes()
        options = ["--annotation", "io.containers.trace-syscall=of:/etc/passwd"]
        refused = containerd.bed.run("true", options=options, binary=str(containerd.launcher))
        assert refused.status != 0
        assert "/etc/passwd: the policy allows only paths in" in refused.err
        assert Path("/etc/passwd").read_bytes() == before


class TestCri:
    """The handler that `seclude runtime install --engine containerd` wrote, as a RuntimeClass names it."""

    def test_a_pod_is_recorded_and_confined(
        self, containerd: ContainerdRecorder, cri: Cri, recorder: Recorder
    ) -> None:
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        with cri.pod(containerd.annotations(profile, file), handler=RUNTIME) as pod:
            ended = pod.run("app", "ls", "/", image=IMAGE)
        recorded = Recorded(containerd.bed.ctr("version"), profile, file)
        recording = recorded.recording
        assert (ended.status, recording.container) == (0, ended.container)
        assert (recording.engine, recording.runtime, recording.image) == ("containerd", "runc", IMAGE)
        assert recording.confined
        assert recorded.names("app") == recorder.record("ls", "/").names("app")

        with cri.pod({}, handler="runc") as pod:
            again = pod.run("again", "ls", "/", image=IMAGE, seccomp=profile)
            assert (again.status, again.out) == (0, ended.out)
            refused = pod.run("refused", "mkdir", "/tmp/new", image=IMAGE, seccomp=profile)
            assert (refused.status, DENIED in refused.err) == (1, True), refused

    @pytest.mark.parametrize("no_new_privileges", [False, True])
    def test_the_pods_own_container_is_not_recorded(
        self, containerd: ContainerdRecorder, cri: Cri, no_new_privileges: bool
    ) -> None:
        """It gets the same annotations, and outlives all others."""
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        with cri.pod(containerd.annotations(profile, file), handler=RUNTIME) as pod:
            assert containerd.status()["recordings"] == []
            container = pod.start("app", "sh", "-c", WAIT, image=IMAGE, no_new_privileges=no_new_privileges)
            assert [each["container"] for each in containerd.status()["recordings"]] == [container]
            status, _, err = pod.execute(container, "mkdir", "/tmp/new")
            assert (status, err) == (0, "")
            wait_for(lambda: pod.execute(container, "test", "-e", "/tmp/ready")[0] == 0)
            pod.stop(container, 60)
            assert pod.wait(container) == 7
            assert file.exists()
        recorded = Recorded(containerd.bed.ctr("version"), profile, file)
        assert recorded.recording.no_new_privileges == no_new_privileges
        assert recorded.recording.container == container
        assert "mkdir" in recorded.names("app")

    def test_each_container_has_its_own_file(self, containerd: ContainerdRecorder, cri: Cri) -> None:
        """CRI-O's convention, KEY/CONTAINER, with containerd."""
        files = {name: (containerd.path(".json"), containerd.path(".recording.json")) for name in "ab"}
        annotations: dict[str, str] = {}
        for name, (profile, file) in files.items():
            annotations |= containerd.annotations(profile, file, container=name)
        with cri.pod(annotations, handler=RUNTIME) as pod:
            running = {name: pod.start(name, "sh", "-c", WAIT, image=IMAGE) for name in "abc"}
            recorded = {each["container"] for each in containerd.status()["recordings"]}
            assert recorded == {running["a"], running["b"]}
            pod.execute(running["a"], "mkdir", "/tmp/new")
            for name in "bca":
                pod.stop(running[name])
        allowed = {name: Bed.allowed(profile) for name, (profile, _) in files.items()}
        assert ("mkdir" in allowed["a"], "mkdir" in allowed["b"]) == (True, False)

    def test_two_containers_and_one_file(self, containerd: ContainerdRecorder, cri: Cri) -> None:
        """The second is not started: what was recorded of the first would be lost."""
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        with cri.pod(containerd.annotations(profile, file), handler=RUNTIME) as pod:
            first = pod.start("first", "sh", "-c", WAIT, image=IMAGE)
            with pytest.raises(CriError, match="is being recorded to the same file"):
                pod.start("second", "true", image=IMAGE)
            pod.stop(first)
        assert Recorded(containerd.bed.ctr("version"), profile, file).recording.container == first

    def test_annotations_of_a_container(self, containerd: ContainerdRecorder, cri: Cri) -> None:
        """Not Kubernetes' users, but other clients of the interface have these."""
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        with cri.pod({}, handler=RUNTIME) as pod:
            ended = pod.run("app", "true", image=IMAGE, annotations=containerd.annotations(profile, file))
        assert Recorded(containerd.bed.ctr("version"), profile, file).recording.container == ended.container

    def test_another_handler_records_nothing(self, containerd: ContainerdRecorder, cri: Cri) -> None:
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        with cri.pod(containerd.annotations(profile, file), handler="runc") as pod:
            assert pod.run("app", "true", image=IMAGE).status == 0
        assert (profile.exists(), file.exists()) == (False, False)

    def test_a_path_that_the_policy_forbids(self, containerd: ContainerdRecorder, cri: Cri) -> None:
        """What somebody who may make pods asks for is not what root asks for; kubelet shows the reason."""
        before = Path("/etc/passwd").read_bytes()
        annotations = {"io.containers.trace-syscall": "of:/etc/passwd"}
        with (
            cri.pod(annotations, handler=RUNTIME) as pod,
            pytest.raises(CriError, match="/etc/passwd: the policy allows only paths in"),
        ):
            pod.run("app", "true", image=IMAGE)
        assert Path("/etc/passwd").read_bytes() == before

    def test_unconfined(self, containerd: ContainerdRecorder, cri: Cri) -> None:
        """Kubernetes' default: the profile is enough for runc all the same."""
        profile, file = containerd.path(".json"), containerd.path(".recording.json")
        with cri.pod(containerd.annotations(profile, file), handler=RUNTIME) as pod:
            pod.run("app", "ls", "/", image=IMAGE, seccomp="unconfined")
        assert not Recorded(containerd.bed.ctr("version"), profile, file).recording.confined
        with cri.pod({}, handler="runc") as pod:
            assert pod.run("app", "ls", "/", image=IMAGE, seccomp=profile).status == 0
