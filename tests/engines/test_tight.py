"""The profile holds what was called under the filter and nothing else, checked against strace."""

from __future__ import annotations

import re

import pytest
from podman_bed import Bed, Result
from recording import Recorded, Recorder

from seclude.baseline import calls_of

pytestmark = pytest.mark.engine

# What a runtime does before it loads the filter; a profile with these would let a container leave itself.
BEFORE = frozenset(
    "mount pivot_root umount2 sethostname seccomp unshare setns clone clone3 fork keyctl symlink".split()
)
NO_NEW_PRIVILEGES = ("--security-opt", "no-new-privileges")
# The plain process, with a container's file systems and without our environment: LANG alone makes one more call.
STRACE = """
mount -t proc proc "$1/proc" && mount -t sysfs sysfs "$1/sys" || exit 98
exec env -i "PATH=$PATH" strace -f -qq -s 0 -o "$2" chroot "$1" /usr/bin/ls ${3+"$3"} /
"""


@pytest.fixture(scope="module")
def straced(installed: Recorder) -> dict[str, frozenset[str]]:
    """The calls of the plain processes `ls /` and `ls -l /` in the image's file system, by strace."""
    bed = installed.bed
    container = bed.podman("create", bed.images["debian"], "true").succeeded().out.strip()
    root = bed.podman("mount", container).succeeded().out.strip()
    made = {}
    for name, option in (("ls /", ()), ("ls -l /", ("-l",))):
        out = installed.path(".strace")
        bed.host("unshare", "--mount", "sh", "-c", STRACE, "sh", root, out, *option).succeeded()
        made[name] = _after_exec(out.read_text(errors="replace"))
    bed.podman("umount", container).succeeded()
    bed.podman("rm", container).succeeded()
    return made


def _after_exec(text: str) -> frozenset[str]:
    """The names of the calls after the last program began."""
    lines = text.splitlines()
    last = max(index for index, line in enumerate(lines) if re.match(r"\d+ +execve\(.* = 0$", line))
    calls = (re.match(r"\d+ +([a-z_0-9]+)\(", line) for line in lines[last + 1 :])
    return frozenset(call[1] for call in calls if call)


def _record(recorder: Recorder, runtime: str, *options: str) -> Recorded:
    recorded = recorder.record("ls", "/", image="debian", runtime=runtime, options=options)
    recorded.result.succeeded()
    return recorded


@pytest.mark.parametrize("command", ["ls /", "ls -l /"])
def test_application_is_what_strace_sees(
    recorder: Recorder, runtime: str, straced: dict[str, frozenset[str]], command: str
) -> None:
    recorded = recorder.record(*command.split(), image="debian", runtime=runtime)
    assert recorded.names("app") == straced[command]


def test_runtime_is_what_comes_between(recorder: Recorder, runtime: str) -> None:
    recorded = _record(recorder, runtime)
    made = recorded.names("runtime")
    assert "execve" in made
    assert not made & BEFORE
    # The runtime's own calls, as they were measured before; what it called this time must be among them.
    known = set(calls_of([runtime], no_new_privileges=False, version=recorded.recording.runtime_version))
    assert made <= known, f"not in data/baselines.json: {sorted(made - known)}"
    times = [call.first.time for call in recorded.calls("app")]  # type: ignore[union-attr]
    assert all(call.first.time <= min(times) for call in recorded.calls("runtime"))  # type: ignore[union-attr]


def test_profile_is_the_two_phases(recorder: Recorder, runtime: str) -> None:
    recorded = _record(recorder, runtime)
    assert not recorded.allowed & BEFORE
    extra = recorded.allowed - recorded.names()
    # Only calls that depend on timing come from elsewhere.
    assert extra <= set(calls_of([runtime], no_new_privileges=False))


def test_no_new_privileges_is_tighter(recorder: Recorder, runtime: str) -> None:
    recorded = _record(recorder, runtime, *NO_NEW_PRIVILEGES)
    assert recorded.recording.no_new_privileges
    assert not recorded.allowed & (
        BEFORE | {"capset", "setuid", "setresuid", "setgroups", "prctl"} - recorded.names("app")
    )
    if runtime == "crun":
        # crun loads the filter last: only its exec, and what closes the door behind it, comes after.
        assert recorded.names("runtime") <= {"execve", "close"}
        assert recorded.allowed == recorded.names("app") | recorded.names("runtime")
    again = recorder.bed.run(
        "ls", "/", image="debian", runtime=runtime, options=NO_NEW_PRIVILEGES, seccomp=recorded.profile
    )
    again.succeeded()


def test_number_of_calls_here(recorder: Recorder) -> None:
    """A fact of crun 1.8.1 and Debian 12, to notice when one more call slips in."""
    recorded = _record(recorder, "crun", *NO_NEW_PRIVILEGES)
    if recorded.recording.runtime_version != "1.8.1" or not _is_bookworm(recorder.bed):
        pytest.skip("known for crun 1.8.1 and Debian 12 on x86_64 only")
    assert len(recorded.allowed) == 23, sorted(recorded.allowed)


def _is_bookworm(bed: Bed) -> bool:
    shown: Result = bed.run("cat", "/etc/debian_version", image="debian")
    return shown.out.startswith("12.")
