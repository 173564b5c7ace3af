"""A profile or a recording in, what `seclude show` says of it out: facts, tables and lists of plain, printable text."""

from __future__ import annotations

import errno
import shlex
from collections.abc import Iterable, Sequence

from ..model.frozen import frozen
from ..model.profile import MASKED_EQUAL, Argument, Filter, Profile, Rule
from ..model.recording import ABIS, PHASES, Call, Dropped, FirstSeen, Losses, Recording
from .console import printable

MOST_CALLS = 600
MOST_CONTEXTS = 50
MOST_VALUES = 8
LONGEST_CELL = 250
"""Characters of one name: the recorder cuts its own at 248 bytes, a profile's or an image's may be of any length."""

_PHASES = {"runtime": "by the runtime", "app": "by the application", "denied": "refused"}
_OPERATORS = {"NE": "!=", "LT": "<", "LE": "<=", "EQ": "==", "GE": ">=", "GT": ">"}


@frozen
class Table:
    """Rows under `columns`; `right`: the columns of numbers. `note` says what was left out."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[str, ...] = ()
    note: str = ""


@frozen
class Words:
    """A list of names, shown in columns."""

    title: str
    words: tuple[str, ...]


@frozen
class Overview:
    """All that is shown of one file: (label, text) pairs, then its parts in order."""

    title: str
    facts: tuple[tuple[str, str], ...]
    parts: tuple[Table | Words, ...]


def _number(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _cell(text: str) -> str:
    return printable(text, longest=LONGEST_CELL)


# Profiles


def profile_overview(profile: Profile, source: str) -> Overview:
    """The default action, the architectures and each rule with its calls."""
    facts = [
        ("default", _action(*profile.outcome)),
        (
            "architectures",
            ", ".join(profile.architectures) or ("" if profile.arch_map else "the machine's own"),
        ),
    ]
    facts += [
        (f"on {entry.architecture}", f"also {', '.join(entry.sub_architectures) or 'none'}")
        for entry in profile.arch_map
    ]
    if profile.flags is not None:
        facts.append(("flags", ", ".join(profile.flags) or "none"))
    if profile.listener_path:
        facts.append(("listener", _cell(profile.listener_path)))
    names = {name for rule in profile.rules for name in rule.names}
    facts.append(("rules", f"{len(profile.rules)}, for {_number(len(names), 'call')}"))
    rows = tuple(
        (
            str(number),
            _action(*rule.outcome),
            str(len(rule.names)),
            conditions(rule),
            _where(rule),
            _cell(rule.comment),
        )
        for number, rule in enumerate(profile.rules, 1)
    )
    lists = tuple(
        Words(title=_heading(number, rule), words=tuple(_cell(name) for name in rule.names))
        for number, rule in enumerate(profile.rules, 1)
    )
    table = Table(
        title="rules",
        columns=("rule", "action", "calls", "conditions", "where", "comment"),
        rows=rows,
        right=("rule", "calls"),
    )
    return Overview(
        title=f"profile {_cell(source)}",
        facts=tuple((label, text) for label, text in facts if text),
        parts=(table, *lists) if rows else (),
    )


def _heading(number: int, rule: Rule) -> str:
    given = conditions(rule)
    return f"rule {number}: {_action(*rule.outcome)}" + (f" if {given}" if given else "")


def _action(action: str, number: int) -> str:
    name = action.removeprefix("SCMP_ACT_")
    if name == "ERRNO":
        return f"{name} {errno.errorcode.get(number, number)}"
    return f"{name} {number}" if number else name


def conditions(rule: Rule) -> str:
    """The rule's conditions on arguments, such as "arg0 == 0x1 and arg1 & 0xff == 0x0"."""
    return (" or " if rule.alternatives else " and ").join(_condition(argument) for argument in rule.args)


def _condition(argument: Argument) -> str:
    if argument.op == MASKED_EQUAL:
        return f"arg{argument.index} & {argument.value:#x} == {argument.value_two:#x}"
    return f"arg{argument.index} {_OPERATORS[argument.op.removeprefix('SCMP_CMP_')]} {argument.value:#x}"


def _where(rule: Rule) -> str:
    return "; ".join([*_limits(rule.includes, ""), *_limits(rule.excludes, "not ")])


def _limits(limits: Filter, negation: str) -> list[str]:
    found = []
    if limits.arches:
        found.append(f"{negation}on {', '.join(map(_cell, limits.arches))}")
    if limits.caps:
        found.append(f"{negation}with {', '.join(map(_cell, limits.caps))}")
    if limits.min_kernel:
        found.append(f"{negation}from Linux {limits.min_kernel}")
    return found


# Recordings


@frozen
class Made:
    """One call over all contexts: the earliest of its first times, and the sum of its counts."""

    abi: str
    phase: str
    name: str
    number: int
    contexts: int
    count: int
    first: FirstSeen | Dropped


def made(recording: Recording) -> tuple[Made, ...]:
    """The recording's calls, one for each (phase, ABI, number), in the order of phases, ABIs and names."""
    groups: dict[tuple[str, str, int], list[Call]] = {}
    for call in recording.calls:
        groups.setdefault((call.phase, call.abi, call.number), []).append(call)
    found = [
        Made(
            abi=abi,
            phase=phase,
            name=calls[0].name,
            number=number,
            contexts=len(calls),
            count=sum(call.count for call in calls),
            first=_earliest(calls),
        )
        for (phase, abi, number), calls in groups.items()
    ]
    # What has no name ("#575") goes last, by number.
    return tuple(
        sorted(
            found,
            key=lambda call: (
                PHASES.index(call.phase),
                ABIS.index(call.abi),
                call.name.startswith("#"),
                (call.number, "") if call.name.startswith("#") else (0, call.name),
            ),
        )
    )


def _earliest(calls: Iterable[Call]) -> FirstSeen | Dropped:
    seen = [call.first for call in calls if isinstance(call.first, FirstSeen)]
    return min(seen, key=lambda first: first.time) if seen else Dropped()


def contexts(recording: Recording) -> dict[str, int]:
    """Context -> number of calls that were made in it by the application, in the order of first entry."""
    names: dict[str, set[tuple[str, int]]] = {}
    entered: dict[str, float] = {}
    for call in recording.calls:
        if call.phase != "app":
            continue
        names.setdefault(call.context, set()).add((call.abi, call.number))
        if isinstance(call.first, FirstSeen):
            entered[call.context] = min(entered.get(call.context, call.first.time), call.first.time)
    ordered = sorted(names, key=lambda name: (entered.get(name, float("inf")), name))
    return {name: len(names[name]) for name in ordered}


def recording_overview(recording: Recording, source: str) -> Overview:
    """Who recorded what, when and where; the calls of each phase and ABI with their first time; the contexts."""
    tables: list[Table | Words] = []
    every = made(recording)
    for phase in PHASES:
        for abi in ABIS:
            calls = [call for call in every if (call.phase, call.abi) == (phase, abi)]
            if calls:
                tables.append(_calls(phase, abi, calls, counted=recording.counted or phase == "denied"))
    found = contexts(recording)
    if set(found) - {""}:
        tables.append(_contexts(found))
    if recording.arguments:
        tables.append(_arguments(recording))
    return Overview(title=f"recording {_cell(source)}", facts=_facts(recording), parts=tuple(tables))


def _facts(recording: Recording) -> tuple[tuple[str, str], ...]:
    runtime = " ".join(filter(None, (recording.runtime, recording.runtime_version)))
    confinement = "under a seccomp filter" if recording.confined else "unconfined"
    if recording.no_new_privileges:
        confinement += ", no new privileges"
    facts = (
        ("command", printable(shlex.join(recording.command), longest=4 * LONGEST_CELL)),
        ("recorded", f"{_cell(recording.created)}, for {recording.duration:.3f} s"),
        ("by", f"seclude {_cell(recording.seclude)}, tracer {_cell(recording.tracer)}"),
        ("kernel", f"{_cell(recording.kernel)} on {_cell(recording.machine)}"),
        ("engine", _cell(recording.engine)),
        ("runtime", _cell(runtime)),
        ("image", _cell(recording.image)),
        ("container", _cell(recording.container)),
        ("ran", confinement),
        ("attached", "while it ran: start-up calls are missing" if recording.attached else ""),
        ("capabilities", printable(", ".join(recording.capabilities), longest=4 * LONGEST_CELL)),
        ("lost", losses(recording.losses)),
        ("not visible", printable(", ".join(recording.unseen), longest=4 * LONGEST_CELL)),
    )
    return tuple((label, text) for label, text in facts if text)


def losses(lost: Losses) -> str:
    """What the recorder could not keep, in words."""
    details = {"first time": lost.facts, "context": lost.contexts, "executable": lost.executables}
    details["marker"] = lost.markers
    parts = [_number(number, what) for what, number in details.items() if number]
    if lost.calls:
        parts.insert(0, f"{_number(lost.calls, 'call')} (no profile is made of this unless insisted upon)")
    return ", ".join(parts) or "nothing"


def _calls(phase: str, abi: str, calls: Sequence[Made], *, counted: bool) -> Table:
    columns = ["call", "number", "seconds", "process", "executable", "arguments"]
    if counted:
        columns.insert(2, "times")
    if phase == "denied":
        columns.insert(3, "result")
    rows = []
    for call in calls[:MOST_CALLS]:
        row = _first(call.first)
        row |= {"call": _cell(call.name), "number": str(call.number), "times": str(call.count)}
        rows.append(tuple(row[column] for column in columns))
    return Table(
        title=f"{_number(len(calls), f'{abi} call')} {_PHASES[phase]}",
        columns=tuple(columns),
        rows=tuple(rows),
        right=("number", "times", "seconds"),
        note=_left_out(len(calls), MOST_CALLS),
    )


def _first(first: FirstSeen | Dropped) -> dict[str, str]:
    if isinstance(first, Dropped):
        return {
            "seconds": "",
            "process": "",
            "executable": "",
            "arguments": _cell(first.reason),
            "result": "",
        }
    thread = f"{first.pid}" if first.pid == first.tid else f"{first.pid}/{first.tid}"
    return {
        "seconds": f"{first.time:.6f}",
        "process": f"{_cell(first.comm)} {thread}",
        "executable": _cell(first.executable),
        "arguments": " ".join(f"{value:#x}" for value in first.arguments),
        "result": errno.errorcode.get(-first.result, str(first.result)),
    }


def _contexts(found: dict[str, int]) -> Table:
    rows = [(_cell(name) or "(none)", str(number)) for name, number in list(found.items())[:MOST_CONTEXTS]]
    return Table(
        title=_number(len(found), "context"),
        columns=("context", "calls"),
        rows=tuple(rows),
        right=("calls",),
        note=_left_out(len(found), MOST_CONTEXTS),
    )


def _arguments(recording: Recording) -> Table:
    rows = []
    for item in recording.arguments:
        values = [", ".join(f"{value:#x}" for value in values) for values in item.values[:MOST_VALUES]]
        more = len(item.values) - MOST_VALUES
        values += [f"and {more} more"] if more > 0 else []
        indices = ", ".join(f"arg{index}" for index in item.indices)
        rows.append(
            (_cell(item.name), item.abi, indices, "; ".join(values), "yes" if item.complete else "no")
        )
    return Table(
        title="values of arguments", columns=("call", "ABI", "of", "values", "complete"), rows=tuple(rows)
    )


def _left_out(number: int, most: int) -> str:
    return f"and {number - most} more: --json has all" if number > most else ""
