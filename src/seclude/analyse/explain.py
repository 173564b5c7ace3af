"""Denials, a profile and recordings in; for each refused call the reason, its neighbours and what to do out."""

from __future__ import annotations

from collections.abc import Sequence

from ..families import relatives
from ..model.decision import BY_ARCHITECTURE, BY_ARGUMENTS, BY_RULE, Decision, decide
from ..model.denial import Denial
from ..model.environment import NATIVE_ABIS, Environment
from ..model.frozen import frozen, replace
from ..model.profile import Profile
from ..model.recording import Recording
from ..syscalls import number_of
from .reasons import Question, called, from_profile, from_recordings, listed, outcome
from .remedies import Remedy, remedies
from .traps import Refused, danger, fallback_of, traps

PERMITTED = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")

MACHINES = {"x86_64": "x86_64", "x86": "x86_64", "x32": "x86_64", "aarch64": "aarch64", "arm": "aarch64"}
"""ABI -> the machine whose calls these probably are; one that runs 32-bit programs only counts as its 64-bit kin."""

_NO_ARGUMENTS = (0,) * 6


@frozen
class Known:
    """What is known besides the failure. `source`: where the profile is, for commands that name it."""

    environment: Environment
    profile: Profile | None = None
    source: str = ""
    recordings: tuple[Recording, ...] = ()


@frozen
class Neighbour:
    """A call of the same family that recordings made, in these tests ("" outside of any), and by whom."""

    name: str
    phase: str
    contexts: tuple[str, ...]


@frozen
class Explanation:
    """One call. `guess`: no denial names it. `refused`: False where the profile lets it pass or is not known.

    `danger`: why to look twice before allowing it, empty where nothing speaks against it.
    """

    call: str
    abi: str
    shown: str
    summary: str
    why: tuple[str, ...]
    neighbours: tuple[Neighbour, ...]
    add: tuple[Remedy, ...]
    traps: tuple[str, ...]
    danger: str = ""
    guess: bool = False
    refused: bool = True


@frozen
class Account:
    """Explanations, and what else is to be said: how sure they are, what to do next."""

    explanations: tuple[Explanation, ...]
    notes: tuple[str, ...] = ()


# Denials


def explain_denials(denials: Sequence[Denial], known: Known) -> Account:
    """One explanation for each call that was refused in one way, those refused most often first."""
    groups: dict[tuple[object, ...], list[Denial]] = {}
    for denial in denials:
        decision = decision_on(_question(denial), known)
        cause = (decision.cause, decision.rules, _looked_at(denial, decision)) if decision else None
        groups.setdefault(
            (denial.abi, denial.number, denial.name, denial.action, denial.data, cause), []
        ).append(denial)
    found = sorted(
        ((_times(group), group) for group in groups.values()), key=lambda each: each[0], reverse=True
    )
    notes = []
    if not denials:
        notes.append("There is no denial to explain.")
    if denials and known.profile is None:
        notes.append("Without the profile (--profile or --container) only the call itself can be explained.")
    return Account(explanations=tuple(_explained(group, known) for _, group in found), notes=tuple(notes))


def _looked_at(denial: Denial, decision: Decision) -> tuple[int, ...]:
    """The arguments that decide, where other arguments would have made a difference."""
    indices = {argument.index for rule in decision.rules for argument in rule.args}
    return tuple(denial.arguments[index] for index in sorted(indices) if index < len(denial.arguments))


def _times(denials: Sequence[Denial]) -> int:
    """How often: `seclude watch` writes a line again when a process's total has grown."""
    totals: dict[tuple[object, ...], int] = {}
    for denial in denials:
        key = (denial.pid, denial.context, denial.container, denial.executable)
        totals[key] = max(totals.get(key, 0), denial.count)
    return sum(totals.values())


def _question(denial: Denial) -> Question:
    number = denial.data if denial.action == "SCMP_ACT_ERRNO" else 0
    arguments = tuple(denial.arguments)
    return Question(abi=denial.abi, name=denial.name, arguments=arguments, action=denial.action, errno=number)


def _explained(denials: Sequence[Denial], known: Known) -> Explanation:
    first = denials[0]
    question = _question(first)
    times = _times(denials)
    programs = list(dict.fromkeys(each.comm or each.executable or "?" for each in denials))
    count = "once" if times == 1 else f"{times} times"
    word = "refused" if first.refused else "made and logged"
    summary = f"{word} {count} ({outcome(first.action, question.errno)}), to {listed(programs)}"
    contexts = [context for context in dict.fromkeys(each.context for each in denials) if context]
    if contexts:
        summary += f", in {listed(contexts)}"
    return explanation(question, summary, known, program=first.comm or first.executable, guess=False)


def _environment(question: Question, known: Known) -> Environment:
    """The known one; of another machine where a denial comes from one."""
    machine = MACHINES[question.abi]
    if MACHINES.get(NATIVE_ABIS.get(known.environment.machine, ""), "") == machine:
        return known.environment
    return replace(known.environment, machine=machine)


def decision_on(question: Question, known: Known) -> Decision | None:
    """What the profile says of the call, None without one; rules on arguments that are not known decide nothing."""
    if known.profile is None:
        return None
    environment = _environment(question, known)
    given = (*(question.arguments or ()), *_NO_ARGUMENTS)[:6]
    found = decide(known.profile, environment, question.abi, question.name, given)
    if question.arguments is None and found.cause == BY_RULE and any(rule.args for rule in found.rules):
        action, data = known.profile.outcome
        rules = tuple(
            rule
            for rule in known.profile.rules
            if question.name in rule.names and rule.args and environment.applies(rule)
        )
        return Decision(action=action, data=data, cause=BY_ARGUMENTS, rules=rules)
    return found


def explanation(question: Question, summary: str, known: Known, *, program: str, guess: bool) -> Explanation:
    environment = _environment(question, known)
    decision = decision_on(question, known)
    why: tuple[str, ...] = ()
    if decision is not None and known.profile is not None:
        why = from_profile(question, decision, known.profile, environment)
    why += from_recordings(question, known.recordings)
    answered = question.errno or (decision.data if decision is not None and not question.action else 0)
    refused = Refused(
        abi=question.abi,
        name=question.name,
        errno=answered,
        action=question.action or (decision.action if decision is not None else ""),
        arguments=question.arguments or (),
        program=program,
        by_architecture=decision is not None and decision.cause == BY_ARCHITECTURE,
    )
    permitted = decision is not None and decision.action in PERMITTED
    return Explanation(
        call=question.name,
        abi=question.abi,
        shown=called(question),
        summary=summary,
        why=why,
        neighbours=neighbours(question.name, known.recordings),
        add=remedies(question, decision, known.profile, environment, known.source),
        traps=() if permitted and guess else (*traps(refused), *_fallback_refused(question, known, answered)),
        danger=danger(question.name, question.arguments or ()),
        guess=guess,
        refused=bool(question.action) or (decision is not None and not permitted),
    )


def _fallback_refused(question: Question, known: Known, answered: int) -> tuple[str, ...]:
    """Whether what is made in its place would be refused as well."""
    older = fallback_of(question.name)
    if not older or known.profile is None or number_of(question.abi, older) is None:
        return ()
    decision = decision_on(Question(abi=question.abi, name=older), known)
    if decision is None or decision.action in PERMITTED or decision.rules:
        return ()
    return (f"The profile does not allow {older} either, so falling back would not help.",)


def neighbours(name: str, recordings: Sequence[Recording]) -> tuple[Neighbour, ...]:
    """The calls of the same family in the recordings, in the family's order, with the tests that made them."""
    found = []
    for relative in relatives(name):
        contexts: dict[str, dict[str, None]] = {}
        for recording in recordings:
            for call in recording.calls:
                if call.name == relative and call.phase != "denied":
                    contexts.setdefault(call.phase, {})[call.context] = None
        found += [
            Neighbour(name=relative, phase=phase, contexts=tuple(tests)) for phase, tests in contexts.items()
        ]
    return tuple(found)
