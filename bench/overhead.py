"""What recording costs a system call and a context switch: short slices of every variant in turn, figures out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from figures import Figure, Table, compared
from programs import METER, OBJECT, Links, Unmeasurable, compiled

from seclude import syscalls
from seclude.errors import EXIT_CLEAN, EXIT_FINDINGS
from seclude.ports import Target
from seclude.trace.ebpf import EbpfTracer
from seclude.trace.libbpf import LibBpf
from seclude.trace.watch import DenialWatch

ROUNDS = 6
"""Slices of each variant in a run."""

CALLS = ("calls", "100", "2000")
FILTERED = ("filtered", "100", "2000")
CONDITIONAL = ("conditional", "100", "500")
SWITCHES = ("switches", "40", "250")
"""Chunks in a slice and operations in a chunk: some 40 ms a slice, under 1 ms a chunk."""

STRACED = ("calls", "4", "500")
NOTIFIED = ("calls", "20", "500")
JUDGED = ("--profile", "p.json", "--expect-status", "0", "--no-stacks")
QUANTILE = 0.1
"""Of the chunks: those that nothing else on the machine held up."""

ATTEMPTS = 40
PATIENCE = 20
MANY = 1000

Variant = Callable[[int], AbstractContextManager[None]]
"""The pid of the process that will be measured -> what runs in the kernel meanwhile."""


class Overhead:
    """Measures variants against one another, on one CPU."""

    def __init__(self, runs: int, progress: Callable[[str], None]) -> None:
        self._runs = runs
        self._progress = progress
        self._directory = compiled()
        self._library = LibBpf()
        self._links = Links()
        self._cpu = max(os.sched_getaffinity(0))
        self._disturbed = 0
        self._lasting = 0

    def tables(self) -> list[Table]:
        with self._sleepers(MANY - 1) as sleepers:
            return [self._calls(sleepers), self._filtered(), self._switches(sleepers[0])]

    def _calls(self, sleepers: Sequence[int]) -> Table:
        other = sleepers[:1]
        variants: dict[str, Variant] = {
            "untraced": self._nothing,
            "empty enter program": self._empty("empty_enter"),
            "seclude, recorded": self._recorder(),
            "seclude, not recorded": self._recorder(recorded=False, others=other),
            "seclude, recorded, 1,000 targets": self._recorder(others=sleepers),
            "empty enter and exit programs": self._empty("empty_enter", "empty_exit"),
            "seclude with denials, recorded": self._recorder(denials=True),
            "seclude with denials, not recorded": self._recorder(recorded=False, others=other, denials=True),
        }
        samples = self._measure("a system call", CALLS, variants)
        empty, both = "empty enter program", "empty enter and exit programs"
        figures = [
            compared("untraced", samples),
            compared(empty, samples, ("untraced", 0)),
            compared("seclude, recorded", samples, (empty, 1.15)),
            compared("seclude, not recorded", samples, (empty, 1.10)),
            compared("seclude, recorded, 1,000 targets", samples, ("seclude, recorded", 1.05, "one target")),
            compared(both, samples, ("untraced", 0)),
            compared("seclude with denials, recorded", samples, (both, 1.15)),
            compared("seclude with denials, not recorded", samples, (both, 0)),
        ]
        failures: list[str] = []
        try:
            samples["strace -c"] = self._strace()
            figures.append(compared("strace -c", samples, (empty, 0), ("seclude, recorded", 0)))
        except Unmeasurable as error:
            failures.append(str(error))
        try:
            samples["notify"] = self._notify("record", "--recording", "r.json")
            figures.append(compared("notify", samples, ("untraced", 0), ("seclude, recorded", 0)))
            for answer in ("allowed", "allowed by a condition", "refused"):
                row = f"notify, verify, {answer}"
                samples[row] = self._notify("verify", *JUDGED, answer=answer)
                figures.append(compared(row, samples, ("notify", 0)))
        except Unmeasurable as error:
            failures.append(str(error))
        return self._table("One getppid call", figures, failures)

    def _filtered(self) -> Table:
        """Denials watched where there are none: of a call that the filter always allows, and of one it looks at."""
        both = "empty enter and exit programs"
        variants: dict[str, Variant] = {
            "untraced": self._nothing,
            both: self._empty("empty_enter", "empty_exit"),
            "seclude watch": self._watch,
            "seclude verify": self._recorder(denials=True),
        }
        samples = self._measure("a filtered call", FILTERED, variants)
        figures = [
            compared("untraced", samples),
            compared(both, samples, ("untraced", 0)),
            compared("seclude watch", samples, (both, 1.15)),
            compared("seclude verify", samples, (both, 1.15)),
        ]
        asked = {"untraced": self._nothing, both: variants[both], "seclude watch": self._watch}
        conditional = self._measure("a call with conditions", CONDITIONAL, asked)
        named = {f"{name}, call with conditions": values for name, values in conditional.items()}
        for name in named:
            figures.append(compared(name, named, (f"{both}, call with conditions", 0)))
        return self._table("One getppid call under a seccomp filter, none refused", figures, [])

    @contextmanager
    def _watch(self, pid: int) -> Iterator[None]:
        watch = DenialWatch(library=self._library)
        watch.start()
        try:
            watch.configure(everything=True)
            yield
            if any(sighting.denial.pid == pid for sighting in watch.sightings()):
                raise Unmeasurable("a call was refused that is measured as one that is not")
        finally:
            watch.close()

    def _switches(self, other: int) -> Table:
        variants: dict[str, Variant] = {
            "untraced": self._nothing,
            "empty switch program": self._empty("empty_switch"),
            "empty switch and enter programs": self._empty("empty_switch", "empty_enter"),
            "seclude, not recorded": self._recorder(recorded=False, others=(other,)),
            "seclude, recorded": self._recorder(),
        }
        samples = self._measure("a context switch", SWITCHES, variants)
        empty, both = "empty switch program", "empty switch and enter programs"
        figures = [
            compared("untraced", samples),
            compared(empty, samples, ("untraced", 0)),
            compared(both, samples, ("untraced", 0)),
            compared("seclude, not recorded", samples, ("untraced", 0), (empty, 0), (both, 0)),
            compared("seclude, recorded", samples, (both, 0)),
        ]
        return self._table("One context switch (a byte through a pipe: a read and a write each)", figures, [])

    def _table(self, title: str, figures: list[Figure], failures: list[str]) -> Table:
        notes = [f"not measured: {failure}" for failure in failures]
        if self._disturbed:
            notes.append(f"{self._disturbed} slices were measured while programs of others were attached")
            self._disturbed = 0
        return Table(title, "ns", tuple(figures), tuple(notes), tuple(failures))

    def _measure(
        self, what: str, meter: Sequence[str], variants: dict[str, Variant]
    ) -> dict[str, list[float]]:
        """One value for each run and variant: a low quantile of the chunks of all its slices in that run."""
        samples: dict[str, list[float]] = {name: [] for name in variants}
        for run in range(self._runs):
            self._progress(f"{what}: run {run + 1} of {self._runs}")
            chunks: dict[str, list[float]] = {name: [] for name in variants}
            for _ in range(ROUNDS):
                for name, variant in variants.items():
                    chunks[name] += self._slice(meter, variant)
            for name, values in chunks.items():
                samples[name].append(sorted(values)[int(len(values) * QUANTILE)])
        return samples

    def _slice(self, meter: Sequence[str], variant: Variant) -> list[float]:
        """The chunks of one slice, taken again if programs of others came in between."""
        for attempt in range(ATTEMPTS):
            quiet = self._wait_for_quiet()
            # Programs that stay for good are a condition of this measurement, not worth waiting for.
            self._lasting = 0 if quiet else self._lasting + 1
            process = self._start(meter)
            with variant(process.pid):
                before = self._links.now()
                output = process.communicate(b"g")[0]
                quiet = quiet and self._links.now() == before
            if process.returncode or not output:
                raise Unmeasurable(f"{METER} ended with {process.returncode}")
            if quiet or attempt == ATTEMPTS - 1 or self._lasting >= PATIENCE:
                self._disturbed += not quiet
                return [float(line) for line in output.split()]
        raise AssertionError

    def _wait_for_quiet(self) -> bool:
        """Whether no link to our tracepoints is left, within some tenths of a second."""
        for _ in range(50 if self._lasting < PATIENCE else 1):
            if not self._links.now():
                return True
            time.sleep(0.01)
        return False

    def _start(self, meter: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [self._directory / METER, *meter],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            preexec_fn=lambda: os.sched_setaffinity(0, {self._cpu}),
        )

    def _strace(self) -> list[float]:
        if not shutil.which("strace"):
            raise Unmeasurable("strace is not installed")
        values = []
        for _ in range(self._runs):
            with tempfile.TemporaryDirectory() as scratch:
                command = ["strace", "-c", "-o", Path(scratch) / "o", self._directory / METER, *STRACED]
                done = subprocess.run(command, input=b"g", capture_output=True)
            if done.returncode:
                raise Unmeasurable(f"strace: {done.stderr.decode(errors='replace').strip()}")
            values.append(min(float(line) for line in done.stdout.split()))
        return values

    def _notify(self, *wanted: str, answer: str = "allowed") -> list[float]:
        """Without eBPF: every call waits for an answer of `seclude record` or `seclude verify` with `--tracer notify`.

        `answer`: what the profile of verify, p.json, says of the call that is measured.
        """
        start = "import sys; from seclude.cli import main; sys.exit(main())"
        values = []
        for _ in range(self._runs):
            with tempfile.TemporaryDirectory() as scratch:
                (Path(scratch) / "p.json").write_text(json.dumps(_profile(answer)))
                command = [sys.executable, "-c", start, *wanted, "--quiet", "--tracer", "notify"]
                done = subprocess.run(
                    [*command, "--", self._directory / METER, *NOTIFIED],
                    input=b"g",
                    capture_output=True,
                    cwd=scratch,
                )
            if done.returncode not in (EXIT_CLEAN, EXIT_FINDINGS):
                raise Unmeasurable(f"notify: {done.stderr.decode(errors='replace').strip()}")
            chunks = sorted(float(line) for line in done.stdout.split())
            values.append(chunks[int(len(chunks) * QUANTILE)])
        return values

    @contextmanager
    def _sleepers(self, count: int) -> Iterator[list[int]]:
        process = subprocess.Popen(
            [self._directory / METER, "sleepers", str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        pids = [int(process.stdout.readline() or 0) for _ in range(count)]
        try:
            if not all(pids):
                raise Unmeasurable(f"{count} processes cannot be started")
            yield pids
        finally:
            process.communicate()

    @staticmethod
    @contextmanager
    def _nothing(pid: int) -> Iterator[None]:
        yield

    def _empty(self, *names: str) -> Variant:
        @contextmanager
        def attached(pid: int) -> Iterator[None]:
            loaded = self._library.open_object(str(self._directory / OBJECT))
            links = [self._library.attach(loaded.program(name)) for name in names]
            try:
                yield
            finally:
                for link in links:
                    os.close(link)
                loaded.close()

        return attached

    def _recorder(
        self, *, recorded: bool = True, others: Sequence[int] = (), denials: bool = False
    ) -> Variant:
        @contextmanager
        def recording(pid: int) -> Iterator[None]:
            tracer = EbpfTracer(library=self._library)
            try:
                for number, process in enumerate(others, 1):
                    # Namespaces that no process is in: the tables are as full as with real containers.
                    tracer.begin(
                        Target(
                            pid=process,
                            unconfined=True,
                            mnt_namespace=number,
                            pid_namespace=number,
                            denials=denials,
                        )
                    )
                mine = tracer.begin(Target(pid=pid, unconfined=True, denials=denials)) if recorded else 0
                yield
                if recorded and not any(
                    call.name in ("getppid", "read") for call in tracer.observe(mine).calls
                ):
                    raise Unmeasurable("the recorder has not seen the calls that were measured")
            finally:
                tracer.close()

        return recording


def _profile(answer: str) -> dict[str, object]:
    """A profile that allows every call but getppid, whose `answer` is as in the names of the rows."""
    names = sorted(syscalls.names("x86_64") - {"getppid"})
    rules: list[dict[str, object]] = [{"names": names, "action": "SCMP_ACT_ALLOW"}]
    always = [{"index": 0, "value": 0, "op": "SCMP_CMP_GE"}]
    if answer != "refused":
        conditions = always if answer == "allowed by a condition" else []
        rules.append({"names": ["getppid"], "action": "SCMP_ACT_ALLOW", "args": conditions})
    return {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules}
