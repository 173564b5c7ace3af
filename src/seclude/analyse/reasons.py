"""Why a profile refuses a call: a decision, the rules and the recordings in, sentences out."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from ..decode import decoded, register_of, signature
from ..decode.signatures import WIDE
from ..model.decision import BY_ARCHITECTURE, BY_ARGUMENTS, BY_DEFAULT, BY_RULE, Decision
from ..model.environment import NATIVE_ABIS, Environment
from ..model.frozen import frozen
from ..model.profile import LARGEST_VALUE, MASKED_EQUAL, NARROW, Argument, Filter, Profile, Rule
from ..model.recording import Recording
from ..syscalls import ARCHITECTURES

MOST_NAMES = 5
"""Tests or rules that are named in one sentence."""

_OPERATORS = {"NE": "!=", "LT": "<", "LE": "<=", "EQ": "==", "GE": ">=", "GT": ">"}


@frozen
class Question:
    """One call to be explained. `arguments`: None where they are not known; `action`, `errno`: the answer, if known."""

    abi: str
    name: str
    arguments: tuple[int, ...] | None = None
    action: str = ""
    errno: int = 0


def outcome(action: str, data: int) -> str:
    """What a caller gets: "EPERM", "killed"."""
    names = {
        "SCMP_ACT_ALLOW": "made",
        "SCMP_ACT_LOG": "made and logged",
        "SCMP_ACT_NOTIFY": "decided by a supervisor",
        "SCMP_ACT_KILL_PROCESS": "the process killed (SIGSYS)",
        "SCMP_ACT_KILL_THREAD": "the thread killed (SIGSYS)",
        "SCMP_ACT_TRAP": "SIGSYS",
        "SCMP_ACT_TRACE": "ENOSYS unless traced",
    }
    if action == "SCMP_ACT_ERRNO":
        return errno.errorcode.get(data, f"errno {data}")
    return names.get(action, action)


def from_profile(
    question: Question, decision: Decision, profile: Profile, environment: Environment
) -> tuple[str, ...]:
    """Sentences on which rule decided, or why none did."""
    said = outcome(decision.action, decision.data)
    permitted = decision.action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
    found: list[str] = []
    if decision.cause == BY_ARCHITECTURE:
        names, own = environment.architectures(profile), "the machine's own alone"
        found.append(
            f"It is an {question.abi} call, and {ARCHITECTURES[question.abi]} is not among the profile's architectures "
            f"({', '.join(names) or own})."
        )
    elif decision.cause == BY_ARGUMENTS:
        found += _mismatches(question, decision.rules, profile)
        found.append(f"So the default action decides: {said}.")
    elif decision.cause == BY_RULE and permitted:
        found.append(
            f"{_number(profile, decision.rules)} of this profile allows it. If it was refused all the same, the "
            "process runs under another profile or has one more filter; or the kernel itself refused, for want of a "
            "capability or by an LSM."
        )
    elif decision.cause == BY_RULE:
        given = conditions(decision.rules[0])
        found.append(
            f"{_number(profile, decision.rules)} refuses it{f' where {given}' if given else ''}: {said}."
        )
    elif decision.cause == BY_DEFAULT:
        found.append(f"No rule of the profile names {question.name}, so the default action decides: {said}.")
    found += _elsewhere(question, profile, environment)
    if question.action and not permitted:
        found += _other_answer(question, decision)
    return tuple(found)


def _other_answer(question: Question, decision: Decision) -> list[str]:
    got = outcome(question.action, question.errno)
    if got == outcome(decision.action, decision.data):
        return []
    if question.errno == errno.ENOSYS:
        # runc pull 2750, in 1.0.0-rc93
        return [
            "The caller got ENOSYS: runc answers so to calls that are newer than all those the profile names, whatever "
            "its default action."
        ]
    return [f"The caller got another answer, {got}: the profile in force may not be this one."]


def _number(profile: Profile, rules: Sequence[Rule]) -> str:
    for number, rule in enumerate(profile.rules, 1):
        if rule in rules:
            return f"Rule {number}"
    return "A rule"


def _mismatches(question: Question, rules: Sequence[Rule], profile: Profile) -> list[str]:
    """For each rule that names the call the first condition that the arguments do not fulfil."""
    found = []
    for rule in rules[:MOST_NAMES]:
        verb = "allows" if rule.permits else "refuses"
        text = f"{_number(profile, [rule])} {verb} {question.name} only where {conditions(rule)}"
        if question.arguments is None:
            found.append(f"{text}.")
            continue
        failed = [each for each in rule.args if not matches(question, each)]
        shown = " and ".join(_failing(question, each) for each in failed)
        found.append(f"{text}; here {shown}.")
    if len(rules) > MOST_NAMES:
        found.append(f"{len(rules) - MOST_NAMES} more rules name it, with other conditions.")
    return found


def matches(question: Question, argument: Argument) -> bool:
    """Whether the call's argument fulfils one condition."""
    width = register_of(question.abi)
    given = question.arguments or ()
    return argument.matches(given[argument.index] if argument.index < len(given) else 0, width=width)


def _failing(question: Question, argument: Argument) -> str:
    given = question.arguments or ()
    value = (given[argument.index] if argument.index < len(given) else 0) & register_of(question.abi)
    text = f"arg{argument.index} is {value:#x}"
    words = signature(question.abi, question.name) or ()
    if argument.index < len(words) and words[argument.index] not in WIDE and value > NARROW:
        low = argument.matches(value & NARROW, width=LARGEST_VALUE)
        if low:
            text += " (the kernel reads the lower half alone, which fulfils the condition: compare it under a mask)"
    return text


def conditions(rule: Rule) -> str:
    """The rule's conditions, such as "arg0 == 0x1 and arg1 & 0xff == 0x0"."""
    return (" or " if rule.alternatives else " and ").join(_condition(argument) for argument in rule.args)


def _condition(argument: Argument) -> str:
    if argument.op == MASKED_EQUAL:
        return f"arg{argument.index} & {argument.value:#x} == {argument.value_two:#x}"
    return f"arg{argument.index} {_OPERATORS[argument.op.removeprefix('SCMP_CMP_')]} {argument.value:#x}"


def _elsewhere(question: Question, profile: Profile, environment: Environment) -> list[str]:
    """Rules that name the call but are not in the filter here."""
    found: list[str] = []
    for number, rule in enumerate(profile.rules, 1):
        guard = environment.guard(rule) if question.name in rule.names else None
        if guard is None or len(found) == MOST_NAMES:
            continue
        holds, lacks = guard
        why = [*_limits(holds, "not "), *_limits(lacks, "only ")]
        verb = "would allow" if rule.permits else "would refuse"
        found.append(f"Rule {number} {verb} it, but is not in force here: it holds {' and '.join(why)}.")
    return found


def _limits(limits: Filter, word: str) -> list[str]:
    found = []
    if limits.caps:
        found.append(f"{word}with {', '.join(limits.caps)}")
    if limits.arches:
        found.append(f"{word}on {', '.join(limits.arches)}")
    if limits.min_kernel:
        found.append(f"{word}from Linux {limits.min_kernel}")
    return found


def from_recordings(question: Question, recordings: Sequence[Recording]) -> tuple[str, ...]:
    """Sentences on what the recordings say of the call."""
    if not recordings:
        return ()
    made = [call for each in recordings for call in each.calls if call.name == question.name]
    here = [call for call in made if call.abi == question.abi]
    phases = {call.phase for call in here}
    number = f"{len(recordings)} recordings" if len(recordings) > 1 else "recording"
    if "app" in phases:
        tests = dict.fromkeys(call.context for call in here if call.phase == "app")
        where = listed([test for test in tests if test])
        text = f"The {number} made it{f' in {where}' if where else ''}: "
        return (
            f"{text}a profile that is generated from {'them' if len(recordings) > 1 else 'it'} allows it.",
        )
    if "runtime" in phases:
        text = f"In the {number} only the OCI runtime made it, before the application started."
    elif made:
        abis = ", ".join(sorted({call.abi for call in made}))
        text = f"In the {number} it was made as an {abis} call only."
    else:
        text = f"The {number} never made it: no test reached the code that does."
    found = [text]
    if "denied" in phases:
        found = [f"In the {number} it was refused too, so what is generated from that lacks it."]
    lost = sum(each.losses.calls for each in recordings)
    if lost:
        found.append(f"{lost} calls were lost while recording; this may be one of them.")
    return tuple(found)


def listed(names: Sequence[str]) -> str:
    """Up to MOST_NAMES names, and how many more."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def called(question: Question) -> str:
    """The call with its arguments where they are known."""
    native = question.abi in NATIVE_ABIS.values() and question.abi not in ("x86", "arm")
    text = (
        decoded(question.abi, question.name, question.arguments)
        if question.arguments is not None
        else question.name
    )
    return text if native else f"{text} ({question.abi})"
