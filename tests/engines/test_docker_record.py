"""Docker: what its containers do is recorded through our runtime, the same as with podman, or clearly refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import SLEEPER, set_workload
from daemons import opened_or_skipped, wait_for
from docker_bed import IMAGE, missing
from docker_recorder import CRUN, RUNTIME, DockerRecorder, install, open_docker_recorder
from podman_bed import WORKLOADS_DIR, Bed
from podman_config import runtime_path
from recording import DENIED, TRACE, Recorder

from seclude import store

pytestmark = pytest.mark.engine

LS = set_workload(7)
UNCONFINED = "--security-opt=seccomp=unconfined"


@pytest.fixture(scope="module")
def installed_docker() -> Iterator[DockerRecorder]:
    with opened_or_skipped(missing(), lambda: open_docker_recorder(bridge=True)) as opened:
        opened.bed.import_image("debian")
        yield opened


class TestSeed:
    """The demonstration of the article that the peer hook is known by."""

    @pytest.mark.parametrize("network", ["bridge", "none"])
    def test_whole(self, docker: DockerRecorder, network: str) -> None:
        debian = {"image": "seclude/debian:test", "network": network}
        short = docker.record("ls", "/", **debian)
        assert (short.result.status, short.recording.losses.calls) == (0, 0)
        under = [f"--security-opt=seccomp={short.profile}"]
        again = docker.run("ls", "/", options=under, **debian).succeeded()
        assert (again.out, again.err) == (short.result.out, "")
        refused = docker.run("ls", "-l", "/", options=under, **debian)
        assert refused.status != 0
        assert f"ls: /: {DENIED}" in refused.err
        long = docker.record("ls", "-l", "/", **debian)
        assert short.names("app") < long.names("app")
        docker.run("ls", "-l", "/", options=[f"--security-opt=seccomp={long.profile}"], **debian).succeeded()

    @pytest.mark.parametrize("command", [("ls", "/"), ("ls", "-l", "/")], ids=" ".join)
    def test_same_as_with_podman(
        self, docker: DockerRecorder, recorder: Recorder, runtime: str, command: tuple[str, ...]
    ) -> None:
        other = recorder.record(*command, image="debian", runtime=runtime)
        ours = docker.record(*command, image="seclude/debian:test", network="bridge")
        assert ours.names("app") == other.names("app")

    def test_with_crun(self, docker: DockerRecorder) -> None:
        if not runtime_path("crun"):
            pytest.skip("crun is not installed")
        ours = docker.record("ls", "/", options=["--runtime", CRUN])
        assert ours.names("app") == docker.record("ls", "/").names("app")
        assert (ours.recording.engine, ours.recording.runtime) == ("docker", "crun")
        docker.run(
            "ls", "/", options=[f"--security-opt=seccomp={ours.profile}", "--runtime", CRUN]
        ).succeeded()
        # crun throws away what a hook says.
        refused = docker.run("true", options=[*docker.traced("of:/etc/passwd"), "--runtime", CRUN])
        assert refused.status == 125
        assert "the policy allows only paths in" in docker.status()["last_error"]

    def test_recording_says_what_it_is_of(self, docker: DockerRecorder) -> None:
        recording = docker.record("ls", "/").recording
        assert (recording.engine, recording.runtime, recording.image) == ("docker", "runc", IMAGE)
        assert recording.runtime_version
        assert recording.command == ("ls", "/")
        assert (recording.confined, recording.no_new_privileges, recording.counted) == (True, False, False)
        assert "CAP_CHOWN" in recording.capabilities

    def test_the_code_of_calls(self, docker: DockerRecorder) -> None:
        recording = docker.path(".rec")
        line = docker.line("mkdir", "/tmp/made")
        docker.seclude("record", "--stacks", "--recording", recording, "--", *line).succeeded()
        [origin] = [each for each in store.read(str(recording)).origins if each.name == "mkdir"]
        assert [frame.module for frame in origin.native][:1] == ["busybox"]


class TestPeer:
    """The peer hook's own cases, asked for by SECLUDE_TRACE as its annotation asks."""

    def traced(self, docker: DockerRecorder, value: str, *command: str) -> None:
        docker.run(*command, options=docker.traced(value)).succeeded()
        docker.settle()

    def test_trace_and_use(self, docker: DockerRecorder) -> None:
        profile = docker.path(".json")
        self.traced(docker, f"of:{profile}", "ls", "/")
        docker.run("ls", "/", options=[f"--security-opt=seccomp={profile}"]).succeeded()

    def test_blocked_call_fails(self, docker: DockerRecorder) -> None:
        profile = docker.path(".json")
        self.traced(docker, f"of:{profile}", "ls", "/")
        refused = docker.run("mkdir", "/tmp/new", options=[f"--security-opt=seccomp={profile}"])
        assert refused.status != 0
        assert DENIED in refused.err

    @pytest.mark.parametrize("order", ["if:{base};of:{out}", "of:{out};if:{base}"])
    def test_extend(self, docker: DockerRecorder, order: str) -> None:
        base, out = docker.path(".json"), docker.path(".json")
        self.traced(docker, f"of:{base}", "ls", "/")
        self.traced(docker, order.format(base=base, out=out), "mkdir", "/tmp/new")
        assert Bed.allowed(out) >= Bed.allowed(base)
        for command in (("ls", "/"), ("mkdir", "/tmp/new")):
            docker.run(*command, options=[f"--security-opt=seccomp={out}"]).succeeded()
        assert docker.run("chown", "1", "/tmp", options=[f"--security-opt=seccomp={out}"]).status != 0

    def test_what_the_input_blocks_stays_blocked(self, docker: DockerRecorder) -> None:
        base, out = docker.path(".json"), docker.path(".json")
        blocking = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "comment": "no directories"}
        base.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [blocking]}))
        self.traced(docker, f"if:{base};of:{out}", "mkdir", "/tmp/new")
        assert json.loads(out.read_text())["syscalls"][0]["names"] == blocking["names"]
        assert not Bed.allowed(out) & {"mkdir", "mkdirat"}
        refused = docker.run("mkdir", "/tmp/new", options=[f"--security-opt=seccomp={out}"])
        assert (refused.status, DENIED in refused.err) == (1, True)
        docker.run("true", options=[f"--security-opt=seccomp={out}"]).succeeded()

    def test_input_in_place(self, docker: DockerRecorder) -> None:
        profile = docker.path(".json")
        self.traced(docker, f"of:{profile}", "ls", "/")
        self.traced(docker, f"if:{profile};of:{profile}", "mkdir", "/tmp/new")
        docker.run("mkdir", "/tmp/new", options=[f"--security-opt=seccomp={profile}"]).succeeded()

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ("of:relative.json", "is no absolute path"),
            ("if:/base.json", "names no output"),
            ("/out.json", "begins with neither of: nor if:"),
            ("of:{outputs}/missing/a.json", "there is no directory"),
        ],
    )
    def test_requests_that_fail_the_start(self, docker: DockerRecorder, value: str, message: str) -> None:
        refused = docker.run("true", options=docker.traced(value.format(outputs=docker.outputs)))
        assert refused.status == 125
        assert message in refused.err
        assert message in docker.status()["last_error"]

    def test_annotation(self, docker: DockerRecorder) -> None:
        """Engines before 24.0 know no annotations, and their clients say so."""
        server = docker.bed.docker("version", "--format", "{{.Server.APIVersion}}").succeeded().out
        if tuple(map(int, server.strip().split("."))) < (1, 43):
            pytest.skip(f"docker's engine has API {server.strip()}, annotations came with 1.43")
        profile = docker.path(".json")
        options = ["--runtime", RUNTIME, "--annotation", f"{TRACE}=of:{profile}"]
        docker.run("ls", "/", options=options).succeeded()
        docker.settle()
        assert Bed.allowed(profile)


class TestCommand:
    """`seclude record` around docker run."""

    def test_status_and_output_pass_through(self, docker: DockerRecorder) -> None:
        recorded = docker.record(*LS.argv(WORKLOADS_DIR))
        assert (recorded.result.status, recorded.result.out) == (LS.status, f"{LS.line}\n")
        assert recorded.allowed >= LS.native
        enforced = docker.seclude("run", "-p", recorded.profile, "--", *docker.line(*LS.argv(WORKLOADS_DIR)))
        assert (enforced.status, enforced.out) == (LS.status, f"{LS.line}\n")

    def test_counts(self, docker: DockerRecorder) -> None:
        recorded = docker.record(f"{WORKLOADS_DIR}/loop", "1000", more=["--counts"])
        assert recorded.recording.counted
        assert {call.name: call.count for call in recorded.calls("app")}["getppid"] == 1010

    def test_denials_and_arguments(self, docker: DockerRecorder) -> None:
        short = docker.record("ls", "/")
        options = [f"--security-opt=seccomp={short.profile}"]
        recorded = docker.record("mkdir", "/tmp/new", options=options, more=["--denials", "--args", "safe"])
        assert recorded.result.status == 1
        assert "mkdir" in {call.name for call in recorded.calls("denied")}
        assert "mkdir" not in recorded.allowed
        assert recorded.recording.arguments

    def test_base(self, docker: DockerRecorder, tmp_path: Path) -> None:
        """Root's own request is not held to the policy."""
        base = tmp_path / "base.json"
        allowing = {"names": ["getsid"], "action": "SCMP_ACT_ALLOW"}
        base.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [allowing]}))
        recorded = docker.record("true", more=["--from", base])
        assert "getsid" in recorded.allowed

    def test_the_program_sees_nothing_of_the_request(self, docker: DockerRecorder) -> None:
        seen = docker.record("env").result.out
        assert "SECLUDE_RECORDING=1" in seen
        assert "SECLUDE_TRACE" not in seen

    @pytest.mark.parametrize(
        "options", [["--init"], ["--tty"], [UNCONFINED], ["--user", "7:8"], ["--read-only"]], ids=str
    )
    def test_kinds_of_containers(self, docker: DockerRecorder, options: list[str]) -> None:
        recorded = docker.record(*LS.argv(WORKLOADS_DIR), options=options)
        assert recorded.result.status == LS.status
        assert recorded.names("app") >= LS.native
        assert recorded.recording.confined is (options != [UNCONFINED])

    def test_entered_processes_are_recorded(self, docker: DockerRecorder) -> None:
        profile = docker.path(".json")
        bed = docker.bed
        line = docker.line(
            "sleep",
            "600",
            options=["--detach", "--init", "--name", "entered", *docker.traced(f"of:{profile}")],
        )
        bed.host(*line).succeeded()
        bed.docker("exec", "entered", "mkdir", "/tmp/new").succeeded()
        bed.docker("stop", "--time", "5", "entered").succeeded()
        docker.settle()
        assert "mkdir" in Bed.allowed(profile)

    @pytest.mark.parametrize("command", [("kill",), ("stop", "--time", "1"), ("rm", "--force")], ids=" ".join)
    def test_complete_when_ended_from_outside(self, docker: DockerRecorder, command: tuple[str, ...]) -> None:
        profile = docker.path(".json")
        options = ["--detach", "--name", "ended", *docker.traced(f"of:{profile}")]
        docker.bed.host(*docker.line(*SLEEPER.argv(WORKLOADS_DIR), options=options)).succeeded()
        wait_for(lambda: SLEEPER.line in docker.bed.docker("logs", "ended").succeeded().lines)
        docker.bed.docker(*command, "ended").succeeded()
        docker.settle()
        docker.bed.wait_for_removal()  # the next one has the same name
        assert Bed.allowed(profile)

    def test_a_container_that_cannot_start(self, docker: DockerRecorder) -> None:
        profile = docker.path(".json")
        done = docker.seclude("record", "-o", profile, "--", *docker.line("/no/such/program"))
        assert done.status == 1
        assert "docker ended with status 127 and nothing was recorded" in done.err
        assert not profile.exists()

    def test_a_container_that_is_kept_starts_again(self, docker: DockerRecorder) -> None:
        """Its request is gone by then, and it is started as any other."""
        line = docker.line("ls", "/", options=["--name", "kept"])
        line.remove("--rm")
        profile = docker.path(".json")
        docker.seclude("record", "-o", profile, "--", *line).succeeded()
        before = profile.read_bytes()
        again = docker.bed.docker("start", "--attach", "kept").succeeded()
        assert "workloads" in again.out
        assert profile.read_bytes() == before
        docker.bed.docker("rm", "kept").succeeded()


def test_minimize(docker: DockerRecorder) -> None:
    """Docker needs nothing of ours for that; no container is left behind."""
    recorded = docker.record("ls", "/")
    profile = json.loads(recorded.profile.read_text())
    needless = ["getsid", "mkdir", "reboot", "swapon"]
    profile["syscalls"][0]["names"] += needless
    recorded.profile.write_text(json.dumps(profile))
    kept = [word for name in sorted(recorded.allowed) for word in ("--keep", name)]
    out = docker.path(".json")
    line = docker.line("ls", "/")
    docker.seclude("minimize", "-p", recorded.profile, "-o", out, *kept, "--", *line).succeeded()
    assert Bed.allowed(out) == recorded.allowed
    docker.bed.wait_for_removal()


class TestRefused:
    def refused(self, docker: DockerRecorder, *line: str, message: str, environment: str = "") -> None:
        profile = docker.path(".json")
        env = {"DOCKER_HOST": environment} if environment else {}
        done = docker.bed.host(
            *docker.command("record", "-o", profile, "--", *line), env=docker.environment | env
        )
        assert (done.status, message in done.err) == (1, True), done
        assert not profile.exists()

    def test_detached(self, docker: DockerRecorder) -> None:
        line = docker.line("true", options=["--detach"])
        self.refused(docker, *line, message="a detached container is still running")

    def test_another_runtime(self, docker: DockerRecorder) -> None:
        line = docker.line("true", options=["--runtime", "runc"])
        self.refused(docker, *line, message="docker's runtime runc (runc) is none of seclude's")
        line = docker.line("true", options=["--runtime", "none"])
        self.refused(docker, *line, message="docker's engine has no runtime none")

    def test_another_request(self, docker: DockerRecorder) -> None:
        line = docker.line("true", options=["-e", "SECLUDE_TRACE=of:/a"])
        self.refused(docker, *line, message="--env SECLUDE_TRACE asks for another recording")

    def test_no_engine(self, docker: DockerRecorder, tmp_path: Path) -> None:
        line = docker.line("true")
        message = "docker's engine does not answer"
        self.refused(docker, *line, message=message, environment=f"unix://{tmp_path}/none")

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("docker compose up", "service"),
            ("docker build .", "BuildKit"),
            ("docker buildx build .", "BuildKit"),
            ("docker start x", "`docker start` starts no container"),
        ],
    )
    def test_other_commands(self, docker: DockerRecorder, line: str, message: str) -> None:
        self.refused(docker, *line.split(), message=message)


class TestNotInstalled:
    def test_says_what_to_do(self, docker: DockerRecorder) -> None:
        line = docker.line("true")
        docker.seclude("runtime", "uninstall", "--config", docker.config).succeeded()
        try:
            docker.reload()
            done = docker.seclude("record", "-o", docker.path(".json"), "--", *line)
            assert done.status == 1
            assert "docker's engine has no runtime seclude" in done.err
            assert "seclude runtime install --engine docker" in done.err
        finally:
            install(docker.bed.directory, RUNTIME, "runc")
            docker.reload()
        docker.record("true").result.succeeded()
