"""Attached to chains of processes that fork faster than they can be listed: each is recorded, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import chain
import pytest
from plain import SECLUDE, children_of, run, started, state_of, wait_for

from seclude import store
from seclude.attachable import process_numbered
from seclude.attaching import record_running
from seclude.engines.tree import Tree, parent_of
from seclude.errors import TraceError
from seclude.ports import Target
from seclude.session import Settings
from seclude.trace.ebpf import EbpfTracer
from seclude.trace.kinship import Kinship
from seclude.trace.libbpf import LibBpf

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="recording takes root"),
]

SUBREAPER = "import ctypes, os, signal\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER"
MANY = 150


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


class TestChains:
    """Twenty of each kind, with another that is nobody's descendant and must not be recorded."""

    @pytest.mark.parametrize("number", range(20))
    @pytest.mark.parametrize("kind", chain.GENERATIONS)
    def test_of_each_kind(self, tmp_path: Path, kind: str, number: int) -> None:
        sign = tmp_path / "sign"
        with (
            started(chain.__file__, kind, sign, "getsid") as process,
            started(chain.__file__, kind, sign, "getpgid") as other,
            process_numbered(process.pid) as subject,
        ):
            begin(process)
            begin(other)
            attached = record_running(
                subject, Settings(), lambda text: sign.touch() if "attached to" in text else None, {}
            )
            assert (said(process), said(other)) == ("done\n", "done\n")
        recording = attached.recording
        assert "getsid" in recording.names()
        assert "getpgid" not in recording.names()
        assert recording.losses.calls == 0
        [call] = [call for call in recording.calls if call.name == "getsid"]
        # Nobody has called exec: what is known of a process that was listed holds for its descendants.
        assert call.first.executable == os.path.realpath(sys.executable)  # type: ignore[union-attr]

    @pytest.mark.parametrize("number", range(5))
    @pytest.mark.parametrize("kind", chain.GENERATIONS)
    def test_in_namespaces_below_namespaces(self, tmp_path: Path, kind: str, number: int) -> None:
        """The target is the first process of a pid namespace; the chain is in another below that."""
        sign = tmp_path / "sign"
        words = (chain.__file__, kind, sign, "getsid")
        with started("-c", NESTED, *words, before=UNSHARED) as process:
            [first] = children_of(process.pid)
            begin(process)
            with process_numbered(first) as subject:
                assert subject.target.pid_namespace and subject.target.mnt_namespace
                attached = record_running(
                    subject, Settings(), lambda text: sign.touch() if "attached to" in text else None, {}
                )
            assert said(process) == "done\n"
        assert "getsid" in attached.recording.names()
        assert attached.recording.losses.calls == 0


UNSHARED = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
NESTED = """
import ctypes, os, sys
ctypes.CDLL(None).unshare(0x20000000)  # CLONE_NEWPID
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG
    os.execv(sys.executable, ["python", *sys.argv[1:]])
os.wait()
"""

FAMILY = """
import ctypes, os, signal, sys, threading, time
kind, first, second = sys.argv[1:]
def wait(sign):
    while not os.path.exists(sign): time.sleep(0.005)
def youngest():
    wait(first)
    if kind == "forks" and os.fork(): os._exit(0)
    if kind == "exec": os.execv(sys.executable, ["python", "-c", LAST, second])
    wait(second); os.getsid(0); print("done", flush=True); signal.pause()
LAST = "import os, signal, sys, time\\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.005)\\n"
LAST += "os.getsid(0); print('done', flush=True); signal.pause()"
def middle():
    if os.fork() == 0: youngest()
    signal.pause()
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
if os.fork() == 0:
    if os.fork() == 0:
        if kind == "thread":
            threading.Thread(target=middle).start()
            while True: time.sleep(60)
        middle()
    os.wait(); signal.pause()
print("ready", flush=True)
while True: os.wait()
"""
"""A process, its child, the middle one's child, and somebody else whose child that becomes when the middle one ends."""


class TestWhoIsLeftBehind:
    """A process whose parent ends after the recording began, and before anybody has listed either of them."""

    @pytest.mark.parametrize("kind", ["stays", "thread", "forks", "exec"])
    def test_belongs(self, tmp_path: Path, kind: str) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        tracer = EbpfTracer()
        with started("-c", FAMILY, kind, first, second) as process:
            target, middle, youngest = family(process.pid)
            number = tracer.begin(Target(pid=target, unconfined=True, running=True))
            try:
                end(middle)
                assert parent_of(youngest) == process.pid
                first.touch()
                if kind == "forks":
                    wait_for(lambda: youngest not in children_of(process.pid))
                if kind == "exec":
                    line = Path(f"/proc/{youngest}/cmdline")
                    wait_for(lambda: line.read_bytes().startswith(b"python\0"))
                assert Tree(first=target).processes() == (target,)
                assert tracer.adopt(number, {target: 0}) == 0
                assert tracer.settle() == 2
                second.touch()
                assert said(process) == "done\n"
                recording = tracer.observe(number)
            finally:
                tracer.close()
        assert "getsid" in {call.name for call in recording.calls}
        assert recording.losses.calls == 0

    def test_before_it_is_no_descendant(self, tmp_path: Path) -> None:
        tracer = EbpfTracer()
        with started("-c", FAMILY, "stays", tmp_path / "first", tmp_path / "second") as process:
            target, middle, youngest = family(process.pid)
            end(middle)
            assert parent_of(youngest) == process.pid
            tracer.begin(Target(pid=target, unconfined=True, running=True))
            try:
                assert tracer.settle() == 1
            finally:
                tracer.close()

    def test_of_many_children(self, tmp_path: Path) -> None:
        """All children of one are left behind at once."""
        script = f"""{SUBREAPER}
if os.fork() == 0:
    if os.fork() == 0:
        for _ in range({MANY}):
            if os.fork() == 0: signal.pause()
        print("ready", flush=True); signal.pause()
    os.wait(); signal.pause()
while True: os.wait()
"""
        tracer = EbpfTracer()
        with started("-c", script) as process:
            [target] = children_of(process.pid)
            [middle] = children_of(target)
            number = tracer.begin(Target(pid=target, unconfined=True, running=True))
            try:
                end(middle)
                assert len(children_of(process.pid)) == MANY + 1
                assert tracer.settle() == MANY + 1
                assert tracer.observe(number).losses.calls == 0
            finally:
                tracer.close()


def end(pid: int) -> None:
    """Kill a process; its parent has waited for it then, and its children have another parent."""
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not state_of(pid))


def family(reaper: int) -> tuple[int, int, int]:
    """The target, the middle one and the youngest, once all of them are there."""
    target = [0]

    def complete() -> bool:
        found = Tree(first=reaper).processes()
        target[:] = sorted(set(found) - {reaper}, key=lambda pid: len(Tree(first=pid).processes()))
        return len(target) == 3

    wait_for(complete)
    youngest, middle, first = target
    return first, middle, youngest


def test_seclude_itself_is_not_recorded(tmp_path: Path) -> None:
    """Though it is a descendant of the process that it is told to record, and starts others."""
    script = f"""
import os, subprocess, sys
words = [*{SECLUDE!r}, "record", "--pid", str(os.getpid()), *sys.argv[1:]]
recorder = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
print(recorder.stderr.readline(), end="", file=sys.stderr, flush=True)
os.getsid(0)
recorder.terminate()
sys.exit(recorder.wait())
"""
    place = tmp_path / "recording.json"
    done = run(sys.executable, "-c", script, "-o", tmp_path / "profile.json", "--recording", place)
    assert done.returncode == 0, done.stderr
    recording = store.read(str(place))
    assert "getsid" in recording.names()
    assert not recording.names() & {"bpf", "pidfd_open", "execve"}
    assert "attached to process" in done.stderr and ", 1 process\n" in done.stderr


def test_the_programs_are_gone_once_it_is_attached(tmp_path: Path) -> None:
    """What follows the kin of the target costs every fork and every end of the machine: not for longer than needed."""
    tracer = EbpfTracer()
    with started("-c", "import sys\nprint('ready', flush=True)\nsys.stdin.readline()") as process:
        number = tracer.begin(Target(pid=process.pid, unconfined=True, running=True))
        try:
            during = links_of(os.getpid())
            tracer.settle()
            after = links_of(os.getpid())
            assert tracer.settle() == 0
            assert tracer.observe(number).losses.calls == 0
        finally:
            tracer.close()
    assert (during - after, after) == (2, 5)


def test_without_its_programs(tmp_path: Path) -> None:
    place = tmp_path / "adopt.bpf.o"
    kinship = Kinship(LibBpf(), object_path=str(place))
    with pytest.raises(TraceError, match=r"adopt\.bpf\.o is missing"):
        kinship.start(lambda name: 0)
    place.write_bytes(b"\x7fELF and nothing more")
    tracer = EbpfTracer()
    with started("-c", "import sys\nprint('ready', flush=True)\nsys.stdin.readline()") as process:
        tracer.begin(Target(pid=process.pid, unconfined=True))
        try:
            with pytest.raises(TraceError, match="what runs cannot be followed"):
                kinship.start(tracer._map)
        finally:
            tracer.close()


def links_of(pid: int) -> int:
    """How many links of BPF programs a process holds."""
    descriptors = Path(f"/proc/{pid}/fd")
    return sum("bpf_link" in os.readlink(entry) for entry in descriptors.iterdir() if entry.is_symlink())
