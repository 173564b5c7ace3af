"""Shows the main job on every engine there is here: `ls /` recorded, its profile enforced; prints a Markdown table.

The engines are those of tests/engines, apart from the machine's own. Needs root and `make setup` before:
sudo .venv/bin/python scripts/engines_table.py
Ends with 1 where the application's calls differ from those with podman and runc and the tracer does not explain it, or
where a profile did not do what it must.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [
    str(ROOT / "src"),
    *(str(ROOT / "tests" / name) for name in ("engines", "workloads")),
]

import containerd_bed  # noqa: E402
import docker_bed  # noqa: E402
from containerd_recorder import RUNTIME, open_containerd_recorder  # noqa: E402
from cri_client import Cri  # noqa: E402
from daemons import Unsupported  # noqa: E402
from docker_recorder import open_docker_recorder  # noqa: E402
from ordinary import ordinary_user  # noqa: E402
from podman_bed import Bed, open_bed  # noqa: E402
from podman_config import missing, runtime_path  # noqa: E402
from recording import DENIED, Recorder  # noqa: E402
from test_rootless import Rootless  # noqa: E402

from seclude import store  # noqa: E402
from seclude.model.recording import Recording  # noqa: E402
from seclude.trace import seccomp_notify  # noqa: E402

SHORT, LONG = ("ls", "/"), ("ls", "-l", "/")
COLUMNS = (
    "engine",
    "tracer",
    "runtime",
    "app",
    "`ls -l /`, app",
    "same app calls",
    "`ls /` under its profile",
    "`ls -l /` under it",
)


@dataclass(frozen=True)
class Way:
    """One way to start a container: `record` gives the recording and its profile, `run` status and standard error."""

    title: str
    record: Callable[[Sequence[str]], tuple[Recording, Path]]
    run: Callable[[Sequence[str], Path], tuple[int, str]]


@dataclass(frozen=True)
class Skipped:
    """One that is not shown, and why."""

    title: str
    reason: str


def podman(recorder: Recorder, runtime: str) -> Way:
    def record(command: Sequence[str]) -> tuple[Recording, Path]:
        recorded = recorder.record(*command, image="debian", runtime=runtime)
        recorded.result.succeeded()
        return recorded.recording, recorded.profile

    def run(command: Sequence[str], profile: Path) -> tuple[int, str]:
        done = recorder.bed.run(*command, image="debian", runtime=runtime, seccomp=profile)
        return done.status, done.err

    return Way(f"podman, {runtime}", record, run)


def rootless(bed: Bed, stack: ExitStack) -> Way | Skipped:
    title = "podman, rootless, runc"
    if reason := seccomp_notify.unusable():
        return Skipped(title, reason)
    user = Rootless(stack.enter_context(ordinary_user()), bed.images, bed)
    count = iter(range(1000))

    def record(command: Sequence[str]) -> tuple[Recording, Path]:
        done, recording = user.record(*command, image="debian")
        if done.returncode:
            raise RuntimeError(done.stderr)
        profile = user.user.home / "profile.json"
        return recording, profile.rename(profile.with_name(f"{next(count)}.json"))

    def run(command: Sequence[str], profile: Path) -> tuple[int, str]:
        options = ("--security-opt", f"seccomp={profile}")
        done = user.user.run(*user.command(*command, image="debian", options=options))
        return done.returncode, done.stderr

    return Way(title, record, run)


def docker(stack: ExitStack) -> Way | Skipped:
    title = "docker, overlay2, default bridge, runc"
    if reason := docker_bed.missing():
        return Skipped(title, reason)
    try:
        recorder = stack.enter_context(open_docker_recorder(bridge=True))
    except Unsupported as error:
        return Skipped(title, str(error))
    image = recorder.bed.import_image("debian")

    def record(command: Sequence[str]) -> tuple[Recording, Path]:
        recorded = recorder.record(*command, image=image, network="bridge")
        recorded.result.succeeded()
        return recorded.recording, recorded.profile

    def run(command: Sequence[str], profile: Path) -> tuple[int, str]:
        options = [f"--security-opt=seccomp={profile}"]
        done = recorder.run(*command, options=options, image=image, network="bridge")
        return done.status, done.err

    return Way(title, record, run)


def containerd(stack: ExitStack) -> list[Way | Skipped]:
    titles = (
        "containerd, `ctr run --seccomp`, runc",
        "containerd, `ctr run`, unconfined",
        "containerd, a pod (CRI)",
    )
    if reason := containerd_bed.missing():
        return [Skipped(title, reason) for title in titles]
    recorder = stack.enter_context(open_containerd_recorder())
    image = recorder.bed.import_image("debian")
    logs = recorder.bed.directory / "logs"
    logs.mkdir()
    cri = Cri(recorder.bed.socket, logs)
    stack.callback(cri.close)

    def recording(options: Sequence[str]) -> Callable[[Sequence[str]], tuple[Recording, Path]]:
        def record(command: Sequence[str]) -> tuple[Recording, Path]:
            recorded = recorder.record(*command, options=options, image=image)
            recorded.result.succeeded()
            return recorded.recording, recorded.profile

        return record

    def run(command: Sequence[str], profile: Path) -> tuple[int, str]:
        options = ["--seccomp", "--seccomp-profile", profile]
        done = recorder.bed.run(*command, options=options, image=image)
        return done.status, done.err

    def record_pod(command: Sequence[str]) -> tuple[Recording, Path]:
        profile, file = recorder.path(".json"), recorder.path(".recording.json")
        with cri.pod(recorder.annotations(profile, file, container="app"), handler=RUNTIME) as pod:
            ended = pod.run("app", *command, image=image)
        if ended.status:
            raise RuntimeError(ended.err)
        return store.read(str(file)), profile

    def run_pod(command: Sequence[str], profile: Path) -> tuple[int, str]:
        with cri.pod({}, handler="runc") as pod:
            ended = pod.run("app", *command, image=image, seccomp=profile)
        return ended.status, ended.err

    return [
        Way(titles[0], recording(["--seccomp"]), run),
        Way(titles[1], recording([]), run),
        Way(titles[2], record_pod, run_pod),
    ]


@dataclass(frozen=True)
class Shown:
    """What came out: the recordings of both commands, and how they ended under the profile of the first."""

    title: str
    short: Recording
    long: Recording
    again: tuple[int, str]
    refused: tuple[int, str]

    def same(self, other: Shown) -> tuple[bool, str]:
        """Whether the application made the same calls, but for what the tracer cannot see; in words."""
        differing = {
            name
            for ours, theirs in ((self.short, other.short), (self.long, other.long))
            for name in ours.names("app") ^ theirs.names("app")
        }
        unseen = set(self.short.unseen)
        if not differing:
            return True, "yes"
        explained = differing <= unseen
        reason = "which its tracer cannot see and its profile allows" if explained else "unexplained"
        return explained, f"but for {', '.join(sorted(differing))}, {reason}"

    @property
    def enforced(self) -> bool:
        return self.again[0] == 0 and self.refused[0] != 0 and DENIED in self.refused[1]

    def row(self, other: Shown) -> list[str]:
        ended = "runs" if self.again[0] == 0 else f"ends with {self.again[0]}"
        refused = (
            "denied" if self.refused[0] and DENIED in self.refused[1] else f"ends with {self.refused[0]}"
        )
        counts = (
            len(self.short.names("runtime")),
            len(self.short.names("app")),
            len(self.long.names("app")),
        )
        return [self.title, self.short.tracer, *map(str, counts), self.same(other)[1], ended, refused]


def shown(way: Way) -> Shown:
    print(way.title, file=sys.stderr, flush=True)
    short, profile = way.record(SHORT)
    again, refused = way.run(SHORT, profile), way.run(LONG, profile)
    long, _ = way.record(LONG)
    return Shown(way.title, short, long, again, refused)


def ways(bed: Bed, recorder: Recorder, stack: ExitStack) -> Iterator[Way | Skipped]:
    for runtime in ("runc", "crun"):
        if runtime_path(runtime):
            yield podman(recorder, runtime)
        else:
            yield Skipped(f"podman, {runtime}", f"{runtime} is not installed")
    yield rootless(bed, stack)
    yield docker(stack)
    yield from containerd(stack)


def surroundings(bed: Bed) -> str:
    """What the numbers belong to, in one line."""
    versions = []
    for name in ("podman", "runc", "crun", "dockerd", "containerd"):
        if runtime_path(name):
            words = (
                bed.host(name, "--version").lines[0].replace("github.com/containerd/containerd ", "").split()
            )
            versions.append(" ".join(words[: 3 if "version" in words[:3] else 2]).rstrip(","))
    return f"Linux {platform.release().partition('-')[0]}, {', '.join(versions)}."


def main() -> int:
    if reason := missing():
        print(f"engines: {reason}", file=sys.stderr)
        return 1
    right = True
    with open_bed() as bed, ExitStack() as stack:
        recorder = Recorder(bed)
        recorder.install()
        stack.callback(recorder.uninstall)
        print(surroundings(bed), flush=True)
        print(
            "\n"
            + "\n".join(
                f"| {' | '.join(line)} |" for line in (COLUMNS, ["---", "---", *["---:"] * 3, *["---"] * 3])
            )
        )
        skipped = []
        first: Shown | None = None
        for way in ways(bed, recorder, stack):
            if isinstance(way, Skipped):
                skipped.append(way)
                continue
            found = shown(way)
            first = first or found
            right = right and found.enforced and found.same(first)[0]
            print(f"| {' | '.join(found.row(first))} |", flush=True)
        for each in skipped:
            print(f"\nNot run: {each.title}: {each.reason}.")
    return 0 if right else 1


if __name__ == "__main__":
    os.umask(0o022)
    sys.exit(main())
