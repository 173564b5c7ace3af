"""Attached to real containers that run: all of their processes, who enters, servers under load, snapshots, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker_bed
import pytest
from attached import Attached
from catalogue import SET_CALLS, SLEEPER, set_workload
from daemons import opened_or_skipped, wait_for
from docker_bed import DockerBed, open_docker_bed
from podman_bed import WORKLOADS_DIR
from programs import IMAGE
from recording import MAIN, SOURCES, Recorder

from seclude.baseline import automatic
from seclude.startup import STARTING

pytestmark = pytest.mark.engine

Attach = Callable[..., Attached]
DAEMON = "while :; do mkdir /tmp/a; rmdir /tmp/a; echo >>/tmp/daemon; sleep 0.05; done"
TREE = f"""
(while :; do ln -s x /tmp/b; rm /tmp/b; echo >>/tmp/child; sleep 0.05; done) &
(setsid sh -c '{DAEMON}' &)
echo ready
while :; do read -t 0.1 line; echo >>/tmp/first; sleep 0.05; done
"""
"""A child, an orphan in a session of its own, and a first process: mkdir, symlink and poll are called by one each."""
LOOPS = ("first", "child", "daemon")
"""Files in /tmp that get a line at the end of each turn of these three."""


@pytest.fixture
def attach(recorder: Recorder, tmp_path: Path) -> Attach:
    """Starts `seclude record` with these words in podman's bed."""

    def start(*words: str | Path) -> Attached:
        environment = recorder.bed.environment | recorder.environment
        return Attached(tmp_path, words, prefix=recorder.bed.command(), environment=environment)

    return start


def first_process(recorder: Recorder, container: str) -> int:
    """The number of a container's first process."""
    shown = recorder.bed.podman("inspect", "--format", "{{.State.Pid}}", container).succeeded()
    return int(shown.out)


def turned(pid: int, *loops: str) -> None:
    """Returns once each of the loops has made a whole turn from now on, in the container with this first process."""
    files = [Path(f"/proc/{pid}/root/tmp/{loop}") for loop in loops]

    def turns() -> list[int]:
        return [file.stat().st_size if file.exists() else 0 for file in files]

    before = turns()  # each is amid a turn, of which we do not know what it did already
    wait_for(lambda: all(now >= then + 2 for then, now in zip(before, turns(), strict=True)), 120)


def stopped(pid: int) -> bool:
    """Whether the process is stopped (proc(5), stat, state T)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def remove(recorder: Recorder, *containers: str) -> None:
    recorder.bed.podman("rm", "--force", "--time", "0", *containers).succeeded()


class TestPodman:
    @pytest.mark.parametrize("seccomp", [None, "unconfined"])
    def test_all_processes_that_run(
        self, recorder: Recorder, runtime: str, attach: Attach, seccomp: str | None
    ) -> None:
        container = recorder.bed.start("sh", "-c", TREE, runtime=runtime, seccomp=seccomp)
        recorder.bed.wait_for_line(container, "ready")
        pid = first_process(recorder, container)
        with attach("--container", container[:20]) as attached:
            turned(pid, *LOOPS)
        remove(recorder, container)
        recording = attached.recording
        assert (attached.status, recording.losses.calls, recording.attached) == (0, 0, True), attached.said
        assert recording.names("app") >= {"mkdir", "symlink", "rmdir", "poll"}
        assert (recording.names("runtime"), recording.names("denied")) == (set(), set())
        executables = {call.first.executable for call in recording.calls}  # type: ignore[union-attr]
        assert {"/bin/busybox"} <= executables <= {"/bin/busybox", "/proc/self/exe"}
        assert (recording.engine, recording.runtime, recording.container) == ("podman", runtime, container)
        assert (recording.confined, recording.image) == (
            seccomp is None,
            recorder.bed.images.named("workloads"),
        )
        assert recording.runtime_version
        assert "CAP_CHOWN" in recording.capabilities
        assert recording.command[:2] == ("sh", "-c")

    def test_the_profile_says_what_is_missing(self, recorder: Recorder, runtime: str, attach: Attach) -> None:
        """Start-up calls are missing; with the baseline that is added a program gets to its main."""
        container = recorder.bed.start("sh", "-c", DAEMON, runtime=runtime)
        with attach("--container", container, "--duration", "3") as attached:
            pass
        remove(recorder, container)
        assert "what it calls only to start is missing" in attached.said
        baseline = automatic(attached.recording)
        assert {"execve", *STARTING} <= set(baseline)
        assert attached.allowed == attached.recording.names().union(baseline)
        started = recorder.bed.run("/workloads/set", "1", runtime=runtime, seccomp=attached.profile)
        assert started.status not in (125, 126, 127), started

    def test_who_enters_later(self, recorder: Recorder, runtime: str, attach: Attach) -> None:
        container = recorder.bed.start("sleep", "600", runtime=runtime)
        workload = set_workload(7)
        with attach("--container", container) as attached:
            recorder.bed.podman("exec", container, *workload.argv(WORKLOADS_DIR))
        remove(recorder, container)
        recording = attached.recording
        assert recording.names("app") & SET_CALLS == workload.native
        assert "execve" in recording.names("runtime")
        assert not recording.names() & {"setns", "pivot_root", "mount"}

    def test_the_end_of_the_container(self, recorder: Recorder, runtime: str, attach: Attach) -> None:
        container = recorder.bed.start(*SLEEPER.argv(WORKLOADS_DIR), runtime=runtime)
        recorder.bed.wait_for_line(container, SLEEPER.line)
        with attach("--container", container) as attached:
            recorder.bed.podman("kill", "--signal", "TERM", container).succeeded()
            attached.wait()
        remove(recorder, container)
        assert (attached.status, "has ended" in attached.said) == (0, True), attached.said
        assert attached.recording.names("app") >= SLEEPER.native

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_signals_end_the_recording(self, recorder: Recorder, attach: Attach, number: int) -> None:
        container = recorder.bed.start("sh", "-c", DAEMON)
        pid = first_process(recorder, container)
        with attach("--container", container) as attached:
            turned(pid, "daemon")
            attached.stop(number)
        alive = recorder.bed.podman("inspect", "--format", "{{.State.Running}}", container).out
        remove(recorder, container)
        assert (attached.status, "it was stopped" in attached.said) == (0, True), attached.said
        assert attached.recording.names("app") >= {"mkdir"}
        assert alive == "true\n"

    def test_a_killed_recorder_leaves_nothing(self, recorder: Recorder, attach: Attach) -> None:
        container = recorder.bed.start("sh", "-c", DAEMON)
        with attach("--container", container) as attached:
            attached.stop(signal.SIGKILL)
        assert (recorder.pins(), attached.file.exists()) == ([], False)
        os.kill(first_process(recorder, container), 0)
        remove(recorder, container)

    def test_by_the_number_of_its_first_process(
        self, recorder: Recorder, runtime: str, attach: Attach
    ) -> None:
        """As for a rootless container, which the root's podman does not know."""
        container = recorder.bed.start("sh", "-c", TREE, runtime=runtime)
        recorder.bed.wait_for_line(container, "ready")
        pid = first_process(recorder, container)
        with attach("--pid", str(pid)) as attached:
            turned(pid, *LOOPS)
        remove(recorder, container)
        recording = attached.recording
        assert recording.names("app") >= {"mkdir", "symlink", "poll"}
        assert (recording.engine, recording.runtime, recording.container) == ("podman", runtime, container)

    def test_in_the_pid_namespace_of_the_host(self, recorder: Recorder, attach: Attach) -> None:
        container = recorder.bed.start("sh", "-c", TREE, options=["--pid", "host"])
        recorder.bed.wait_for_line(container, "ready")
        pid = first_process(recorder, container)
        with attach("--container", container) as attached:
            recorder.bed.podman("exec", container, "/workloads/set", "3")
            turned(pid, *LOOPS)
        remove(recorder, container)
        assert attached.recording.names("app") >= {"mkdir", "symlink", "poll", *set_workload(3).native}

    def test_two_at_once(self, recorder: Recorder, attach: Attach, tmp_path: Path) -> None:
        """Each has its own container's calls, and one attached twice is recorded twice."""
        first = recorder.bed.start("sh", "-c", "while :; do mkdir /tmp/a; rmdir /tmp/a; done")
        second = recorder.bed.start("sh", "-c", "while :; do ln -s x /tmp/a; rm /tmp/a; done")
        environment = recorder.bed.environment | recorder.environment
        found = []
        running = []
        for number, container in enumerate((first, second, first)):
            directory = tmp_path / str(number)
            directory.mkdir()
            words = ("--container", container, "--duration", "2")
            running.append(Attached(directory, words, prefix=recorder.bed.command(), environment=environment))
        for one in running:
            with one:
                pass
            found.append(one.recording.names("app") & {"mkdir", "symlink"})
        remove(recorder, first, second)
        assert found == [{"mkdir"}, {"symlink"}, {"mkdir"}]

    def test_one_that_is_paused(self, recorder: Recorder, runtime: str, attach: Attach) -> None:
        """It is recorded once it goes on."""
        container = recorder.bed.start("sh", "-c", DAEMON, runtime=runtime)
        pid = first_process(recorder, container)
        turned(pid, "daemon")
        recorder.bed.podman("pause", container).succeeded()
        with attach("--container", container) as attached:
            recorder.bed.podman("unpause", container).succeeded()
            turned(pid, "daemon")
        remove(recorder, container)
        assert attached.status == 0, attached.said
        assert {"mkdir", "rmdir"} <= attached.recording.names("app")

    def test_counts_arguments_and_denials(self, recorder: Recorder, attach: Attach) -> None:
        container = recorder.bed.start("sh", "-c", DAEMON.replace("sleep", "date -s @0; sleep"))
        pid = first_process(recorder, container)
        options = ("--counts", "--denials", "--args", "safe")
        with attach("--container", container, *options) as attached:
            for _ in range(2):
                turned(pid, "daemon")
        remove(recorder, container)
        recording = attached.recording
        counts = {call.name: call.count for call in recording.calls if call.phase == "app"}
        assert counts["mkdir"] > 1
        assert counts["mkdir"] - 1 <= counts["rmdir"] <= counts["mkdir"] + 1
        assert "clock_settime" in recording.names("denied")
        assert recording.arguments


class TestRefused:
    def refused(self, recorder: Recorder, name: str, said: str, tmp_path: Path) -> None:
        profile = tmp_path / "none.json"
        done = recorder.seclude("record", "-o", profile, "--container", name, "--duration", "5")
        assert (done.status, said in done.err, profile.exists()) == (1, True, False), done

    @pytest.mark.parametrize(
        ("name", "said"),
        [("nobody", "there is no container nobody"), ("-it", "is no name"), ("", "is no name")],
    )
    def test_no_container(self, recorder: Recorder, name: str, said: str, tmp_path: Path) -> None:
        self.refused(recorder, name, said, tmp_path)

    def test_one_that_does_not_run(self, recorder: Recorder, tmp_path: Path) -> None:
        container = recorder.bed.start("true")
        recorder.bed.podman("wait", container).succeeded()
        self.refused(recorder, container, "does not run", tmp_path)
        remove(recorder, container)

    def test_one_that_does_nothing(self, recorder: Recorder, tmp_path: Path) -> None:
        container = recorder.bed.start("sleep", "600")
        pid = first_process(recorder, container)
        os.kill(pid, signal.SIGSTOP)  # it may be on its way to its sleep still
        wait_for(lambda: stopped(pid))
        done = recorder.seclude("record", "-o", tmp_path / "p", "--container", container, "--duration", "0.3")
        remove(recorder, container)
        assert (done.status, "give it something to do" in done.err) == (1, True), done

    def test_one_that_is_recorded_from_its_start(self, recorder: Recorder, tmp_path: Path) -> None:
        container, recorded = recorder.start("sleep", "600")
        self.refused(recorder, container, "is being recorded from its start", tmp_path)
        remove(recorder, container)
        assert recorded.names("app")


class TestSnapshot:
    def test_the_recording_goes_on(self, recorder: Recorder, runtime: str, tmp_path: Path) -> None:
        container, recorded = recorder.start(*SLEEPER.argv(WORKLOADS_DIR), runtime=runtime)
        recorder.bed.wait_for_line(container, SLEEPER.line)
        pins = recorder.pins()
        for name in (container, container[:12], container[:4]):
            profile, file = tmp_path / "so-far.json", tmp_path / "so-far.recording.json"
            done = recorder.seclude(
                "snapshot", name, "-o", profile, "--recording", file, "--json"
            ).succeeded()
            said = json.loads(done.err)
            assert (said["container"], said["lost"]) == (container, 0)
            assert "execve" in recorder.bed.allowed(profile)
            assert not recorder.bed.allowed(profile) & SLEEPER.native
            assert set(said["calls"]) <= recorder.bed.allowed(profile)
        assert (recorder.pins(), recorder.status()["recordings"][0]["state"]) == (pins, "running")
        so_far = recorder.bed.allowed(profile)
        recorder.bed.podman("kill", "--signal", "TERM", container).succeeded()
        recorder.bed.podman("wait", container).succeeded()
        remove(recorder, container)
        assert recorded.allowed > so_far
        assert recorded.names("app") >= SLEEPER.native
        assert not recorded.recording.attached

    def test_by_name_to_standard_output(self, recorder: Recorder, tmp_path: Path) -> None:
        container, _ = recorder.start("sleep", "600", options=["--name", "db"])
        shown = [recorder.seclude("snapshot", "db", *more, cwd=tmp_path) for more in ((), ("-o", "-"))]
        remove(recorder, container)
        assert [*tmp_path.iterdir()] == []
        for done in shown:
            assert json.loads(done.succeeded().out)["defaultAction"] == "SCMP_ACT_ERRNO"
            assert "the recording goes on" in done.err

    def test_refusals(self, recorder: Recorder, tmp_path: Path) -> None:
        recorded = [recorder.start("sleep", "600")[0] for _ in range(17)]
        other = recorder.bed.start("sleep", "600")
        shared = next(
            digit for digit in "0123456789abcdef" if sum(each.startswith(digit) for each in recorded) > 1
        )
        for name, said in (
            ("nobody", "no container 'nobody' is being recorded"),
            (other, "is being recorded"),
            (other[:13], "is being recorded"),
            (shared, "recorded containers"),
            ("-x", "No such option"),
            ("", "is being recorded"),
        ):
            done = recorder.seclude("snapshot", name, "-o", tmp_path / "none.json")
            assert (done.status != 0, said in done.err) == (True, True), done
        assert not (tmp_path / "none.json").exists()
        remove(recorder, *recorded, other)

    def test_while_the_container_ends(self, recorder: Recorder, tmp_path: Path) -> None:
        """Whoever comes first: nothing is left loaded, and no recording is spoiled."""
        for _ in range(3):
            container, recorded = recorder.start("sh", "-c", "sleep 0.7; mkdir /tmp/a")
            deadline = time.monotonic() + 60
            while recorder.seclude("snapshot", container, "-o", tmp_path / "p.json").status == 0:
                assert time.monotonic() < deadline
            recorder.bed.podman("wait", container).succeeded()
            remove(recorder, container)
            assert "mkdir" in recorded.names("app")
            assert recorder.pins() == []


NGINX = """
mkdir -p /tmp/www && echo '<p>hello' >/tmp/www/index.html && cat >/tmp/nginx.conf <<END
worker_processes 2; daemon off; pid /tmp/pid; error_log /tmp/error.log;
events { worker_connections 256; }
http { access_log off; keepalive_requests 1000000; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p;
fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
server { listen 127.0.0.1:8080; root /tmp/www; } }
END
chmod -R a+rX /tmp/www
exec nginx -e /tmp/error.log -c /tmp/nginx.conf
"""
REDIS = "exec redis-server --bind 127.0.0.1 --port 6379 --save '' --dir /tmp"
CLIENT = """
import socket, sys, threading, time
port = int(sys.argv[1])
request, answer = (word.encode().decode("unicode_escape").encode() for word in sys.argv[2:4])
deadline = time.monotonic() + 60
while True:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        assert time.monotonic() < deadline, "nobody listens"
        time.sleep(0.05)
print("ready", flush=True)
stopped, done, wrong = threading.Event(), [], []
def load(number):
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        while not stopped.is_set():
            try:
                connection.sendall(request)
                got = connection.recv(65536)
            except OSError as error:
                wrong.append(repr(error))
                return
            (done if got.startswith(answer) else wrong).append(got[:40])
threads = [threading.Thread(target=load, args=(number,)) for number in range(8)]
for thread in threads: thread.start()
sys.stdin.read()
stopped.set()
for thread in threads: thread.join()
print(len(done), len(wrong), wrong[:3])
"""
SERVERS = {
    "nginx": (NGINX, "8080", "GET / HTTP/1.1\\r\\nHost: a\\r\\n\\r\\n", "HTTP/1.1 200 OK"),
    "redis": (REDIS, "6379", "INCR a\\r\\n", ":"),
}


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_under_load_no_request_is_lost(recorder: Recorder, runtime: str, attach: Attach, server: str) -> None:
    script, port, request, answer = SERVERS[server]
    container = recorder.bed.start("sh", "-c", script, image=IMAGE, runtime=runtime)
    inside = ["nsenter", f"--net=/proc/{first_process(recorder, container)}/ns/net"]
    client = subprocess.Popen(
        [*inside, sys.executable, "-c", CLIENT, port, request, answer],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert client.stdout is not None
    assert client.stdout.readline() == "ready\n"
    for _ in range(3):  # the load goes on while it attaches and leaves
        with attach("--container", container, "--duration", "0.7") as attached:
            pass
        assert (attached.status, attached.recording.losses.calls) == (0, 0), attached.said
    done, wrong = client.communicate(timeout=60)[0].split(maxsplit=2)[:2]
    remove(recorder, container)
    assert (int(done) > 100, wrong) == (True, "0")
    assert attached.recording.names("app") >= {"epoll_wait", "recvfrom" if server == "nginx" else "read"}


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerBed]:
    with opened_or_skipped(docker_bed.missing(), open_docker_bed) as bed:
        yield bed


def test_docker(docker: DockerBed, tmp_path: Path) -> None:
    environment = docker.environment | {"PYTHONPATH": str(SOURCES), "SECLUDE_STATE_DIR": str(tmp_path / "s")}
    workload = set_workload(11)
    with docker.running("web", "sh", "-c", TREE) as name:
        with Attached(tmp_path, ("--container", name), prefix=(), environment=environment) as attached:
            docker.docker("exec", name, *workload.argv(WORKLOADS_DIR))
            shown = docker.docker("inspect", "--format", "{{.State.Pid}}", name).succeeded()
            turned(int(shown.out), *LOOPS)
        identity = docker.docker("inspect", "--format", "{{.Id}}", name).succeeded().out.strip()
    recording = attached.recording
    assert (attached.status, recording.losses.calls) == (0, 0), attached.said
    assert recording.names("app") >= {"mkdir", "symlink", "poll"}
    assert recording.names("app") & SET_CALLS == workload.native
    assert (recording.engine, recording.image, recording.container) == ("docker", docker_bed.IMAGE, identity)
    assert (recording.runtime, recording.confined) == ("runc", True)
    assert recording.runtime_version
    assert "CAP_CHOWN" in recording.capabilities
    assert "execve" in recording.names("runtime")
    assert not recording.names() & {"setns", "pivot_root", "mount"}


def test_docker_on_another_machine(docker: DockerBed, tmp_path: Path) -> None:
    state = {"Running": True, "Pid": os.getpid()}
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\necho '{json.dumps([{'Id': 64 * 'a', 'Name': '/web', 'State': state}])}'\n")
    client.chmod(0o755)
    environment = {"PYTHONPATH": str(SOURCES), "PATH": f"{tmp_path}:{docker.environment['PATH']}"}
    words = ("record", "-o", tmp_path / "p.json", "--container", "web", "--duration", "1")
    done = docker.host(sys.executable, "-c", MAIN, *words, env=environment)
    assert (done.status, "on another machine" in done.err) == (1, True), done
