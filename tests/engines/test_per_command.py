"""Several test commands, each in a container of its own: one recording with a context for each, and its profile."""

from __future__ import annotations

import json

import pytest
from catalogue import CONTEXTS
from daemons import opened_or_skipped
from docker_bed import missing
from docker_recorder import open_docker_recorder
from podman_bed import WORKLOADS_DIR
from recording import Recorder

from seclude import store
from seclude.analyse.attribution import attribution, why

pytestmark = pytest.mark.engine
KILLED = "sh -c 'sleep 9 & kill -9 $!; wait $!'"
"""Ends as if it had been killed; a container's first process cannot kill itself."""


def test_commands_in_containers(recorder: Recorder, runtime: str) -> None:
    profile, file, junit = recorder.path(".json"), recorder.path(".rec"), recorder.path(".xml")
    prefix = recorder.bed.run_arguments(image="debian", runtime=runtime)
    commands = recorder.path(".txt")
    commands.write_text(f"sync\nls /\n# what is not there\nnosuch --x\n{KILLED}\nsync\n")
    done = recorder.seclude(
        "record", "-o", profile, "--recording", file, "--per-command", commands, "--tap", "--junit", junit, "--",
        *prefix,
    )  # fmt: skip
    assert done.status == 127, str(done)
    results = [line.partition(" - ")[0] for line in done.out.splitlines() if line.startswith(("ok", "not"))]
    assert results == ["ok 1", "ok 2", "not ok 3", "not ok 4", "ok 5"], str(done)
    assert done.out.splitlines()[2] == "ok 1 - sync" and "ok 5 - sync (2)" in done.out
    assert "exitstatus: 137\n" in done.out and "nothing was recorded" in done.err
    assert 'tests="5" failures="2"' in junit.read_text()
    recording = store.read(str(file))
    found = attribution([recording])
    assert [test.name for test in found.tests] == ["sync", "ls /", KILLED, "sync (2)"]
    assert set(why("sync", [recording]).tests) == {"sync", "sync (2)"}
    assert why("kill", [recording]).only == KILLED
    # What the runtime calls is nobody's, and is there once.
    runtimes = [call for call in recording.calls if call.phase == "runtime"]
    assert runtimes and all(not call.context for call in runtimes)
    assert len({(call.abi, call.name) for call in runtimes}) == len(runtimes)
    assert recording.runtime == runtime and not recording.losses.calls
    # The one profile is enough for each of them.
    for command in (("sync",), ("ls", "/")):
        enforced = recorder.bed.run(*command, image="debian", runtime=runtime, seccomp=profile)
        assert enforced.status == 0, str(enforced)


def test_contexts_within_a_command_stay(recorder: Recorder) -> None:
    file = recorder.path(".rec")
    program = " ".join(map(str, CONTEXTS.argv(WORKLOADS_DIR)))
    prefix = recorder.bed.run_arguments()
    done = recorder.seclude(
        "record", "--recording", file, "--test", program, "--test", program, "--json", "--", *prefix
    )
    assert done.status == CONTEXTS.status, str(done)
    contexts = {call.context for call in store.read(str(file)).calls if call.phase == "app"}
    assert contexts == {program, f"{program} (2)", *(name for name in CONTEXTS.contexts if name)}
    assert len(json.loads(done.err.splitlines()[-1])["commands"]) == 2


def test_new_calls_of_a_command(recorder: Recorder) -> None:
    profile = recorder.path(".json")
    prefix = recorder.bed.run_arguments(image="debian")
    recorder.seclude("record", "-o", profile, "--test", "ls /", "--test", "sync", "--", *prefix).succeeded()
    gate = ("record", "--fail-on-new", profile)
    tests = ("--test", "ls /", "--test", "sync")
    recorder.seclude(*gate, *tests, "--", *prefix).succeeded()
    names = sorted(recorder.bed.allowed(profile) - {"sync"})
    recorder.bed.write_profile(profile, names)
    done = recorder.seclude(*gate, *tests, "--", *prefix)
    assert done.status == 2 and "seclude: sync: sync: the profile does not allow it" in done.err, str(done)


def test_commands_in_containers_of_docker() -> None:
    with opened_or_skipped(missing(), open_docker_recorder) as docker:
        profile, file = docker.path(".json"), docker.path(".rec")
        words = CONTEXTS.argv(WORKLOADS_DIR)
        program = " ".join(map(str, words))
        tests = ("--test", program, "--test", "/nosuch", "--test", program)
        done = docker.seclude("record", "-o", profile, "--recording", file, *tests, "--", *docker.line())
        assert done.status == CONTEXTS.status, str(done)
        assert "[2/3] /nosuch: status 127" in done.err, str(done)
        contexts = {call.context for call in store.read(str(file)).calls if call.phase == "app"}
        assert contexts == {program, f"{program} (2)", *(name for name in CONTEXTS.contexts if name)}
        docker.settle()


def test_nothing_runs_where_nothing_can(recorder: Recorder) -> None:
    file = recorder.path(".rec")
    prefix = recorder.bed.run_arguments(image="debian", options=["--name", "one"], remove=False)
    done = recorder.seclude("record", "--recording", file, "--test", "ls", "--test", "ls", "--", *prefix)
    assert done.status == 1 and "--name allows one only" in done.err, str(done)
    done = recorder.seclude(
        "record", "--recording", file, "--test", "ls", "--", "podman", "run", "nosuch/image"
    )
    assert done.status == 1 and "nothing was recorded: podman ended with status 125" in done.err, str(done)
    assert not file.exists()
