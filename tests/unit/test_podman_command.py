"""Podman's command line: taken apart at the right places, put together with hooks or a profile, and the hooks file."""

import json
import os
import re
import sys

import pytest

from seclude.engines import engine_for, podman
from seclude.engines.podman import ANNOTATIONS, PodmanEngine, hooks_file
from seclude.errors import EngineError

ENGINE = PodmanEngine()


def parse(text):
    return ENGINE.parse(text.split())


@pytest.mark.parametrize("command", ["podman run x", "/usr/bin/podman run x", "podman"])
def test_recognised(command):
    assert engine_for(command.split()).name == "podman"


@pytest.mark.parametrize("command", ["ls /", "podman2 run", "sudo podman run x"])
def test_anything_else_is_a_process(command):
    assert engine_for(command.split()).name == "process"


@pytest.mark.parametrize(
    ("command", "options", "verb", "rest"),
    [
        ("podman run debian", "", "run", "debian"),
        ("podman run --rm -it debian ls /", "", "run", "--rm -it debian ls /"),
        ("podman --runtime crun run debian", "--runtime crun", "run", "debian"),
        ("podman --runtime=crun --log-level debug run x", "--runtime=crun --log-level debug", "run", "x"),
        ("podman -c host --remote=false run x", "-c host --remote=false", "run", "x"),
        (
            "podman --hooks-dir /a --hooks-dir /b container run x",
            "--hooks-dir /a --hooks-dir /b",
            "container run",
            "x",
        ),
        ("podman --root run run x", "--root run", "run", "x"),
        ("podman run run run", "", "run", "run run"),
    ],
)
def test_parts(command, options, verb, rest):
    run = parse(command)
    assert (run.program, run.options, run.verb, run.rest) == (
        command.split()[0],
        *(tuple(part.split()) for part in (options, verb, rest)),
    )
    assert run.command() == command.split()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("podman", "`podman` starts no container"),
        ("podman ps", "`podman ps` starts no container"),
        ("podman start x", "`podman start` starts no container"),
        ("podman container ls", "`podman container ls` starts no container"),
        ("podman --root /r build .", "`podman build` starts no container"),
        ("podman run", "`podman run` names no image"),
        ("podman container run", "`podman run` names no image"),
    ],
)
def test_what_starts_no_container(command, message):
    with pytest.raises(EngineError) as failure:
        parse(command)
    assert failure.value.message == message
    assert failure.value.hint


@pytest.mark.parametrize(
    ("arguments", "detached"),
    [
        ("debian ls -d", False),
        ("--rm debian", False),
        ("-d debian", True),
        ("--detach debian", True),
        ("--detach=true debian", True),
        ("--detach=false debian", False),
        ("-dit debian", True),
        ("-itd debian", True),
        ("-it debian -d", False),
        ("--rm -d debian", True),
        ("--dns=1.1.1.1 debian", False),
    ],
)
def test_detached(arguments, detached):
    assert parse(f"podman run {arguments}").detached == detached


@pytest.mark.parametrize("arguments", ["--name x -d debian", "-v /a:/b -d debian", "-e A=b --detach debian"])
def test_detached_after_an_option_with_a_value(arguments):
    assert parse(f"podman run {arguments}").detached


def test_hooked(monkeypatch, tmp_path):
    monkeypatch.setattr(podman, "HOOKS_DIRECTORIES", (str(tmp_path), "/none"))
    run = parse("podman --runtime crun run --rm debian ls --hooks-dir /x")
    command = ENGINE.hooked(run, "/ours", {"io.seclude.recording": "/r", "a": "b c"})
    options = ["--hooks-dir", str(tmp_path), "--hooks-dir", "/ours"]
    arguments = ["--annotation", "io.seclude.recording=/r", "--annotation", "a=b c"]
    assert command == [
        *("podman", "--runtime", "crun", *options, "run", *arguments),
        *("--rm", "debian", "ls", "--hooks-dir", "/x"),
    ]


@pytest.mark.parametrize("given", ["--hooks-dir /mine", "--hooks-dir=/mine"])
def test_hooked_beside_the_users_own_directory(given):
    command = ENGINE.hooked(parse(f"podman {given} run debian"), "/ours", {})
    assert command == [*f"podman {given} --hooks-dir /ours run debian".split()]


def test_enforced():
    command = ENGINE.enforced(parse("podman container run --rm debian ls"), "/p.json")
    assert command == [*"podman container run --security-opt seccomp=/p.json --rm debian ls".split()]


class TestHooksFile:
    ENTRY = json.loads(hooks_file({"--bpffs": "/b c", "--policy": "/p'\""}, "/opt/pack'age"))

    def test_stages_and_version(self):
        assert self.ENTRY["version"] == "1.0.0"
        assert self.ENTRY["stages"] == ["createRuntime", "poststop"]

    def test_the_command(self):
        hook = self.ENTRY["hook"]
        assert hook["path"] == hook["args"][0] == os.path.realpath(sys.executable)
        assert hook["args"][1:4] == ["-I", "-S", "-c"]
        assert hook["args"][5:] == ["--bpffs", "/b c", "--policy", "/p'\""]
        compile(hook["args"][4], "hook", "exec")
        assert repr("/opt/pack'age") in hook["args"][4]

    @pytest.mark.parametrize("name", ["io.containers.trace-syscall", "io.seclude.recording"])
    def test_the_annotations_that_start_it(self, name):
        assert list(self.ENTRY["when"]["annotations"]) == [ANNOTATIONS]
        assert re.search(ANNOTATIONS, name)

    @pytest.mark.parametrize(
        "name",
        [
            "io.seclude.recordings",
            "xio.seclude.recording",
            "io.containers.trace-syscalls",
            "ioXseclude.recording",
        ],
    )
    def test_other_annotations(self, name):
        assert not re.search(ANNOTATIONS, name)
