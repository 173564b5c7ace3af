"""`seclude verify` with docker where its engine has our runtime: what was used is known, as it is with podman."""

from __future__ import annotations

import json
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

import pytest
from docker_recorder import CRUN, RUNTIME, DockerRecorder
from podman_bed import Result
from podman_config import runtime_path
from recording import SOURCES, Recorder

pytestmark = pytest.mark.engine
NEEDLESS = {"getsid", "reboot", "swapon"}
"""Calls that nothing here makes."""

SCRIPT = """\
import os
from marking import marked

def make():
    os.mkdir("/tmp/made")

with marked("one test"):
    make()
"""
"""Under a profile without mkdir line 5 fails."""

NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")


def changed(
    profile: Path, target: Path, *, more: Set[str] = frozenset(), less: Set[str] = frozenset()
) -> Path:
    """The same profile, whose first rule names more or fewer calls."""
    fields = json.loads(profile.read_text())
    fields["syscalls"][0]["names"] = sorted({*fields["syscalls"][0]["names"], *more} - {*less})
    target.write_text(json.dumps(fields))
    return target


def result_of(done: Result) -> tuple[int, dict[str, Any]]:
    """(exit status, the result) of `seclude verify --json`."""
    lines = [line for line in done.err.splitlines() if line.startswith("{")]
    assert lines, done
    return done.status, json.loads(lines[-1])


def verified(
    docker: DockerRecorder,
    profile: Path,
    *command: str | Path,
    more: Sequence[str] = (),
    options: Sequence[str | Path] = (),
    **keywords: Any,
) -> tuple[int, dict[str, Any]]:
    """The same of a container of docker's."""
    line = docker.line(*command, options=options, **keywords)
    return result_of(docker.seclude("verify", "-p", profile, "--json", *more, "--", *line))


class TestUsage:
    @pytest.mark.parametrize(
        "command", [("ls", "/"), ("sh", "-c", "mkdir /tmp/made && ls -l /tmp")], ids=["ls", "mkdir"]
    )
    def test_same_as_with_podman(
        self, docker: DockerRecorder, recorder: Recorder, command: tuple[str, ...]
    ) -> None:
        recorded = recorder.record(*command, runtime="runc")
        profile = changed(recorded.profile, docker.path(".json"), more=NEEDLESS)
        line = recorder.bed.run_arguments(*command, runtime="runc")
        _, podman = result_of(recorder.seclude("verify", "-p", profile, "--json", "--", *line))
        status, ours = verified(docker, profile, *command)
        assert (status, ours["clean"], ours["denied"], ours["lost"]) == (0, True, [], 0)
        assert (ours["statuses"], ours["expected"], ours["not_recorded"]) == ([0], 0, "")
        assert ours["allowed"] == podman["allowed"]
        app = recorded.names("app")
        for each in (podman, ours):
            assert app <= {*each["used"]}
            assert not app & {*each["unused"]}
            assert {*each["unused"]} == {*each["allowed"]} - {*each["used"]}
            # Of the rest, which are the runtime's, timing decides on some.
            assert {*each["unused"]} >= NEEDLESS

    def test_of_several_runs(self, docker: DockerRecorder) -> None:
        profile = changed(docker.record("ls", "/").profile, docker.path(".json"), more=NEEDLESS)
        status, result = verified(docker, profile, "ls", "/", more=["--repeat", "3"])
        assert (status, result["statuses"], result["lost"]) == (0, [0, 0, 0], 0)
        assert {*result["unused"]} >= NEEDLESS

    def test_for_people(self, docker: DockerRecorder) -> None:
        profile = changed(docker.record("ls", "/").profile, docker.path(".json"), more=NEEDLESS)
        done = docker.seclude("verify", "-p", profile, "--unused", "--", *docker.line("ls", "/"))
        assert done.status == 0, done
        [note] = [line for line in done.err.splitlines() if "allowed calls were never made" in line]
        assert {*note.rpartition(": ")[2].split(", ")} >= NEEDLESS
        assert " used, 0 denied, exit status as without (0)" in done.err
        assert "not known" not in done.err


class TestDenied:
    @pytest.mark.parametrize(
        ("stacks", "options"),
        [("--stacks", ()), ("--no-stacks", ()), ("--stacks", ("--pid", "host"))],
        ids=["stacks", "no stacks", "the machine's processes"],
    )
    def test_named_once(self, docker: DockerRecorder, stacks: str, options: tuple[str, ...]) -> None:
        profile = docker.record("ls", "/").profile
        status, result = verified(docker, profile, "mkdir", "/tmp/made", more=[stacks], options=options)
        assert (status, result["clean"]) == (2, False)
        assert (result["statuses"], result["expected"], result["lost"]) == ([1], 0, 0)
        [denied] = result["denied"]
        [denial] = result["denials"]
        assert (denied["call"], denied["cause"], denied["count"]) == ("mkdir", "no rule", 1)
        assert (denial["comm"], denial["data"], len(denial["container"])) == ("mkdir", 1, 12)
        assert denial["executable"].endswith("busybox")
        assert denial["native"][0]["module"] == "busybox"
        assert "mkdir" not in result["used"]

    def test_counted_once(self, docker: DockerRecorder) -> None:
        """Another container, which nobody records, is denied the same all the time."""
        profile = docker.record("sh", "-c", "ls /; ls /").profile
        options = ("--security-opt", f"seccomp={profile}")
        with docker.bed.running("other", "sh", "-c", "while :; do mkdir /no/more; done", options=options):
            line = ("sh", "-c", "mkdir /tmp/made; mkdir /tmp/again; ls /")
            status, result = verified(docker, profile, *line, more=["--expect-status", "0"])
        assert status == 2
        [denied] = result["denied"]
        assert (denied["call"], denied["count"], denied["processes"]) == ("mkdir", 2, 2)

    def test_killed(self, docker: DockerRecorder) -> None:
        profile = docker.record("ls", "/").profile
        fields = json.loads(profile.read_text())
        fields["defaultAction"] = "SCMP_ACT_KILL_PROCESS"
        profile.write_text(json.dumps(fields))
        status, result = verified(docker, profile, "mkdir", "/tmp/made")
        assert (status, result["statuses"]) == (2, [159])
        assert [(each["call"], each["count"]) for each in result["denied"]] == [("mkdir", 1)]

    @pytest.mark.parametrize("runtime", [RUNTIME, CRUN])
    def test_a_runtime_that_is_denied_what_it_needs(self, docker: DockerRecorder, runtime: str) -> None:
        if runtime == CRUN and not runtime_path("crun"):
            pytest.skip("crun is not installed")
        options = ["--runtime", runtime]
        recorded = docker.record("true", options=options).profile
        profile = changed(recorded, docker.path(".json"), less={"capset"})
        status, result = verified(docker, profile, "true", options=options)
        assert (status, result["statuses"], result["expected"]) == (2, [125], 0)
        assert [denied["call"] for denied in result["denied"]] == ["capset"]

    def test_code_and_test_are_named(self, docker: DockerRecorder, tmp_path: Path) -> None:
        """The line is read while the process is stopped for it."""
        image = docker.bed.import_image("programs")
        script = tmp_path / "script.py"
        script.write_text(SCRIPT)
        (tmp_path / "marking.py").write_text((SOURCES / "seclude" / "marking.py").read_text())
        options = ["--volume", f"{tmp_path}:/script:ro"]
        command = ("python3", "-B", "/script/script.py")
        recorded = docker.record(*command, options=options, image=image).profile
        profile = changed(recorded, docker.path(".json"), less={"mkdir"})
        _, result = verified(docker, profile, *command, options=options, image=image)
        [denial] = result["denials"]
        frame = denial["python"][0]
        assert denial["context"] == "one test"
        assert (frame["function"], frame["module"], frame["line"]) == ("make", "/script/script.py", 5)


class TestNoNewPrivileges:
    def test_measured_by_one_more_run(self, docker: DockerRecorder) -> None:
        profile = docker.record("ls", "/").profile
        status, result = verified(docker, profile, "ls", "/", more=["--no-new-privileges"])
        assert (status, result["statuses"]) == (0, [0])
        found = result["no_new_privileges"]
        assert found["source"] == "measured by running it so"
        assert {"capset", "setuid"} <= {*found["leaving"]}
        kept = docker.record("ls", "/", options=NO_NEW_PRIVILEGES)
        # Of what is the runtime's timing decides on some.
        assert not {*found["leaving"]} & kept.names("app")

    def test_where_it_is_set_already(self, docker: DockerRecorder) -> None:
        profile = docker.record("ls", "/", options=NO_NEW_PRIVILEGES).profile
        _, result = verified(
            docker, profile, "ls", "/", more=["--no-new-privileges"], options=NO_NEW_PRIVILEGES
        )
        assert result["no_new_privileges"] == {"reason": "no-new-privileges is set already"}


class TestRuntime:
    def test_another_of_ours(self, docker: DockerRecorder) -> None:
        if not runtime_path("crun"):
            pytest.skip("crun is not installed")
        options = ["--runtime", CRUN]
        recorded = docker.record("ls", "/", options=options)
        status, result = verified(docker, recorded.profile, "ls", "/", options=options)
        assert (status, result["not_recorded"]) == (0, "")
        assert {*result["used"]} >= recorded.names("app")

    def test_none_of_ours(self, docker: DockerRecorder) -> None:
        """It is the user's choice: its container is looked at from outside."""
        profile = docker.record("ls", "/").profile
        line = docker.line("mkdir", "/tmp/made", options=["--runtime", "runc"])
        done = docker.seclude("verify", "-p", profile, "--", *line)
        assert done.status == 2
        assert "denied: mkdir(" in done.err
        assert "which allowed calls were made is not known: docker's runtime runc (runc) is none" in done.err
        assert "leave out --runtime" in done.err
        refused = docker.seclude("verify", "-p", profile, "--no-new-privileges", "--", *line)
        assert (refused.status, "docker's runtime runc (runc) is none" in refused.err) == (1, True), refused


class TestRefused:
    def test_a_privileged_container(self, docker: DockerRecorder) -> None:
        profile = docker.record("true").profile
        line = docker.line("true", options=["--privileged"])
        done = docker.seclude("verify", "-p", profile, "--", *line)
        if done.status:  # docker's versions differ in whether it gets the profile
            assert (done.status, "leave out --privileged" in done.err) == (1, True), done

    def test_another_request(self, docker: DockerRecorder) -> None:
        profile = docker.record("true").profile
        line = docker.line("true", options=["--env", "SECLUDE_TRACE=of:/a"])
        done = docker.seclude("verify", "-p", profile, "--", *line)
        assert (done.status, "asks for another recording" in done.err) == (1, True), done

    def test_no_image(self, docker: DockerRecorder) -> None:
        profile = docker.record("true").profile
        line = ("docker", "run", "--pull", "never", "seclude/none:none")
        done = docker.seclude("verify", "-p", profile, "--expect-status", "0", "--", *line)
        assert (done.status, "ended with status 125 and nothing was recorded" in done.err) == (1, True), done
