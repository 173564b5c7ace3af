"""The rules that findings come from: a stable id in, what it means, why it matters and what to do out.

docs/findings.md has the same texts for people who search for an id; a test compares the two.
"""

from __future__ import annotations

from .frozen import frozen
from .lint_rules import LINT_RULES


@frozen
class FindingRule:
    """One rule, in sentences. `title` is a phrase."""

    title: str
    meaning: str
    why: str
    remedy: str


RULES = {
    "gate/deny": FindingRule(
        title="A call that is never let in",
        meaning="The new profile allows, or allows in more cases, a call that is denied: by default, or by `gate.deny` "
        "in the configuration.",
        why="These calls lead out of a container or into the kernel. Whoever can commit code could otherwise let them "
        "in by calling them once in a test.",
        remedy="Find out why the program makes the call, and remove that. An acknowledgement does not lift this. Where "
        "the call is truly needed, name it in `gate.allow` (or take it off `gate.deny`), so that this is seen in "
        "review.",
    ),
    "gate/review": FindingRule(
        title="A call that somebody has to look at",
        meaning="The new profile allows, or allows in more cases, a call that `review` asks to be looked at, by name "
        "or by its danger, and no acknowledgement names it.",
        why="The call offers something to an attacker that most programs do not need; the finding says what.",
        remedy="Look at the process and the test that made it. If it is needed, add an acknowledgement to the "
        "configuration with the reason, and if it is for a while only, with a date on which it expires.",
    ),
    "gate/expired": FindingRule(
        title="An acknowledgement has expired",
        meaning="A call would be let in by an acknowledgement whose date has passed (an error), or such an "
        "acknowledgement is left over (a warning).",
        why="A date was set because the call was to be looked at again.",
        remedy="Look again: remove the call, or give the acknowledgement a new date and a reason that holds today.",
    ),
    "gate/unused-acknowledgement": FindingRule(
        title="An acknowledgement that nothing needs",
        meaning="An acknowledgement names a call that this change does not let in.",
        why="It would let the call in some day, unseen. After a change is merged its acknowledgements have done their "
        "work: the committed profile has the calls.",
        remedy="Remove it once the profile that needed it is committed. If it is new, check the name of the call.",
    ),
    "gate/max-added": FindingRule(
        title="More new calls than allowed",
        meaning="The new profile allows more calls that were refused before than `max-added` in the configuration.",
        why="Many new calls at once are hard to judge, and often mean that a test runs another program than it did.",
        remedy="Split the change, or raise `max-added` if the calls belong to what changed.",
    ),
    "gate/setting": FindingRule(
        title="Something beside the calls has changed",
        meaning="The default action, the architectures, the flags or the listener differ from the committed profile.",
        why="Each applies to all calls: one more architecture, for example, brings its own set of calls with it.",
        remedy="Check that the change is meant. Another architecture comes from a program of that kind in the tests.",
    ),
    "gate/coverage": FindingRule(
        title="The tests run too little of the code",
        meaning="The coverage report says that fewer lines were run than `min-coverage` in the configuration.",
        why="The profile has what the tests did. Code that no test runs fails in production, at its first call that "
        "is not in the profile.",
        remedy="Add tests for the files that are named; those with the most lines left are first.",
    ),
    "gate/no-coverage": FindingRule(
        title="No coverage report",
        meaning="The configuration asks for `min-coverage`, and no report was found.",
        why="Without it nobody knows how much of the code the profile was made from.",
        remedy="Let the tests write one (coverage.py's JSON, Cobertura XML or LCOV) and name its path as `coverage`, "
        "or take `min-coverage` out.",
    ),
    "gate/risk": FindingRule(
        title="The next test may well make a call that is not in the profile",
        meaning="The probability that one more test like these makes a call that was not recorded may be higher than "
        "`max-risk` in the configuration: its upper bound, with 95 % confidence, is.",
        why="The profile has what the tests did. Each call that one test alone makes would be missing without that "
        "test, and shows how likely others are missing now.",
        remedy="Add tests, above all of the kind that is named: they make calls that no other test makes. With few "
        "tests the bound is high whatever they do: three divided by their number at best. Where the test commands are "
        "whole suites, let them mark their tests (`pytest --seclude`, `seclude mark`).",
    ),
    "verify/denied": FindingRule(
        title="The new profile denies a call of a test that it was made of",
        meaning="The tests ran once more, under the new profile, and it denied one of their calls.",
        why="Not every run makes the call: it depends on time, on luck or on the machine. In production it will be "
        "made some day, and denied.",
        remedy="Run it again. If it comes back, record the test more than once, or allow the call by hand.",
    ),
    "verify/status": FindingRule(
        title="A test fails under the new profile",
        meaning="A test that passed while it was recorded ended with another status under the new profile, and "
        "nothing was denied.",
        why="The profile cannot be shown to be enough. Mostly the test is not repeatable: it leaves something behind.",
        remedy="Make the test repeatable; run it twice without seclude to see it fail.",
    ),
    "no-longer-made": FindingRule(
        title="A call that the tests no longer make",
        meaning="The recordings that the last run kept have the call, with the tests that made it, and those of this "
        "run do not.",
        why="A test was removed or does less, or the code no longer makes the call. The profile keeps the call unless "
        "`keep-for` says otherwise: what nobody needs is there for an attacker.",
        remedy="If the code still needs the call, bring the test back: without it nothing shows that the profile is "
        "enough. If not, set `keep-for`, or remove the call. Some calls depend on timing and come and go.",
    ),
    "note": FindingRule(
        title="Something to know",
        meaning="What happened to a call when the profile was made, such as one that is no longer kept.",
        why="It explains the profile. It stands in nobody's way.",
        remedy="Nothing, unless it surprises you.",
    ),
    "drift": FindingRule(
        title="The committed profile is not what the tests need",
        meaning="The profile that was made now means something else than the one in the repository.",
        why="The committed profile is what is enforced: it refuses calls that the code makes now, or allows what it no "
        "longer makes.",
        remedy="Run `seclude ci` without `--check`, look at the difference, and commit the profile.",
    ),
} | {
    name: FindingRule(title=title, meaning=meaning, why=why, remedy=remedy)
    for name, (title, meaning, why, remedy) in LINT_RULES.items()
}
"""Id -> rule. An id never changes its meaning."""
