"""`seclude verify` on real containers: proofs, denials named down to the line, what no-new-privileges changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from podman_bed import Bed
from recording import MAIN, Recorder
from watches import told, watching

from seclude import syscalls
from seclude.trace import layout
from seclude.trace.ebpf import EbpfTracer
from seclude.witness import Witness

pytestmark = pytest.mark.engine
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flask-api"
LINE = 1 + next(
    index
    for index, line in enumerate((EXAMPLE / "app.py").read_text().splitlines())
    if "subprocess.Popen(" in line
)


def recorded(recorder: Recorder, *command: str, **keywords: Any) -> Path:
    """The profile that `seclude record` makes of a container."""
    profile = recorder.path(".json")
    line = recorder.bed.run_arguments(*command, **keywords)
    recorder.seclude("record", "-o", profile, "--", *line).succeeded()
    return profile


def verified(
    recorder: Recorder, profile: Path, *command: str, more: tuple[str, ...] = (), **keywords: Any
) -> tuple[int, dict[str, Any]]:
    """(exit status, the result) of `seclude verify` on a container."""
    line = recorder.bed.run_arguments(*command, **keywords)
    done = recorder.seclude("verify", "-p", profile, "--json", *more, "--", *line)
    lines = [line for line in done.err.splitlines() if line.startswith("{")]
    assert lines, done
    return done.status, json.loads(lines[-1])


def test_what_was_recorded_runs(recorder: Recorder, runtime: str) -> None:
    profile = recorded(recorder, "ls", "/", runtime=runtime)
    status, result = verified(recorder, profile, "ls", "/", runtime=runtime, more=("--repeat", "3"))
    assert (status, result["clean"], result["denied"]) == (0, True, [])
    assert (result["statuses"], result["expected"], result["lost"]) == ([0, 0, 0], 0, 0)
    allowed = recorder.bed.allowed(profile)
    assert set(result["allowed"]) == allowed
    # What the runtime calls only when timing has it so is in the profile all the same.
    assert set(result["unused"]) <= {"rt_sigreturn", "sched_yield", "futex", "nanosleep"}


def test_conditions_on_arguments(recorder: Recorder, runtime: str) -> None:
    """What the runtime itself passes is part of the conditions: the container starts."""
    profile = recorder.path(".json")
    line = recorder.bed.run_arguments("ls", "/", runtime=runtime)
    recorder.seclude("record", "-o", profile, "--args", "all", "--", *line).succeeded()
    rules = recorder.bed.profile(profile)["syscalls"]
    assert any(rule.get("args") for rule in rules)
    status, result = verified(recorder, profile, "ls", "/", runtime=runtime, more=("--repeat", "2"))
    assert (status, result["denied"]) == (0, [])


def test_a_call_that_is_denied(recorder: Recorder, runtime: str) -> None:
    profile = recorded(recorder, "ls", "/", runtime=runtime)
    status, result = verified(recorder, profile, "mkdir", "/tmp/made", runtime=runtime)
    assert (status, result["clean"]) == (2, False)
    assert result["statuses"] == [1]
    [denied] = result["denied"]
    [denial] = result["denials"]
    assert (denied["call"], denied["cause"]) == ("mkdir", "no rule")
    assert (denial["comm"], denial["data"]) == ("mkdir", 1)
    assert denial["executable"].endswith("busybox")
    assert denial["native"][0]["module"] == "busybox"


def test_a_runtime_that_is_denied_what_it_needs(recorder: Recorder, runtime: str) -> None:
    """The container does not start, and the reason is named."""
    profile = recorded(recorder, "true", runtime=runtime)
    names = recorder.bed.allowed(profile) - {"capset"}
    recorder.bed.write_profile(profile, sorted(names))
    status, result = verified(recorder, profile, "true", runtime=runtime)
    assert (status, result["expected"]) == (2, 0)
    assert result["statuses"] != [0]
    assert "capset" in {denied["call"] for denied in result["denied"]}


def test_the_application_names_file_and_line(recorder: Recorder) -> None:
    """The example's /command, denied under the profile of the other tests, leads to app.py and its line."""
    container: dict[str, Any] = {
        "image": "programs",
        "options": ("--volume", f"{EXAMPLE}:/app:ro", "--workdir", "/app"),
    }
    tests = ("python3", "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_app.py")
    profile = recorded(recorder, *tests, **container)
    status, result = verified(recorder, profile, *tests, **container)
    assert (status, result["denied"]) == (0, [])
    attack = (
        "import app\n"
        "answer = app.app.test_client().post('/command', json={'command': 'cat /etc/shadow'})\n"
        "print(answer.status_code)"
    )
    line = recorder.bed.run_arguments("python3", "-B", "-c", attack, **container)
    done = recorder.seclude("verify", "-p", profile, "--", *line)
    assert done.status == 2
    assert "root:" not in done.lines[-1]
    assert f"/app/app.py:{LINE} command" in done.err, done


def test_no_new_privileges_is_measured(recorder: Recorder, runtime: str) -> None:
    """What the shipped measurements say, and what a run with it shows, agree."""
    profile = recorded(recorder, "ls", "/", runtime=runtime)
    _, known = verified(recorder, profile, "ls", "/", runtime=runtime)
    _, shown = verified(recorder, profile, "ls", "/", runtime=runtime, more=("--no-new-privileges",))
    assert shown["no_new_privileges"]["source"] == "measured by running it so"
    measured = set(shown["no_new_privileges"]["leaving"])
    assert "capset" in measured
    varying = {"futex", "rt_sigreturn", "sched_yield", "nanosleep"}
    if "leaving" in known["no_new_privileges"]:
        assert set(known["no_new_privileges"]["leaving"]) ^ measured <= varying
    else:
        assert "was not measured" in known["no_new_privileges"]["reason"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("podman", "run"), "names no image"),
        (("podman", "ps"), "starts no container"),
        (("podman", "run", "--detach", "image"), "detached"),
    ],
)
def test_what_cannot_be_verified(recorder: Recorder, arguments: tuple[str, ...], said: str) -> None:
    profile = recorder.bed.write_profile(recorder.path(".json"), ["read"])
    done = recorder.seclude("verify", "-p", profile, "--expect-status", "0", "--", *arguments)
    assert (done.status, said in done.err) == (1, True), done


def watch_command(recorder: Recorder, *arguments: str) -> list[str]:
    """The command line of `seclude watch` in the bed."""
    return recorder.bed.command(sys.executable, "-c", MAIN, "watch", *arguments)


class TestWatch:
    def watch(
        self, recorder: Recorder, container: str, *command: str, enough: Callable[[dict[str, Any]], bool]
    ) -> list[dict[str, Any]]:
        """The denials that `seclude watch` sees of a container while a command is executed in it."""
        words = watch_command(recorder, "--container", container)
        environment = recorder.bed.environment | recorder.environment
        return told(words, environment, lambda: recorder.bed.podman("exec", container, *command), enough)

    @pytest.fixture
    def container(self, bed: Bed, runtime: str, recorder: Recorder) -> Any:
        names = sorted(syscalls.names("x86_64") - {"getsid"})
        profile = bed.write_profile(recorder.path(".json"), names, architectures=["SCMP_ARCH_X86_64"])
        identity = bed.start("sleep", "600", runtime=runtime, seccomp=profile)
        yield identity
        bed.podman("rm", "--force", "--time", "0", identity).succeeded()

    def test_a_session_that_comes_in_later(self, recorder: Recorder, container: str) -> None:
        command = ("/workloads/refused", "0x7fff0000", "plain", "7")
        denials = self.watch(recorder, container, *command, enough=lambda denial: denial["count"] == 7)
        assert {each["name"] for each in denials} == {"getsid"}
        denial = denials[-1]
        assert (denial["count"], denial["comm"], denial["data"]) == (7, "refused", 1)
        assert denial["container"]
        assert denial["native"][0]["module"] == "refused"

    def test_a_32_bit_program(self, recorder: Recorder, container: str) -> None:
        [denial] = self.watch(recorder, container, "/workloads/compat", enough=bool)
        assert (denial["abi"], denial["name"], denial["comm"]) == ("x86", "_llseek", "compat")
        assert denial["action"] == "SCMP_ACT_KILL_THREAD"  # libseccomp's answer to another architecture


def test_the_default_profile_of_the_engine(recorder: Recorder, bed: Bed, runtime: str) -> None:
    """`--all` sees what a container is denied under the profile that the engine chose."""
    denial = told(
        watch_command(recorder, "--all"),
        bed.environment | recorder.environment,
        lambda: bed.run("date", "-s", "@0", runtime=runtime),
        lambda denial: denial["comm"] == "date",
    )[-1]
    assert (denial["name"], denial["arguments"][0]) == ("clock_settime", 0)  # CLOCK_REALTIME
    assert (denial["action"], denial["data"], len(denial["container"])) == ("SCMP_ACT_ERRNO", 1, 12)


def test_a_container_that_ends_during_the_watch(recorder: Recorder, bed: Bed) -> None:
    identity = bed.start("sleep", "600")
    words = watch_command(recorder, "--container", identity)
    with watching(words, bed.environment | recorder.environment) as process:
        bed.podman("kill", identity).succeeded()
        _, err = process.communicate(timeout=60)
    assert (process.returncode, "has ended" in err) == (1, True), err
    bed.podman("wait", identity).succeeded()
    done = recorder.seclude("watch", "--container", identity)
    assert (done.status, "does not run" in done.err) == (1, True), done
    bed.podman("rm", "--force", "--time", "0", identity).succeeded()


def test_a_recorder_that_goes_while_its_watch_is_taken_up(tmp_path: Path) -> None:
    """The link is there still and the maps are not: there is no watch, at the second look as at the first."""
    (tmp_path / "seclude").mkdir()
    (tmp_path / "seclude" / layout.WATCH_LINK).touch()
    with Witness(EbpfTracer(bpffs=str(tmp_path)).watch, pause=False) as witness:
        assert [witness.look(), witness.look()] == [(), ()]


def test_explain_reads_the_profile_of_a_container(recorder: Recorder, bed: Bed, runtime: str) -> None:
    """From the line of a log, and from what watch saw, to the rule that is missing."""
    names = sorted(syscalls.names("x86_64") - {"mkdir"})
    profile = bed.write_profile(recorder.path(".json"), names)
    identity = bed.start("sleep", "600", runtime=runtime, seccomp=profile)
    try:
        said = bed.podman("exec", identity, "mkdir", "/tmp/made").err.strip()
        done = recorder.seclude("explain", "--container", identity, said)
        assert (done.status, "mkdir" in done.out) == (0, True), done
        assert "No rule of the profile names mkdir" in done.out, done
    finally:
        bed.podman("rm", "--force", "--time", "0", identity).succeeded()
