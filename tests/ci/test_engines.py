"""The action with docker and without containers, from installation to commit: pushes in, profiles out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from action_runs import workflow
from daemons import opened_or_skipped
from docker_bed import IMAGE, missing
from docker_machine import CONFIG, DockerMachine, open_docker_machine
from installation import python_with_seclude
from origin import Origin
from runner import ROOT, Event, Job, Launch, Outcome, load, plainly

from seclude.initial import plan, write

pytestmark = pytest.mark.engine

# What it prints would be commands of a workflow.
TEST = """\
#!/bin/sh
set -e
ls /
cat <<END
::error::injected
::set-output name=changed::injected
x ##[error]injected
END
{more}
ls /
"""
GATE = """
[[test]]
name = "tests"
run = ["sh", "./test.sh"]

[gate]
deny = ["mkdir"]
review = ["symlink", "symlinkat"]
"""
CONFIGURATIONS = {
    "docker": f"""
engine = "docker"
image = "localhost/demo"
build = "docker build --quiet --tag localhost/demo --file Containerfile ."
options = ["--network", "none"]
{GATE}""",
    "process": f'engine = "process"\n{GATE}',
}
CONTAINERFILE = f"FROM {IMAGE}\nWORKDIR /demo\nCOPY test.sh .\n"


class Repository:
    """A repository whose tests run with an engine, and the runner on whose machine they do."""

    def __init__(
        self, engine: str, origin: Origin, directory: Path, launch: Launch, environment: Mapping[str, str]
    ) -> None:
        self.origin = origin
        self._directory = directory
        self._launch = launch
        self._environment = {name: text for name, text in environment.items() if name != "SECLUDE_COMMAND"}
        self._count = 0
        self.python = str(python_with_seclude(directory))
        self.workflow = workflow(mode="commit", python=self.python)
        origin.push(
            {"seclude.toml": CONFIGURATIONS[engine], "Containerfile": CONTAINERFILE, "test.sh": self.test()},
            "The application",
        )

    @staticmethod
    def test(more: str = "") -> str:
        return TEST.format(more=more)

    def push(self, files: Mapping[str, str], message: str) -> Outcome:
        """What comes of a push."""
        return self.run(self.origin.push(files, message))

    def run(self, event: Event, told: Mapping[str, Any] | None = None, name: str = "") -> Outcome:
        """What comes of an event, with a workflow of its own or the usual one."""
        self._count += 1
        job = Job(event, self._directory / f"job-{self._count}", self._launch, self._environment)
        outcome = job.run(told or self.workflow, name)
        assert "injected" in outcome.log, outcome
        assert outcome.commands == []
        assert "injected" not in str(outcome.annotations)
        return outcome

    def allowed(self) -> set[str]:
        """The calls that the committed profile allows."""
        profile = json.loads(self.origin.show("seccomp.json"))
        return {name for rule in profile["syscalls"] for name in rule["names"]}


@pytest.fixture(scope="module")
def machine() -> Iterator[DockerMachine]:
    with opened_or_skipped(missing(), open_docker_machine) as opened:
        yield opened


@pytest.fixture
def found(machine: DockerMachine) -> Iterator[DockerMachine]:
    """The machine, which a test must leave as it was."""
    before = machine.state()
    yield machine
    assert machine.state() == before
    assert not before["runtimes"]


@pytest.fixture
def docker(found: DockerMachine, origin: Origin, tmp_path: Path) -> Repository:
    return Repository("docker", origin, tmp_path / "jobs", found.launch, found.environment)


@pytest.fixture
def process(origin: Origin, tmp_path: Path) -> Repository:
    return Repository("process", origin, tmp_path / "jobs", plainly, os.environ)


@pytest.mark.parametrize("engine", ["docker", "process"])
def test_pushes(request: pytest.FixtureRequest, engine: str) -> None:
    repository: Repository = request.getfixturevalue(engine)
    origin = repository.origin
    # 1: there is no profile; one is recorded and committed.
    outcome = repository.run(origin.event("refs/heads/main"))
    assert outcome.succeeded, outcome
    assert origin.log() == ["Update seccomp.json [seclude]", "The application"]
    assert origin.changed("main") == ("seccomp.json",)
    first = repository.allowed()
    assert {"getdents64", "execve"} <= first
    assert not first & {"mkdir", "sched_getaffinity", "symlink", "symlinkat"}
    # 2: nothing that the tests do has changed.
    outcome = repository.push({"README.md": "Other words\n"}, "README")
    assert outcome.succeeded, outcome
    assert outcome.outputs["seclude"]["changed"] == "false"
    assert (origin.log()[0], repository.allowed()) == ("README", first)
    # 3: a test makes a new call, and the profile grows by that.
    outcome = repository.push({"test.sh": repository.test("nproc")}, "Count")
    assert outcome.succeeded, outcome
    assert origin.log()[0] == "Update seccomp.json [seclude]"
    grown = repository.allowed()
    assert "sched_getaffinity" in grown
    assert grown > first
    # 4: one call that never comes in, and one that somebody has to look at first.
    more = "mkdir made; rmdir made; ln -s x made; rm made"
    outcome = repository.push({"test.sh": repository.test(more)}, "Make things")
    assert not outcome.succeeded
    assert (origin.log()[0], repository.allowed()) == ("Make things", grown)
    assert outcome.outputs["seclude"]["commit"] == ""
    for name in ("mkdir", "symlink"):
        assert any(level == "error" and name in text for level, text in outcome.annotations), outcome


@pytest.mark.parametrize("engine", ["docker", "process"])
def test_what_init_writes(request: pytest.FixtureRequest, engine: str) -> None:
    """From a repository without a configuration to a committed profile, with nothing changed by hand."""
    repository: Repository = request.getfixturevalue(engine)
    clone = repository.origin.clone
    (clone / "seclude.toml").unlink()
    made = plan(str(clone), system="github", engine=engine)
    write(made)
    told = load(clone / ".github" / "workflows" / "seccomp.yml")
    job = told["jobs"]["generate-seccomp-filter"]
    job["steps"][-1]["with"]["python"] = repository.python
    files = {path.name: path.read_text() for path in (clone / "seclude.toml", clone / "Containerfile")}
    (clone / "test.sh").chmod(0o755)
    outcome = repository.run(repository.origin.push(files, "Set seclude up"), told, "generate-seccomp-filter")
    assert outcome.succeeded, outcome
    assert repository.origin.log()[:2] == ["Update seccomp.json [seclude]", "Set seclude up"]
    assert {"getdents64", "execve"} <= repository.allowed()


def test_tests_that_fail(docker: Repository) -> None:
    """An error ends the run, and docker is as it was all the same (`found`)."""
    outcome = docker.push({"test.sh": docker.test("exit 3")}, "Fail")
    assert not outcome.succeeded
    assert docker.origin.log()[0] == "Fail"
    assert "ended with status 3" in outcome.log


@pytest.mark.slow
def test_with_a_real_installation(docker: Repository) -> None:
    """The same with pip, which fetches and compiles."""
    told = workflow(mode="commit", python=sys.executable)
    outcome = docker.run(docker.origin.event("refs/heads/main"), told)
    assert outcome.succeeded, outcome
    assert docker.origin.log()[0] == "Update seccomp.json [seclude]"


class Script:
    """action/docker.sh on a machine: `add` and `remove`, with what they say and put out."""

    def __init__(self, machine: DockerMachine, directory: Path) -> None:
        self._machine = machine
        self._directory = directory
        environment = directory / "environment"
        machine.inside(python_with_seclude(directory), "-I", "-m", "venv", environment)
        self._told = {"SECLUDE": str(environment / "bin/seclude"), "PYTHON": str(environment / "bin/python")}

    def __call__(self, deed: str, config: str = "", **told: str) -> tuple[int, str, str]:
        """Exit status, output, and the step's outputs."""
        output = self._directory / "output"
        output.write_text("")
        environment = self._machine.environment | self._told
        environment |= {"GITHUB_OUTPUT": str(output), "CONFIG": config} | told
        done = self._machine.launch([ROOT / "action" / "docker.sh", deed], self._directory, environment)
        return done.returncode, done.stdout.decode(), output.read_text()


@pytest.fixture
def script(found: DockerMachine, tmp_path: Path) -> Script:
    return Script(found, tmp_path)


@pytest.fixture
def configured(request: pytest.FixtureRequest, machine: DockerMachine) -> Iterator[str]:
    """docker has this configuration for a test (before `found` looks at it)."""
    machine.write_config(request.param)
    yield request.param
    machine.write_config("")


CONFIGURED = ["", "{}\n", '{\n\t"labels": ["a=b"]\n}', '{"runtimes": {"other": {"path": "/usr/bin/runc"}}}']


@pytest.mark.parametrize("configured", CONFIGURED, indirect=True)
def test_docker_is_as_it_was(configured: str, script: Script, found: DockerMachine) -> None:
    """Its file to the byte, its runtimes, and no container, whatever a cancelled job has left."""
    status, text, output = script("add")
    assert (status, output) == (0, f"config={CONFIG}\n"), text
    assert found.state()["runtimes"] == ["seclude"]
    found.bed.docker(
        *("run", "--detach", "--runtime", "seclude", "--label", "io.seclude.run=x", "--network", "none"),
        *(IMAGE, "sleep", "100"),
    ).succeeded()
    status, text, _ = script("remove", str(CONFIG))
    assert status == 0, text
    state = found.state()
    assert (state["text"], state["runtimes"], state["containers"]) == (configured, [], [])
    # Once more is no error: it is what comes after an `add` that failed half way.
    status, text, _ = script("remove", str(CONFIG))
    assert status == 0, text


@pytest.mark.parametrize("configured", [""], indirect=True)
def test_a_runtime_that_is_there_stays(configured: str, script: Script, found: DockerMachine) -> None:
    assert script("add")[0] == 0
    before = found.state()
    status, text, output = script("add")
    assert (status, output) == (0, "config=\n"), text
    assert "::notice title=seclude::docker has the runtime seclude already" in text
    assert found.state() == before
    assert script("remove", str(CONFIG))[0] == 0


@pytest.mark.parametrize("configured", ['{"runtimes": []}\n'], indirect=True)
def test_a_file_that_cannot_be_understood(configured: str, script: Script, found: DockerMachine) -> None:
    status, text, output = script("add")
    assert (status, output) == (1, f"config={CONFIG}\n")
    [line] = [line for line in text.splitlines() if line.startswith("::error")]
    assert "`runtimes` is no object" in line


def test_no_engine_answers(script: Script) -> None:
    status, text, output = script("add", DOCKER_HOST="unix:///nonexistent")
    assert (status, output) == (1, "")
    assert "::error title=seclude::docker cannot be prepared: docker" in text
