"""A difference between profiles and the rules of a gate in, findings out: what may not come in, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from ..dangers import TIERS, at_least
from ..model.change import Change, Difference
from ..model.completeness import Completeness, Estimate
from ..model.configuration import Acknowledgement, Gate
from ..model.coverage import Coverage
from ..model.finding import SEVERITIES, Finding

MOST_DETAILS = 20
"""Files or calls that one finding names."""


def gate(
    difference: Difference,
    rules: Gate,
    *,
    today: str,
    profile_path: str,
    coverage: Coverage | None = None,
    completeness: Completeness | None = None,
) -> tuple[Finding, ...]:
    """What stands against letting the difference in, errors first. `today` is YYYY-MM-DD.

    `coverage` None: there is no report, which is an error where the gate asks for a minimum. `completeness` is needed
    where it asks for a risk.
    """
    acknowledged = {each.call: each for each in rules.acknowledged}
    wanted = [change for change in difference.changes if change.loosened]
    needed = [change for change in wanted if listed(change, rules.deny) or listed(change, rules.review)]
    found = [
        finding
        for change in needed
        if (finding := _call(change, rules, acknowledged.get(change.call), today, profile_path)) is not None
    ]
    found += _number(difference, rules, profile_path)
    found += _coverage(rules, coverage)
    found += _risk(rules, completeness)
    found += [
        Finding(
            rule="gate/setting", severity="warning", message=f"beside the calls: {text}", path=profile_path
        )
        for text in difference.others
    ]
    found += _left_over(rules.acknowledged, {change.call for change in needed}, today)
    return tuple(sorted(found, key=lambda finding: SEVERITIES.index(finding.severity)))


def drift(difference: Difference, profile_path: str) -> tuple[Finding, ...]:
    """The finding that the committed profile is not the one that was made now; none where they mean the same."""
    if difference.empty:
        return ()
    counts = [(kind, len(difference.of(kind))) for kind in ("added", "removed", "changed")]
    said = [f"{number} {kind}" for kind, number in counts if number]
    if difference.others:
        number = len(difference.others)
        said.append(f"{number} other difference{'' if number == 1 else 's'}")
    lines = [f"{change.call}: {change.before} -> {change.after}" for change in difference.changes]
    return (
        Finding(
            rule="drift",
            severity="error",
            message=f"the profile is not what the tests need: {', '.join(said)}",
            path=profile_path,
            hint="run seclude ci without --check and commit the profile",
            details=_first([*difference.others, *lines]),
        ),
    )


def listed(change: Change, words: Iterable[str]) -> bool:
    """Whether a list names the call, or a tier that it reaches: "high" stands for critical too."""
    return any(
        word == change.call or (word in TIERS and at_least(change.danger.tier, word)) for word in words
    )


def _call(
    change: Change, rules: Gate, acknowledged: Acknowledgement | None, today: str, path: str
) -> Finding | None:
    """The finding on one call that is denied or to be reviewed; None where it was acknowledged."""
    verb = "is allowed now" if change.kind == "added" else "is allowed in more cases"
    danger = f"{change.call} {verb} ({change.danger.tier}: {change.danger.reason})"
    if listed(change, rules.deny):
        rule, message = "gate/deny", f"{danger}, and the gate denies it"
        hint = "find out why it is made; only gate.allow in the configuration lets it in"
        if acknowledged is not None:
            hint = f"the acknowledgement does not lift deny: {hint}"
    elif acknowledged is None:
        rule, message = "gate/review", f"{danger}, and nobody has acknowledged it"
        hint = "if it is needed, acknowledge it in the configuration, with the reason"
    elif _expired(acknowledged, today):
        rule = "gate/expired"
        message = f"{danger}; the acknowledgement expired on {acknowledged.expires}: {acknowledged.reason}"
        hint = "look again: remove the call, or give the acknowledgement a new date"
    else:
        return None
    return Finding(
        rule=rule,
        severity="error",
        message=message,
        call=change.call,
        path=path,
        hint=hint,
        details=(f"{change.before} -> {change.after}", *makers_in_words(change)),
    )


def makers_in_words(change: Change) -> tuple[str, ...]:
    """Who made the call, a line each."""
    return tuple(
        f"made by {maker.comm or '?'} ({maker.executable or '?'})"
        + (f" in {maker.context}" if maker.context else "")
        for maker in change.makers
    )


def _expired(acknowledged: Acknowledgement, today: str) -> bool:
    # Dates of this form compare as text. The last day counts.
    return bool(acknowledged.expires) and acknowledged.expires < today


def _number(difference: Difference, rules: Gate, path: str) -> list[Finding]:
    added = difference.of("added")
    if rules.max_added < 0 or len(added) <= rules.max_added:
        return []
    return [
        Finding(
            rule="gate/max-added",
            severity="error",
            message=f"{len(added)} calls are new, max-added is {rules.max_added}",
            path=path,
            hint="split the change, or raise max-added",
            details=_first([change.call for change in added]),
        )
    ]


def _coverage(rules: Gate, coverage: Coverage | None) -> list[Finding]:
    if rules.min_coverage <= 0:
        return []
    if coverage is None:
        return [
            Finding(
                rule="gate/no-coverage",
                severity="error",
                message=f"min-coverage is {rules.min_coverage:g} %, and there is no coverage report",
                hint="let the tests write one, and name it as coverage in the configuration",
            )
        ]
    if coverage.percent >= rules.min_coverage:
        return []
    left = [each for each in coverage.files if each.covered < each.lines]
    left.sort(key=lambda each: (each.covered - each.lines, each.path))
    # Rounded down, so that 79.96 is not said to be 80.0 and yet below 80.
    shown = int(coverage.percent * 10) / 10
    return [
        Finding(
            rule="gate/coverage",
            severity="error",
            message=f"the tests ran {shown:g} % of the lines, min-coverage is {rules.min_coverage:g} %",
            hint="add tests for the files that are named: what they do not run is not in the profile",
            details=_first([f"{each.path}: {each.covered} of {each.lines} lines" for each in left]),
        )
    ]


def _risk(rules: Gate, completeness: Completeness | None) -> list[Finding]:
    if not 0 < rules.max_risk < 1 or completeness is None:
        return []
    found = completeness.estimate
    if isinstance(found, Estimate):
        # The bound and not the estimate: one suite with two tests that are alike has an estimate of 0.
        if found.bound <= rules.max_risk:
            return []
        # Rounded up, so that 0.1003 is not said to be 0.1 and yet above 0.1.
        shown = ceil(found.bound * 1000) / 1000
        message = (
            f"the next test may make an unrecorded call with a probability of up to {shown:g} "
            f"({found.lone} of {found.units} tests make a call of their own), max-risk is {rules.max_risk:g}"
        )
        hint = "add tests like those that are named"
    else:
        message = f"how likely the next test makes an unrecorded call {found.reason}; max-risk is {rules.max_risk:g}"
        hint = "mark the tests, each a context, or give several test commands"
    return [
        Finding(
            rule="gate/risk",
            severity="error",
            message=message,
            hint=hint,
            details=_first([f"{each.call}: only {each.unit}" for each in completeness.lone_calls]),
        )
    ]


def _left_over(acknowledged: Iterable[Acknowledgement], used: set[str], today: str) -> list[Finding]:
    found = []
    for each in acknowledged:
        if each.call in used:
            continue
        if _expired(each, today):
            found.append(
                Finding(
                    rule="gate/expired",
                    severity="warning",
                    message=f"the acknowledgement of {each.call} expired on {each.expires}",
                    call=each.call,
                    hint="remove it, or look again and give it a new date",
                )
            )
        else:
            found.append(
                Finding(
                    rule="gate/unused-acknowledgement",
                    severity="note",
                    message=f"nothing here needs the acknowledgement of {each.call}",
                    call=each.call,
                    hint="remove it once the profile that needed it is committed",
                )
            )
    return found


def _first(lines: list[str]) -> tuple[str, ...]:
    more = len(lines) - MOST_DETAILS
    return (*lines[:MOST_DETAILS], *([f"and {more} more"] if more > 0 else []))
