"""Rules that change nothing: equal to the default, never in force, impossible conditions, decided by other rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...model.profile import Filter, Profile, Rule, kernel_version
from ..diagrams import Diagrams, Outcome, TooComplex
from ..wording import outcome_in_words
from .subject import Found, Subject, meaning, widths

_MOST_NODES = 20_000
_MOST_CASES = 400
_MOST_RULES = 64
"""Beyond these the rules on one call are not compared with one another: the time grows with their square."""

_OLDEST_FILTER = (3, 5)
"""seccomp filters came with Linux 3.5 (seccomp(2), VERSIONS)."""

_FAR_FUTURE = (20, 0)


def check(subject: Subject) -> Iterable[Found]:
    """One finding for a rule that does nothing at all, else one for each name in it that does nothing."""
    idle: dict[int, dict[str, str]] = {}
    settled = set()
    for number, rule in enumerate(subject.profile.rules):
        why = _whole(subject.profile, rule) or _impossible(subject, rule)
        if why:
            settled.add(number)
            yield _found(number, rule, why)
        yield from _kernel(number, rule)
    for name in subject.by_name:
        for number, why in _idle(subject, name, settled).items():
            idle.setdefault(number, {})[name] = why
    for number, names in sorted(idle.items()):
        rule = subject.profile.rules[number]
        reasons = set(names.values())
        if len(names) == len(set(rule.names)) and len(reasons) == 1:
            yield _found(number, rule, reasons.pop())
            continue
        for name, why in names.items():
            yield Found(
                rule="lint/no-effect",
                severity="warning",
                message=f"{name} in rule {number + 1} has no effect: {why}",
                spot=subject.name_spot(number, name),
                call=name,
                hint="take the name out",
            )


def _found(number: int, rule: Rule, why: str) -> Found:
    names = ", ".join(rule.names[:5]) + (", ..." if len(rule.names) > 5 else "")
    return Found(
        rule="lint/no-effect",
        severity="warning",
        message=f"rule {number + 1}{f' ({names})' if names else ''} has no effect: {why}",
        spot=("syscalls", number),
        call=rule.names[0] if len(rule.names) == 1 else "",
        hint="remove it, or change it to what was meant",
    )


def _whole(profile: Profile, rule: Rule) -> str:
    """Why the rule is never in force or says nothing, whatever the other rules are."""
    if not rule.names:
        return "it names no call"
    if rule.outcome == profile.outcome:
        # runc matchCall and crun pass over such rules, so that not even another rule is outranked by it.
        return f"calls that no rule decides are {outcome_in_words(profile.outcome)} as well, and engines leave it out"
    return _never(rule.includes, rule.excludes)


def _never(includes: Filter, excludes: Filter) -> str:
    """Why no container is among what it includes and not excludes."""
    both = [cap for cap in includes.caps if cap in excludes.caps]
    if both:
        return f"it asks for {both[0]} in includes and rules it out in excludes"
    if includes.arches and set(includes.arches) <= set(excludes.arches):
        return "excludes has all arches of includes"
    if includes.min_kernel and excludes.min_kernel:
        first, last = kernel_version(includes.min_kernel), kernel_version(excludes.min_kernel)
        if first is not None and last is not None and first >= last:
            return f"no kernel is from {includes.min_kernel} and before {excludes.min_kernel}"
    if includes.min_kernel and (kernel_version(includes.min_kernel) or _FAR_FUTURE) >= _FAR_FUTURE:
        return f"there is no Linux {includes.min_kernel}"
    if excludes.min_kernel and (kernel_version(excludes.min_kernel) or _FAR_FUTURE) <= _OLDEST_FILTER:
        return f"every kernel with seccomp filters is {excludes.min_kernel} or newer"
    return ""


def _kernel(number: int, rule: Rule) -> Iterable[Found]:
    """A minKernel that always holds."""
    wanted = rule.includes.min_kernel
    if wanted and (kernel_version(wanted) or _FAR_FUTURE) <= _OLDEST_FILTER:
        yield Found(
            rule="lint/min-kernel",
            severity="note",
            message=f"minKernel {wanted} in rule {number + 1} always holds: filters came with Linux 3.5",
            spot=("syscalls", number, "includes", "minKernel"),
            hint="leave it out",
        )


def _impossible(subject: Subject, rule: Rule) -> str:
    """Why no arguments fulfil the conditions."""
    if not rule.args:
        return ""
    for width in widths(subject):
        diagrams = Diagrams(width=width, limit=_MOST_NODES)
        if _outcomes(diagrams, [rule], width, ("SCMP_ACT_NOTIFY", 1)) != frozenset({("SCMP_ACT_NOTIFY", 1)}):
            return ""
    return "no arguments fulfil its conditions"


def _outcomes(diagrams: Diagrams, rules: Sequence[Rule], width: int, default: Outcome) -> frozenset[Outcome]:
    try:
        node = diagrams.decided(meaning(rules, width), default)
        return frozenset(outcome for outcome, _ in diagrams.pairs(node, node))
    except TooComplex:
        return frozenset({default, *(rule.outcome for rule in rules)})


def _idle(subject: Subject, name: str, settled: set[int]) -> dict[int, str]:
    """Rule -> why it does nothing for this call, beside the others; of two that say the same the later one."""
    left = [number for number in subject.by_name[name] if number not in settled]
    if not 1 < len(left) <= _MOST_RULES:
        return {}
    cases = subject.cases(name)
    found: dict[int, str] = {}
    if len(cases) > _MOST_CASES:
        return found
    for number in sorted(left, reverse=True):
        relevant = [
            tuple(each for each in case if each in left and each not in found)
            for case in cases
            if number in case
        ]
        if not relevant or not all(_same_without(subject, case, number) for case in relevant):
            continue
        others = sorted({each for case in relevant for each in case if each != number})
        found[number] = _reason(subject.profile, number, others)
    return found


def _same_without(subject: Subject, case: tuple[int, ...], number: int) -> bool:
    """Whether these rules decide the same, for all arguments, without one of them."""
    rules = [subject.profile.rules[each] for each in case]
    rest = [subject.profile.rules[each] for each in case if each != number]
    default = subject.profile.outcome
    for width in widths(subject):
        before, after = meaning(rules, width), meaning(rest, width)
        if before == after:
            continue
        diagrams = Diagrams(width=width, limit=_MOST_NODES)
        try:
            pairs = diagrams.pairs(diagrams.decided(before, default), diagrams.decided(after, default))
        except TooComplex:
            return False
        if any(one != two for one, two in pairs):
            return False
    return True


def _reason(profile: Profile, number: int, others: Sequence[int]) -> str:
    rule = profile.rules[number]
    plain = [each for each in others if profile.rules[each].unconditional()]
    same = [each for each in others if profile.rules[each].args == rule.args]
    if rule.args and plain:
        where = profile.rules[plain[0]]
        return (
            f"rule {plain[0] + 1} has no conditions, so it decides first ({outcome_in_words(where.outcome)})"
        )
    if same:
        said = "says the same" if profile.rules[same[0]].outcome == rule.outcome else "comes first"
        return f"rule {same[0] + 1} {said}"
    listed = ", ".join(str(each + 1) for each in others[:5])
    return f"the other rules on the call decide the same without it (rule {listed})"
