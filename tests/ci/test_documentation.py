"""docs/ci.md names every input and output of the action, and its workflows are those of the example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from runner import ROOT, load

DOCS = (ROOT / "docs" / "ci.md").read_text()
WORKFLOWS = sorted((ROOT / "examples" / "flask-api" / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_every_input_and_output_is_documented(kind: str) -> None:
    cells = [line.split("|")[1] for line in DOCS.splitlines() if line.startswith("| `")]
    named = {name for cell in cells for name in re.findall("`([^`]+)`", cell)}
    assert set(load(ROOT / "action.yml")[kind]) <= named


def test_the_documented_workflow_is_the_examples() -> None:
    """Apart from the steps that it adds, and what those need."""
    [block] = re.findall(r"^```yaml\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL)
    documented = YAML(typ="safe").load(block)
    job = documented["jobs"]["generate-seccomp-filter"]
    assert job["steps"].pop()["uses"].startswith("github/codeql-action/upload-sarif@")
    assert job["permissions"].pop("security-events") == "write"
    assert documented == load(WORKFLOWS[-1])


@pytest.mark.parametrize(
    "path", [ROOT / "action.yml", ROOT / "action" / "comment" / "action.yml", *WORKFLOWS]
)
def test_no_script_has_an_expression_in_it(path: Path) -> None:
    told = load(path)
    steps = told["runs"]["steps"] if "runs" in told else next(iter(told["jobs"].values()))["steps"]
    assert not [step for step in steps if "${{" in step.get("run", "")]


def test_other_peoples_actions_are_pinned() -> None:
    text = "".join(path.read_text() for path in WORKFLOWS) + DOCS
    used = set(re.findall(r"uses: (\S+)", text))
    others = {each for each in used if not each.startswith("seclude-project/")}
    assert others
    assert not [each for each in others if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)]
