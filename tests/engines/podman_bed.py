"""A podman apart from the machine's own, for tests: images in; containers, hooks, bpffs and state in one directory.

All that decides is in the environment (CONTAINERS_CONF, CONTAINERS_STORAGE_CONF), so that whatever starts a
podman in the bed uses it without further options. Imported images stay in the cache, as a read-only store.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from podman_config import Images, cache_dir, podman_environment, scratch

_BPFFS_OWN = ("maps.debug", "progs.debug")  # there in every bpffs
WORKLOADS_DIR = "/workloads"

T = TypeVar("T")


@dataclass(frozen=True)
class Result:
    """How a command ended: exit status (negative: killed by that signal), what it wrote, the time it took."""

    command: tuple[str, ...]
    status: int
    out: str
    err: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """The lines of its standard output."""
        return self.out.splitlines()

    def succeeded(self) -> Result:
        """Itself; AssertionError with all that it wrote if the status is not 0."""
        assert self.status == 0, str(self)
        return self

    def __str__(self) -> str:
        return f"{' '.join(self.command)}\nended with {self.status}\nstdout: {self.out}\nstderr: {self.err}"


def run_to_end(
    argv: Sequence[str | Path],
    environment: Mapping[str, str],
    *,
    shown: Sequence[str | Path] | None = None,
    **keywords: Any,
) -> Result:
    """Runs a command to its end; `shown` is what the result says was run, `keywords` are subprocess.run's."""
    started = time.monotonic()
    done = subprocess.run(list(map(str, argv)), capture_output=True, env=environment, **keywords)
    seconds = time.monotonic() - started
    out, err = (text.decode("utf-8", "backslashreplace") for text in (done.stdout, done.stderr))
    return Result(tuple(map(str, shown or argv)), done.returncode, out, err, seconds)


def processes_below(directory: Path) -> list[str]:
    """Processes with a bed's directory in their command line: the engine's own, and those of its containers."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        line = _command_line(entry)
        if f"{directory}/".encode() in line and entry.name != str(os.getpid()):
            found.append(f"{entry.name} {line.replace(bytes(1), b' ').decode(errors='replace')[:200]}")
    return found


def left(look: Callable[[], list[T]]) -> list[T]:
    """What the look finds, once it finds nothing or a minute is over."""
    deadline = time.monotonic() + 60
    while (found := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def _command_line(process: Path) -> bytes:
    """The command line of a process below /proc; empty for one that has none: it has ended, or is the kernel's."""
    deadline = time.monotonic() + 5
    try:
        while not (line := (process / "cmdline").read_bytes()) and time.monotonic() < deadline:
            # Amid execve(2) the new program, which only a program has, is there before its command line.
            (process / "exe").readlink()
            time.sleep(0.001)
    except OSError:
        return b""
    return line


class Bed:
    """An isolated podman, in a mount namespace of its own, so that no mount of its containers reaches the machine.

    Attributes: `directory` (all that the bed writes), `hooks_dir`, `bpffs` (mounted, empty, seen by the whole
    machine), `state` (for the recorder's files), `environment` (for commands of one's own), `images` (short
    name -> image; `programs` is made and imported when it is first asked for).
    """

    def __init__(self, directory: Path, images: Images, store: Path) -> None:
        self.directory = directory
        self.images = images
        self.hooks_dir = directory / "hooks.d"
        self.bpffs = directory / "bpf"
        self.state = directory / "state"
        self.environment = podman_environment(directory, directory / "root", store)
        for path in (self.bpffs, self.state):
            path.mkdir()
        subprocess.run(["mount", "-t", "bpf", "bpf", self.bpffs], check=True)
        # It ends with us, however we end: its input is a pipe that nobody else holds.
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _NAMESPACE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"ready\n", "no mount namespace for podman"

    def command(self, *argv: str | Path, cwd: str | Path = "/") -> list[str]:
        """`argv`, made to run in the bed's mount namespace and directory `cwd`; goes with `environment`."""
        inside = ["nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "env", f"--chdir={cwd}"]
        return [*inside, *map(str, argv)]

    def host(
        self,
        *argv: str | Path,
        cwd: str | Path = "/",
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float = 120,
    ) -> Result:
        """Runs a command on the host, with the bed's podman as the one that it finds."""
        inside, environment = self.command(*argv, cwd=cwd), self.environment | dict(env or {})
        return run_to_end(inside, environment, shown=argv, input=stdin, timeout=timeout)

    def podman(self, *arguments: str | Path, stdin: bytes = b"", timeout: float = 120) -> Result:
        """Runs podman with these arguments."""
        return self.host("podman", *arguments, stdin=stdin, timeout=timeout)

    def run_arguments(
        self,
        *command: str | Path,
        image: str = "workloads",
        runtime: str = "runc",
        annotations: Mapping[str, str] | None = None,
        seccomp: str | Path | None = None,
        options: Sequence[str | Path] = (),
        remove: bool = True,
    ) -> list[str]:
        """The command line of `podman run`.

        `seccomp` is a profile's path or "unconfined", `options` go before the image, `image` is "debian",
        "workloads", "programs" or any other name.
        """
        line = ["podman", "--runtime", runtime, "run", "--network", "none"]
        if remove:
            line.append("--rm")
        for name, value in (annotations or {}).items():
            line += ["--annotation", f"{name}={value}"]
        if seccomp is not None:
            line += ["--security-opt", f"seccomp={seccomp}"]
        return [*line, *map(str, options), self.images.named(image), *map(str, command)]

    def run(self, *command: str | Path, stdin: bytes = b"", timeout: float = 120, **arguments: Any) -> Result:
        """`podman run` to its end; the keywords are those of run_arguments."""
        return self.host(*self.run_arguments(*command, **arguments), stdin=stdin, timeout=timeout)

    def start(self, *command: str | Path, **arguments: Any) -> str:
        """`podman run --detach`; gives the container's id. It is removed with the bed at the latest."""
        options = ["--detach", *arguments.pop("options", ())]
        arguments.setdefault("remove", False)
        return self.host(*self.run_arguments(*command, options=options, **arguments)).succeeded().out.strip()

    def wait_for_line(self, container: str, line: str, seconds: float = 60) -> None:
        """Returns once the container has written `line`; AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        while line not in (logs := self.podman("logs", container)).lines:
            assert time.monotonic() < deadline, f"no line {line!r} within {seconds} s\n{logs}"
            time.sleep(0.05)

    def write_profile(self, path: Path, names: Sequence[str], **fields: Any) -> Path:
        """Writes a profile that allows `names` and answers EPERM to the rest; `fields` replace its own."""
        rules = [{"names": sorted(names), "action": "SCMP_ACT_ALLOW"}]
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules} | fields))
        return path

    @staticmethod
    def profile(path: Path) -> dict[str, Any]:
        """The profile at `path` as it stands there; AssertionError if it is no JSON object."""
        profile = json.loads(path.read_text())
        assert isinstance(profile, dict), f"{path} holds {type(profile).__name__}"
        return profile

    @classmethod
    def allowed(cls, path: Path) -> frozenset[str]:
        """All names that an allow rule without conditions names in the profile at `path`."""
        rules = [
            rule for rule in cls.profile(path).get("syscalls") or () if rule["action"] == "SCMP_ACT_ALLOW"
        ]
        return frozenset(
            name
            for rule in rules
            if not any(rule.get(condition) for condition in ("args", "includes", "excludes"))
            for name in rule.get("names") or [rule["name"]]
        )

    def remains(self, processes: Sequence[str] | None = None) -> list[str]:
        """What is still there that a container or a recorder should have taken away; `processes`: as found before."""
        if processes is None:
            processes = processes_below(self.directory)
        found = [f"container {line}" for line in self.podman("ps", "--all", "--quiet").succeeded().lines]
        found += [f"mount {path}" for path in self._mounts() if path != str(self.bpffs)]
        found += [f"pinned {path}" for path in sorted(self.bpffs.rglob("*")) if path.name not in _BPFFS_OWN]
        return found + [f"process {pid}" for pid in processes]

    def close(self) -> list[str]:
        """Ends and removes all that was started, then the bed; gives what remained in spite of that."""
        removed = self.podman("rm", "--all", "--force", "--time", "0")
        # conmon ends a moment after its container.
        found = self.remains(left(lambda: processes_below(self.directory)))
        if removed.status:
            found.append(str(removed))
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(60)
        subprocess.run(["umount", self.bpffs], check=True)
        return found + [f"mount on the machine {path}" for path in self._mounts("self")]

    def _mounts(self, pid: int | str = 0) -> list[str]:
        """Mount points below the bed, as process `pid` (the bed's own unless given) sees them."""
        lines = Path(f"/proc/{pid or self._holder.pid}/mountinfo").read_text().splitlines()
        points = [line.split()[4] for line in lines]
        return [point for point in points if Path(point).is_relative_to(self.directory)]


# crun refuses a version 2 hierarchy mounted beside those of version 1; it takes them without it.
_NAMESPACE = """
if grep -q '^[^ ]* /sys/fs/cgroup/unified cgroup2 ' /proc/self/mounts; then
    umount /sys/fs/cgroup/unified || exit 1
fi
echo ready
exec cat >/dev/null
"""


@contextmanager
def open_bed(cache: Path | None = None) -> Iterator[Bed]:
    """A bed from here to the end of the block; AssertionError there if anything remained."""
    cache = cache or cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    images = Images(cache)
    with scratch() as directory:
        bed = Bed(directory, images, cache / "store")
        try:
            yield bed
        finally:
            found = bed.close()
        assert not found, "left behind: " + "; ".join(found)
