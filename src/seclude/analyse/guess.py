"""What a failing program said, with a profile and recordings in; the calls that it may be about, explained, out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..families import family_of, members
from ..model.environment import NATIVE_ABIS
from ..syscalls import number_of
from .explain import MACHINES, PERMITTED, Account, Explanation, Known, decision_on, explanation
from .messages import SIGSYS, Message
from .reasons import Question, listed, outcome
from .traps import FALLBACKS

MOST_CANDIDATES = 5
MOST_SUSPECTS = 3
"""Calls that are explained where the text leaves several open, and where it says nothing of the call at all."""

_KILLING = ("SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP")


def explain_message(message: Message, known: Known, *, container: str = "") -> Account:
    """The calls that the text may be about, those that the profile refuses; it stays a guess, and says so."""
    abi = NATIVE_ABIS.get(known.environment.machine, "x86_64")
    names = [name for name in message.calls if number_of(abi, name) is not None]
    if len(message.calls) == 1 and not names:
        names = list(message.calls)  # a bare name, of another ABI
    notes = list(_about_error(message, known))
    most = MOST_CANDIDATES
    if not names and message.error:
        names, most = _plausible(abi, message, known), MOST_SUSPECTS
        if names:
            notes.append(
                "The text does not say which call failed: these are the usual suspects that are refused."
            )
    refused = [name for name in names if _would_refuse(abi, name, known)]
    unfit = [name for name in refused if not _fits(abi, name, message, known)]
    refused = [name for name in refused if name not in unfit]
    if unfit:
        notes.append(f"The profile refuses these, but with another answer: {listed(unfit)}.")
    if known.profile is None:
        chosen = names[:most]
    else:
        chosen = refused[:most]
        passing = [name for name in names if name not in refused and name not in unfit]
        if not chosen and message.certain and len(names) == 1:
            chosen, passing = names, []
        if passing and chosen:
            notes.append(f"The profile lets these pass, so they are not it: {listed(passing)}.")
        elif passing and not unfit:
            notes.append(
                f"The profile lets all of these pass: {listed(passing)}. Then it is not seccomp that refused, but "
                "missing capabilities, an LSM, or the file's own permissions."
            )
        if len(refused) > most:
            notes.append(f"Also refused: {listed(refused[most:])}.")
    explanations = tuple(_guessed(abi, name, message, known) for name in chosen)
    notes += _how_sure(message, explanations, known, container)
    return Account(explanations=explanations, notes=tuple(notes))


def _guessed(abi: str, name: str, message: Message, known: Known) -> Explanation:
    abi = abi if number_of(abi, name) is not None else _other_abi(abi, name)
    what = "named by the text" if message.certain else "fits the text"
    if message.certain and not message.error:
        what = "asked for by name"
    question = Question(abi=abi, name=name)
    decision = decision_on(question, known)
    if decision is not None:
        what += f"; the profile's answer: {outcome(decision.action, decision.data)}"
        if any(rule.args for rule in decision.rules):
            what += ", unless a rule on its arguments decides"
    return explanation(question, what, known, program=message.program, guess=True)


def _other_abi(abi: str, name: str) -> str:
    for other, machine in MACHINES.items():
        if machine == MACHINES[abi] and number_of(other, name) is not None:
            return other
    return abi


def _would_refuse(abi: str, name: str, known: Known) -> bool:
    """Whether the profile refuses the call, or does with some arguments."""
    decision = decision_on(Question(abi=abi, name=name), known)
    if decision is None:
        return False
    return decision.action not in PERMITTED or any(not rule.permits for rule in decision.rules)


def _fits(abi: str, name: str, message: Message, known: Known) -> bool:
    """Whether the profile's answer to the call can be the error of the text."""
    decision = decision_on(Question(abi=abi, name=name), known)
    if decision is None or not message.error or message.error == "ENOSYS":
        return True  # runc answers ENOSYS whatever the profile says
    if message.error == SIGSYS:
        return decision.action in _KILLING
    answers = {(decision.action, decision.data), *(rule.outcome for rule in decision.rules)}
    return ("SCMP_ACT_ERRNO", message.number) in answers


def _plausible(abi: str, message: Message, known: Known) -> list[str]:
    """Calls that the profile refuses and that recordings or experience suggest, the likeliest first."""
    if known.profile is None:
        return []
    used = {family_of(call.name) for recording in known.recordings for call in recording.calls} - {""}
    suspects = [*FALLBACKS, "exit_group", "clock_gettime"]
    suspects += [name for family_name in sorted(used) for name in members(family_name)]
    refused = [name for name in dict.fromkeys(suspects) if number_of(abi, name) is not None]
    refused = [name for name in refused if _would_refuse(abi, name, known)]
    refused = [name for name in refused if _fits(abi, name, message, known)]
    made = {name for recording in known.recordings for name in recording.names()}

    def rank(name: str) -> tuple[bool, bool]:
        return (name in made or family_of(name) not in used, name not in FALLBACKS)

    return sorted(refused, key=rank)


def _about_error(message: Message, known: Known) -> list[str]:
    """What the error itself says of seccomp."""
    answer = outcome(*known.profile.outcome) if known.profile is not None else ""
    if message.error == "EACCES" and answer != "EACCES":
        usual = f"this profile answers {answer}" if answer else "seccomp mostly answers EPERM"
        return [
            f'"Permission denied" is EACCES, and {usual}: look at the permissions of the file, at capabilities and '
            "LSMs first."
        ]
    if message.error == "ENOSYS" and answer != "ENOSYS":
        # runc pull 2750
        return [
            '"Function not implemented" is ENOSYS, which runc also answers to calls newer than all those that a '
            "profile names, and kernels to calls they do not have."
        ]
    if message.error == SIGSYS and answer.startswith("E"):
        return [
            f"SIGSYS means that a filter kills: this profile answers {answer}, except to calls of an architecture that "
            "it does not have (32-bit programs), for which the thread is killed."
        ]
    return []


def _how_sure(
    message: Message, explanations: Sequence[Explanation], known: Known, container: str
) -> list[str]:
    notes = []
    if known.profile is None:
        notes.append("Without the profile (--profile or --container) it cannot be said what it refuses.")
    if message.certain and not message.error:
        return notes  # a call was asked for by its name
    if explanations or message.error:
        where = f"--container {shlex.quote(container)}" if container else "--container NAME"
        notes.append(
            "This is a guess from text. To know: `seclude watch "
            f"{where} --json > denials.jsonl` while it fails again, then `seclude explain --denials denials.jsonl`."
        )
    elif not explanations:
        notes.append(
            "Nothing in the text names a call or an error that seccomp gives (EPERM, ENOSYS, SIGSYS)."
        )
    return notes
