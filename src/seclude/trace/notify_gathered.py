"""What receivers have left in their pages and journals in, the Observation of their target out."""

from __future__ import annotations

import time

from .. import syscalls
from ..model.denial import OTHER_NUMBER, Denial, Frame
from ..model.frozen import replace
from ..model.recording import (
    ABIS,
    PHASES,
    ArgumentValues,
    Call,
    FirstSeen,
    Losses,
    Observation,
)
from . import notify_page as page_of
from .notify_page import Denied, Entry, Values
from .refused import refused_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..ports import Target
    from .notify_page import Journal, Page


class Gathered:
    """Facts of several receivers: the first entry of each call, with the counts of all."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, str, int, str], tuple[Entry, int]] = {}
        self._values: set[tuple[str, int, tuple[int, ...]]] = set()
        self._denials: dict[tuple[object, ...], Denial] = {}
        self._words = [0] * page_of.WORDS

    def copy(self) -> Gathered:
        other = Gathered()
        other._entries, other._values = dict(self._entries), set(self._values)
        other._denials = dict(self._denials)
        other._words = list(self._words)
        return other

    def take(self, page: Page, journal: Journal, contexts_lost: int) -> None:
        """Add what one receiver has seen so far."""
        for fact in journal.facts():
            if isinstance(fact, Values):
                self._values.add((fact.abi, fact.number, fact.values))
                continue
            if isinstance(fact, Denied):
                self._deny(fact, *page.denials[2 * fact.index : 2 * fact.index + 2].tolist())
                continue
            key = (fact.phase, fact.abi, fact.number, fact.context)
            first, count = self._entries.get(key, (fact, 0))
            earliest = min(first, fact, key=lambda entry: entry.time)
            self._entries[key] = (earliest, count + page.counts[fact.index])
        words = page.words.tolist()
        self._words = [mine + theirs for mine, theirs in zip(self._words, words, strict=True)]
        self._words[page_of.LOST_CONTEXTS] += contexts_lost

    def _deny(self, fact: Denied, count: int, last: int) -> None:
        """Add a denial; of the same as one of another receiver the earlier one's details stay."""
        key = (fact.pid, fact.abi, fact.number, fact.context, fact.action, fact.data)
        denial = _denial(fact, count, last)
        known = self._denials.get(key)
        if known is not None:
            first, then = sorted((known, denial), key=lambda each: each.first)
            denial = replace(first, count=known.count + count, last=max(first.last, then.last))
        self._denials[key] = denial

    def observation(self, started: int, target: Target) -> Observation:
        """What has been seen; `started` in ns since boot."""
        duration = (time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started) / 1e9
        calls = [_call(entry, count if target.counts else 0) for entry, count in self._entries.values()]
        denials = sorted(self._denials.values(), key=lambda denial: (denial.first, denial.pid, denial.name))
        calls += refused_calls(denials, started / 1e9)
        calls.sort(key=lambda call: (PHASES.index(call.phase), ABIS.index(call.abi), call.name, call.context))
        words = self._words
        return Observation(
            duration=duration,
            calls=tuple(calls),
            arguments=tuple(_arguments(self._values, target, complete=not words[page_of.OVERFLOWED])),
            losses=Losses(
                calls=words[page_of.LOST_CALLS],
                facts=words[page_of.LOST_FACTS],
                contexts=words[page_of.LOST_CONTEXTS],
                executables=words[page_of.LOST_EXECUTABLES],
                markers=words[page_of.LOST_MARKERS],
                denials=words[page_of.LOST_DENIALS],
            ),
            denials=tuple(denials),
        )


def _call(entry: Entry, count: int) -> Call:
    return Call(
        abi=entry.abi,
        phase=PHASES[entry.phase],
        context=entry.context,
        number=entry.number,
        name=syscalls.name_of(entry.abi, entry.number),
        first=FirstSeen(
            time=entry.time / 1e9,
            pid=entry.pid,
            tid=entry.tid,
            comm=entry.comm,
            executable=entry.executable,
            arguments=entry.arguments,
        ),
        count=count,
    )


def _denial(fact: Denied, count: int, last: int) -> Denial:
    return Denial(
        action=fact.action,
        data=fact.data,
        abi=fact.abi,
        number=fact.number,
        name="#other" if fact.number == OTHER_NUMBER else syscalls.name_of(fact.abi, fact.number),
        arguments=fact.arguments,
        pid=fact.pid,
        tid=fact.tid,
        comm=fact.comm,
        executable=fact.executable,
        count=count,
        first=fact.time / 1e9,
        last=last / 1e9,
        context=fact.context,
        python=tuple(map(_frame, fact.python)),
        native=tuple(map(_frame, fact.native)),
    )


def _frame(fields: tuple[str, str, int, int]) -> Frame:
    module, function, line, offset = fields
    return Frame(module=module, function=function, line=line, offset=offset)


def _arguments(
    values: Iterable[tuple[str, int, tuple[int, ...]]], target: Target, *, complete: bool
) -> list[ArgumentValues]:
    grouped: dict[tuple[str, int], list[tuple[int, ...]]] = {}
    for abi, number, each in values:
        grouped.setdefault((abi, number), []).append(each)
    found = []
    for (abi, number), several in grouped.items():
        name = syscalls.name_of(abi, number)
        indices: Sequence[int] = target.arguments[name]
        found.append(
            ArgumentValues(
                abi=abi, name=name, indices=tuple(indices), values=tuple(sorted(several)), complete=complete
            )
        )
    return sorted(found, key=lambda item: (item.abi, item.name))
