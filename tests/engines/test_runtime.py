"""The runtime that leads to runc: nobody notices it who asks for nothing, and whatever is killed, nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from daemons import wait_for
from docker_bed import IMAGE
from docker_recorder import RUNTIME, SLOW, DockerRecorder, install
from podman_bed import Bed, Result

from seclude.launcher import read_launcher

pytestmark = pytest.mark.engine

STATUS = "grep -E '^(Sig[^Q]|Shd|Cap|Seccomp|NoNew|Groups|Uid|Gid|Umask|Threads|Cpus)' /proc/self/status"
"""What a runtime hands on to a container's first process."""

STARTS = 20
KILLS = 6
NOT_STARTED = (125, 127)
"""What docker ends with: 127 where what it makes of a killed runtime has "no such file" in it."""

NOBODY = 65534


def start(docker: DockerRecorder, runtime: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """A container of this runtime that runs or has run; its id."""
    more = ["--detach", "--network", "none", "--hostname", "same", "--runtime", runtime]
    return docker.bed.docker("run", *more, *options, IMAGE, *command).succeeded().out.strip()


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def inspected(docker: DockerRecorder, container: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker.bed.docker("inspect", container).succeeded().out)[0]
    return found


def plain(value: Any, container: str) -> Any:
    """What `docker inspect` says, without what differs between any two containers."""
    own = {"Id", "Created", "StartedAt", "FinishedAt", "Pid", "Name", "Runtime", "Start", "End", "Data"}
    own |= {"SandboxID", "SandboxKey", "EndpointID", "NetworkID", "MacAddress"}
    if isinstance(value, dict):
        return {name: plain(item, container) for name, item in value.items() if name not in own}
    if isinstance(value, list):
        return [plain(item, container) for item in value]
    return value.replace(container, "ID") if isinstance(value, str) else value


class TestPlain:
    """`docker run --runtime seclude` without a request is `docker run --runtime runc`."""

    @pytest.mark.parametrize(
        ("options", "command"),
        [
            ((), ("sh", "-c", f"echo out; echo err >&2; {STATUS}; cat /proc/self/limits; env; exit 3")),
            (("--init",), ("sh", "-c", "ps -o args; exit 4")),
            (("--tty",), ("sh", "-c", "stty size; tty; exit 5")),
            (("--user", "7:8"), ("sh", "-c", "id; touch /no")),
            (("--read-only",), ("sh", "-c", "touch /no; cat /proc/mounts")),
            (("--privileged",), ("sh", "-c", STATUS)),
            (("--cap-drop=ALL", "--security-opt=no-new-privileges"), ("sh", "-c", STATUS)),
            (("--env", "create=run", "--name", "create"), ("echo", "create")),
            ((), ("/no/such/program",)),
            (("--workdir", "/tmp/new", "--env", "A=é\u2028\"'"), ("sh", "-c", 'pwd; echo "$A"')),
        ],
        ids=lambda value: " ".join(value)[:24],
    )
    def test_output_and_status(
        self, docker: DockerRecorder, options: tuple[str, ...], command: tuple[str, ...]
    ) -> None:
        def run(runtime: str) -> tuple[int, str, str]:
            more = ["--hostname", "same", "--runtime", runtime, *options]
            done = docker.run(*command, options=more)
            # Names of layers and containers.
            names = re.compile("[0-9a-zA-Z]{26,}")
            return done.status, names.sub("", done.out), names.sub("", done.err)

        assert run(RUNTIME) == run("runc")

    def test_inspect_logs_exec_stop_restart(self, docker: DockerRecorder) -> None:
        # No process comes and goes in it.
        program = (
            "[ -p /tmp/f ] || mkfifo /tmp/f; exec 3<>/tmp/f; trap 'echo bye; exit 6' TERM; echo hello; "
            "while :; do read -t 1 line <&3; done"
        )
        said: dict[str, Any] = {}
        bed = docker.bed
        for runtime in ("runc", RUNTIME):
            container = start(docker, runtime, "sh", "-c", program)

            def greeted(times: int, container: str = container) -> None:
                """Returns once it has started so often, as far as its trap."""
                wait_for(lambda: bed.docker("logs", container).out.count("hello") == times)

            greeted(1)
            results = [
                plain(inspected(docker, container), container),
                bed.docker("exec", "--user", "7", container, "sh", "-c", "id; exit 9"),
                bed.docker("exec", "--tty", container, "tty"),
                bed.docker("top", container, "-o", "args"),
                bed.docker("pause", container),
                bed.docker("unpause", container),
                bed.docker("update", "--cpu-shares", "300", container),
                bed.docker("stop", "--time", "60", container),
                plain(inspected(docker, container), container),
                bed.docker("start", container),
                greeted(2),
                bed.docker("restart", "--time", "60", container),
                greeted(3),
                bed.docker("kill", "--signal", "KILL", container),
                bed.docker("wait", container),
                bed.docker("logs", container),
                bed.docker("rm", container),
            ]
            said[runtime] = [
                (item.status, *(text.replace(container, "ID") for text in (item.out, item.err)))
                if isinstance(item, Result)
                else item
                for item in results
            ]
        for ours, theirs in zip(said[RUNTIME], said["runc"], strict=True):
            assert ours == theirs

    def test_health_check(self, docker: DockerRecorder) -> None:
        seen = {}
        for runtime in ("runc", RUNTIME):
            options = ("--health-cmd", "echo well", "--health-interval", "1s", "--health-timeout", "90s")
            container = start(docker, runtime, "sleep", "600", options=options)
            wait_for(lambda c=container: inspected(docker, c)["State"]["Health"]["Status"] == "healthy", 120)
            [entry, *_] = inspected(docker, container)["State"]["Health"]["Log"]
            seen[runtime] = (entry["ExitCode"], entry["Output"])
            docker.bed.docker("rm", "--force", container)
        assert seen[RUNTIME] == seen["runc"] == (0, "well\n")

    @pytest.mark.parametrize(
        "words",
        ["--version", "features", "--help", "state none", "spec --nothing", "", "create", "run x", "nothing"],
    )
    def test_every_other_command(self, docker: DockerRecorder, tmp_path: Path, words: str) -> None:
        def run(program: str) -> tuple[int, bytes, bytes]:
            root = ["--root", str(tmp_path / "root")]
            done = subprocess.run([program, *root, *words.split()], capture_output=True, cwd=tmp_path)
            times = re.compile(rb'time="[^"]*"')
            return done.returncode, times.sub(b"", done.stdout), times.sub(b"", done.stderr)

        launcher = docker.bed.directory / "launchers" / RUNTIME
        real = read_launcher(str(launcher)).runtime
        assert run(str(launcher)) == run(real)
        assert list(tmp_path.glob("*.json")) == []


class TestSafety:
    def refused(self, docker: DockerRecorder, value: str, message: str) -> None:
        done = docker.run("true", options=docker.traced(value))
        assert done.status == 125
        assert message in done.err, done

    def test_a_file_of_the_system(self, docker: DockerRecorder) -> None:
        before = Path("/etc/passwd").read_bytes()
        self.refused(docker, "of:/etc/passwd", "/etc/passwd: the policy allows only paths in")
        assert Path("/etc/passwd").read_bytes() == before

    def test_a_path_of_another_user(self, docker: DockerRecorder, tmp_path: Path) -> None:
        self.refused(docker, f"of:{tmp_path}/a.json", "the policy allows only paths in")
        policy = docker.bed.directory / "policy.toml"
        before = policy.read_text()
        theirs = docker.outputs / "theirs"
        theirs.mkdir()
        os.chown(theirs, NOBODY, NOBODY)
        try:
            policy.write_text(f'{before}directory-owners = ["root"]\n')
            self.refused(docker, f"of:{theirs}/a.json", f"belongs to the user {NOBODY}")
            docker.run("true", options=docker.traced(f"of:{docker.outputs}/own.json")).succeeded()
            docker.settle()
        finally:
            policy.write_text(before)
        assert list(theirs.iterdir()) == []

    def test_without_a_policy_only_the_usual_directory(self, docker: DockerRecorder) -> None:
        policy = docker.bed.directory / "policy.toml"
        before = policy.read_text()
        policy.unlink()
        try:
            self.refused(
                docker, f"of:{docker.path('.json')}", "the policy allows only paths in /var/lib/seclude"
            )
            # Root's own request is another matter.
            docker.record("true").result.succeeded()
        finally:
            policy.write_text(before)

    @pytest.mark.parametrize(
        "value", ["of:{out}/../../x.json", "of:{out}/link/x.json", "of:{out}/linked.json"]
    )
    def test_ways_out(self, docker: DockerRecorder, tmp_path: Path, value: str) -> None:
        for name, target in (("link", tmp_path), ("linked.json", tmp_path / "x.json")):
            if not (docker.outputs / name).is_symlink():
                (docker.outputs / name).symlink_to(target)
        done = docker.run("true", options=docker.traced(value.format(out=docker.outputs)))
        assert done.status == 125, done
        assert list(tmp_path.iterdir()) == []

    def test_reading_what_others_may_not(self, docker: DockerRecorder, tmp_path: Path) -> None:
        secret = tmp_path / "profile.json"
        secret.write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
        for path in (secret, "/no/such/file"):
            message = f"{path}: the policy allows only paths in"
            self.refused(docker, f"of:{docker.path('.json')};if:{path}", message)
        link = docker.path(".json")
        link.symlink_to(secret)
        message = f"{link}: a part of the path is a symbolic link"
        self.refused(docker, f"of:{docker.path('.json')};if:{link}", message)

    @pytest.mark.parametrize("token", ["x", "../../etc/passwd", "0" * 32 + "/.."])
    def test_what_is_no_token(self, docker: DockerRecorder, token: str) -> None:
        self.refused(docker, f"request:{token}", "names no request")

    def test_a_request_that_root_has_not_left(self, docker: DockerRecorder) -> None:
        """It starts as any other container, and is not recorded."""
        done = docker.run("env", options=docker.traced(f"request:{'0' * 32}")).succeeded()
        assert f"SECLUDE_TRACE=request:{'0' * 32}" in done.out
        requests = docker.state / "requests"
        requests.mkdir(exist_ok=True)
        forged = requests / f"{'1' * 32}.json"
        forged.write_text(json.dumps({"version": 1, "annotations": {"io.seclude.recording": "/etc/new"}}))
        os.chown(forged, NOBODY, NOBODY)
        try:
            self.refused(docker, f"request:{'1' * 32}", "can be changed by others than root")
        finally:
            forged.unlink()


class TestFailure:
    def test_a_real_runtime_that_is_gone(self, docker: DockerRecorder, tmp_path: Path) -> None:
        """The bundle is as it was, and the engine's log has the reason."""
        config = {"ociVersion": "1.0.2", "annotations": {"io.containers.trace-syscall": "of:/a"}}
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        text = json.dumps(config, indent=1)
        (bundle / "config.json").write_text(text)
        launcher = (docker.bed.directory / "launchers" / RUNTIME).read_text()
        program = tmp_path / "launcher"
        program.write_text(re.sub(r"--seclude-runtime=\S+", "--seclude-runtime=/no/runc", launcher))
        program.chmod(0o755)
        log = tmp_path / "log"
        words = ["--log", log, "--log-format", "json", "create", "--bundle", bundle, "x"]
        done = subprocess.run([program, *words], capture_output=True, text=True)
        assert done.returncode == 1
        assert "the runtime /no/runc cannot be started: No such file" in done.stderr
        assert "the runtime /no/runc cannot be started" in json.loads(log.read_text())["msg"]
        assert (bundle / "config.json").read_text() == text
        assert [path.name for path in bundle.iterdir()] == ["config.json"]

    def test_docker_removes_the_bundle_of_a_failed_create(self, docker: DockerRecorder) -> None:
        done = docker.run("/no/such", options=docker.traced(f"of:{docker.path('.json')}"))
        assert done.status == 127
        assert list((docker.bed.directory / "exec").rglob("config.json")) == []

    def test_an_installation_that_is_gone(self, docker: DockerRecorder) -> None:
        """Containers start all the same, unrecorded."""
        launcher = docker.bed.directory / "launchers" / RUNTIME
        before = launcher.read_text()
        profile = docker.path(".json")
        try:
            launcher.write_text(before.replace("/seclude/runtime.py", "/seclude/gone.py"))
            docker.run("true", options=docker.traced(f"of:{profile}")).succeeded()
        finally:
            launcher.write_text(before)
        assert not profile.exists()


def test_many_at_once(docker: DockerRecorder) -> None:
    """Half of them recorded: all start, all profiles are written."""
    profiles = [docker.path(".json") for _ in range(STARTS // 2)]
    requests = [docker.traced(f"of:{profile}") for profile in profiles]
    requests += [["--runtime", RUNTIME]] * (STARTS // 2)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda options: docker.run("ls", "/", options=options), requests))
    assert [result.status for result in results] == [0] * STARTS, [r for r in results if r.status]
    docker.settle()
    sets = {frozenset(Bed.allowed(profile)) for profile in profiles}
    assert all(allowed >= frozenset.intersection(*sets) and "getdents64" in allowed for allowed in sets)


class TestKilled:
    """No other container is harmed, and nothing is left after `seclude hook gc`."""

    @pytest.fixture(autouse=True)
    def neighbour(self, docker: DockerRecorder, request: pytest.FixtureRequest) -> Iterator[None]:
        profile = docker.path(".json")
        options = tuple(docker.traced(f"of:{profile}")[2:])
        container = start(docker, RUNTIME, "sleep", "600", options=options)
        pid = inspected(docker, container)["State"]["Pid"]
        yield
        # An engine that starts anew ends what it finds running, as it does with every runtime.
        assert alive(pid) or request.node.name.startswith("test_the_engine")
        docker.bed.docker("rm", "--force", container).succeeded()
        docker.settle()
        assert Bed.allowed(profile)
        self.swept(docker)

    @staticmethod
    def swept(docker: DockerRecorder) -> None:
        docker.settle(2)
        # A runtime that was killed does not take its hook along, which may only now register the container.
        words = (" create ", "seclude.hook")
        wait_for(lambda: not any(TestKilled.pids(docker, each) for each in words))
        docker.seclude("hook", "gc").succeeded()
        assert (docker.status()["recordings"], docker.pins()) == ([], [])

    @staticmethod
    def pids(docker: DockerRecorder, *words: str) -> list[int]:
        """The processes of this bed with these words in their command lines, besides those of other containers."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if str(docker.bed.directory) in line and all(word in line for word in words):
                found.append(int(entry.name))
        return found

    def test_the_runtime_before_the_container(self, docker: DockerRecorder) -> None:
        """Killed when the hooks are in the bundle and runc has not begun."""
        profile = docker.path(".json")
        options = ["--runtime", SLOW, "--env", f"SECLUDE_TRACE=of:{profile}"]
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(docker.run, "true", options=options)
            # The shell, not the launcher that becomes it: a process shows no command line while it executes.
            for pid in wait_for(lambda: self.pids(docker, "/bin/sh ", "slow-runc", " create ")):
                os.kill(pid, signal.SIGKILL)
            done = running.result()
        assert done.status in NOT_STARTED, done
        assert not profile.exists()
        docker.run("true", options=docker.traced(f"of:{profile}")).succeeded()

    def test_runc_in_the_midst(self, docker: DockerRecorder) -> None:
        """At any moment: the container starts, or docker says that it could not be started."""
        for delay in range(KILLS):
            profile = docker.path(".json")
            with ThreadPoolExecutor(1) as pool:
                running = pool.submit(docker.run, "true", options=docker.traced(f"of:{profile}"))
                wait_for(lambda r=running: bool(self.pids(docker, " create ")) or r.done())
                time.sleep(delay * 0.03)
                for pid in self.pids(docker, " create "):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                done = running.result()
            assert done.status in (0, *NOT_STARTED), done
            assert bool(done.status) is ("Error" in done.err), done
        docker.run("true", options=docker.traced(f"of:{docker.path('.json')}")).succeeded()

    def test_the_engine(self, docker: DockerRecorder) -> None:
        """`seclude record` writes what it has seen; the container goes on until docker is there again and ends it."""
        profile, file = docker.path(".json"), docker.path(".recording.json")
        line = docker.line(
            "sh", "-c", "mkdir /tmp/new; while :; do sleep 1; done", options=["--name", "left"]
        )
        words = docker.command("record", "-o", profile, "--recording", file, "--", *line)
        environment = docker.bed.environment | docker.environment
        recording = subprocess.Popen(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        wait_for(lambda: len(docker.status()["recordings"]) == 2)
        wait_for(lambda: bool(docker.bed.docker("exec", "left", "ls", "/tmp").out.strip()))
        pid = inspected(docker, "left")["State"]["Pid"]
        os.kill(docker.bed.engine_pid, signal.SIGKILL)
        docker.bed.wait_for_end()
        try:
            _, said = recording.communicate(timeout=60)
            assert alive(pid)
        finally:
            docker.bed.start()
        assert recording.returncode != 0
        assert "what it calls from now on is not recorded" in said
        assert "mkdir" in Bed.allowed(profile)
        # The engine ends what it finds running, and cleans up with the runtime.
        wait_for(lambda: not alive(pid))

    def test_the_engine_with_nobody_waiting(self, docker: DockerRecorder) -> None:
        """The profile is written when the engine cleans up at its next start."""
        profile = docker.path(".json")
        container = start(docker, RUNTIME, "sleep", "600", options=tuple(docker.traced(f"of:{profile}")[2:]))
        os.kill(docker.bed.engine_pid, signal.SIGKILL)
        docker.bed.wait_for_end()
        docker.bed.start()
        docker.bed.docker("rm", "--force", container)
        docker.settle()
        assert Bed.allowed(profile)


def test_status(docker: DockerRecorder) -> None:
    more = ("runtime", "status", "--config", docker.config)
    shown = json.loads(docker.seclude(*more, "--json").succeeded().out)
    named = [(item["name"], item["problem"]) for item in shown["runtimes"]]
    assert named[:2] == [(RUNTIME, ""), (SLOW, "")]
    assert shown["runtimes"][0]["state_dir"] == str(docker.state)
    first, second, *_ = docker.seclude(*more).succeeded().lines
    assert (first.startswith(f"{RUNTIME}: "), second.endswith("slow-runc")) == (True, True)
    none = docker.seclude("runtime", "status", "--config", docker.bed.directory / "none.json").succeeded()
    assert "no runtime of seclude" in none.out


def test_another_real_runtime(docker: DockerRecorder) -> None:
    """Installed beside the first, while the engine runs."""
    install(docker.bed.directory, "seclude-other", "/usr/sbin/runc")
    docker.reload()
    try:
        recorded = docker.record("true", options=["--runtime", "seclude-other"])
        assert recorded.recording.runtime == "runc"
    finally:
        more = ("--config", docker.config, "--name", "seclude-other")
        docker.seclude("runtime", "uninstall", *more).succeeded()
        docker.reload()
    assert docker.run("true", options=["--runtime", "seclude-other"]).status == 125
