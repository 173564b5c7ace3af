"""Names that would be commands: in messages, branches, inputs and files they are names, and that is all."""

from __future__ import annotations

import pytest
from action_runs import Action, said, workflow
from origin import Origin

HOSTILE = "$(touch pwned) `touch pwned` ${IFS} \"; touch pwned; '"


def test_a_message(origin: Origin, action: Action) -> None:
    lines = "::set-output name=commit::x\n::error::x\n%0A::error::x\n<script>x</script> [seclude]"
    event = origin.push({"app.py": "1"}, f"{HOSTILE}\n\n{lines}")
    outcome = action.run(event)
    assert outcome.succeeded, outcome
    assert (outcome.commands, said(outcome)) == ([], "")
    assert origin.log()[0] == "Update seccomp.json [seclude]"
    assert not list(action.job.workspace.parent.rglob("pwned"))


@pytest.mark.parametrize(
    "branch", ["$(touch${IFS}pwned)", "`touch${IFS}pwned`", "a;touch${IFS}pwned", "%0A#x", "-f"]
)
def test_a_branch(origin: Origin, action: Action, branch: str) -> None:
    event = origin.push({"app.py": "1"}, branch=branch)
    before = origin.head("main")
    origin.hook("pre-receive", '#!/bin/sh\n[ -e "$GIT_DIR/open" ]\n')
    outcome = action.run(event)
    assert not outcome.succeeded  # once refused, to see the name in the message
    assert len(outcome.annotations) == 1
    (origin.path / "open").touch()
    outcome = action.run(event)
    assert outcome.succeeded, outcome
    assert (outcome.commands, said(outcome)) == ([], "")
    assert origin.log(f"refs/heads/{branch}")[0] == "Update seccomp.json [seclude]"
    assert origin.head("main") == before
    assert not list(action.job.workspace.parent.rglob("pwned"))


def test_inputs(origin: Origin, action: Action) -> None:
    """Each input is one argument as it stands, whatever is in it."""
    event = origin.push({"app.py": "1"})
    tests = f"./test.sh {HOSTILE}\n\n--profile=/etc/passwd\n"
    outcome = action.run(
        event,
        workflow(
            image=HOSTILE,
            engine=HOSTILE,
            build=f"--github {HOSTILE}",
            test=tests,
            deny="read,write",
            review="high",
            **{"max-risk": "0.1"},
        ),
    )
    assert outcome.succeeded, outcome
    assert action.arguments[1:2] == ["--github"]
    assert action.arguments[4:] == [
        f"--image={HOSTILE}",
        f"--engine={HOSTILE}",
        f"--build=--github {HOSTILE}",
        "--max-risk=0.1",
        "--deny=read,write",
        "--review=high",
        f"--test=./test.sh {HOSTILE}",
        "--test=--profile=/etc/passwd",
        "--check",
    ]


def test_a_mode(origin: Origin, action: Action) -> None:
    outcome = action.run(origin.push({"app.py": "1"}), workflow(mode="$(id)\n::error::x"))
    assert not outcome.succeeded
    assert [text for _, text in outcome.annotations] == [
        "the mode is check, commit or pull-request, not $(id)\n::error::x"
    ]


def test_a_file(origin: Origin, action: Action) -> None:
    name = "a\n::error::x"
    event = origin.push({"app.py": "1", name: "1"})
    outcome = action.run(event, DURING=f"echo 2 >'{name}'")
    assert not outcome.succeeded
    assert len(outcome.annotations) == 1
