"""`seclude ci`: a configuration in; image built, tests recorded, profile made, proved, compared, reviewed and written.

Each step ends the run where it fails, with the committed profile as it was.
"""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from . import coverage_reports, store
from .analyse.completeness import completeness
from .analyse.diff import difference, environments_for
from .analyse.gate import drift, gate
from .analyse.gone import gone
from .analyse.verify import NotRecorded, Verification, never_made
from .baseline import automatic, calls_of
from .belated import belated
from .errors import EngineError, OutputError, ProfileError, RecordingError
from .formats import oci
from .inputs import read_text
from .joining import in_context
from .keeping import Keeping
from .model.change import Difference, Step
from .model.configuration import Configuration
from .model.finding import Finding
from .model.frozen import frozen, replace
from .model.profile import Profile
from .model.recording import Recording
from .model.report import Report
from .outputs import Output
from .session import Settings
from .synthesize import Synthesis, synthesize
from .testruns import RUNS

UNUSED = "unused.json"
"""The file with the counts of `keep-for`, in the directory of recordings."""


@frozen
class Run:
    """What a run is about: the configuration's `directory`, the repository's `root`; `check`: write nothing."""

    configuration: Configuration
    settings: Settings
    directory: str
    root: str
    check: bool = False


class Pipeline:
    """One run of the steps; `progress` is told what happens. Raises SecludeError where a step fails."""

    def __init__(self, run: Run, progress: Callable[[str], None]) -> None:
        self._run = run
        self._told = run.configuration
        self._progress = progress
        self._steps: list[Step] = []
        self._notes: list[str] = []
        self._runs = RUNS[self._told.engine](
            self._told, run.settings, os.path.realpath(run.directory), progress, self._notes.append
        )
        # In reports paths are relative to the repository, whichever directory of it this is about.
        self._shown = os.path.relpath(self._path(self._told.profile), os.path.realpath(run.root))
        self._keeping = Keeping(os.path.join(self._path(self._told.recordings), UNUSED), self._told.keep_for)
        self._output = Output(self._path(self._told.profile), "seccomp profile", oci.looks_like_profile)

    def report(self) -> Report:
        """All steps, and what came of them."""
        committed = self._committed()
        if not self._run.check:
            self._output.check()
        self._named_baseline()
        self._runs.check()
        self._build()
        recordings = self._record()
        with self._step("synthesize"):
            base, dropped = self._keeping.base(committed, self._made(recordings))
            made = self._synthesis(base, recordings)
        verifications = self._verify(made.profile)
        with self._step("compare"):
            changes = self._difference(committed, made.profile, recordings)
            findings = [
                *self._gate(changes, recordings),
                *self._denied(verifications),
                *self._gone(recordings),
            ]
            if self._run.check:
                findings += drift(changes, self._shown)
        report = self._report(made, changes, findings, verifications, recordings, dropped)
        if not self._run.check and not report.failed:
            with self._step("write"):
                report = replace(report, wrote=self._write(made.profile, changes, recordings))
        return replace(report, steps=tuple(self._steps))

    # Steps

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._progress(f"{name} ...")
        started = time.monotonic()
        outcome = "failed"
        try:
            yield
            outcome = "ok"
        finally:
            self._steps.append(Step(name=name, seconds=time.monotonic() - started, outcome=outcome))

    def _build(self) -> None:
        if not self._told.build:
            return
        with self._step("build"):
            try:
                done = subprocess.run(self._told.build, cwd=self._run.directory, stdin=subprocess.DEVNULL)
            except OSError as error:
                raise EngineError(
                    f"the build cannot be started: {self._told.build[0]}: {error.strerror}",
                    hint="see `build` in the configuration; it is no shell's line",
                ) from error
            if done.returncode:
                raise EngineError(
                    f"the build ended with status {done.returncode}", hint="see what it said above"
                )

    def _record(self) -> list[Recording]:
        recordings = []
        for test in self._told.tests:
            with self._step(f"record {test.name}"):
                recording = self._runs.record(test)
                # Where there is one test command only, all contexts are those that it names itself.
                alone = len(self._told.tests) == 1
                recordings.append(recording if alone else in_context(recording, test.name))
        return recordings

    def _synthesis(self, base: Profile | None, recordings: Sequence[Recording]) -> Synthesis:
        auto = self._told.baseline == "auto"
        names = self._automatic(recordings) if auto else self._named_baseline(recordings)
        errno = self._told.errno if base is None else ""
        return synthesize(recordings, base=base, baseline=names, default_errno=errno)

    def _verify(self, profile: Profile) -> list[Verification]:
        """Every test under the new profile, which is nowhere in the repository yet."""
        found = []
        with tempfile.TemporaryDirectory(prefix="seclude-") as directory:
            path = os.path.join(directory, "seccomp.json")
            with open(path, "w", encoding="utf-8") as file:
                file.write(oci.dumps(profile))
            for test in self._told.tests:
                with self._step(f"verify {test.name}"):
                    found.append(self._runs.verify(test, path))
        return found

    def _write(self, profile: Profile, changes: Difference, recordings: Sequence[Recording]) -> bool:
        """Keep the recordings, and write the profile if it means something else; whether it was written."""
        directory = self._path(self._told.recordings)
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{directory} cannot be made: {error.strerror}") from error
        for number, recording in enumerate(recordings, 1):
            output = Output(self._kept(number), "recording", store.looks_like_recording)
            output.write(store.dumps(recording))
        # What a test command left that is no longer in the configuration is not of the last run.
        number = len(recordings) + 1
        while os.path.lexists(self._kept(number)):
            os.unlink(self._kept(number))
            number += 1
        self._keeping.write()
        if changes.empty and os.path.exists(self._output.path):
            return False
        self._output.write(oci.dumps(profile))
        return True

    # What is compared

    def _kept(self, number: int) -> str:
        """Where the recording of a test command is kept until the next run."""
        return os.path.join(self._path(self._told.recordings), f"recording-{number}.json")

    def _gone(self, recordings: Sequence[Recording]) -> tuple[Finding, ...]:
        """What the run before made, as far as its recordings are there, and this one does not."""
        before: list[Recording] = []
        try:
            while os.path.exists(path := self._kept(len(before) + 1)):
                before.append(store.read(path))
        except RecordingError as error:
            self._progress(f"note: {error.message}: what is no longer made is not known")
            return ()
        keep = self._told.keep_for
        ending = (
            "the profile keeps it"
            if keep < 0
            else f"the profile keeps it for {keep} run{'' if keep == 1 else 's'} (keep-for)"
        )
        now = (call.name for recording in recordings for call in recording.calls if call.phase != "denied")
        return gone(
            before,
            now,
            profile_path=self._shown,
            hint=f"bring the test back if the code still needs the call; {ending}",
        )

    def _path(self, relative: str) -> str:
        return os.path.join(os.path.realpath(self._run.directory), relative)

    def _committed(self) -> Profile | None:
        path = self._path(self._told.profile)
        if not os.path.lexists(path):
            return None
        return oci.loads(read_text(path, limit=oci.LARGEST, error=ProfileError), self._told.profile)

    def _named_baseline(self, recordings: Sequence[Recording] = ()) -> frozenset[str]:
        """The calls of the runtimes that the configuration names, and those that recorded applications may yet make;
        raises SecludeError for a runtime that is not known."""
        if self._told.baseline in ("auto", "none"):
            return frozenset()
        names = [name.strip() for name in self._told.baseline.split(",")]
        nnp = bool(recordings) and all(recording.no_new_privileges for recording in recordings)
        return frozenset(calls_of(names, no_new_privileges=nnp)).union(*map(belated, recordings))

    @staticmethod
    def _automatic(recordings: Sequence[Recording]) -> frozenset[str]:
        """What the recordings do not show of the runtimes that they saw."""
        return frozenset[str]().union(*(automatic(recording) for recording in recordings))

    def _made(self, recordings: Sequence[Recording]) -> frozenset[str]:
        """What the tests made, and what a runtime may make."""
        names = self._automatic(recordings) | self._named_baseline(recordings)
        return names.union(*(recording.names() for recording in recordings))

    def _difference(
        self, committed: Profile | None, made: Profile, recordings: Sequence[Recording]
    ) -> Difference:
        environments = environments_for(
            [each for each in (committed, made) if each is not None],
            machine=platform.machine(),
            kernel=platform.release(),
            capabilities=recordings[0].capabilities,
        )
        return difference(committed, made, environments=environments, recordings=recordings)

    def _gate(self, changes: Difference, recordings: Sequence[Recording]) -> tuple[Finding, ...]:
        covered = None
        if self._told.coverage:
            path = self._path(self._told.coverage)
            covered = coverage_reports.read(path) if os.path.exists(path) else None
        return gate(
            changes,
            self._told.gate,
            today=datetime.now(UTC).date().isoformat(),
            profile_path=self._shown,
            coverage=covered,
            completeness=completeness(recordings) if self._told.gate.max_risk else None,
        )

    def _denied(self, verifications: Sequence[Verification]) -> list[Finding]:
        """What the new profile still denies the tests that it was made of: calls that not every run makes."""
        found = []
        for test, proof in zip(self._told.tests, verifications, strict=True):
            found += [
                Finding(
                    rule="verify/denied",
                    severity="error",
                    message=f"{refusal.denial.name} was denied to test {test.name!r} under the new profile",
                    call=refusal.denial.name,
                    path=self._shown,
                    hint="a call that not every run makes: run it again, or record the test more than once",
                    details=(f"process {refusal.denial.comm}", f"test {refusal.denial.context or test.name}"),
                )
                for refusal in proof.refusals
            ]
            if not proof.refusals and not proof.clean:
                statuses = ", ".join(map(str, proof.statuses))
                found.append(
                    Finding(
                        rule="verify/status",
                        severity="error",
                        message=f"test {test.name!r} ended with status {statuses} under the new profile",
                        path=self._shown,
                        hint="nothing was denied: the test may not be repeatable",
                    )
                )
        return found

    def _report(
        self,
        made: Synthesis,
        changes: Difference,
        findings: Sequence[Finding],
        verifications: Sequence[Verification],
        recordings: Sequence[Recording],
        dropped: Sequence[str],
    ) -> Report:
        texts = [*self._notes, *made.notes]
        if dropped:
            texts.append(
                f"no longer kept, not made in more than {self._told.keep_for} runs: {', '.join(dropped)}"
            )
        for reason in {each.usage.reason for each in verifications if isinstance(each.usage, NotRecorded)}:
            texts.append(f"which allowed calls the tests do not make is not known {reason}")
        texts += [f"not named without eBPF: {phrase}" for each in verifications for phrase in each.unnamed]
        notes = [
            Finding(rule="note", severity="note", message=text, path=self._shown)
            for text in dict.fromkeys(texts)
        ]
        unused = never_made(verifications) - self._made(recordings)
        denied = {refusal.denial.name for each in verifications for refusal in each.refusals}
        return Report(
            headline=f"{self._shown}: {summary_of(changes)}",
            profile=self._shown,
            difference=changes,
            findings=(*findings, *notes),
            unused=tuple(sorted(unused)),
            allowed=len(verifications[0].allowed),
            denied=tuple(sorted(denied)),
        )


def summary_of(changes: Difference) -> str:
    """The difference in a few words."""
    if changes.empty:
        return "unchanged"
    parts = [
        f"{len(changes.of(kind))} {kind}" for kind in ("added", "removed", "changed") if changes.of(kind)
    ]
    return ", ".join(parts) or "other differences"
