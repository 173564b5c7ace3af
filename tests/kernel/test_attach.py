"""Recordings that begin while a process runs: its threads, its children of before and after, storms, ends, refusals."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from plain import SECLUDE, call_of, run, started, wait_for

from seclude import store
from seclude.engines.tree import Tree
from seclude.model.recording import Recording
from seclude.ports import Target
from seclude.syscalls import number_of
from seclude.trace import layout
from seclude.trace.ebpf import EbpfTracer

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="recording takes root"),
]

IMPORTS = "import os, signal, sys, threading, time\n"


def running(script: str, *words: str) -> AbstractContextManager[subprocess.Popen[str]]:
    return started("-c", IMPORTS + script, *words)


def attached(directory: Path, pid: int, *others: int) -> Recording:
    """`seclude record --pid` of a process whose threads, descendants and `others` call something again and again."""
    with attaching(directory, pid):
        go_on(*Tree(first=pid).processes(), *others)
    return store.read(str(directory / "recording.json"))


def go_on(*processes: int) -> None:
    """Returns once each thread of these processes has slept so often from now on, and so has called what it calls."""
    threads = [status for pid in processes for status in Path(f"/proc/{pid}/task").glob("*/status")]
    before = list(map(slept, threads))
    wait_for(lambda: all(slept(each) >= count + 10 for each, count in zip(threads, before, strict=True)))


def slept(status: Path) -> int:
    """How often a thread has given up the processor by itself (proc(5), status)."""
    [count] = re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status.read_text(), re.M)
    return int(count)


@contextmanager
def attaching(directory: Path, pid: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`seclude record --pid` that has attached, up to the end of the block, where it is told to stop."""
    words = ("--pid", str(pid), "-o", directory / "profile.json", "--recording", directory / "recording.json")
    command = [str(word) for word in (*SECLUDE, "record", *words, *options)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as recorder:
        assert recorder.stderr is not None
        assert "attached to" in recorder.stderr.readline()
        try:
            yield recorder
        finally:
            recorder.terminate()
        _, errors = recorder.communicate(timeout=60)
    assert recorder.returncode == 0, errors


class TestWhoIsRecorded:
    def test_threads_and_who_was_there_before(self, tmp_path: Path) -> None:
        script = """
def work():
    while True:
        os.getpgid(0); time.sleep(0.02)
threading.Thread(target=work, daemon=True).start()
if os.fork() == 0:
    if os.fork() == 0:
        while True:
            os.getsid(0); time.sleep(0.02)
    while True:
        os.getppid(); time.sleep(0.02)
print("ready", flush=True)
while True:
    os.getpriority(os.PRIO_PROCESS, 0); time.sleep(0.02)
"""
        with running(script) as process:
            recording = attached(tmp_path, process.pid)
        assert recording.names() >= {"getpgid", "getsid", "getppid", "getpriority"}
        assert (recording.attached, recording.losses.calls, recording.engine) == (True, 0, "process")
        executables = {call.first.executable for call in recording.calls}  # type: ignore[union-attr]
        assert executables == {os.path.realpath(f"/proc/{os.getpid()}/exe")}
        assert recording.command[0] == sys.executable

    def test_what_it_starts_from_then_on(self, tmp_path: Path) -> None:
        """Children with an exec of their own, by an existing thread, and by a child that leaves them behind."""
        script = """
import subprocess
print("ready", flush=True)
sys.stdin.readline()
subprocess.run(["/bin/sync", "-f", "/dev/null"])
reading, writing = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid(); os.sched_yield(); os._exit(0)
    os._exit(0)
os.wait(); os.close(writing); os.read(reading, 1)  # until nobody is left who could write
print("done", flush=True)
time.sleep(600)
"""
        with running(script) as process:
            assert process.stdin is not None and process.stdout is not None
            with attaching(tmp_path, process.pid):
                process.stdin.write("go\n")
                process.stdin.flush()
                assert process.stdout.readline() == "done\n"
            recording = store.read(str(tmp_path / "recording.json"))
        assert recording.names() >= {"syncfs", "execve", "setsid", "sched_yield", "arch_prctl"}
        [sync] = [call for call in recording.calls if call.name == "syncfs"]
        assert sync.first.executable == "/bin/sync"  # type: ignore[union-attr]

    def test_nobody_else(self, tmp_path: Path) -> None:
        with (
            running("print('ready', flush=True)\nwhile True: os.getppid(); time.sleep(0.02)") as process,
            running("print('ready', flush=True)\nwhile True: os.getsid(0); time.sleep(0.02)") as other,
        ):
            recording = attached(tmp_path, process.pid, other.pid)
        assert "getppid" in recording.names()
        assert "getsid" not in recording.names()

    def test_a_storm_of_forks(self, tmp_path: Path) -> None:
        """Six that start others all the time, while they are marked: each of them is seen, and every child."""
        script = """
for own in (os.getuid, os.geteuid, os.getgid, os.getegid, os.getppid, lambda: os.getsid(0)):
    if os.fork() == 0:
        signal.alarm(250)  # should nobody be left to stop them
        left = 20
        while left:
            left -= os.path.exists(sys.argv[1])
            own()
            child = os.fork()
            if child == 0:
                os.sched_yield(); os._exit(0)
            os.waitpid(child, 0)  # or more and more of them have yet to run
        os._exit(0)
print("ready", flush=True)
for _ in range(6): os.wait()
print("done", flush=True)
time.sleep(600)
"""
        end = tmp_path / "end"
        with running(script, str(end)) as process:
            with attaching(tmp_path, process.pid, "--counts"):
                # They end before the counts are read, which are not all read at the same moment.
                end.touch()
                assert process.stdout is not None
                assert process.stdout.readline() == "done\n"
            recording = store.read(str(tmp_path / "recording.json"))
        counts = {call.name: call.count for call in recording.calls}
        assert recording.losses.calls == 0
        assert set(counts) >= {"getuid", "geteuid", "getgid", "getegid", "getppid", "getsid"}
        assert counts["clone"] > 50
        # The first child of each had a parent that was marked only after it had called clone.
        assert counts["clone"] - 12 <= counts["sched_yield"] <= counts["clone"] + 12

    def test_a_call_under_way_is_no_call(self, tmp_path: Path) -> None:
        with running("print('ready', flush=True)\nos.read(0, 1)\nos.getppid()\nos.read(0, 1)") as process:
            reading = number_of(os.uname().machine, "read")
            wait_for(lambda: call_of(process.pid) == reading)
            done = run(
                *SECLUDE, "record", "--pid", str(process.pid), "-o", tmp_path / "p", "--duration", "0.3"
            )
            assert (done.returncode, "no system call was recorded" in done.stderr) == (1, True)
            assert not (tmp_path / "p").exists()


class TestNamespaces:
    def test_the_first_process_of_a_namespace(self, tmp_path: Path) -> None:
        """It is taken for a container's: who enters belongs to it, though no engine knows of it."""
        with first_of_namespaces(tmp_path, "unshare") as first:
            recorder = subprocess.Popen(
                [
                    *SECLUDE,
                    *("record", "--pid", str(first), "-o", tmp_path / "p.json"),
                    *("--recording", tmp_path / "r.json"),
                ],
                stderr=subprocess.PIPE,
                text=True,
            )
            assert recorder.stderr is not None
            assert "attached to" in recorder.stderr.readline()
            run(
                "nsenter", "--target", str(first), "--mount", "--pid", "/bin/sync", "-f", "/"
            ).check_returncode()
            go_on(first)
            recorder.terminate()
            recorder.communicate(timeout=60)
        recording = store.read(str(tmp_path / "r.json"))
        assert recording.names() >= {"getppid", "syncfs"}
        assert (recording.engine, recording.container, recording.runtime) == ("oci", "", "")
        assert "CAP_CHOWN" in recording.capabilities

    def test_who_calls_itself_a_monitor(self, tmp_path: Path) -> None:
        """A process of a container may start another namespace's first process under any name that it likes."""
        bundle = tmp_path / "bundle"
        bundle.mkdir()
        (bundle / "config.json").write_text('{"process": {"args": ["forged"]}}')
        words = ("-c", 64 * "a", "-b", str(bundle), "-r", "/usr/sbin/runc")
        with first_of_namespaces(tmp_path, "conmon", *words) as first:
            recording = attached(tmp_path, first)
        assert (recording.container, recording.runtime, recording.engine) == ("", "", "oci")
        assert recording.command != ("forged",)


@contextmanager
def first_of_namespaces(directory: Path, parent: str, *words: str) -> Iterator[int]:
    """The number of a process that is the first of its pid namespace; its parent is called `parent`.

    With words for it the parent shares its mount namespace, as everybody in a container does.
    """
    inner = "import os, time\nprint('ready', flush=True)\nwhile True: os.getppid(); time.sleep(0.001)"
    if not words:
        line = ["unshare", "--mount", "--pid", "--fork", "--kill-child", sys.executable, "-c", inner]
    else:
        script = f"""
import ctypes, os
ctypes.CDLL(None).unshare(0x20000000)  # CLONE_NEWPID
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG
    os.execv({sys.executable!r}, ["python", "-c", {inner!r}])
os.wait()
"""
        place = directory / "script.py"
        place.write_text(script)
        line = ["unshare", "--mount", "bash", "-c", 'exec -a "$0" "$@"', parent, sys.executable, str(place)]
        line += words
    # Under another name Python does not find its own files.
    environment = os.environ | {"PYTHONHOME": sys.base_prefix}
    with subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield next(pid for pid in Tree(first=process.pid).processes() if pid != process.pid)
        finally:
            process.kill()


class TestFastPath:
    def test_a_call_that_is_known_is_not_looked_at_again(self) -> None:
        """Without an exec the tree must have got its set all the same."""
        tracer = EbpfTracer()
        with running("print('ready', flush=True)\nwhile True: os.getppid(); time.sleep(0.01)") as process:
            number = tracer.begin(Target(pid=process.pid, unconfined=True, running=True))
            try:
                wait_for(lambda: "getppid" in {call.name for call in tracer.observe(number).calls})
                record = tracer._library_().lookup(
                    tracer._map("targets"), layout.ID.pack(number), layout.TARGET.size
                )
                assert record is not None
                number_of_set = layout.TARGET.unpack(record)[layout.TARGET_SET]
                known = tracer._library_().lookup(tracer._map("sets"), layout.ID.pack(number_of_set), 16 * 8)
                names = {call.name for call in tracer.observe(number).calls}
            finally:
                tracer.close()
        assert number_of_set > layout.SLOW_SET
        assert known is not None and any(known)
        assert "getppid" in names

    def test_marks_are_set_once(self) -> None:
        """Who has one keeps it: the context that it may have entered is in it."""
        tracer = EbpfTracer()
        script = "os.fork() and print('ready', flush=True)\nwhile True: os.getppid(); time.sleep(0.01)"
        with running(script) as process:
            tree = Tree(first=process.pid)
            processes = dict.fromkeys(tree.processes(), 0)
            number = tracer.begin(Target(pid=process.pid, unconfined=True, running=True))
            try:
                assert len(processes) == 2
                assert [tracer.adopt(number, processes) for _ in range(2)] == [1, 0]
                assert tracer.adopt(number, {4_000_000: 0}) == 0
            finally:
                tracer.close()


class TestEnd:
    def test_of_the_process(self, tmp_path: Path) -> None:
        with running("print('ready', flush=True)\nsys.stdin.readline()") as process:
            with attaching(tmp_path, process.pid) as recorder:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                recorder.wait(60)
            recording = store.read(str(tmp_path / "recording.json"))
        assert "exit_group" in recording.names()
        assert recording.duration < 100

    def test_killed_it_leaves_nothing(self, tmp_path: Path) -> None:
        with running("print('ready', flush=True)\nwhile True: os.getppid(); time.sleep(0.02)") as process:
            words = ("record", "--pid", str(process.pid), "-o", str(tmp_path / "p.json"))
            recorder = subprocess.Popen([*SECLUDE, *words], stderr=subprocess.PIPE, text=True)
            assert recorder.stderr is not None
            assert "attached to" in recorder.stderr.readline()
            recorder.kill()
            recorder.communicate()
            assert process.poll() is None
            recording = attached(tmp_path, process.pid)
        assert not (tmp_path / "p.json").exists()
        assert recording.losses.calls == 0


class TestRefused:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--pid", "0"), "0 is no process id"),
            (("--pid", "-1"), "-1 is no process id"),
            (("--pid", "4194304"), "4194304 is no process id"),
            (("--pid", "4194303"), "does not run"),
            (("--pid", "x"), "not a valid integer"),
            (("--pid", "1", "--duration", "0"), "no time to record for"),
            (("--pid", "1", "--duration", "-3"), "no time to record for"),
            (("--pid", "1", "--duration", "nan"), "no time to record for"),
            (("--pid", "1", "--duration", "inf"), "no time to record for"),
            (("--pid", "1", "--duration", "1e300"), "no time to record for"),
            (("--pid", "1", "--container", "web"), "give one of --container NAME and --pid PID"),
            (("--duration", "3", "--", "true"), "--duration goes with"),
            (("--pid", "1", "--", "true"), "give no CMD"),
            ((), "Missing argument"),
        ],
    )
    def test_options(self, tmp_path: Path, words: tuple[str, ...], said: str) -> None:
        done = run(*SECLUDE, "record", "-o", tmp_path / "p.json", *words)
        assert (done.returncode != 0, said in done.stderr, list(tmp_path.iterdir())) == (True, True, []), done

    def test_a_thread(self, tmp_path: Path) -> None:
        script = """
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
print("ready", flush=True)
time.sleep(60)
"""
        with running(script) as process:
            [thread] = {int(name) for name in os.listdir(f"/proc/{process.pid}/task")} - {process.pid}
            done = run(*SECLUDE, "record", "-o", tmp_path / "p.json", "--pid", str(thread))
        assert (done.returncode, f"process {thread} does not run" in done.stderr) == (1, True), done

    @pytest.mark.parametrize("words", [("record", "-o", "p", "--pid", "1"), ("snapshot", "web")])
    def test_without_root(self, words: tuple[str, ...]) -> None:
        demoted = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
        with tempfile.TemporaryDirectory() as place:  # pytest's own is closed to others
            os.chmod(place, 0o777)
            done = run(*demoted, *SECLUDE, *words, cwd=place)
        assert (done.returncode, "needs root" in done.stderr) == (1, True), done


def test_what_is_told(tmp_path: Path) -> None:
    """The recording says that it was attached, to people and programs."""
    with running("print('ready', flush=True)\nwhile True: os.getppid(); time.sleep(0.02)") as process:
        attached(tmp_path, process.pid)
    shown = run(*SECLUDE, "show", tmp_path / "recording.json")
    assert "start-up calls are missing" in shown.stdout
    values = json.loads(run(*SECLUDE, "show", "--json", tmp_path / "recording.json").stdout)
    assert values["attached"] is True
    told = run(*SECLUDE, "complete", tmp_path / "recording.json")
    assert "a recording began while the program ran" in " ".join(told.stdout.split())
    bare = run(*SECLUDE, "generate", "--baseline", "none", "-o", "-", tmp_path / "recording.json")
    assert "nothing can start under this profile: access, arch_prctl" in bare.stderr
