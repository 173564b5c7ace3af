"""What it takes to draw a recording of 5,000 tests with 300 calls each, and to read one as large as one can be."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from figures import Figure, Table
from programs import ROOT

sys.path.insert(0, str(ROOT / "src"))

from seclude import __version__, store
from seclude.analyse.attribution import attribution, why
from seclude.analyse.completeness import completeness
from seclude.model.frozen import replace
from seclude.model.recording import Call, FirstSeen, Recording
from seclude.reports.compose import Allowance, compose
from seclude.reports.html import html
from seclude.synthesize import synthesize
from seclude.syscalls import names

TESTS, CALLS = 5000, 300
LIMIT = 65_536
"""Calls of contexts that the recorder keeps first times of (bpf/recorder.h)."""

DRAWN, COMPLETE, TESTS_OF, WHY = "page, with completeness: s", "completeness: s", "tests: s", "why: s"
SIZE, READ, WRITTEN = "page: MB", f"read {LIMIT:,} calls: s", f"write {LIMIT:,} calls: s"


@dataclass
class Samples:
    """What was measured, by name."""

    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def timed(self, name: str, work: Callable[[], object]) -> None:
        """Process time, as the machine does other things too."""
        started = time.process_time()
        work()
        self.add(name, time.process_time() - started)


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """One table."""
    samples = Samples()
    small = recording(LIMIT // CALLS * 2)
    small = replace(small, calls=small.calls[:LIMIT])
    few = store.dumps(small)
    progress("reports: a large recording")
    many = recording(TESTS)
    for run in range(runs):
        progress(f"reports: run {run + 1} of {runs}")
        # Each run begins with a recording that nobody has looked through.
        fresh = replace(many)
        samples.timed(DRAWN, lambda fresh=fresh: samples.add(SIZE, len(page(fresh)) / 1e6))  # type: ignore[misc]
        samples.timed(COMPLETE, lambda: completeness([many]))
        samples.timed(TESTS_OF, lambda: attribution([many]))
        samples.timed(WHY, lambda: why("accept4", [many]))
        samples.timed(READ, lambda: store.loads(few, "few"))
        samples.timed(WRITTEN, lambda: store.dumps(small))
    title = f"A recording of {TESTS:,} tests with up to {CALLS} calls each, {len(many.calls):,} in all"
    note = f"s are process time; one call takes {len(few) / LIMIT:.0f} bytes in a file"
    return [
        Table(
            title, "", tuple(Figure(name, tuple(values)) for name, values in samples.values.items()), (note,)
        )
    ]


def page(drawn: Recording) -> bytes:
    """What `seclude report` does with a recording once it is read."""
    profile = synthesize([drawn]).profile
    found = completeness([drawn])
    allowed = tuple(sorted(name for rule in profile.rules for name in rule.names))
    made = compose([drawn], profile=Allowance(label="p", names=allowed), curve=found.curve)
    return html(made, version=__version__).encode()


def recording(tests: int) -> Recording:
    """Some calls are made by all tests, others by ever fewer."""
    calls = []
    for number, name in enumerate(sorted(names("x86_64"))[:CALLS]):
        for test in range(tests):
            if (test * 7919 + number * 104_729) % CALLS < CALLS - number // 2:
                first = FirstSeen(
                    time=test / 10 + number / 1000,
                    pid=1000 + test % 7,
                    tid=1000 + test % 7,
                    comm="python3",
                    executable="/usr/bin/python3.11",
                    arguments=(3, 140_721_234_567_890 + test, 4096, 0, 0, 0),
                )
                context = f"tests/test_{test // 50:03}.py::test_{test:04}|call"
                calls.append(
                    Call(abi="x86_64", phase="app", context=context, number=number, name=name, first=first)
                )
    return Recording(
        created="2026-01-01T00:00:00Z",
        duration=600.0,
        seclude=__version__,
        tracer="ebpf",
        kernel="6.1.0",
        machine="x86_64",
        engine="process",
        calls=tuple(calls),
    )
