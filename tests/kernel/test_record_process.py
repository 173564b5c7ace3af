"""`seclude record` and `seclude run` on plain processes: what was recorded is what was called, and is enough."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from catalogue import CONTEXTS, HOSTILE, PROCESSES, SLEEPER, WORKLOADS, Workload, set_workload
from plain import (
    SECLUDE,
    Recorded,
    call_of,
    children_of,
    confined,
    profile_of,
    record,
    run,
    straced,
    wait_for,
)

from seclude import store
from seclude.syscalls import number_of

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading the recorder takes root"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="strace's names are compared for x86_64"),
]

# A thread makes its last calls after it has been joined.
THREADS = (
    "import os, subprocess, threading\n"
    "work = [threading.Thread(target=sum, args=(range(1000),)) for _ in range(4)]\n"
    "[each.start() for each in work]; [each.join() for each in work]\n"
    "while len(os.listdir('/proc/self/task')) > 1: pass\n"
    "subprocess.run(['sh', '-c', 'cat /proc/self/comm | tr a-z A-Z'], check=True)\n"
)
STATUS_DENIED = 99  # tests/workloads/call.h
COMMANDS = {
    "ls": ("ls", "-l", "/"),
    "pipeline": ("sh", "-c", "ls / | sort -r | head -n 3; (echo inner; exit 3) || true"),
    "python": ("/usr/bin/python3", "-c", THREADS),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_recorded_is_what_strace_saw_of_the_same_run(command: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "strace.out"
    seen = record(tmp_path, *command, before=("strace", "-f", "-qq", "-s0", "-o", out))
    assert seen.done.returncode == 0, seen.done.stderr
    [first] = seen.recording.calls[0:1]
    assert (first.phase, first.name) == ("runtime", "execve")
    calls = straced(out.read_text(errors="replace"), first.first.pid)
    assert seen.names() == {name for _, name in calls[1:]}
    assert seen.names("runtime") == {"execve"}
    assert seen.recording.abis() == ("x86_64",)
    assert seen.recording.losses.calls == 0


def test_recorded_is_what_strace_saw_of_another_run(tmp_path: Path) -> None:
    seen = record(tmp_path, "ls", "/")
    run("strace", "-f", "-qq", "-o", tmp_path / "strace.out", "ls", "/")
    made = re.findall(r"^\d+ +([a-z_0-9]+)\(", (tmp_path / "strace.out").read_text(), re.M)
    assert seen.recording.names() == set(made)


def _command(workload: Workload, directory: Path, workloads: Path) -> list[str]:
    """Its own directory instead of /tmp, and no more executables than it takes to overflow the recorder's table."""
    others = {"/tmp": str(directory), "5000": "2500"}
    return [others.get(word, word) for word in workload.argv(str(workloads))]


def _refused_without(seen: Recorded, missing: str, command: list[str], directory: Path) -> None:
    less = profile_of(directory / "less.json", *(seen.recording.names() - {missing}))
    done = confined(less, *command)
    assert f"{missing}: refused" in done.stderr or done.returncode == STATUS_DENIED, (missing, done)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workload_recorded_and_then_confined(workload: Workload, workloads: Path, tmp_path: Path) -> None:
    command = _command(workload, tmp_path, workloads)
    seen = record(tmp_path, *command)
    assert (seen.done.returncode, seen.done.stdout.splitlines()[-1:]) == (workload.status, [workload.line])
    assert seen.names() >= workload.native
    assert seen.names(abi="x86") >= workload.x86
    assert seen.names(abi="x32") >= workload.x32
    assert ("x86" in seen.recording.abis(), "x32" in seen.recording.abis()) == (
        bool(workload.x86),
        bool(workload.x32),
    )
    # What the numbers of `compat` mean in x86_64's table.
    assert not seen.names() & {"getxattr", "ioprio_get"}
    assert seen.names("runtime") == {"execve"}
    assert seen.recording.losses.calls == 0
    if workload in HOSTILE:
        _check_bounds(seen, tmp_path / "recording.json")
    again = confined(seen.profile, *command)
    assert (again.returncode, again.stdout, again.stderr) == (workload.status, seen.done.stdout, "")
    if workload in PROCESSES:
        _refused_without(seen, min(workload.native - {"clone3", "kill"}), command, tmp_path)


def _check_bounds(seen: Recorded, path: Path) -> None:
    text = path.read_text()
    assert text.isascii()
    assert text.rstrip("\n").isprintable()
    assert len(text) < 64 * 1024 * 1024
    assert store.loads(text, "it") == seen.recording
    assert not re.search(r"[^\x20-\x7e\n]", seen.done.stderr)
    # TARGET_CONTEXTS, what is beyond them, and no context (bpf/recorder.h).
    assert len({call.context for call in seen.recording.calls}) <= 16384 + 2
    # TARGET_NUMBERS, and the numbers within the sets that have no name.
    assert sum(not call.named for call in seen.recording.calls) <= 64 + 5 * 9 * 64


def test_contexts(workloads: Path, tmp_path: Path) -> None:
    seen = record(tmp_path, *CONTEXTS.argv(str(workloads)))
    distinctive = CONTEXTS.native
    found: dict[str, set[str]] = {}
    for call in seen.recording.calls:
        if call.name in distinctive:
            found.setdefault(call.context, set()).add(call.name)
    assert found == CONTEXTS.contexts
    assert "prctl" not in seen.recording.names()


def test_a_process_that_enters_no_context_has_none(tmp_path: Path) -> None:
    assert {call.context for call in record(tmp_path, "ls").recording.calls} == {""}


def test_counts_are_exact(workloads: Path, tmp_path: Path) -> None:
    seen = record(tmp_path, workloads / "loop", "1000", options=["--counts"])
    assert seen.recording.counted
    assert seen.count("getppid") == 1010  # a hundredth before, to warm up


def test_counts_of_concurrent_processes_add_up(workloads: Path, tmp_path: Path) -> None:
    loop = f"{workloads}/loop 20000"
    seen = record(tmp_path, "sh", "-c", f"{loop} & {loop} & {loop} & wait", options=["--counts"])
    assert seen.count("getppid") == 3 * 20200 + 1  # and once the shell


def test_nothing_is_counted_unless_asked(tmp_path: Path) -> None:
    seen = record(tmp_path, "ls")
    assert not seen.recording.counted
    assert {call.count for call in seen.recording.calls} == {0}


HARMLESS = {
    **COMMANDS,
    "signals": (
        "/usr/bin/python3",
        "-c",
        "import os, signal, time\n"
        "signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, .001, .001)\n"
        "end = time.monotonic() + .2\n"
        "while time.monotonic() < end: os.stat('/'); time.sleep(.002)\n",
    ),
    "killed": ("sh", "-c", "sleep 5 & kill -STOP $!; kill -CONT $!; kill $!; wait"),
    "strace": ("strace", "-f", "-o", "/dev/null", "sh", "-c", "ls / | cat"),
    "execs": ("sh", "-c", "exec sh -c 'exec sh -c \"exec ls /\"'"),
}


class TestDenials:
    def recorded(
        self, directory: Path, profile: Path, *command: str | Path, before: tuple[str | Path, ...] = ()
    ):
        return record(
            directory, *SECLUDE, "run", "-p", profile, "--", *command, options=["--denials"], before=before
        )

    @pytest.mark.parametrize("mode", ["fork", "threads", "thread-exec", "vfork", "clone3", "hops"])
    def test_a_refused_call_is_seen(self, mode: str, workloads: Path, tmp_path: Path) -> None:
        workload = next(each for each in PROCESSES if each.name == mode)
        command = workload.argv(str(workloads))
        missing = sorted(workload.native - {"clone3"})[0]
        needed = record(tmp_path, *command).recording.names()
        # Whether threads have to wait for one another is a matter of chance.
        less = profile_of(tmp_path / "less.json", *(needed - {missing}), "futex")
        seen = self.recorded(tmp_path, less, *command)
        assert seen.done.returncode == STATUS_DENIED
        assert missing in seen.names("denied")
        assert missing not in seen.names()
        # What is called only once the refusal is noticed may be refused too, but nothing that is allowed.
        assert not seen.names("denied") & (needed - {missing})
        [call] = [call for call in seen.recording.calls if call.phase == "denied" and call.name == missing]
        assert call.first.result == -1
        assert call.count >= 1

    def test_the_refused_calls_are_those_that_strace_sees_refused(self, tmp_path: Path) -> None:
        allowed = record(tmp_path, "ls", "/").recording.names() - {"statx", "getdents64", "access"}
        less = profile_of(tmp_path / "less.json", *allowed)
        out = tmp_path / "strace.out"
        seen = self.recorded(tmp_path, less, "ls", "/", before=("strace", "-f", "-qq", "-o", out))
        pid = next(call.first.pid for call in seen.recording.calls if call.phase == "denied")
        mine = re.findall(rf"^{pid} +([a-z_0-9]+)\(", out.read_text().rpartition("execve(")[2], re.M)
        assert seen.names("denied") == {
            name for name in mine if name not in allowed - {"statx", "getdents64", "access"}
        }
        assert seen.names("denied") >= {"access"}

    def test_a_profile_from_a_recording_with_denials_does_not_allow_them(
        self, workloads: Path, tmp_path: Path
    ) -> None:
        workload = next(each for each in PROCESSES if each.name == "fork")
        all_but = profile_of(
            tmp_path / "but.json", "getitimer", action="SCMP_ACT_ERRNO", default="SCMP_ACT_ALLOW"
        )
        seen = self.recorded(tmp_path, all_but, *workload.argv(str(workloads)))
        assert seen.names("denied") == {"getitimer"}
        assert '"getitimer"' not in seen.profile.read_text()

    @pytest.mark.parametrize("command", HARMLESS.values(), ids=HARMLESS)
    def test_nothing_is_taken_for_refused(self, command: tuple[str, ...], tmp_path: Path) -> None:
        nearly_all = profile_of(
            tmp_path / "nearly.json", "acct", action="SCMP_ACT_ERRNO", default="SCMP_ACT_ALLOW"
        )
        seen = self.recorded(tmp_path, nearly_all, *command)
        assert seen.names("denied") == frozenset()
        assert seen.recording.losses.calls == 0

    @pytest.mark.parametrize("workload", PROCESSES, ids=lambda workload: workload.name)
    def test_nothing_of_a_workload_is_taken_for_refused(
        self, workload: Workload, workloads: Path, tmp_path: Path
    ) -> None:
        nearly_all = profile_of(
            tmp_path / "nearly.json", "acct", action="SCMP_ACT_ERRNO", default="SCMP_ACT_ALLOW"
        )
        seen = self.recorded(tmp_path, nearly_all, *workload.argv(str(workloads)))
        assert seen.done.returncode == workload.status
        assert seen.names("denied") == frozenset()
        assert seen.names() >= workload.native


class TestConditions:
    """`--from` with conditions on arguments: what was recorded decides."""

    def base(self, path: Path, names: frozenset[str], value: int) -> Path:
        allow = (
            f'{{"names": [{", ".join(repr(name) for name in sorted(names))}], "action": "SCMP_ACT_ALLOW"}}'
        )
        condition = f'[{{"index": 0, "value": {value}, "op": "SCMP_CMP_EQ"}}]'
        rule = f'{{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": {condition}}}'
        syscalls = f"[{allow}, {rule}]".replace("'", '"')
        path.write_text(f'{{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": {syscalls}}}')
        return path

    @pytest.mark.parametrize(("families", "condition_is_enough"), [(("1", "1"), True), (("1", "2"), False)])
    def test_a_condition(
        self, families: tuple[str, ...], condition_is_enough: bool, workloads: Path, tmp_path: Path
    ) -> None:
        command = (workloads / "arguments", "socket", *families)
        plain = record(tmp_path, *command)
        base = self.base(tmp_path / "base.json", plain.recording.names() - {"socket"}, 1)
        seen = record(tmp_path, *command, options=["--from", base])
        assert seen.done.stdout == "".join(f"socket({family}) ok\n" for family in families)
        allowed = confined(seen.profile, workloads / "arguments", "socket", "16").stdout
        assert allowed == f"socket(16) {'EPERM' if condition_is_enough else 'ok'}\n"
        assert confined(seen.profile, *command).stdout == seen.done.stdout


def test_two_recordings_at_once_are_not_mixed(workloads: Path, tmp_path: Path) -> None:
    started = []
    for number in range(4):
        (tmp_path / str(number)).mkdir()
        command = set_workload(number * 11, 300).argv(str(workloads))
        words = [*SECLUDE, "record", "--recording", str(tmp_path / str(number) / "r.json"), "--", *command]
        started.append(subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    outside = set_workload(7)
    while any(each.poll() is None for each in started):
        run(*outside.argv(str(workloads)))
    every = frozenset[str]().union(*(set_workload(number).native for number in range(50)))
    for number in range(4):
        recording = store.read(str(tmp_path / str(number) / "r.json"))
        assert recording.names() & every == set_workload(number * 11).native
        assert recording.losses.calls == 0


def test_a_daemon_is_waited_for(workloads: Path, tmp_path: Path) -> None:
    go = tmp_path / "go"
    late = f"(until test -e {go}; do sleep 0.05; done; exec {workloads}/set 3) >/dev/null 2>&1 &"
    with _interruptible(tmp_path, "setsid", "sh", "-c", f"{late} exit 9") as process:
        assert process.stderr is not None
        assert any("descendants have not" in line for line in process.stderr)
        go.touch()
        process.communicate(timeout=60)
    assert process.returncode == 9
    assert store.read(str(tmp_path / "r.json")).names() >= set_workload(3).native


def test_the_output_is_the_commands_own(tmp_path: Path) -> None:
    seen = record(tmp_path, "sh", "-c", "printf 'a\\0b'; printf err >&2; cat; exit 200", options=["-q"])
    assert (seen.done.returncode, seen.done.stdout, seen.done.stderr) == (200, "a\0b", "err")


def _interruptible(directory: Path, *command: str, **options: object) -> subprocess.Popen[str]:
    words = [*SECLUDE, "record", "--recording", str(directory / "r.json"), "--", *command]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, **options
    )  # type: ignore[call-overload, no-any-return]


def _readable(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().strip() == line


def _waits_in(name: str, *pids: int) -> bool:
    """Whether one of the processes is in a call of this name."""
    return number_of("x86_64", name) in map(call_of, pids)


class TestCtrlC:
    def test_the_command_is_ended_and_what_it_did_is_written(self, tmp_path: Path) -> None:
        with _interruptible(tmp_path, "sh", "-c", "echo ready; exec sleep 600") as process:
            _readable(process, "ready")
            wait_for(lambda: _waits_in("clock_nanosleep", *children_of(process.pid)))
            os.killpg(process.pid, signal.SIGINT)
            _, errors = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGINT, errors
        assert store.read(str(tmp_path / "r.json")).names() >= {"clock_nanosleep"}

    def test_the_command_may_handle_it(self, tmp_path: Path) -> None:
        script = "trap 'echo caught; exit 5' INT; echo ready; while :; do sleep 0.05; done"
        with _interruptible(tmp_path, "sh", "-c", script) as process:
            _readable(process, "ready")
            wait_for(lambda: _waits_in("wait4", *children_of(process.pid)))
            os.killpg(process.pid, signal.SIGINT)
            out, _ = process.communicate(timeout=60)
        assert (process.returncode, out) == (5, "caught\n")
        assert store.read(str(tmp_path / "r.json")).names() >= {"rt_sigaction", "wait4"}

    def test_it_ends_the_wait_for_descendants(self, tmp_path: Path) -> None:
        script = "(trap '' INT; exec sleep 600) >/dev/null 2>&1 & echo $!"
        with _interruptible(tmp_path, "sh", "-c", script) as process:
            assert process.stdout is not None and process.stderr is not None
            sleeper = int(process.stdout.readline())
            try:
                assert any("descendants have not" in line for line in process.stderr)
                wait_for(lambda: _waits_in("clock_nanosleep", sleeper))
                os.killpg(process.pid, signal.SIGINT)
                _, errors = process.communicate(timeout=60)
            finally:
                os.kill(sleeper, signal.SIGKILL)  # it was still there
        assert process.returncode == 0, errors
        assert "is not recorded" in errors
        assert store.read(str(tmp_path / "r.json")).names() >= {"clock_nanosleep"}


def _objects_of(pid: int) -> set[tuple[str, int]]:
    """("prog" or "map", id) of every BPF program and map that a process holds."""
    found = set()
    for entry in os.listdir(f"/proc/{pid}/fdinfo"):
        try:
            text = Path(f"/proc/{pid}/fdinfo/{entry}").read_text()
        except OSError:
            continue
        found.update(
            (kind, int(number)) for kind, number in re.findall(r"^(prog|map)_id:\t(\d+)", text, re.M)
        )
    return found


def _exists(kind: str, number: int) -> bool:
    """bpf(BPF_PROG_GET_FD_BY_ID or BPF_MAP_GET_FD_BY_ID)."""
    attributes = (ctypes.c_uint32 * 32)(number)
    result = ctypes.CDLL(None).syscall(321, 13 if kind == "prog" else 14, ctypes.byref(attributes), 128)
    if result >= 0:
        os.close(result)
    return bool(result >= 0)


def test_a_killed_recorder_leaves_nothing(tmp_path: Path) -> None:
    with _interruptible(tmp_path, "sh", "-c", "echo ready; exec sleep 600") as process:
        _readable(process, "ready")
        [command] = children_of(process.pid)
        objects = _objects_of(process.pid)
        assert {kind for kind, _ in objects} == {"prog", "map"}
        assert all(_exists(*item) for item in objects)
        process.kill()
        process.wait(60)
    os.kill(command, signal.SIGKILL)  # it has gone on
    # The kernel frees programs and maps after a grace period.
    wait_for(lambda: not any(_exists(*item) for item in objects))
    assert list(tmp_path.iterdir()) == []


class TestCommandsThatCannotBeRun:
    def refused(self, directory: Path, *command: str | Path) -> str:
        profile = directory / "p.json"
        done = run(*SECLUDE, "record", "-o", profile, "--", *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert not profile.exists()
        assert done.stderr.startswith("seclude: error: ")
        assert "Traceback" not in done.stderr
        return done.stderr

    def test_not_there(self, tmp_path: Path) -> None:
        assert "'no-such-command' is no command" in self.refused(tmp_path, "no-such-command")

    def test_not_executable(self, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("echo hello\n")
        assert "is no command" in self.refused(tmp_path, script)

    def test_no_program(self, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("echo hello\n")
        script.chmod(0o755)
        assert "Exec format error" in self.refused(tmp_path, script)

    def test_an_empty_name(self, tmp_path: Path) -> None:
        assert "is no command" in self.refused(tmp_path, "")

    def test_enforced(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", "execve")
        done = confined(profile, "no-such-command")
        assert (done.returncode, done.stdout) == (1, "")
        assert "is no command" in done.stderr


def test_a_sleeper_that_is_signalled(workloads: Path, tmp_path: Path) -> None:
    with _interruptible(tmp_path, *SLEEPER.argv(str(workloads))) as process:
        _readable(process, SLEEPER.line)
        [child] = children_of(process.pid)
        wait_for(lambda: _waits_in("pause", child))
        os.kill(child, signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == SLEEPER.status
    assert store.read(str(tmp_path / "r.json")).names() >= {*SLEEPER.native, "rt_sigaction", "pause"}
