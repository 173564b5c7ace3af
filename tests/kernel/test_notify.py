"""The notify tracer on plain processes: it sees what eBPF sees, without privilege, and the command outlives it."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from catalogue import ABIS, CONTEXTS, PROCESSES, Workload, set_workload
from ordinary import Ordinary, ordinary_user
from plain import SECLUDE, Recorded, confined, record, run, wait_for
from receivers import kill_one_after_the_other, receiver

from seclude import store
from seclude.children import run_child
from seclude.engines.process import Child
from seclude.errors import TraceError
from seclude.notify.agent import Agent
from seclude.ports import Target
from seclude.trace import seccomp_notify
from seclude.trace.notify import NotifyTracer
from seclude.trace.notify_contexts import Contexts
from seclude.trace.notify_page import Entry, Journal, Values
from seclude.trace.seccomp_notify import Handover

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="the comparison with eBPF takes root"),
    pytest.mark.skipif(bool(seccomp_notify.unusable()), reason=seccomp_notify.unusable() or "usable"),
]

NOTIFY = ("--tracer", "notify")
WAITING = frozenset(("futex", "restart_syscall", "sched_yield", "clock_nanosleep"))
"""Calls that are made or not as threads happen to wait for one another."""

HOSTILE = (
    ("hostile", "names", "2000"),
    ("hostile", "long-names"),
    ("hostile", "ugly-names"),
    ("hostile", "comm"),
    ("hostile", "numbers", "2000"),
)


def seen(recorded: Recorded) -> set[tuple[str, str, str, str]]:
    """(phase, ABI, name, context) of every call but those that depend on timing."""
    return {
        (call.phase, call.abi, call.name, call.context)
        for call in recorded.recording.calls
        if call.name not in WAITING
    }


def both(directory: Path, *command: str | Path, options: Sequence[str] = ()) -> tuple[Recorded, Recorded]:
    """One run recorded by eBPF, and one by notify."""
    found = []
    for tracer in ("ebpf", "notify"):
        place = directory / tracer
        place.mkdir()
        found.append(record(place, *command, options=["--tracer", tracer, *options]))
        assert found[-1].recording.tracer == tracer
    return found[0], found[1]


@pytest.fixture(scope="module")
def user() -> Iterator[Ordinary]:
    """An ordinary user with a readable copy of seclude."""
    with ordinary_user() as made:
        yield made


class TestSameAsEbpf:
    @pytest.mark.parametrize(
        "workload", [*PROCESSES, CONTEXTS, *ABIS, set_workload(7)], ids=lambda workload: workload.name
    )
    def test_workload(self, workload: Workload, workloads: Path, tmp_path: Path) -> None:
        by_ebpf, by_notify = both(tmp_path, *workload.argv(str(workloads)))
        assert by_notify.done.returncode == workload.status, by_notify.done.stderr
        assert by_notify.done.stdout.splitlines()[-1:] == [workload.line]
        assert seen(by_notify) == seen(by_ebpf)
        assert by_notify.names() >= workload.native
        assert by_notify.recording.losses.calls == 0

    @pytest.mark.parametrize("words", HOSTILE, ids=lambda words: words[1])
    def test_hostile(self, words: tuple[str, ...], workloads: Path, tmp_path: Path) -> None:
        by_ebpf, by_notify = both(tmp_path, workloads / words[0], *words[1:])
        assert by_notify.done.returncode == by_ebpf.done.returncode
        named = [{each for each in seen(one) if not each[2].startswith("#")} for one in (by_ebpf, by_notify)]
        assert named[0] == named[1]
        assert sum(not call.named for call in by_notify.recording.calls) <= 64

    def test_pipeline_and_its_profile(self, tmp_path: Path) -> None:
        command = ("sh", "-c", "ls / | sort -r | head -n 3; (echo inner; exit 3) || true")
        by_ebpf, by_notify = both(tmp_path, *command)
        assert by_notify.profile.read_text() == by_ebpf.profile.read_text()
        assert confined(by_notify.profile, *command).returncode == 0

    def test_counts_and_arguments(self, workloads: Path, tmp_path: Path) -> None:
        command = (workloads / "loop", "1000")
        by_ebpf, by_notify = both(tmp_path, *command, options=["--counts", "--args", "safe"])
        assert by_notify.count("getppid") == by_ebpf.count("getppid") == 1010
        assert by_notify.recording.arguments == by_ebpf.recording.arguments
        assert by_notify.profile.read_text() == by_ebpf.profile.read_text()

    def test_facts(self, tmp_path: Path) -> None:
        _, by_notify = both(tmp_path, "ls", "/")
        facts = {call.name: call.first for call in by_notify.recording.calls if call.phase == "app"}
        assert {first.comm for first in facts.values()} == {"ls"}
        assert facts["getdents64"].executable.endswith("/ls")
        assert facts["getdents64"].pid == facts["getdents64"].tid
        times = [first.time for first in facts.values()]
        assert 0 < min(times) <= max(times) < by_notify.recording.duration


class TestPhases:
    def test_threads_that_go_on_up_to_the_exec(self) -> None:
        """As those of a runtime in Go do: whatever they call while another is in exec, the application comes after."""
        tracer, handover = NotifyTracer(), Handover()
        number = tracer.begin(Target(pid=0, unconfined=True))

        def call_on() -> None:
            while True:
                os.getppid()

        def before_exec() -> None:
            handover.install(no_new_privileges=False)
            threading.Thread(target=call_on, daemon=True).start()
            # By ctypes the other thread need not wait for this one to come back.
            words = (ctypes.c_char_p * 2)(b"true", None)
            ctypes.CDLL(None).execv(b"/bin/true", words)

        def look() -> None:
            listener = handover.listener()
            if listener >= 0:
                tracer.listen(number, listener, from_exec=True)
            tracer.attend()

        try:
            with Child(("true",), before_exec) as child:
                assert run_child(child, look, lambda: None, refusable=False) == 0
            wait_for(lambda: not tracer.attend())
            found = {(call.phase, call.name) for call in tracer.observe(number).calls}
        finally:
            handover.close()
            tracer.close()
        assert {name for phase, name in found if phase == "runtime"} == {"execve"}
        assert ("app", "exit_group") in found


class TestContexts:
    SCRIPT = (
        "import os, sys, time\n"
        "from seclude.marking import mark\n"
        "mark('before')\n"
        "reading, writing = os.pipe()\n"
        "if not os.fork():\n"
        "    os.close(writing); os.read(reading, 1)\n"  # its parent is in another context by now
        "    os.sync() if sys.argv[1] == 'late' else os.getpriority(0, 0)\n"
        "    os._exit(0)\n"
        "if sys.argv[1] == 'orphan': mark('after'); os._exit(0)\n"
        "mark('after'); os.close(writing); os.wait(); os.getsid(0)\n"
    )

    @pytest.mark.parametrize("how", ["late", "orphan"])
    def test_a_child_stays_in_the_context_it_was_started_in(self, how: str, tmp_path: Path) -> None:
        source = Path(__file__).resolve().parents[2] / "src"
        script = f"import sys; sys.path.insert(0, {str(source)!r})\n{self.SCRIPT}"
        # A Python that is compiled anew each time would call other things each time.
        by_ebpf, by_notify = both(tmp_path, sys.executable, "-B", "-c", script, how)
        wanted = {"sync", "getpriority", "getsid"}
        found = [{each for each in seen(one) if each[2] in wanted} for one in (by_ebpf, by_notify)]
        assert found[0] == found[1]
        assert found[1]

    def test_whoever_is_not_known_belongs_to_the_nearest_ancestor_that_is(self, tmp_path: Path) -> None:
        for thread, process, parent in ((10, 10, 1), (11, 10, 1), (20, 20, 10), (30, 30, 20), (40, 40, 1)):
            (tmp_path / f"{thread}/task/{thread}").mkdir(parents=True)
            (tmp_path / f"{thread}/status").write_text(f"Name:\tx\nTgid:\t{process}\nPPid:\t{parent}\n")
            (tmp_path / f"{thread}/task/{thread}/children").write_text("")
        (tmp_path / "10/task/10/children").write_text("20 ")
        contexts = Contexts(str(tmp_path))
        assert contexts.of(30) == ""
        assert contexts.enter(11, "first") == {10, 11}
        assert [contexts.of(thread) for thread in (10, 11, 20, 30, 40)] == ["first", "first", "", "", ""]
        contexts.enter(10, "second")
        assert (contexts.of(11), contexts.of(20)) == ("second", "")
        assert contexts.leave(11, whole=False) == {11}
        assert contexts.leave(10, whole=True) == {10}


class TestDeaths:
    """Whoever of ours is killed, the command ends as it would have."""

    def started(self, directory: Path, *command: str | Path) -> subprocess.Popen[str]:
        words = [*SECLUDE, "record", *NOTIFY, "--recording", directory / "r.json", "--", *command]
        return subprocess.Popen(
            [str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def test_killed_receivers_are_replaced(self, workloads: Path, tmp_path: Path) -> None:
        go = tmp_path / "go"
        process = self.started(tmp_path, workloads / "loop", "2000", go)
        receiver(process.pid, kill_one_after_the_other(process.pid, 3))
        go.touch()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, len(out.splitlines())) == (0, 2), err
        assert err.count("another one has taken over") == 3
        recording = store.read(str(tmp_path / "r.json"))
        assert {"execve", "getppid", "exit_group"} <= recording.names()
        assert recording.losses.calls == 0

    def test_the_command_outlives_seclude(self, workloads: Path, tmp_path: Path) -> None:
        go, done = tmp_path / "go", tmp_path / "done"
        process = self.started(tmp_path, "sh", "-c", f"{workloads}/loop 2000 {go} && echo well > {done}")
        answering = receiver(process.pid)
        process.kill()
        process.wait()
        go.touch()
        wait_for(lambda: done.exists() and done.read_text() == "well\n")
        wait_for(lambda: not Path(f"/proc/{answering}").exists())
        process.communicate()

    def test_contexts_of_a_dead_receiver_are_told_as_lost(self, tmp_path: Path) -> None:
        script = (
            "import sys, time, os; sys.path.insert(0, sys.argv[1])\n"
            "from seclude.marking import mark\n"
            "mark('here')\n"
            "os.getsid(0); print('ready', flush=True)\n"
            "while not os.path.exists(sys.argv[2]): time.sleep(.01)\n"
        )
        go, source = tmp_path / "go", Path(__file__).resolve().parents[2] / "src"
        process = self.started(tmp_path, sys.executable, "-c", script, source, go)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        first = receiver(process.pid)
        os.kill(first, signal.SIGKILL)
        receiver(process.pid, [first])
        go.touch()
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert store.read(str(tmp_path / "r.json")).losses.contexts == 1

    def test_a_receiver_that_is_killed_again_and_again_is_given_up(self, tmp_path: Path) -> None:
        """The command is told ENOSYS and does not hang; no profile is made of it unless one insists."""
        process = self.started(tmp_path, "sh", "-c", "while sleep .05; do :; done")
        kill_one_after_the_other(process.pid, 21)
        _, err = process.communicate(timeout=60)
        assert "calls fail from now on (ENOSYS)" in err
        assert process.returncode
        assert store.read(str(tmp_path / "r.json")).losses.calls == 1


class TestManyAtOnce:
    def test_four_busy_processes(self, workloads: Path, tmp_path: Path) -> None:
        loops = " & ".join([f"{workloads}/loop 5000"] * 4)
        found = record(tmp_path, "sh", "-c", f"{loops} & wait", options=[*NOTIFY, "--counts"])
        assert found.done.returncode == 0, found.done.stderr
        assert found.count("getppid") == 4 * 5050 + 1  # and once the shell
        assert found.recording.losses.calls == 0

    def test_signals_and_killed_processes(self, tmp_path: Path) -> None:
        script = (
            "import os, signal\n"
            "signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)\n"
            "signal.setitimer(signal.ITIMER_REAL, .002, .002)\n"
            "for _ in range(30):\n"
            "    reading, writing = os.pipe()\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        os.getppid(); os.write(writing, b'x')\n"
            "        while True: os.getppid()\n"
            "    os.read(reading, 1); os.kill(child, 9); os.waitpid(child, 0)\n"
            "signal.pause(); signal.setitimer(signal.ITIMER_REAL, 0); print('well')\n"
        )
        found = record(tmp_path, sys.executable, "-c", script, options=NOTIFY)
        assert (found.done.returncode, found.done.stdout) == (0, "well\n"), found.done.stderr
        assert {"kill", "rt_sigreturn", "getppid"} <= found.names()

    def test_a_daemon_is_recorded_to_its_end(self, tmp_path: Path) -> None:
        found = record(
            tmp_path, "sh", "-c", "(sleep .5; getent hosts localhost >/dev/null; sync) &", options=NOTIFY
        )
        assert "sync" in found.names()


class TestWithoutPrivilege:
    def test_auto_says_why(self, user: Ordinary, tmp_path: Path) -> None:
        done = user.seclude(
            "record", "-o", "p.json", "--recording", "r.json", "--", "sh", "-c", "ls /; exit 5"
        )
        assert done.returncode == 5, done.stderr
        assert "eBPF refused, neither CAP_SYS_ADMIN nor" in done.stderr
        assert "using notify; expect about" in done.stderr
        recording = store.read(str(user.home / "r.json"))
        assert (recording.tracer, recording.no_new_privileges) == ("notify", True)

    def test_the_same_as_root_s(self, user: Ordinary, tmp_path: Path) -> None:
        command = ("env", "-i", "ls", "/")  # what the environment asks for is not the user's doing
        done = user.seclude("record", "-o", "p.json", "--recording", "r.json", "--", *command)
        assert done.returncode == 0, done.stderr
        as_root = record(tmp_path, *command)
        assert store.read(str(user.home / "r.json")).names("app") == as_root.names("app")
        assert (user.home / "p.json").read_text() == as_root.profile.read_text()

    def test_auto_in_a_user_namespace(self, tmp_path: Path) -> None:
        found = record(tmp_path, "ls", before=("unshare", "--user", "--map-root-user"))
        assert "eBPF refused in a user namespace: using notify; expect about" in found.done.stderr
        assert found.recording.tracer == "notify"

    def test_auto_is_ebpf_for_root(self, tmp_path: Path) -> None:
        found = record(tmp_path, "ls")
        assert found.recording.tracer == "ebpf"
        assert "notify" not in found.done.stderr

    def test_ebpf_on_request_fails_as_before(self, user: Ordinary) -> None:
        done = user.seclude("record", "--tracer", "ebpf", "-o", "q.json", "--", "ls")
        assert done.returncode == 1
        assert not (user.home / "q.json").exists()

    def test_set_user_id_programs_get_no_rights(self, user: Ordinary) -> None:
        done = user.seclude("record", "-o", "p.json", "--", "sh", "-c", "grep NoNewPrivs /proc/self/status")
        assert done.stdout.split() == ["NoNewPrivs:", "1"]


class TestRefusals:
    def failed(self, *arguments: str | Path) -> str:
        done = run(*SECLUDE, "record", *arguments)
        assert done.returncode == 1, done
        return done.stderr

    def test_denials_cannot_be_seen(self, tmp_path: Path) -> None:
        said = self.failed(*NOTIFY, "--denials", "-o", tmp_path / "p.json", "--", "ls")
        assert "notify does not see refused calls" in said
        assert not (tmp_path / "p.json").exists()

    def test_one_listener_is_all(self, tmp_path: Path) -> None:
        inner = [*map(str, SECLUDE), "record", *NOTIFY, "-o", str(tmp_path / "inner.json"), "--", "ls"]
        found = record(tmp_path, *inner, options=NOTIFY)
        assert found.done.returncode == 1
        assert "the kernel allows one listener (EBUSY)" in found.done.stderr

    def test_no_such_command(self, tmp_path: Path) -> None:
        assert "no command that can be run" in self.failed(
            *NOTIFY, "-o", tmp_path / "p", "--", "no-such-thing"
        )

    def test_what_cannot_be_executed(self, tmp_path: Path) -> None:
        broken = tmp_path / "broken"
        broken.write_text("#!/no/such/interpreter\n")
        broken.chmod(0o755)
        said = self.failed(*NOTIFY, "-o", tmp_path / "p", "--", broken)
        assert "the command cannot be started" in said

    def test_kernel_too_old(self) -> None:
        old = os.uname_result(("Linux", "host", "5.4.0-generic", "", "x86_64"))
        assert "it takes 5.5" in seccomp_notify.unusable(old)
        other = os.uname_result(("Linux", "host", "6.1.0", "", "riscv64"))
        assert "riscv64" in seccomp_notify.unusable(other)

    def test_tracer_without_a_kernel_for_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(seccomp_notify, "unusable", lambda: "the kernel has no user notification")
        with pytest.raises(TraceError, match="has no user notification"):
            NotifyTracer().begin(Target(pid=0, unconfined=True))

    def test_a_socket_with_too_long_a_path(self, tmp_path: Path) -> None:
        path = str(tmp_path / ("x" * 120))
        with pytest.raises(TraceError, match="at most 107"):
            Agent(path, NotifyTracer(), 1)

    def test_unknown_recording(self) -> None:
        with pytest.raises(TraceError, match="no recording 3"):
            NotifyTracer().observe(3)

    def test_json_names_the_tracer_s_choice(self, user: Ordinary) -> None:
        done = user.seclude("record", "--json", "-o", "p.json", "--", "true")
        assert json.loads(done.stderr)["status"] == 0


def test_an_unfinished_line_of_the_journal_is_passed_over() -> None:
    journal = Journal()
    entry = Entry(
        index=3,
        phase=1,
        abi="x86_64",
        number=0,
        context="a\nb",
        time=5,
        pid=1,
        tid=2,
        comm="c]",
        executable="/é",
        arguments=(1, 2**64 - 1),
    )
    journal.add(entry)
    os.write(journal.descriptor, b'[1,2,"x86_64",[1,2]')
    journal.begin()
    values = Values(abi="x86_64", number=9, values=(0, 7))
    journal.add(values)
    assert list(journal.facts()) == [entry, values]
    journal.close()
