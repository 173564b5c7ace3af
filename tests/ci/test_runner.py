"""The runner of these tests: what it takes from a log as GitHub's does, and that it fails on what it does not know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from expressions import Evaluator, ExpressionError
from runner import Event, Job, Outcome, UnsupportedError, plainly, starts

CONTEXTS = {
    "github": {"event_name": "push", "event": {"number": 7}},
    "inputs": {"mode": "commit", "empty": ""},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("github.event_name == 'push'", True),
        ("github.event_name == 'Push' && inputs.mode != 'check'", True),
        ("!(inputs.empty || github.event.number == 8)", True),
        ("github.event.missing.more == ''", True),
        ("inputs.empty || 'it''s'", "it's"),
        ("github.event.number", 7),
        ("always() && false", False),
    ],
)
def test_expressions(text: str, value: object) -> None:
    assert Evaluator(CONTEXTS).value(text) == value


@pytest.mark.parametrize(
    "text", ["secrets.TOKEN", "format('{0}', 1)", "1 < 2", "github.a[0]", "(true", "a b", ""]
)
def test_expressions_that_are_not_known(text: str) -> None:
    with pytest.raises(ExpressionError):
        Evaluator(CONTEXTS).value(text)


def test_conditions() -> None:
    after = Evaluator(CONTEXTS, failed=True)
    assert not after.condition("github.event_name == 'push'")
    assert after.condition("always() && github.event_name == 'push'")
    assert after.condition("${{ failure() }}")


def run(tmp_path: Path, *steps: dict[str, Any], **keys: Any) -> Outcome:
    event = Event("push", tmp_path, "refs/heads/main", "0" * 40)
    job = {"runs-on": "ubuntu-24.04", "steps": list(steps)} | keys
    return Job(event, tmp_path / "job", plainly, os.environ).run({"on": "push", "jobs": {"one": job}})


def test_a_log(tmp_path: Path) -> None:
    script = (
        "echo ::error file=a,title=b::one%0Atwo; echo 'x ##[warning]old'; echo ::set-output name=a::b; "
        "echo ::stop-commands::token; echo ::error::not; echo '##[error]not'; echo ::token::; echo ' ::notice::three'"
    )
    outcome = run(tmp_path, {"run": script})
    assert outcome.annotations == [("error", "one\ntwo"), ("warning", "old"), ("notice", "three")]
    assert outcome.commands == ["::set-output name=a::b"]


def test_outputs_and_variables(tmp_path: Path) -> None:
    first = {
        "id": "first",
        "run": "printf 'a<<END\\n1\\n2\\nEND\\nb=3\\n' >>$GITHUB_OUTPUT; echo C=4 >>$GITHUB_ENV",
    }
    second = {
        "id": "second",
        "run": 'echo "d=$B$C" >>$GITHUB_OUTPUT',
        "env": {"B": "${{ steps.first.outputs.b }}"},
    }
    outcome = run(tmp_path, first, second)
    assert outcome.outputs == {"first": {"a": "1\n2", "b": "3"}, "second": {"d": "34"}}


def test_after_a_failure(tmp_path: Path) -> None:
    outcome = run(
        tmp_path,
        {"run": "false | true", "shell": "bash"},
        {"run": "echo no"},
        {"run": "echo yes", "if": "always()"},
    )
    assert (outcome.succeeded, outcome.log) == (False, "yes\n")


@pytest.mark.parametrize(
    ("step", "keys"),
    [
        ({"run": "echo ${{ github.sha }}"}, {}),
        ({"uses": "someone/action@v1"}, {}),
        ({"uses": "someone/action@" + "0" * 40}, {}),
        ({"run": "true", "continue-on-error": True}, {}),
        ({"run": "true"}, {"strategy": {}}),
    ],
)
def test_what_is_not_known(tmp_path: Path, step: dict[str, Any], keys: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedError):
        run(tmp_path, step, **keys)


@pytest.mark.parametrize(
    ("filters", "ref", "changed", "expected"),
    [
        ({}, "refs/tags/v1", ("a",), True),
        ({"branches": ["**"]}, "refs/tags/v1", ("a",), False),
        ({"branches": ["**", "!x/**"]}, "refs/heads/x/y", ("a",), False),
        ({"paths-ignore": ["seccomp.json"]}, "refs/heads/main", ("seccomp.json",), False),
        ({"paths-ignore": ["seccomp.json"]}, "refs/heads/main", ("seccomp.json", "a"), True),
    ],
)
def test_what_starts(
    tmp_path: Path, filters: dict[str, Any], ref: str, changed: tuple[str, ...], expected: bool
) -> None:
    event = Event("push", tmp_path, ref, "0" * 40, changed=changed)
    assert starts({"on": {"push": filters}}, event) is expected
    assert not starts({"on": "pull_request"}, event)
