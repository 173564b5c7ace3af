"""`max-risk` in `seclude ci`: computed of the recordings of the run where it is asked for, and only there."""

import pytest

from seclude.model.change import Difference
from seclude.model.configuration import Configuration, Gate
from seclude.model.configuration import TestCommand as Command
from seclude.pipeline import Pipeline, Run
from seclude.session import Settings

from .test_completeness import recording

ALIKE = [(f"t.py::t{number}", "read") for number in range(40)]


def findings(tmp_path, max_risk, *recordings):
    told = Configuration(
        image="app", tests=(Command(name="all", run=("./test.sh",)),), gate=Gate(max_risk=max_risk)
    )
    run = Run(configuration=told, settings=Settings(), directory=str(tmp_path), root=str(tmp_path))
    found = Pipeline(run, lambda text: None)._gate(Difference(changes=()), recordings)
    return [finding.rule for finding in found]


@pytest.mark.parametrize(
    ("max_risk", "calls", "expected"),
    [
        (0.0, [("", "read")], []),
        (0.1, [("", "read")], ["gate/risk"]),
        (0.1, ALIKE, []),
        (0.1, [*ALIKE, ("t.py::net", "socket")], ["gate/risk"]),
        (0.2, [*ALIKE, ("t.py::net", "socket")], []),
    ],
)
def test_max_risk(tmp_path, max_risk, calls, expected):
    assert findings(tmp_path, max_risk, recording(calls)) == expected


def test_test_commands_are_units(tmp_path):
    assert findings(tmp_path, 0.9, *(recording([(name, "read")]) for name in "abc")) == []
    # Of two neither says anything of what a third does: without both nothing is left.
    assert findings(tmp_path, 0.9, *(recording([(name, "read")]) for name in "ab")) == ["gate/risk"]
