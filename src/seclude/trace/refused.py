"""Denials in, the refused calls without the processes out, as a recording has them among its calls."""

from __future__ import annotations

from ..model.denial import OTHER_NUMBER
from ..model.frozen import replace
from ..model.recording import Call, FirstSeen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.denial import Denial


def refused_calls(denials: Sequence[Denial], started: float) -> list[Call]:
    """The refused calls, one for each ABI, number and context; `started`: the target's start in seconds since boot."""
    calls: dict[tuple[str, int, str], Call] = {}
    for denial in denials:
        key = (denial.abi, denial.number, denial.context)
        if not denial.refused or denial.number == OTHER_NUMBER:
            continue
        known = calls.get(key)
        if known is not None:
            calls[key] = replace(known, count=known.count + denial.count)
            continue
        first = FirstSeen(
            time=denial.first - started,
            pid=denial.pid,
            tid=denial.tid,
            comm=denial.comm,
            executable=denial.executable,
            arguments=denial.arguments,
            result=denial.result,
        )
        calls[key] = Call(
            abi=denial.abi,
            phase="denied",
            context=denial.context,
            number=denial.number,
            name=denial.name,
            first=first,
            count=denial.count,
        )
    return list(calls.values())
