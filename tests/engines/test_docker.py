"""Docker without our runtime, with an engine of its own: profiles verified, denials watched, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from daemons import opened_or_skipped
from docker_bed import DockerBed, missing, open_docker_bed
from podman_bed import Bed, Result
from recording import MAIN, SOURCES, Recorder
from watches import told

from seclude import docker_runs, syscalls
from seclude.engines.docker import DockerEngine
from seclude.model.capabilities import CAPABILITIES
from seclude.model.denial import Sighting
from seclude.trace.watch import DenialWatch

pytestmark = pytest.mark.engine
ENVIRONMENT = {"PYTHONPATH": str(SOURCES)}


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerBed]:
    """One engine for all of these tests; nothing remains of it."""
    with opened_or_skipped(missing(), open_docker_bed) as opened:
        yield opened


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A profile that allows all but mkdir and getsid."""
    return without(tmp_path / "profile.json", "mkdir", "getsid")


def without(path: Path, *names: str) -> Path:
    allowed = sorted(syscalls.names("x86_64").difference(names))
    rules = [{"names": allowed, "action": "SCMP_ACT_ALLOW"}]
    fields = {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}
    path.write_text(json.dumps(fields))
    return path


def seclude(docker: DockerBed, *arguments: str | Path) -> Result:
    return docker.host(sys.executable, "-c", MAIN, *arguments, env=ENVIRONMENT)


def verified(
    docker: DockerBed, profile: Path, *command: str, more: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> tuple[int, dict[str, Any]]:
    """(exit status, the result) of `seclude verify` on a container."""
    line = docker.run_arguments(*command, options=options)
    done = seclude(docker, "verify", "-p", profile, "--json", *more, "--", *line)
    lines = [line for line in done.err.splitlines() if line.startswith("{")]
    assert lines, done
    return done.status, json.loads(lines[-1])


class TestVerify:
    def test_what_podman_recorded_runs_with_docker(self, docker: DockerBed, recorder: Recorder) -> None:
        recorded = recorder.path(".json")
        line = recorder.bed.run_arguments("ls", "/")
        recorder.seclude("record", "-o", recorded, "--", *line).succeeded()
        status, result = verified(docker, recorded, "ls", "/", more=("--repeat", "2"))
        assert (status, result["clean"], result["denied"], result["lost"]) == (0, True, [], 0)
        assert (result["statuses"], result["expected"]) == ([0, 0], 0)
        assert set(result["allowed"]) == Bed.allowed(recorded)
        # Without our runtime in the engine only what is denied is seen of its containers.
        assert (result["used"], result["unused"], result["not_recorded"]) == (None, None, "with docker")

    @pytest.mark.parametrize("stacks", ["--stacks", "--no-stacks"])
    def test_a_call_that_is_denied(self, docker: DockerBed, profile: Path, stacks: str) -> None:
        status, result = verified(docker, profile, "mkdir", "/tmp/made", more=(stacks,))
        assert (status, result["clean"]) == (2, False)
        assert (result["statuses"], result["expected"]) == ([1], 0)
        [denied] = result["denied"]
        [denial] = result["denials"]
        assert (denied["call"], denied["cause"], denied["count"]) == ("mkdir", "no rule", 1)
        assert (denial["comm"], denial["data"], len(denial["container"])) == ("mkdir", 1, 12)
        assert denial["executable"].endswith("busybox")
        assert denial["native"][0]["module"] == "busybox"

    def test_for_people(self, docker: DockerBed, profile: Path) -> None:
        line = docker.run_arguments("true")
        done = seclude(docker, "verify", "-p", profile, "--", *line)
        calls = len(Bed.allowed(profile))
        said = f"{calls} calls allowed, 0 denied (what was used is not known with docker), exit status as without (0)"
        assert (done.status, said in done.err) == (0, True), done
        assert (
            "which allowed calls were made is not known: docker's engine has no runtime seclude" in done.err
        )
        assert "`seclude runtime install --engine docker`" in done.err

    def test_a_runtime_that_is_denied_what_it_needs(self, docker: DockerBed, tmp_path: Path) -> None:
        status, result = verified(docker, without(tmp_path / "p.json", "capset"), "true")
        assert (status, result["statuses"], result["expected"]) == (2, [125], 0)
        assert [denied["call"] for denied in result["denied"]] == ["capset"]
        assert result["denials"][0]["comm"].startswith("runc:")

    @pytest.mark.parametrize("pid", ["", "host", "container:other"])
    def test_no_other_container_is_taken_for_it_or_stopped(
        self, docker: DockerBed, profile: Path, pid: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another one is denied the same call all the time."""
        kept: list[Sighting] = []

        class Keeping(docker_runs.ContainerWatch):
            def close(self) -> None:
                kept.extend(DenialWatch.sightings(self))
                super().close()

        monkeypatch.setattr(docker_runs, "ContainerWatch", Keeping)
        for name, value in docker.environment.items():
            monkeypatch.setenv(name, value)
        options = ("--security-opt", f"seccomp={profile}")
        with docker.running("other", "sh", "-c", "while :; do mkdir /no/more; done", options=options):
            line = docker.run_arguments(
                *("sh", "-c", "sleep 0.3; mkdir /tmp/made; mkdir /tmp/again"),
                options=["--pid", pid] if pid else [],
            )
            run = docker_runs.checked(line, str(profile))
            watched = docker_runs.run_under(run, str(profile), lambda text: None)
        mkdir = syscalls.number_of("x86_64", "mkdir")
        assert [(denial.number, denial.count) for denial in watched.denials] == [(mkdir, 1)] * 2
        ours = {denial.pid for denial in watched.denials}
        assert {each.denial.pid for each in kept} > ours  # the other's were there to be confused
        stopped = {each.denial.pid for each in kept if each.paused}
        assert stopped == (set() if pid else ours)

    def test_containers_that_come_and_go(self, docker: DockerBed, profile: Path) -> None:
        """Theirs are denied the same, before and after ours, in namespaces whose numbers are used again."""
        line = docker.run_arguments("mkdir", "/no/more", options=["--security-opt", f"seccomp={profile}"])
        script = 'while read -t 0.01 line; [ $? -gt 128 ]; do "$@"; done'
        others = subprocess.Popen(
            ["bash", "-c", script, "bash", *line],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=docker.environment,
        )
        try:
            more = ("--repeat", "3", "--expect-status", "1")
            status, result = verified(docker, profile, "mkdir", "/tmp/made", more=more)
        finally:
            others.communicate()
        assert (status, result["statuses"]) == (2, [1, 1, 1])
        [denied] = result["denied"]
        assert (denied["call"], denied["count"], denied["processes"]) == ("mkdir", 3, 3)

    def test_a_privileged_container(self, docker: DockerBed, profile: Path) -> None:
        """Docker's versions differ in whether it gets the profile, so that must have been seen."""
        line = docker.run_arguments("true", options=["--privileged"])
        done = seclude(docker, "verify", "-p", profile, "--expect-status", "0", "--", *line)
        if done.status:
            assert (done.status, "--privileged" in done.err) == (1, True), done

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (("docker", "run"), "names no image"),
            (("docker", "ps"), "starts no container"),
            (("docker", "run", "-itd", "image"), "detached"),
            (("docker", "run", "--cidfile=/tmp/id", "image"), "--cidfile"),
            (("docker", "run", "--security-opt", "seccomp=unconfined", "image"), "in place of the profile"),
            (("docker", "run", "--pull", "never", "seclude/none:none"), "started no container"),
        ],
    )
    def test_what_cannot_be_verified(
        self, docker: DockerBed, profile: Path, arguments: tuple[str, ...], said: str
    ) -> None:
        done = seclude(docker, "verify", "-p", profile, "--expect-status", "0", "--", *arguments)
        assert (done.status, said in done.err) == (1, True), done

    def test_a_container_that_runs_elsewhere(self, docker: DockerBed, profile: Path, tmp_path: Path) -> None:
        """Nothing was seen to be denied, and that proves nothing."""
        client = tmp_path / "docker"
        client.write_text("#!/bin/sh\nexit 0\n")
        client.chmod(0o755)
        done = seclude(docker, "verify", "-p", profile, "--", client, "run", "image")
        assert (done.status, "was not seen on this machine" in done.err) == (1, True), done


def test_run(docker: DockerBed, profile: Path) -> None:
    done = seclude(docker, "run", "-p", profile, "--", *docker.run_arguments("mkdir", "/tmp/made"))
    assert (done.status, "Operation not permitted" in done.err) == (1, True), done


def test_an_engine_without_our_runtime_measures_nothing(docker: DockerBed, profile: Path) -> None:
    words = ("verify", "--no-new-privileges", "-p", profile)
    done = seclude(docker, *words, "--", *docker.run_arguments("true"))
    assert (done.status, "docker's engine has no runtime seclude" in done.err) == (1, True), done
    assert "seclude runtime install --engine docker" in done.err


def test_an_engine_without_our_runtime_records_nothing(docker: DockerBed, tmp_path: Path) -> None:
    output = tmp_path / "output.json"
    done = seclude(docker, "record", "-o", output, "--", *docker.run_arguments("true"))
    assert (done.status, "docker's engine has no runtime seclude" in done.err) == (1, True), done
    assert "seclude runtime install --engine docker" in done.err
    assert not output.exists()


class TestWatch:
    def watch(
        self,
        docker: DockerBed,
        container: str,
        *command: str,
        enough: Callable[[dict[str, Any]], bool] = bool,
    ) -> list[dict[str, Any]]:
        """The denials that `seclude watch` sees of a container while a command is executed in it."""
        words = [sys.executable, "-c", MAIN, "watch", "--container", container]
        environment = docker.environment | ENVIRONMENT
        return told(words, environment, lambda: docker.docker("exec", container, *command), enough)

    def test_a_session_that_comes_in_later(self, docker: DockerBed, profile: Path) -> None:
        options = ("--security-opt", f"seccomp={profile}")
        with docker.running("web", "sleep", "600", options=options):
            command = ("/workloads/refused", "0x7fff0000", "plain", "7")
            denials = self.watch(docker, "web", *command, enough=lambda denial: denial["count"] == 7)
        assert {each["name"] for each in denials} == {"getsid"}
        denial = denials[-1]
        assert (denial["count"], denial["comm"], denial["data"]) == (7, "refused", 1)
        assert (denial["container"], denial["native"][0]["module"]) == ("web", "refused")

    def test_the_default_profile_of_docker(self, docker: DockerBed) -> None:
        with docker.running("web", "sleep", "600"):
            [denial] = self.watch(docker, "web", "date", "-s", "@0")
        assert (denial["name"], denial["arguments"][0]) == ("clock_settime", 0)  # CLOCK_REALTIME
        assert (denial["comm"], denial["action"], denial["data"]) == ("date", "SCMP_ACT_ERRNO", 1)

    def test_a_container_that_runs_elsewhere(self, docker: DockerBed, tmp_path: Path) -> None:
        """Its engine gives the number of a process of another machine, which here means another process."""
        state = {"Running": True, "Pid": os.getpid()}
        client = tmp_path / "docker"
        client.write_text(
            f"#!/bin/sh\necho '{json.dumps([{'Id': 64 * 'a', 'Name': '/web', 'State': state}])}'\n"
        )
        client.chmod(0o755)
        path = {"PATH": f"{tmp_path}:{docker.environment['PATH']}"}
        arguments = ("watch", "--container", "web", "--duration", "1")
        done = docker.host(sys.executable, "-c", MAIN, *arguments, env=ENVIRONMENT | path)
        assert (done.status, "on another machine" in done.err) == (1, True), done

    def test_a_container_that_does_not_run(self, docker: DockerBed) -> None:
        done = seclude(docker, "watch", "--container", "nobody", "--duration", "1")
        assert (done.status, "there is no container nobody" in done.err) == (1, True), done


def test_capabilities_are_those_that_docker_gives(docker: DockerBed) -> None:
    """The set that decides on conditional rules, read from the command, is the one that the container has."""
    for options in (
        (),
        ("--cap-drop", "ALL", "--cap-add", "CHOWN"),
        ("--cap-drop=NET_RAW", "--cap-add=sys_chroot"),
    ):
        line = docker.run_arguments("grep", "CapBnd", "/proc/self/status", options=options)
        bits = int(docker.host(*line).succeeded().out.split()[1], 16)
        every = CAPABILITIES
        has = tuple(name for bit, name in enumerate(every) if bits >> bit & 1)
        assert DockerEngine().capabilities(DockerEngine().parse(line), every) == has
