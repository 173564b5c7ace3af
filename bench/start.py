"""What recording adds to the start of a container: `podman run`, hooked and not in turn, figures out."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from figures import Table, compared
from programs import METER, ROOT, Unmeasurable, compiled

sys.path.insert(0, str(ROOT / "tests" / "engines"))
from podman_bed import Bed, open_bed
from podman_config import missing, runtime_path

ROUNDS = 6
"""Starts of each kind in a run."""

WARM = 2
RUNTIMES = ("runc", "crun")
FIRST, PINNED = 1.6, 1.35
UNHOOKED, LOADING, LOADED = (
    "not hooked",
    "hooked, the recorder loaded for it",
    "hooked, the recorder loaded already",
)
INTERPRETER = "python3 -I -S -c pass"
ANNOTATION = "io.containers.trace-syscall"
COMMAND = [sys.executable, "-c", "import sys; from seclude.cli import main; sys.exit(main())"]


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """A table for each runtime that is here, and one of the hook's own processes; raises Unmeasurable."""
    reason = missing()
    if reason:
        raise Unmeasurable(f"podman: {reason}")
    measured = []
    with open_bed() as bed:
        install = [*COMMAND, "hook", "install", "--hooks-dir", bed.hooks_dir, "--bpffs", bed.bpffs]
        source = {"PYTHONPATH": str(ROOT / "src")}
        bed.host(*install, "--state-dir", bed.state, "--quiet", env=source).succeeded()
        hook = Hook(bed)
        for runtime in RUNTIMES:
            if runtime_path(runtime):
                measured.append(_starts(bed, hook, runtime, runs, progress))
            else:
                failure = f"{runtime} is not installed"
                measured.append(Table(f"One container, {runtime}", "ms", (), (failure,), (failure,)))
        measured.append(_processes(hook, runs, progress))
    return measured


def _starts(bed: Bed, hook: Hook, runtime: str, runs: int, progress: Callable[[str], None]) -> Table:
    annotations = {ANNOTATION: f"of:{bed.directory}/profile.json"}

    def start(hooked: bool) -> float:
        done = bed.run("true", runtime=runtime, annotations=annotations if hooked else None)
        if done.status:
            raise Unmeasurable(str(done))
        return done.seconds * 1000

    def start_loaded() -> float:
        with hook.recording("beside"):
            return start(True)

    kinds = {UNHOOKED: lambda: start(False), LOADING: lambda: start(True), LOADED: start_loaded}
    for _ in range(WARM):
        start(True)
    samples: dict[str, list[float]] = {name: [] for name in kinds}
    for run in range(runs):
        progress(f"containers with {runtime}: run {run + 1} of {runs}")
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            # What it takes to get into the bed's mount namespace is nobody's cost.
            entering = bed.host("true").seconds * 1000
            for name, kind in kinds.items():
                taken[name].append(kind() - entering)
        for name, values in taken.items():
            samples[name].append(statistics.median(values))
    figures = (
        compared(UNHOOKED, samples),
        compared(LOADED, samples, (UNHOOKED, PINNED)),
        compared(LOADING, samples, (UNHOOKED, FIRST)),
    )
    return Table(
        f"One container from start to end, {runtime}: podman run --rm --network none IMAGE true",
        "ms",
        figures,
    )


def _processes(hook: Hook, runs: int, progress: Callable[[str], None]) -> Table:
    """The hook's processes alone, as the hooks file starts them."""
    first, loaded = "createRuntime, loading the recorder", "createRuntime, the recorder loaded already"
    stop = "poststop"
    samples: dict[str, list[float]] = {name: [] for name in (INTERPRETER, first, loaded, stop)}
    for run in range(runs):
        progress(f"the hook alone: run {run + 1} of {runs}")
        taken: dict[str, list[float]] = {name: [] for name in samples}
        for _ in range(ROUNDS):
            taken[INTERPRETER].append(timed([hook.words[0], "-I", "-S", "-c", "pass"]))
            with hook.recording("first") as times:
                taken[first].append(times[0])
                with hook.recording("second") as times:
                    taken[loaded].append(times[0])
                taken[stop].append(times[1])
        for name, values in taken.items():
            samples[name].append(statistics.median(values))
    figures = (
        compared(INTERPRETER, samples),
        compared(loaded, samples, (INTERPRETER, 0)),
        compared(first, samples, (INTERPRETER, 0)),
        compared(stop, samples, (INTERPRETER, 0)),
    )
    return Table("The hook's own processes, started as the hooks file says", "ms", figures)


def timed(command: list[str], stdin: bytes = b"") -> float:
    """The ms from a command's start to its end; raises Unmeasurable if it fails."""
    before = time.monotonic()
    done = subprocess.run(command, input=stdin, capture_output=True)
    elapsed = time.monotonic() - before
    if done.returncode:
        raise Unmeasurable(f"{' '.join(command)}: {done.stderr.decode(errors='replace')}")
    return elapsed * 1000


class Hook:
    """The installed hook, started by us with the state of a container that is a plain process."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        self._bundle = bed.directory / "bundle"
        self.words: list[str] = json.loads((bed.hooks_dir / "seclude.json").read_text())["hook"]["args"]
        self._take_bundle()

    @contextmanager
    def recording(self, container: str) -> Iterator[list[float]]:
        """A recording from here to the end of the block; the ms that createRuntime took, then those of poststop."""
        with subprocess.Popen(
            [compiled() / METER, "calls", "1", "10"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        ) as process:
            times = [timed(self.words, self._state(container, "created", process.pid))]
            try:
                yield times
            finally:
                process.communicate(b"g")
                times.append(timed(self.words, self._state(container, "stopped", 0)))

    def _state(self, container: str, status: str, pid: int) -> bytes:
        annotations = {ANNOTATION: f"of:{self._bed.directory}/{container}.json"}
        state = {"ociVersion": "1.0.2", "id": container, "status": status, "bundle": str(self._bundle)}
        return json.dumps(state | {"annotations": annotations} | ({"pid": pid} if pid else {})).encode()

    def _take_bundle(self) -> None:
        """The bundle that podman writes, without the filter: the process that stands for the container loads none."""
        create = self._bed.run_arguments("true", remove=False)
        create[create.index("run")] = "create"
        container = self._bed.host(*create).succeeded().out.strip()
        self._bed.podman("init", container).succeeded()
        inspected = json.loads(self._bed.podman("inspect", container).succeeded().out)
        self._bundle.mkdir()
        shutil.copy(inspected[0]["OCIConfigPath"], self._bundle / "config.json")
        self._bed.podman("rm", "--force", "--time", "0", container).succeeded()
        config = json.loads((self._bundle / "config.json").read_text())
        config["linux"].pop("seccomp", None)
        (self._bundle / "config.json").write_text(json.dumps(config))
