"""What to do so that a call is allowed, or refused in a way that programs can live with: a decision in, steps out."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence

from ..decode import register_of, signature
from ..decode.signatures import WIDE
from ..model.decision import BY_ARCHITECTURE, BY_ARGUMENTS, BY_DEFAULT, BY_RULE, Decision
from ..model.environment import Environment
from ..model.frozen import frozen
from ..model.profile import ALLOW, EQUAL, ERRNO, MASKED_EQUAL, NARROW, Profile
from ..syscalls import ARCHITECTURES
from .reasons import Question
from .traps import FALLBACKS, fallback_of

ENOSYS = 38


@frozen
class Remedy:
    """One step: what to do, and the exact JSON or command where there is one."""

    text: str
    exact: str = ""


def remedies(
    question: Question,
    decision: Decision | None,
    profile: Profile | None,
    environment: Environment,
    source: str,
) -> tuple[Remedy, ...]:
    """The steps, the one to take first first. `source`: the profile's path, empty where it is not known."""
    if question.name.startswith("#"):
        return (Remedy(text="No profile can allow it: the number has no name in any table."),)
    if decision is not None and decision.action in (ALLOW, "SCMP_ACT_LOG"):
        return ()
    found: list[Remedy] = []
    if decision is not None and profile is not None and decision.cause == BY_ARCHITECTURE:
        found.append(_architecture(question, profile, environment))
    elif decision is not None and profile is not None and decision.cause == BY_RULE:
        number = next((n for n, rule in enumerate(profile.rules, 1) if rule in decision.rules), 0)
        # libseccomp takes the first of several rules without conditions (src/db.c, db_rule_add).
        found.append(
            Remedy(
                text=f"Take {question.name} out of rule {number}, if the program may make it: a rule that allows it "
                "would not win against that one. Then add:",
                exact=_rule(question, ALLOW, ()),
            )
        )
    else:
        args = _conditions(question, decision)
        kept = " for these arguments" if args else ""
        if decision is not None and decision.cause == BY_ARGUMENTS and not args:
            kept = ", whatever its arguments"
        found.append(
            Remedy(text=f"To allow it{kept}: append to `syscalls`", exact=_rule(question, ALLOW, args))
        )
    if _falls_back(question, decision):
        found.append(_enosys(question, decision))
    path = shlex.quote(source) if source else "PROFILE"
    found.append(
        Remedy(
            text="Better: record a run that makes it, so that the profile has a reason for it:",
            exact=f"seclude record --from {path} --output {path} -- COMMAND",
        )
    )
    return tuple(found)


def _falls_back(question: Question, decision: Decision | None) -> bool:
    answered = question.errno or (decision.data if decision is not None else 0)
    return bool(fallback_of(question.name)) and answered != ENOSYS


def _enosys(question: Question, decision: Decision | None) -> Remedy:
    text = f"Or let programs fall back to {fallback_of(question.name)}: append to `syscalls`"
    if decision is None or decision.cause == BY_DEFAULT:
        text += " (`seclude generate --errno ENOSYS` answers so to all that is not allowed)"
    if question.name not in FALLBACKS:
        text += "; the like for the other calls with 64-bit times"
    return Remedy(text=text, exact=_rule(question, ERRNO, (), errno_ret=ENOSYS))


def _architecture(question: Question, profile: Profile, environment: Environment) -> Remedy:
    missing = ARCHITECTURES[question.abi]
    if profile.arch_map:
        value: object = {"architecture": environment.architecture, "subArchitectures": [missing]}
        return Remedy(text="Add it to the entry of archMap for this machine:", exact=json.dumps(value))
    have = profile.architectures or (environment.architecture,)
    return Remedy(
        text="Add the architecture, and record the program that makes these calls:",
        exact=f'"architectures": {json.dumps([*have, missing])}',
    )


def _conditions(question: Question, decision: Decision | None) -> tuple[dict[str, object], ...]:
    """Conditions on the arguments that the present rules look at, so that no more than this is allowed."""
    if decision is None or decision.cause != BY_ARGUMENTS or question.arguments is None:
        return ()
    indices = sorted({argument.index for rule in decision.rules for argument in rule.args})
    words = signature(question.abi, question.name) or ()
    found: list[dict[str, object]] = []
    for index in indices:
        value = question.arguments[index] if index < len(question.arguments) else 0
        value &= register_of(question.abi)
        if index < len(words) and words[index] not in WIDE:
            # The upper half of an int's register is whatever the program left there.
            found.append({"index": index, "value": NARROW, "valueTwo": value & NARROW, "op": MASKED_EQUAL})
        else:
            found.append({"index": index, "value": value, "op": EQUAL})
    return tuple(found)


def _rule(
    question: Question, action: str, args: Sequence[dict[str, object]], errno_ret: int | None = None
) -> str:
    rule: dict[str, object] = {"names": [question.name], "action": action}
    if errno_ret is not None:
        rule["errnoRet"] = errno_ret
    if args:
        rule["args"] = list(args)
    return json.dumps(rule)
