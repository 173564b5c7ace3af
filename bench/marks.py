"""What marking each test costs a suite: 1,000 tests, empty and small ones, with and without marks, recorded and not."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import Table, compared
from programs import Unmeasurable

from seclude.ports import Target
from seclude.trace.ebpf import EbpfTracer

TESTS = 1000
ROUNDS = 3
"""Suites of each variant in a run: the quickest counts, the others were held up by something else."""
LIMIT = 1.05

PLAIN, MARKED = "not recorded, no marks", "not recorded, marks"
RECORDED, BOTH = "recorded, no marks", "recorded, marks"
VARIANTS = {PLAIN: (False, False), MARKED: (True, False), RECORDED: (False, True), BOTH: (True, True)}

SUITES = {
    "empty tests": "def test_{0}():\n    pass\n",
    "tests that query a database": """
def test_{0}():
    with sqlite3.connect(":memory:") as database:
        database.execute("create table t (a, b)")
        database.executemany("insert into t values (?, ?)", [(number, str(number)) for number in range(10)])
        assert database.execute("select sum(a) from t").fetchone() == (45,)
""",
}


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """Two tables for each suite, of processor time and of time; raises Unmeasurable."""
    return [table for name in SUITES for table in _measured(name, runs, progress)]


def _measured(name: str, runs: int, progress: Callable[[str], None]) -> list[Table]:
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    processor: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with tempfile.TemporaryDirectory() as directory:
        suite = Path(directory, "test_suite.py")
        tests = (SUITES[name].format(number) for number in range(TESTS))
        suite.write_text("import sqlite3\n" + "".join(tests))
        for run in range(runs):
            progress(f"{TESTS} {name}: run {run + 1} of {runs}")
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in VARIANTS}
            for _ in range(ROUNDS):
                for variant, (marked, recorded) in VARIANTS.items():
                    found[variant].append(_suite(suite, marked=marked, recorded=recorded))
            for variant, values in found.items():
                seconds[variant].append(min(value[0] for value in values) * 1000)
                processor[variant].append(min(value[1] for value in values) * 1000)
    return [
        Table(
            f"{what} of {TESTS:,} {name}",
            "ms",
            (
                compared(PLAIN, samples),
                compared(MARKED, samples, (PLAIN, LIMIT)),
                compared(RECORDED, samples, (PLAIN, 0)),
                compared(BOTH, samples, (RECORDED, LIMIT)),
            ),
        )
        for what, samples in (("Processor time", processor), ("Time", seconds))
    ]


def _suite(suite: Path, *, marked: bool, recorded: bool) -> tuple[float, float]:
    """(seconds, seconds of processor time) of one run of the suite; raises Unmeasurable."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:hypothesispytest"]
    command += ["--rootdir", str(suite.parent), "-c", os.devnull, str(suite)]
    command += ["--seclude"] if marked else ["-p", "no:seclude"]
    wait, go = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(go)
        os.read(wait, 1)
        # Ahead of everything else on the machine, so that neighbours cost it no time but their traces in the caches.
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.execv(sys.executable, command)
    os.close(wait)
    tracer = EbpfTracer() if recorded else None
    number = tracer.begin(Target(pid=pid, unconfined=True)) if tracer else 0
    started = time.perf_counter()
    os.write(go, b"g")
    os.close(go)
    _, status, used = os.wait4(pid, 0)
    seconds = time.perf_counter() - started
    if tracer:
        contexts = {call.context for call in tracer.observe(number).calls}
        tracer.end(number)
        tracer.close()
        if marked != (len(contexts) > TESTS):
            raise Unmeasurable(f"{len(contexts)} contexts were recorded")
    if status:
        raise Unmeasurable(f"pytest ended with status {os.waitstatus_to_exitcode(status)}")
    return seconds, used.ru_utime + used.ru_stime
