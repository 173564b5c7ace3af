"""Reads the recorder's tables: one target's number in, its Observation out."""

from __future__ import annotations

import time

from .. import syscalls
from ..model.denial import ALLOWED
from ..model.origin import Origin
from ..model.recording import (
    ABIS,
    NO_CONTEXT,
    OVERFLOW,
    PHASES,
    ArgumentValues,
    Call,
    Dropped,
    FirstSeen,
    Losses,
    Observation,
)
from . import layout
from .refused import refused_calls
from .tables import Tables, names_of
from .text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..model.denial import Denial, Sighting
    from .libbpf import LibBpf

COUNTS = layout.FLAG_COUNTS


def observation_of(
    library: LibBpf,
    map_of: Callable[[str], int],
    number: int,
    sightings: Sequence[Sighting] = (),
    lost_denials: int = 0,
) -> Observation | None:
    """What was seen of a target so far, sorted as Recording wants it; None if the recorder does not know it.

    `sightings`: what the denial watch saw of it, and how many denials it lost of whomever.
    """
    tables = Tables(library, map_of)
    target = tables.target(number)
    if target is None:
        return None
    started, *lost = target[layout.SET_WORDS : layout.SET_WORDS + 6]
    counted = bool(target[layout.SET_WORDS + 6] & COUNTS)
    names = names_of(library, map_of("names")).get(number, {}) if target[layout.SET_WORDS + 14] else {}
    sighted = [sighting.denial for sighting in sightings]
    denials = tuple(denial for denial in sighted if denial.action != ALLOWED)
    calls = refused_calls(denials, started / 1e9)
    detailed = {
        (
            PHASES.index(call.phase),
            ABIS.index(call.abi),
            layout.slot_of_number(ABIS.index(call.abi), call.number),
        )
        for call in calls
    }
    for key, value in tables.of("facts", number):
        _, context, slot, abi, phase, _ = layout.FACT_KEY.unpack(key)
        detailed.add((phase, abi, slot))
        calls.append(
            _call(
                abi,
                phase,
                slot,
                NO_CONTEXT if context == 0 else names.get(context, OVERFLOW),
                _first_seen(value, names),
                layout.FACT.unpack_from(value)[1] if counted else 0,
            )
        )
    for phase, abi, slot in _set_bits(target):
        if (phase, abi, slot) not in detailed:
            calls.append(_call(abi, phase, slot, NO_CONTEXT, Dropped(), 0))
    calls.sort(key=lambda call: (PHASES.index(call.phase), ABIS.index(call.abi), call.name, call.context))
    return Observation(
        duration=(time.clock_gettime_ns(time.CLOCK_BOOTTIME) - started) / 1e9,
        calls=tuple(calls),
        arguments=_arguments(tables, number) if target[layout.SET_WORDS + 6] & layout.FLAG_ARGUMENTS else (),
        denials=denials,
        origins=tuple(_origin(denial) for denial in sighted if denial.action == ALLOWED),
        losses=Losses(
            calls=lost[0],
            facts=lost[1],
            contexts=lost[2],
            executables=lost[3],
            markers=lost[4],
            denials=lost_denials,
        ),
    )


def _origin(seen: Denial) -> Origin:
    return Origin(
        abi=seen.abi, name=seen.name, context=seen.context, pid=seen.pid, tid=seen.tid, native=seen.native
    )


def _call(abi: int, phase: int, slot: int, context: str, first: FirstSeen | Dropped, count: int) -> Call:
    label = ABIS[abi]
    number = layout.number_of_slot(abi, slot)
    return Call(
        abi=label,
        phase=PHASES[phase],
        context=context,
        number=number,
        name=syscalls.name_of(label, number),
        first=first,
        count=count,
    )


def _first_seen(value: bytes, names: Mapping[int, str]) -> FirstSeen:
    fields = layout.FACT.unpack(value)
    time_ns, _, *arguments = fields[:8]
    tgid, tid, executable, _, comm = fields[8:]
    return FirstSeen(
        time=time_ns / 1e9,
        pid=tgid,
        tid=tid,
        comm=text_of(comm),
        executable=names.get(executable, OVERFLOW if executable == layout.NAME_OVERFLOW else ""),
        arguments=tuple(arguments),
    )


def _set_bits(target: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """(phase, abi, slot) of every call in the target's sets."""
    for index in range(layout.SET_WORDS):
        word = target[index]
        if word:
            phase, rest = divmod(index, layout.ABI_COUNT * layout.WORDS)
            abi, position = divmod(rest, layout.WORDS)
            for bit in range(64):
                if word >> bit & 1:
                    yield phase, abi, position * 64 + bit


def _arguments(tables: Tables, number: int) -> tuple[ArgumentValues, ...]:
    seen: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for key, _ in tables.of("argument_values", number):
        _, slot, abi, _, *values = layout.ARGUMENT_KEY.unpack(key)
        seen.setdefault((abi, slot), []).append(tuple(values))
    found = []
    for key, value in tables.of("argument_masks", number):
        _, slot, abi = layout.ARGUMENT_CALL.unpack(key)
        mask, overflowed = layout.ARGUMENT_MASK.unpack(value)
        values_seen = seen.get((abi, slot))
        if values_seen:
            indices = tuple(index for index in range(6) if mask >> index & 1)
            found.append(
                ArgumentValues(
                    abi=ABIS[abi],
                    name=syscalls.name_of(ABIS[abi], layout.number_of_slot(abi, slot)),
                    indices=indices,
                    values=tuple(sorted(tuple(values[index] for index in indices) for values in values_seen)),
                    complete=not overflowed,
                )
            )
    return tuple(sorted(found, key=lambda item: (item.abi, item.name)))
