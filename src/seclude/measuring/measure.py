"""A runtime's program in, its baselines with and without no-new-privileges out: containers are run and recorded."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import __version__, bpffs, store
from ..children import termination_as_interrupt
from ..containers import Places, clear_stillborn
from ..engines.podman import hooks_file
from ..engines.process import Descendants
from ..errors import EngineError, TraceError
from ..model.baseline import CONDITIONS, Baseline, More, NotMeasured
from ..model.frozen import replace
from ..model.recording import Recording
from ..registrations import Registrations
from ..session import PACKAGE, Settings, hook_arguments
from .bundle import Case, configuration, find_busybox, find_init, make_root, process, write_bundle
from .runtime import OciRuntime

PLAIN = next(iter(CONDITIONS))
EACH = 2
"""Containers a condition: what not each of them shows depends on timing, not on the condition."""

LONGEST_REASON = 300


def measure(
    path: str, settings: Settings, *, runs: int, source: str, progress: Callable[[str], None]
) -> tuple[Baseline, Baseline]:
    """What the runtime at `path` calls after loading the filter: without no-new-privileges, and with it.

    Each condition is met EACH times, the plain one `runs` times more on a machine that is kept busy: what only some of
    equal containers show depends on timing. A condition that the runtime or the machine refuses is left out with the
    reason. `source` says where the program came from. Needs root; raises SecludeError, and leaves nothing behind.
    """
    with open_bed(path, settings) as bed:
        without, with_it = (
            _measured(bed, no_new_privileges, runs, source, progress) for no_new_privileges in (False, True)
        )
    # What depends on timing in one does so in the other.
    varying = frozenset((*without.varying, *with_it.varying))
    return _sorted_out(without, varying), _sorted_out(with_it, varying)


@contextmanager
def open_bed(path: str, settings: Settings) -> Iterator[Bed]:
    """Where containers are run with the runtime at `path`; nothing of it is left. Raises SecludeError."""
    if os.geteuid() != 0:
        raise TraceError(
            "measuring a runtime needs root", hint="run `sudo seclude baseline record --runtime PATH`"
        )
    with tempfile.TemporaryDirectory(prefix="seclude-baseline-") as name:
        directory = Path(os.path.realpath(name))
        bed = Bed(directory, OciRuntime(path, directory / "state"), settings)
        bpffs.ensure(settings.bpffs)
        with Registrations(settings.state):
            pass  # it exists now, and is ours
        with Descendants(), termination_as_interrupt():
            yield bed


class Bed:
    """The root file system, the hook and the busybox that the containers of one measurement share."""

    def __init__(self, directory: Path, runtime: OciRuntime, settings: Settings) -> None:
        self.runtime = runtime
        self.settings = settings
        self.init = find_init()
        self._directory = directory
        self._root = directory / "root"
        make_root(self._root, find_busybox(), self.init)
        # The machine's policy is for what others ask for; this is our own directory.
        arguments = hook_arguments(settings) | {"--policy": str(directory / "no-policy")}
        self._hook: dict[str, Any] = json.loads(hooks_file(arguments, PACKAGE))["hook"]
        self._count = 0

    def recorded(self, case: Case) -> Recording:
        """The recording of one container that meets the case; raises SecludeError."""
        self._count += 1
        bundle = self._directory / f"bundle-{self._count}"
        recording = bundle / "recording.json"
        write_bundle(bundle, configuration(case, self._root, self.init, self._hook, str(recording)))
        entering = None
        if case.condition == "exec":
            entering = bundle / "process.json"
            entering.write_text(json.dumps(process(case, ["/bin/true"])))
        container = f"seclude-{os.getpid()}-{self._count}"
        try:
            self.runtime.run(bundle, container, terminal=case.condition == "terminal", entering=entering)
            if not recording.exists():
                raise EngineError(
                    f"{self.runtime.name} {self.runtime.version} ran a container and not its hooks",
                    hint="it must run createRuntime and poststop hooks (runtime-spec 1.0.2)",
                )
            return store.read(str(recording))
        finally:
            places = Places(bpffs=self.settings.bpffs, state=self.settings.state, policy="")
            clear_stillborn(places)
            shutil.rmtree(bundle)


def _measured(
    bed: Bed, no_new_privileges: bool, runs: int, source: str, progress: Callable[[str], None]
) -> Baseline:
    seen: dict[str, list[frozenset[str]]] = {}
    unknown: list[NotMeasured] = []
    suffix = ", no-new-privileges" if no_new_privileges else ""
    for condition in CONDITIONS:
        progress(f"{bed.runtime.name} {bed.runtime.version}: {condition}{suffix}")
        if condition == "init" and not bed.init:
            unknown.append(NotMeasured(condition=condition, reason="no static init was found"))
            continue
        case = Case(condition=condition, no_new_privileges=no_new_privileges)
        try:
            seen[condition] = [bed.recorded(case).names("runtime") for _ in range(EACH)]
        except EngineError as error:
            if condition == PLAIN:
                raise
            unknown.append(NotMeasured(condition=condition, reason=_short(error.message)))
    with _busy():
        for number in range(runs):
            progress(f"{bed.runtime.name} {bed.runtime.version}: run {number + 1} of {runs}{suffix}")
            case = Case(condition=PLAIN, no_new_privileges=no_new_privileges)
            seen[PLAIN].append(bed.recorded(case).names("runtime"))
    made = {condition: frozenset.intersection(*equal) for condition, equal in seen.items()}
    now_and_then = (frozenset[str]().union(*equal) - made[condition] for condition, equal in seen.items())
    varying = frozenset[str]().union(*now_and_then)
    always = frozenset.intersection(*made.values())
    return Baseline(
        runtime=bed.runtime.name,
        version=bed.runtime.version,
        machine=platform.machine(),
        no_new_privileges=no_new_privileges,
        always=tuple(sorted(always)),
        varying=tuple(sorted(varying)),
        conditions=tuple(
            More(condition=condition, calls=tuple(sorted(names - always)))
            for condition, names in made.items()
        ),
        unknown=tuple(unknown),
        obtained=f"measured by seclude {__version__} on Linux {platform.release().partition('-')[0]}, "
        f"{platform.machine()}, {len(seen[PLAIN])} equal runs; {source}",
    )


def _sorted_out(entry: Baseline, varying: frozenset[str]) -> Baseline:
    """The entry without calls that depend on timing where others are expected."""
    return replace(
        entry,
        always=tuple(name for name in entry.always if name not in varying),
        varying=tuple(sorted(varying)),
        conditions=tuple(
            replace(item, calls=tuple(name for name in item.calls if name not in varying))
            for item in entry.conditions
        ),
    )


def _short(reason: str) -> str:
    """The end of what a runtime wrote, where its reason is, in one line."""
    line = " ".join(reason.split())
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= LONGEST_REASON else f"...{line[-LONGEST_REASON:]}"


@contextmanager
def _busy() -> Iterator[None]:
    """Processes that never rest, so that with what runs already there are two for each processor."""
    wanted = 2 * (os.cpu_count() or 1) - int(os.getloadavg()[0])
    command = [sys.executable, "-I", "-S", "-c", "while True: pass"]
    load = [subprocess.Popen(command) for _ in range(max(wanted, 0))]
    try:
        yield
    finally:
        for running in load:
            running.kill()
            running.wait()
