"""The seed's pipeline, made safe: the example's own workflow on real pushes, real containers, the real `seclude ci`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from comment_script import comment
from origin import Origin
from podman_bed import Bed
from runner import Event, Job, Outcome, load, starts

# On a machine that has none yet, the first test makes the image `programs`, from packages of a mirror that may be slow.
pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "flask-api"
WORKFLOW = load(EXAMPLE / ".github" / "workflows" / "seccomp.yml")
CHECK = load(EXAMPLE / ".github" / "workflows" / "seccomp-check.yml")

# Names each test to the recorder, as docs say: a prctl that the kernel refuses.
CONFTEST = """\
import ctypes

import pytest

libc = ctypes.CDLL(None)


def enter(name):
    libc.prctl(ctypes.c_ulong(0x5EC1DE00), ctypes.c_char_p(name.encode()), 0, 0, 0)


@pytest.fixture(autouse=True)
def named(request):
    enter(request.node.nodeid)
    yield
    enter("")
"""
PRIORITY = """\
import os


def test_priority():
    assert os.getpriority(os.PRIO_PROCESS, 0) == 0
"""
PTRACE = """

import ctypes

ctypes.CDLL(None).ptrace(17, 0, 0, 0)
"""


class Pipeline:
    """Runs the example's workflows in a bed, as the runner of a repository would."""

    def __init__(self, bed: Bed, directory: Path) -> None:
        self._bed = bed
        self._directory = directory
        self._count = 0

    def job(self, event: Event, **environment: str) -> Job:
        """A job for the event; `environment` is added to the runner's."""
        self._count += 1
        base = self._bed.images["programs"]
        told = {
            "SECLUDE_COMMAND": str(Path(sys.executable).with_name("seclude")),
            "SECLUDE_BPFFS": str(self._bed.bpffs),
            "SECLUDE_STATE_DIR": str(self._bed.state),
            # The example's own build, with a base that needs no registry.
            "SECLUDE_BUILD": f"podman build --quiet --build-arg BASE={base} --tag localhost/flask-api .",
        }
        return Job(
            event,
            self._directory / f"job-{self._count}",
            self._launch,
            self._bed.environment | told | environment,
        )

    def run(self, event: Event, workflow: Mapping[str, Any] = WORKFLOW, **environment: str) -> Outcome:
        """What comes of the event; AssertionError if it does not start the workflow."""
        assert starts(workflow, event), event
        return self.job(event, **environment).run(workflow)

    def _launch(
        self, command: Sequence[str | Path], directory: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            self._bed.command(*command, cwd=directory),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
        )


@pytest.fixture
def pipeline(bed: Bed, tmp_path: Path) -> Pipeline:
    return Pipeline(bed, tmp_path / "jobs")


@pytest.fixture
def example(origin: Origin) -> dict[str, str]:
    """The example is in the clone; gives what the first push adds to it."""
    origin.take(EXAMPLE)
    (origin.clone / "seccomp.json").unlink(missing_ok=True)
    containerfile = (EXAMPLE / "Containerfile").read_text()
    copied = next(line for line in containerfile.splitlines() if "test_app.py" in line)
    return {"Containerfile": containerfile.replace(copied, "COPY *.py test.sh ./"), "conftest.py": CONFTEST}


def allowed(origin: Origin, ref: str = "main") -> set[str]:
    """The calls that the profile in origin allows."""
    profile = json.loads(origin.show("seccomp.json", ref))
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    for rule in profile["syscalls"]:
        assert (rule["action"], rule.get("args", [])) == ("SCMP_ACT_ALLOW", []), rule
    return {name for rule in profile["syscalls"] for name in rule["names"]}


def test_four_pushes(origin: Origin, pipeline: Pipeline, example: dict[str, str]) -> None:
    # 1: there is no profile; one is recorded and committed, and its commit starts nothing.
    outcome = pipeline.run(origin.push(example, "The application"))
    assert outcome.succeeded, outcome
    assert origin.log() == ["Update seccomp.json [seclude]", "The application"]
    assert origin.log(form="%an <%ae>")[0] == (
        "github-actions[bot] <41898282+github-actions[bot]@users.noreply.github.com>"
    )
    assert origin.changed("main") == ("seccomp.json",)
    first = allowed(origin)
    assert {"read", "execve"} < first
    assert not first & {"ptrace", "getpriority", "mount"}
    assert outcome.outputs["seclude"]["changed"] == "true"
    assert outcome.outputs["seclude"]["commit"] == origin.head("main")
    assert not starts(WORKFLOW, origin.event("refs/heads/main"))
    assert {path.name for path in outcome.artifacts["seclude"].iterdir()} == {
        "report.md",
        "report.json",
        "report.sarif",
        "comment.md",
    }
    # 2: nothing that the tests do has changed.
    before = origin.head("main")
    outcome = pipeline.run(origin.push({"README.md": "Other words\n"}, "README"))
    assert outcome.succeeded, outcome
    assert outcome.outputs["seclude"]["changed"] == "false"
    assert (origin.log()[0], origin.head("main~1")) == ("README", before)
    assert allowed(origin) == first
    # 3: a test makes a new call; the profile grows by that alone, and the summary says whose it is.
    outcome = pipeline.run(origin.push({"test_priority.py": PRIORITY}, "Test priorities"))
    assert outcome.succeeded, outcome
    assert allowed(origin) == first | {"getpriority"}
    assert outcome.outputs["seclude"]["added"] == "getpriority"
    assert "test_priority.py::test_priority" in outcome.summary
    assert "Added: getpriority" in origin.log(form="%b")
    # 4: the code calls ptrace, which the gate lets in for nobody.
    last = origin.push({"app.py": (EXAMPLE / "app.py").read_text() + PTRACE}, "Debug")
    outcome = pipeline.run(last)
    assert not outcome.succeeded
    assert origin.head("main") == last.sha
    assert allowed(origin) == first | {"getpriority"}
    assert "ptrace" in outcome.summary
    assert any(level == "error" and "ptrace" in text for level, text in outcome.annotations), outcome
    assert outcome.outputs["seclude"]["commit"] == ""


NAME = "$(touch /tmp/pwned) `touch /tmp/pwned` \r\n::set-output name=changed::x\n<script>x</script> @everyone | ]("
LINES = "\n::error::injected\n::set-output name=changed::injected\nx ##[error]injected\n::add-mask::read\n"
HOSTILE = f"""
import atexit
import os

NAME = {NAME!r}
LINES = {LINES!r}

# After pytest has given back what it captures.
atexit.register(os.write, 1, LINES.encode())
atexit.register(os.write, 2, LINES.encode())


def test_hostile():
    enter(NAME)
    os.getpriority(os.PRIO_PROCESS, 0)
"""
COMMENT = f'{{"names": ["getpid"], "action": "SCMP_ACT_ALLOW", "comment": {json.dumps(NAME)}}}'
PROFILE = f'{{"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": [{COMMENT}]}}'


def test_a_hostile_pull_request(origin: Origin, pipeline: Pipeline, example: dict[str, str]) -> None:
    """Names of tests, comments of profiles and the tests' own output, on the way to log, summary and comment."""
    origin.push(example)
    files = {"test_hostile.py": CONFTEST + HOSTILE, "seccomp.json": PROFILE}
    origin.push(files, NAME, branch="theirs")
    origin.git("push", "--quiet", "origin", "HEAD:refs/pull/7/merge")
    outcome = pipeline.run(origin.event("refs/pull/7/merge", "pull_request"), CHECK)
    assert not outcome.succeeded  # the profile is not what the tests need
    assert "injected" in outcome.log
    # Commands of workflows: ours, and none of theirs.
    assert outcome.commands == []
    assert not [text for _, text in outcome.annotations if "injected" in text or text.startswith("x")]
    assert "error" in {level for level, _ in outcome.annotations}, outcome
    assert outcome.outputs["seclude"]["changed"] == "true"
    assert "getpriority" in outcome.outputs["seclude"]["added"].split()
    # The summary, and what becomes the comment.
    reports = outcome.artifacts["seclude"]
    assert (reports / "pull-request.txt").read_text() == "7\n"
    written = (reports / "comment.md").read_text()
    for text in (outcome.summary, written, comment.body(written)):
        assert "getpriority" in text
        assert "touch /tmp/pwned" in text  # it is named, and that is all
        assert not [line for line in text.splitlines() if line.startswith(("::", "<script"))]
        outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", text)
        assert not [each for each in ("<script", "@everyone", "](", "$(touch") if each in outside], outside
    assert not Path("/tmp/pwned").exists()
    assert origin.log("theirs", "%an")[0] == "Developer"


def test_tests_that_fail(origin: Origin, pipeline: Pipeline, example: dict[str, str]) -> None:
    """Tests that fail leave the profile alone, and there is nothing to commit."""
    event = origin.push(example | {"test_app.py": "def test_it():\n    assert False\n"})
    outcome = pipeline.run(event)
    assert not outcome.succeeded
    assert origin.head("main") == event.sha
    assert outcome.outputs["seclude"]["commit"] == ""
    assert "ended with status 1" in outcome.log
