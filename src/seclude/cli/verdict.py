"""What `seclude check` says: a decision and the profile's text in, the rules with their lines out, in words or JSON."""

from __future__ import annotations

import errno
import textwrap
from collections.abc import Sequence

from ..analyse.reasons import Question, from_profile
from ..analyse.wording import described, outcome_in_words
from ..complements import faithful, telling
from ..decode import decoded, register_of, signature
from ..decode.signatures import WIDE
from ..formats import jsontext
from ..model.decision import BY_ARGUMENTS, BY_RULE, Decision, width_of
from ..model.environment import Environment
from ..model.frozen import frozen
from ..model.profile import EVERYWHERE, MASKED_EQUAL, NARROW, PERMITTING, Profile, Rule
from .console import printable

WIDTH = 100


@frozen
class Place:
    """A rule of the file: its number from 1, where it names the call, and what it says, in words."""

    number: int
    line: int
    column: int
    words: str


@frozen
class Answer:
    question: Question
    shown: str
    path: str
    environment: Environment
    decision: Decision
    rule: Place | None
    rivals: tuple[Place, ...]
    sentences: tuple[str, ...]


def answered(
    text: str,
    path: str,
    profile: Profile,
    environment: Environment,
    question: Question,
    decision: Decision,
) -> Answer:
    decided = decision.rules[0] if decision.cause == BY_RULE and decision.rules else None
    sentences = [] if decided else list(from_profile(question, decision, profile, environment))
    return Answer(
        question=question,
        shown=decoded(question.abi, question.name, question.arguments or ()),
        path=path,
        environment=environment,
        decision=decision,
        rule=None if decided is None else _place(text, profile, decided, question),
        rivals=tuple(_place(text, profile, rule, question) for rule in decision.rivals),
        sentences=(*sentences, *_notes(profile, environment, question, decision)),
    )


def _place(text: str, profile: Profile, rule: Rule, question: Question) -> Place:
    number = profile.rules.index(rule)
    inside: tuple[str | int, ...] = ("names", rule.names.index(question.name))
    line, column = jsontext.position_of(
        text, ("syscalls", number, *(("name",) if rule.legacy_name else inside))
    )
    anywhere = rule.includes == EVERYWHERE and rule.excludes == EVERYWHERE
    words = described(question.abi, question.name, [rule], profile.outcome, everywhere=anywhere)
    return Place(number=number + 1, line=line, column=column, words=words)


def _notes(profile: Profile, environment: Environment, question: Question, decision: Decision) -> list[str]:
    """What may make the answer another one."""
    found = []
    live = [
        rule
        for rule in profile.rules
        if question.name in rule.names and environment.applies(rule) and rule.outcome != profile.outcome
    ]
    width = width_of(question.abi)
    if decision.cause in (BY_RULE, BY_ARGUMENTS) and not any(
        rule.unconditional(width=width) for rule in live
    ):
        if not faithful([conditions for rule in live for conditions in telling(rule, width)]):
            found.append(
                "libseccomp may compile these conditions to something else: it merges rules with several conditions "
                "on one call wrongly (seccomp/libseccomp issue 118)."
            )
        found += _wide(live, question)
    return found


def _wide(rules: Sequence[Rule], question: Question) -> list[str]:
    """Arguments of 32 bits whose upper half is compared although the kernel does not read it."""
    words = signature(question.abi, question.name) or ()
    if register_of(question.abi) == NARROW:
        return []
    indices = {
        argument.index
        for rule in rules
        for argument in rule.args
        if argument.index < len(words)
        and words[argument.index] not in WIDE
        and not (argument.op == MASKED_EQUAL and argument.value <= NARROW)
    }
    return [
        f"The kernel reads 32 bits of argument {index}, the rules compare 64: with bits set in the upper half the "
        "answer may be another for what is the same call to the kernel."
        for index in sorted(indices)
    ]


def plain(answer: Answer) -> str:
    decision = answer.decision
    said = decision.action
    if decision.action == "SCMP_ACT_ERRNO":
        said += f" ({errno.errorcode.get(decision.data, decision.data)})"
    lines = [
        f"{printable(answer.shown)} on {answer.question.abi}: {said}, "
        f"{outcome_in_words((decision.action, decision.data))}"
    ]
    if answer.rule is not None:
        lines += _wrapped(_rule_text("by", answer.path, answer.rule))
    for rival in answer.rivals:
        lines += _wrapped(_rule_text("before", answer.path, rival) + " (asked later)")
    for sentence in answer.sentences:
        lines += _wrapped(sentence)
    return "\n".join(lines) + "\n"


def _rule_text(word: str, path: str, place: Place) -> str:
    return f"{word} rule {place.number} ({path}:{place.line}): {place.words}"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        WIDTH,
        initial_indent="  ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def values(answer: Answer) -> dict[str, object]:
    decision = answer.decision
    refused = decision.action == "SCMP_ACT_ERRNO"
    return {
        "call": answer.question.name,
        "abi": answer.question.abi,
        "arguments": [f"{value:#x}" for value in answer.question.arguments or ()],
        "decoded": answer.shown,
        "kernel": answer.environment.kernel,
        "capabilities": list(answer.environment.capabilities),
        "action": decision.action,
        "errno": decision.data if refused else None,
        "errno_name": errno.errorcode.get(decision.data) if refused else None,
        "made": decision.action in PERMITTING,
        "cause": decision.cause,
        "rule": _place_values(answer.rule) if answer.rule is not None else None,
        "rivals": [_place_values(place) for place in answer.rivals],
        "notes": list(answer.sentences),
    }


def _place_values(place: Place) -> dict[str, object]:
    return {"number": place.number, "line": place.line, "column": place.column, "words": place.words}
