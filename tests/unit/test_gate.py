"""The gate: what may come in, what an acknowledgement does and does not lift, and what is said in each case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude.analyse.gate import MOST_DETAILS, drift, gate
from seclude.dangers import TIERS, category_of, danger_of
from seclude.model.change import Change, Difference, Maker
from seclude.model.completeness import Completeness, Estimate, LoneCall, Unknown
from seclude.model.configuration import Acknowledgement, Gate
from seclude.model.coverage import Coverage, FileCoverage
from seclude.model.finding import SEVERITIES

TODAY = "2026-06-15"
OPEN = Gate(deny=(), review=())


def change(call, kind="added", *, loosened=None, makers=()):
    return Change(
        call=call,
        kind=kind,
        before="refused with EPERM",
        after="allowed",
        category=category_of(call),
        danger=danger_of(call),
        makers=makers,
        loosened=kind == "added" if loosened is None else loosened,
    )


def passed(rules, *changes, others=(), **fields):
    difference = Difference(changes=changes, others=others)
    return gate(difference, rules, today=TODAY, profile_path="seccomp.json", **fields)


def rules_of(findings):
    return [(finding.rule, finding.severity, finding.call) for finding in findings]


def acknowledged(call, expires="", reason="needed"):
    return Acknowledgement(call=call, reason=reason, expires=expires)


def test_nothing_changed():
    assert passed(Gate()) == ()
    assert passed(Gate(), change("getpid"), change("ptrace", "removed")) == ()


def test_deny_is_not_lifted_by_an_acknowledgement():
    made = Maker(comm="gdb", executable="/usr/bin/gdb", context="tests/test_a.py::test_b")
    findings = passed(Gate(acknowledged=(acknowledged("ptrace"),)), change("ptrace", makers=(made,)))
    assert rules_of(findings) == [("gate/deny", "error", "ptrace")]
    (finding,) = findings
    assert finding.message.startswith("ptrace is allowed now (critical: it controls other processes")
    assert "the acknowledgement does not lift deny" in finding.hint
    assert "gate.allow" in finding.hint
    assert finding.path == "seccomp.json"
    assert finding.details == (
        "refused with EPERM -> allowed",
        "made by gdb (/usr/bin/gdb) in tests/test_a.py::test_b",
    )
    assert "does not lift" not in passed(Gate(), change("ptrace"))[0].hint


def test_review_by_tier_and_by_name():
    rules = Gate(deny=(), review=("high", "execve"))
    calls = ["ptrace", "userfaultfd", "execve", "socket"]
    assert rules_of(passed(rules, *map(change, calls))) == [
        ("gate/review", "error", "ptrace"),
        ("gate/review", "error", "userfaultfd"),
        ("gate/review", "error", "execve"),
    ]
    assert passed(Gate(deny=(), review=("low",)), change("read")) != ()


def test_a_call_that_was_loosened_is_reviewed_too():
    rules = Gate(deny=("clone",), review=("high",))
    assert passed(rules, change("clone", "changed"), change("personality", "changed")) == ()
    found = passed(
        rules, change("clone", "changed", loosened=True), change("personality", "changed", loosened=True)
    )
    assert rules_of(found) == [("gate/deny", "error", "clone"), ("gate/review", "error", "personality")]
    assert "is allowed in more cases" in found[0].message


@pytest.mark.parametrize(
    ("expires", "expected"),
    [
        ("", []),
        ("2026-06-15", []),
        ("2027-01-01", []),
        ("2026-06-14", [("gate/expired", "error", "personality")]),
    ],
)
def test_acknowledgements(expires, expected):
    rules = Gate(acknowledged=(acknowledged("personality", expires, "setarch in a test"),))
    found = passed(rules, change("personality"))
    assert rules_of(found) == expected
    assert all("setarch in a test" in finding.message for finding in found)


def test_acknowledgements_that_are_left_over():
    rules = Gate(acknowledged=(acknowledged("personality"), acknowledged("keyctl", "2020-01-01")))
    assert rules_of(passed(rules)) == [
        ("gate/expired", "warning", "keyctl"),
        ("gate/unused-acknowledgement", "note", "personality"),
    ]
    # One for a call that comes in without it is not needed either.
    assert rules_of(passed(Gate(acknowledged=(acknowledged("getpid"),)), change("getpid"))) == [
        ("gate/unused-acknowledgement", "note", "getpid")
    ]


def test_max_added():
    calls = [change("read"), change("write"), change("brk", "removed")]
    assert passed(Gate(max_added=2), *calls) == ()
    (finding,) = passed(Gate(max_added=1), *calls)
    assert (finding.rule, finding.message) == ("gate/max-added", "2 calls are new, max-added is 1")
    assert finding.details == ("read", "write")
    assert passed(Gate(max_added=0), change("socket", "changed", loosened=True)) == ()


def test_what_is_beside_the_calls_is_a_warning():
    (finding,) = passed(Gate(), others=("architectures on x86_64: SCMP_ARCH_X86 added",))
    assert (finding.rule, finding.severity) == ("gate/setting", "warning")
    assert "SCMP_ARCH_X86" in finding.message


def test_coverage():
    files = (
        FileCoverage(path="a.py", covered=9, lines=10),
        FileCoverage(path="b.py", covered=10, lines=100),
        FileCoverage(path="full.py", covered=5, lines=5),
    )
    coverage = Coverage(percent=79.96, files=files)
    assert passed(OPEN, coverage=coverage) == ()
    assert passed(Gate(min_coverage=79.9), coverage=coverage) == ()
    (finding,) = passed(Gate(min_coverage=80), coverage=coverage)
    assert (finding.rule, finding.severity) == ("gate/coverage", "error")
    assert finding.message == "the tests ran 79.9 % of the lines, min-coverage is 80 %"
    assert finding.details == ("b.py: 10 of 100 lines", "a.py: 9 of 10 lines")


def test_the_worst_files_are_named():
    files = tuple(FileCoverage(path=f"{number}.py", covered=0, lines=number + 1) for number in range(50))
    (finding,) = passed(Gate(min_coverage=80), coverage=Coverage(percent=0.0, files=files))
    assert finding.details[0] == "49.py: 0 of 50 lines"
    assert finding.details[-1] == "and 30 more"
    assert len(finding.details) == MOST_DETAILS + 1


def test_no_coverage():
    (finding,) = passed(Gate(min_coverage=80))
    assert (finding.rule, finding.severity) == ("gate/no-coverage", "error")


def test_errors_come_first():
    rules = Gate(acknowledged=(acknowledged("getpid"),), min_coverage=50)
    found = passed(rules, change("ptrace"), others=("flags",))
    assert [finding.severity for finding in found] == ["error", "error", "warning", "note"]


def test_drift():
    assert drift(Difference(changes=()), "seccomp.json") == ()
    difference = Difference(changes=(change("read"), change("brk", "removed")), others=("flags",))
    (finding,) = drift(difference, "seccomp.json")
    assert (finding.rule, finding.severity, finding.path) == ("drift", "error", "seccomp.json")
    assert finding.message.endswith("1 added, 1 removed, 1 other difference")
    assert finding.details == (
        "flags",
        "read: refused with EPERM -> allowed",
        "brk: refused with EPERM -> allowed",
    )


WORDS = st.lists(st.sampled_from([*TIERS, "ptrace", "read", "socket"]), max_size=3).map(tuple)


@given(WORDS, WORDS, st.lists(st.sampled_from(["ptrace", "read", "socket"]), unique=True))
def test_nothing_that_is_denied_or_reviewed_passes_without_an_error(deny, review, calls):
    found = passed(Gate(deny=deny, review=review), *map(change, calls))
    stopped = {finding.call for finding in found if finding.severity == "error"}
    for call in calls:
        tiers = TIERS[TIERS.index(danger_of(call).tier) :]
        assert (call in stopped) == bool({call, *tiers} & {*deny, *review})
    assert [SEVERITIES.index(finding.severity) for finding in found] == sorted(
        SEVERITIES.index(finding.severity) for finding in found
    )


ESTIMATE = Estimate(
    kind="test",
    units=40,
    lone=1,
    risk=0.025,
    bound=0.1132,
    binomial=0.1132,
    pairs=0,
    single=1,
    double=0,
    new_calls=0.025,
    missing=0.0,
    more_runs=0,
)


def test_risk_is_held_against_the_upper_bound():
    found = Completeness(estimate=ESTIMATE, lone_calls=(LoneCall(call="socket", unit="t.py::test_net"),))
    assert passed(Gate(), completeness=found) == ()
    assert passed(Gate(max_risk=0.12), completeness=found) == ()
    assert passed(Gate(max_risk=0.1)) == ()
    (finding,) = passed(Gate(max_risk=0.1), completeness=found)
    assert (finding.rule, finding.severity) == ("gate/risk", "error")
    assert finding.message == (
        "the next test may make an unrecorded call with a probability of up to 0.114 "
        "(1 of 40 tests make a call of their own), max-risk is 0.1"
    )
    assert finding.details == ("socket: only t.py::test_net",)


def test_risk_of_one_test_cannot_be_said():
    found = Completeness(estimate=Unknown(reason="cannot be said: the recording has one unit", units=1))
    assert passed(Gate(), completeness=found) == ()
    assert passed(Gate(max_risk=1.0), completeness=found) == ()
    (finding,) = passed(Gate(max_risk=0.9), completeness=found)
    assert finding.rule == "gate/risk"
    assert "cannot be said: the recording has one unit; max-risk is 0.9" in finding.message
    assert "mark the tests" in finding.hint
