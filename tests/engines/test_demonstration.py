"""The main job: what a container did is recorded, applied and enough; what it did not do is refused."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from catalogue import MEMORY, SLEEPER, set_workload
from podman_bed import WORKLOADS_DIR
from recording import DENIED, TRACE, Recorded, Recorder

pytestmark = pytest.mark.engine

LS = set_workload(7)


def assert_sound(recorded: Recorded) -> None:
    """The profile has exactly the seed's shape, and the recording lost nothing."""
    text = recorded.profile.read_text()
    names = sorted(recorded.allowed)
    assert json.loads(text) == {
        "defaultAction": "SCMP_ACT_ERRNO",
        "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [
            {
                "names": names,
                "action": "SCMP_ACT_ALLOW",
                "args": [],
                "comment": "",
                "includes": {},
                "excludes": {},
            }
        ],
    }
    assert json.loads(text)["syscalls"][0]["names"] == names
    assert text.strip() == json.dumps(json.loads(text), separators=(",", ":"))
    assert recorded.recording.losses.calls == 0


class TestSeed:
    """The demonstration of the article that the peer hook is known by."""

    def test_whole(self, recorder: Recorder, runtime: str) -> None:
        short = recorder.record("ls", "/", image="debian", runtime=runtime)
        assert short.result.succeeded().err == ""
        assert_sound(short)
        bed = recorder.bed
        again = bed.run("ls", "/", image="debian", runtime=runtime, seccomp=short.profile).succeeded()
        assert (again.out, again.err) == (short.result.out, "")

        refused = bed.run("ls", "-l", "/", image="debian", runtime=runtime, seccomp=short.profile)
        assert refused.status != 0
        assert f"ls: /: {DENIED}" in refused.err

        long = recorder.record("ls", "-l", "/", image="debian", runtime=runtime)
        assert long.result.succeeded().err == ""
        assert_sound(long)
        assert short.names("app") < long.names("app")
        again = bed.run("ls", "-l", "/", image="debian", runtime=runtime, seccomp=long.profile).succeeded()
        assert [line.split()[-1] for line in again.lines] == [line.split()[-1] for line in long.result.lines]

    def test_recording_says_what_it_is_of(self, recorder: Recorder, runtime: str) -> None:
        recording = recorder.record("ls", "/", runtime=runtime).recording
        assert recording.engine == "podman"
        assert recording.runtime == runtime
        assert recording.runtime_version
        assert recording.image == recorder.bed.images["workloads"]
        assert recording.command == ("ls", "/")
        assert (recording.confined, recording.no_new_privileges, recording.counted) == (True, False, False)
        assert "CAP_CHOWN" in recording.capabilities
        assert 0 < recording.duration < 60


class TestPeer:
    """The peer hook's own cases."""

    def test_trace_and_use(self, recorder: Recorder, runtime: str) -> None:
        recorded = recorder.record("ls", "/", runtime=runtime)
        recorder.bed.run("ls", "/", runtime=runtime, seccomp=recorded.profile).succeeded()

    def test_blocked_call_fails(self, recorder: Recorder, runtime: str) -> None:
        recorded = recorder.record("ls", "/", runtime=runtime)
        refused = recorder.bed.run("mkdir", "/tmp/new", runtime=runtime, seccomp=recorded.profile)
        assert refused.status != 0
        assert DENIED in refused.err

    @pytest.mark.parametrize("order", ["if:{base};of:{out}", "of:{out};if:{base}"])
    def test_extend(self, recorder: Recorder, runtime: str, order: str) -> None:
        base = recorder.record("ls", "/", runtime=runtime)
        out = recorder.path(".json")
        request = order.format(base=base.profile, out=out)
        recorder.bed.run("mkdir", "/tmp/new", runtime=runtime, annotations={TRACE: request}).succeeded()
        assert recorder.bed.allowed(out) >= base.allowed
        for command in (("ls", "/"), ("mkdir", "/tmp/new")):
            recorder.bed.run(*command, runtime=runtime, seccomp=out).succeeded()
        assert recorder.bed.run("chown", "1", "/tmp", runtime=runtime, seccomp=out).status != 0

    def test_what_the_input_blocks_stays_blocked(
        self, recorder: Recorder, runtime: str, tmp_path: Path
    ) -> None:
        base = tmp_path / "base.json"
        blocking = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "comment": "no directories"}
        base.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [blocking]}))
        extended = recorder.record("mkdir", "/tmp/new", base=base, runtime=runtime)
        extended.result.succeeded()
        rules = recorder.bed.profile(extended.profile)["syscalls"]
        assert rules[0]["names"] == blocking["names"]
        assert rules[0]["comment"] == "no directories"
        assert not extended.allowed & {"mkdir", "mkdirat"}
        refused = recorder.bed.run("mkdir", "/tmp/new", runtime=runtime, seccomp=extended.profile)
        assert refused.status == 1
        assert DENIED in refused.err
        recorder.bed.run("true", runtime=runtime, seccomp=extended.profile).succeeded()

    def test_input_in_place(self, recorder: Recorder, runtime: str) -> None:
        first = recorder.record("ls", "/", runtime=runtime)
        recorder.bed.run(
            "mkdir",
            "/tmp/new",
            runtime=runtime,
            annotations={TRACE: f"if:{first.profile};of:{first.profile}"},
        ).succeeded()
        recorder.bed.run("mkdir", "/tmp/new", runtime=runtime, seccomp=first.profile).succeeded()


class TestComplete:
    """The profile is there, whole, when podman returns."""

    @pytest.mark.parametrize("remove", [True, False], ids=["rm", "kept"])
    def test_after_run(self, recorder: Recorder, runtime: str, remove: bool) -> None:
        recorded = recorder.record(*LS.argv(WORKLOADS_DIR), runtime=runtime, remove=remove)
        assert recorded.result.status == LS.status
        assert recorded.allowed >= LS.native
        assert_sound(recorded)

    @pytest.mark.parametrize("condition", [(), ("--condition=exited",), ("--condition=stopped",)])
    def test_after_wait(
        self, recorder: Recorder, runtime: str, condition: tuple[str, ...], tmp_path: Path
    ) -> None:
        container, recorded = recorder.start(
            *("sh", "-c", "until test -e /place/go; do sleep 0.1; done; exit 3"),
            runtime=runtime,
            options=["--volume", f"{tmp_path}:/place:ro"],
        )
        assert not recorded.profile.exists()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(recorder.bed.podman, "wait", *condition, container)
            (tmp_path / "go").touch()
            assert waiting.result().out.strip() == "3"
        assert_sound(recorded)

    @pytest.mark.parametrize("signal", ["TERM", "KILL"])
    def test_after_kill(self, recorder: Recorder, runtime: str, signal: str) -> None:
        container, recorded = recorder.start(*SLEEPER.argv(WORKLOADS_DIR), runtime=runtime)
        recorder.bed.wait_for_line(container, SLEEPER.line)
        recorder.bed.podman("kill", "--signal", signal, container).succeeded()
        status = SLEEPER.status if signal == "TERM" else 137
        assert recorder.bed.podman("wait", container).out.strip() == str(status)
        assert_sound(recorded)
        assert (recorded.allowed >= SLEEPER.native) is (signal == "TERM")

    @pytest.mark.parametrize("command", [("stop", "--time", "0"), ("rm", "--force", "--time", "0")])
    def test_after_stop(self, recorder: Recorder, runtime: str, command: tuple[str, ...]) -> None:
        container, recorded = recorder.start("sleep", "100", runtime=runtime)
        recorder.bed.podman(*command, container).succeeded()
        assert_sound(recorded)

    def test_after_out_of_memory(self, recorder: Recorder, runtime: str) -> None:
        limits = ["--memory", "32m", "--memory-swap", "32m"]
        recorded = recorder.record(*MEMORY.argv(WORKLOADS_DIR), runtime=runtime, options=limits)
        assert recorded.result.status == MEMORY.status
        assert recorded.allowed >= MEMORY.native
        assert_sound(recorded)


class TestCommand:
    """`seclude record` and `seclude run` around podman."""

    def test_record_then_run(self, recorder: Recorder, runtime: str) -> None:
        profile, file = recorder.path(".json"), recorder.path(".recording.json")
        command = recorder.bed.run_arguments(*LS.argv(WORKLOADS_DIR), runtime=runtime)
        done = recorder.seclude("record", "-o", profile, "--recording", file, "--", *command)
        assert (done.status, done.out) == (LS.status, f"{LS.line}\n")
        recorded = Recorded(done, profile, file)
        assert recorded.allowed >= LS.native
        assert_sound(recorded)
        enforced = recorder.seclude("run", "--profile", profile, "--", *command)
        assert (enforced.status, enforced.out) == (LS.status, f"{LS.line}\n")
        other = recorder.bed.run_arguments(*set_workload(8).argv(WORKLOADS_DIR), runtime=runtime)
        assert recorder.seclude("run", "--profile", profile, "--", *other).status == 99

    def test_counts(self, recorder: Recorder) -> None:
        file = recorder.path(".recording.json")
        command = recorder.bed.run_arguments(f"{WORKLOADS_DIR}/loop", "1000")
        recorder.seclude("record", "--counts", "--recording", file, "--", *command).succeeded()
        recorded = Recorded(recorder.bed.host("true"), file, file)
        assert recorded.recording.counted
        assert {call.name: call.count for call in recorded.calls("app")}["getppid"] == 1010

    def test_denials(self, recorder: Recorder, runtime: str) -> None:
        """Refused calls are recorded as such, nothing else is, and none of them enters the profile."""
        short = recorder.record("ls", "/", runtime=runtime)
        profile, file = recorder.path(".json"), recorder.path(".recording.json")
        command = recorder.bed.run_arguments("mkdir", "/tmp/new", runtime=runtime, seccomp=short.profile)
        done = recorder.seclude("record", "--denials", "-o", profile, "--recording", file, "--", *command)
        assert done.status == 1
        recorded = Recorded(done, profile, file)
        denied = {call.name: call for call in recorded.calls("denied")}
        assert "mkdir" in denied
        assert set(denied) <= recorded.names("denied") - short.allowed
        assert denied["mkdir"].first.result == -1  # type: ignore[union-attr]
        assert "mkdir" not in recorded.allowed

    def test_no_denials_under_the_default_profile(self, recorder: Recorder, runtime: str) -> None:
        """Forks, threads, execs and signals are no refusals."""
        recorded = recorder.record(
            "sh",
            "-c",
            "ls / | cat; (sleep 0.01 &); kill -0 $$; exit 5",
            runtime=runtime,
            switches={"denials": "true"},
        )
        assert recorded.result.status == 5
        assert recorded.names("denied") == frozenset()

    def test_from(self, recorder: Recorder) -> None:
        base = recorder.record("ls", "/")
        profile = recorder.path(".json")
        command = recorder.bed.run_arguments("mkdir", "/tmp/new")
        recorder.seclude("record", "-o", profile, "--from", base.profile, "--", *command).succeeded()
        assert recorder.bed.allowed(profile) > base.allowed

    @pytest.mark.parametrize("status", [0, 1, 3, 125, 255])
    def test_status_passes_through(self, recorder: Recorder, status: int) -> None:
        profile = recorder.path(".json")
        command = recorder.bed.run_arguments("sh", "-c", f"echo out; echo err >&2; exit {status}")
        done = recorder.seclude("record", "--quiet", "-o", profile, "--", *command)
        assert (done.status, done.out, done.err) == (status, "out\n", "err\n")

    def test_the_container_can_be_started_again(self, recorder: Recorder, runtime: str) -> None:
        """The hook, which is installed, finds its annotations, and nobody who waits for a recording any more."""
        profile = recorder.path(".json")
        command = recorder.bed.run_arguments(
            "echo", "hi", runtime=runtime, remove=False, options=("--name", "again")
        )
        recorder.seclude("record", "-o", profile, "--", *command).succeeded()
        written = profile.read_bytes()
        again = recorder.bed.podman("start", "--attach", "again")
        recorder.bed.podman("rm", "again").succeeded()
        assert (again.status, again.out) == (0, "hi\n"), again
        assert profile.read_bytes() == written

    def test_container_that_does_not_start(self, recorder: Recorder, runtime: str) -> None:
        profile = recorder.path(".json")
        command = recorder.bed.run_arguments("/no/such/program", runtime=runtime)
        done = recorder.seclude("record", "-o", profile, "--", *command)
        assert done.status != 0
        assert "seclude:" in done.err


class TestStillborn:
    """A container that fails after our hook has begun: poststop is not called for it."""

    def test_is_cleared_by_the_next(self, recorder: Recorder, runtime: str) -> None:
        annotations = recorder.annotations(recorder.path(".json"), recorder.path(".recording.json"))
        failed = recorder.bed.run("/no/such/program", runtime=runtime, annotations=annotations)
        assert failed.status == 127
        assert len(recorder.status()["recordings"]) <= 1
        assert_sound(recorder.record(*LS.argv(WORKLOADS_DIR), runtime=runtime))
        assert (recorder.status()["recordings"], recorder.pins()) == ([], [])
