"""Real programs in containers: which there are and how each ends, and how to record one and hold it to its profile."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recording import Recorded, Recorder

from seclude import syscalls
from seclude.analyse.verify import allowed_names
from seclude.formats import oci
from seclude.model.environment import NATIVE_ABIS, Environment
from seclude.model.profile import Profile

IMAGE = "programs"
SCRIPTS = Path(__file__).resolve().parents[1] / "workloads" / "programs"
DIRECTORY = "/programs"
"""Where the image sees SCRIPTS. They are mounted, so that a change to one does not make the large image again."""

NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
DEFAULT_PROFILES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
"""Where podman looks for its default profile; Debian's and Ubuntu's containers-common has the second."""


@dataclass(frozen=True)
class Program:
    """One script of SCRIPTS, which works one program and ends with `status` if all went well."""

    name: str
    status: int
    title: str = ""
    options: tuple[str, ...] = ()

    @property
    def command(self) -> tuple[str, ...]:
        """What runs in the container."""
        return (f"{DIRECTORY}/{self.name}.sh",)

    @property
    def line(self) -> str:
        """The last line of its output."""
        return f"{self.name} done"

    def run(self, runtime: str, *more: str) -> dict[str, Any]:
        """The keywords of Bed.run_arguments; `more` are options of `podman run`."""
        options = ("--volume", f"{SCRIPTS}:{DIRECTORY}:ro", *self.options, *more)
        return {"image": IMAGE, "runtime": runtime, "options": options}


PROGRAMS = (
    Program("coreutils", 40),
    Program("tar", 41),
    Program("git", 42),
    Program("sqlite3", 43),
    Program("python3", 44, "python3: threads, subprocesses"),
    Program("nginx", 45, "nginx under wrk"),
    Program("redis", 46, "redis under redis-benchmark"),
    Program("postgres", 47, "postgres under pgbench"),
    Program("node", 48),
    Program("openssl", 49),
    Program("perl", 50),
    Program("curl", 51, "curl against nginx"),
)
STRACE = Program("strace", 52)
"""Not to be verified: whether its child calls pause() before it is killed is a race within strace."""


@dataclass(frozen=True)
class Verified:
    """What `seclude verify` found: exit statuses of the runs, names of refused calls, and all that it said."""

    clean: bool
    statuses: tuple[int, ...]
    denied: tuple[str, ...]
    values: dict[str, Any]


def record(
    recorder: Recorder, program: Program, runtime: str, *more: str, seccomp: str | None = None
) -> Recorded:
    """`seclude record` of one run, denials included; AssertionError unless the program ends as it should."""
    profile, file = recorder.path(".json"), recorder.path(".recording.json")
    command = recorder.bed.run_arguments(*program.command, seccomp=seccomp, **program.run(runtime, *more))
    wanted = ("record", "--denials", "--quiet", "-o", profile, "--recording", file)
    done = recorder.seclude(*wanted, "--", *command)
    assert (done.status, done.lines[-1:]) == (program.status, [program.line]), str(done)
    return Recorded(done, profile, file)


def verified(
    recorder: Recorder, program: Program, runtime: str, profile: Path, repeat: int, *more: str
) -> Verified:
    """`seclude verify` of as many runs under the profile; AssertionError if it could not tell."""
    command = recorder.bed.run_arguments(*program.command, **program.run(runtime, *more))
    wanted = ("--profile", profile, "--repeat", str(repeat), "--expect-status", str(program.status), "--json")
    done = recorder.seclude("verify", *wanted, "--", *command, timeout=120 * repeat)
    assert done.status in (0, 2), str(done)
    values = json.loads(done.err.splitlines()[-1])
    denied = tuple(sorted({refusal["call"] for refusal in values["denied"]}))
    return Verified(done.status == 0, tuple(values["statuses"]), denied, values)


def default_profile() -> Profile | None:
    """The profile that podman gives containers without options; None where it is built into podman."""
    for path in map(Path, DEFAULT_PROFILES):
        if path.exists():
            return oci.loads(path.read_text(), str(path))
    return None


def environment(recorded: Recorded) -> Environment:
    """This machine, for a container as the recorded one."""
    capabilities = recorded.recording.capabilities
    return Environment(machine=platform.machine(), kernel=platform.release(), capabilities=capabilities)


def allowed_here(profile: Profile, recorded: Recorded) -> tuple[str, ...]:
    """The calls of this machine's own ABI that the profile allows such a container, sorted."""
    native = NATIVE_ABIS.get(platform.machine(), "x86_64")
    return allowed_names(profile, environment(recorded), sorted(syscalls.names(native)))
