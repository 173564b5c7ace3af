"""The denial watch against real filters: each kind of answer, threads, 32-bit calls, bursts, what is no denial."""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain import SECLUDE, profile_of, run, state_of, wait_for

from seclude import syscalls, witness
from seclude.model.denial import Denial
from seclude.model.frozen import replace
from seclude.trace.watch import DenialWatch
from seclude.watching import Scope, Watching

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="watching denials takes root"),
]
KILL_PROCESS, KILL_THREAD, TRAP, ERRNO, TRACE, LOG, ALLOW = (
    0x80000000,
    0,
    0x30000,
    0x50000,
    0x7FF00000,
    0x7FFC0000,
    0x7FFF0000,
)
SIGSYS = -31
ARGUMENTS = (0x7000007, 8, 9)


@pytest.fixture
def watch() -> Iterator[DenialWatch]:
    opened = DenialWatch()
    opened.start()
    opened.configure(ancestor=os.getpid())
    yield opened
    opened.close()


def refused(workloads: Path, answer: int, *words: str) -> subprocess.CompletedProcess[str]:
    return run(workloads / "refused", hex(answer), *words)


def only(watch: DenialWatch) -> Denial:
    [sighting] = watch.sightings()
    return sighting.denial


class TestEachAnswer:
    @pytest.mark.parametrize(
        ("answer", "mode", "status", "said", "action", "data"),
        [
            (ERRNO | errno.EPERM, "plain", 0, "result -1 errno 1", "SCMP_ACT_ERRNO", 1),
            (ERRNO | errno.ENOSYS, "plain", 0, "result -1 errno 38", "SCMP_ACT_ERRNO", 38),
            (ERRNO | 4095, "plain", 0, "result -1 errno 4095", "SCMP_ACT_ERRNO", 4095),
            (ERRNO, "plain", 0, "result 0 errno 0", "SCMP_ACT_ERRNO", 0),
            (TRACE | 7, "plain", 0, "result -1 errno 38", "SCMP_ACT_TRACE", 7),
            (TRAP | 5, "plain", SIGSYS, "", "SCMP_ACT_TRAP", 5),
            (TRAP, "caught", 0, "result 124 errno 0", "SCMP_ACT_TRAP", 0),
            (KILL_PROCESS, "plain", SIGSYS, "", "SCMP_ACT_KILL_PROCESS", 0),
            (KILL_PROCESS, "thread", SIGSYS, "", "SCMP_ACT_KILL_PROCESS", 0),
            (KILL_THREAD, "plain", SIGSYS, "", "SCMP_ACT_KILL_THREAD", 0),
            (KILL_THREAD, "thread", 0, "result 0 errno 0", "SCMP_ACT_KILL_THREAD", 0),
            (LOG, "plain", 0, "result -1 errno 3", "SCMP_ACT_LOG", 0),
            (0x12340000, "plain", SIGSYS, "", "SCMP_ACT_KILL_PROCESS", 0),
        ],
    )
    def test_is_seen_once(
        self,
        watch: DenialWatch,
        workloads: Path,
        answer: int,
        mode: str,
        status: int,
        said: str,
        action: str,
        data: int,
    ) -> None:
        done = refused(workloads, answer, mode)
        assert (done.returncode, done.stdout.strip()) == (status, said)
        denial = only(watch)
        assert (denial.action, denial.data, denial.name, denial.abi) == (action, data, "getsid", "x86_64")
        assert denial.arguments[:3] == ARGUMENTS
        assert (denial.count, denial.comm, denial.refused) == (1, "refused", action != "SCMP_ACT_LOG")
        assert denial.executable == str(workloads / "refused")
        assert (denial.tid == denial.pid) == (mode != "thread")
        assert denial.native[0].module == "refused"

    def test_what_is_allowed_is_not_seen(self, watch: DenialWatch, workloads: Path) -> None:
        assert refused(workloads, ALLOW, "plain").returncode == 0
        assert watch.sightings() == ()

    def test_a_32_bit_call_of_a_64_bit_process(self, watch: DenialWatch, workloads: Path) -> None:
        assert refused(workloads, ERRNO | 13, "int80").stdout == "result -13 errno 0\n"
        denial = only(watch)
        assert (denial.abi, denial.name, denial.number) == ("x86", "getsid", 147)
        assert (denial.data, denial.arguments[:3]) == (13, ARGUMENTS)

    def test_a_32_bit_process(self, watch: DenialWatch, workloads: Path, tmp_path: Path) -> None:
        profile = tmp_path / "p.json"
        rule = {"names": ["_llseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71}
        value = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [rule]}
        profile.write_text(json.dumps(value))
        assert run(*SECLUDE, "run", "-p", profile, "--", workloads / "compat").returncode == 99
        denial = only(watch)
        assert (denial.abi, denial.name, denial.data) == ("x86", "_llseek", 71)
        assert denial.arguments[:3] == (0xFFFFFFFF, 0, 0)
        assert (denial.comm, denial.native[0].module) == ("compat", "compat")

    def test_a_child(self, watch: DenialWatch, workloads: Path) -> None:
        assert refused(workloads, ERRNO | 1, "child").returncode == 0
        assert only(watch).name == "getsid"


class TestMany:
    def test_a_burst_is_counted_in_one_entry(self, watch: DenialWatch, workloads: Path) -> None:
        assert refused(workloads, ERRNO | 1, "plain", "1000000").returncode == 0
        denial = only(watch)
        assert (denial.count, watch.lost()) == (1_000_000, 0)
        assert denial.last > denial.first

    def test_every_process_of_many(self, watch: DenialWatch, workloads: Path) -> None:
        program = f"for i in $(seq 300); do {workloads}/refused 0x50001 plain 3; done"
        assert run("sh", "-c", program).returncode == 0
        denials = [sighting.denial for sighting in watch.sightings()]
        assert len({denial.pid for denial in denials}) == len(denials) == 300
        assert {(denial.name, denial.count) for denial in denials} == {("getsid", 3)}
        assert watch.lost() == 0

    def test_numbers_outside_every_table_are_one(
        self, watch: DenialWatch, workloads: Path, tmp_path: Path
    ) -> None:
        program = (
            "import ctypes, os\n"
            "syscall = ctypes.CDLL(None, use_errno=True).syscall\n"
            "for number in range(100000, 120000): syscall(ctypes.c_long(number))\n"
            "os._exit(0)"
        )
        profile = tmp_path / "p.json"
        # Everything that has a number is allowed, so what is refused are the others.
        profile_of(profile, *syscalls.names("x86_64"))
        done = run(*SECLUDE, "run", "-p", profile, "--", sys.executable, "-c", program)
        assert done.returncode == 0, done.stderr
        others = [sighting.denial for sighting in watch.sightings() if sighting.denial.name == "#other"]
        assert [denial.count for denial in others] == [20000]

    def test_numbers_around_the_last_call_of_the_kernel(self, watch: DenialWatch, tmp_path: Path) -> None:
        program = (
            "import ctypes, os\n"
            "syscall = ctypes.CDLL(None, use_errno=True).syscall\n"
            "for number in range(440, 580): syscall(ctypes.c_long(number), -1, 0, 0, 0, 0, 0)\n"
            "os._exit(0)"
        )
        numbers = {name: syscalls.number_of("x86_64", name) or 0 for name in syscalls.names("x86_64")}
        profile = profile_of(tmp_path / "p.json", *(name for name in numbers if numbers[name] < 440))
        done = run(*SECLUDE, "run", "-p", profile, "--", sys.executable, "-c", program)
        assert done.returncode == 0, done.stderr
        seen = [sighting.denial for sighting in watch.sightings()]
        assert sum(denial.count for denial in seen) == 140
        assert {denial.number for denial in seen} >= {*range(440, 512)}


class TestNothingElse:
    """Forks, execs, signals, restarts, returns from signals, ptrace, filters that come late: none is a denial."""

    BUSY = (
        "import os, signal, subprocess, threading, time\n"
        "signal.signal(signal.SIGALRM, lambda *_: None); signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)\n"
        "def work():\n"
        "    for _ in range(20):\n"
        "        pid = os.fork()\n"
        "        if not pid: os._exit(0)\n"
        "        os.waitpid(pid, 0); time.sleep(0.005)\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "[t.start() for t in threads]\n"
        "for _ in range(10): subprocess.run(['/bin/true'], check=True)\n"
        "[t.join() for t in threads]\n"
        "try: os.read(os.open('/', os.O_RDONLY), 1)\n"
        "except IsADirectoryError: pass\n"
        "try: os.kill(1 << 21, 0)\n"
        "except ProcessLookupError: pass\n"
        "signal.setitimer(signal.ITIMER_REAL, 0)\n"
    )

    @pytest.mark.parametrize("default", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
    def test_of_a_busy_process_under_a_filter(self, watch: DenialWatch, tmp_path: Path, default: str) -> None:
        names = syscalls.names("x86_64") - {"acct"}
        profile = profile_of(tmp_path / "p.json", *names, default=default)
        done = run(*SECLUDE, "run", "-p", profile, "--", sys.executable, "-c", self.BUSY)
        assert done.returncode == 0, done.stderr
        assert watch.sightings() == ()

    def test_of_strace_inside(self, watch: DenialWatch, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(syscalls.names("x86_64") - {"acct"}))
        command = ("strace", "-f", "-o", tmp_path / "out", "sh", "-c", "ls / | wc -l; sleep 0.01")
        assert run(*SECLUDE, "run", "-p", profile, "--", *command).returncode == 0
        assert watch.sightings() == ()

    def test_of_a_filter_that_comes_while_a_call_is_under_way(
        self, watch: DenialWatch, tmp_path: Path
    ) -> None:
        """TSYNC puts a thread under the filter that is inside a call which this filter would refuse."""
        program = (
            "import ctypes, os, sys, threading, time\n"
            f"sys.path.insert(0, {str(Path(__file__).resolve().parents[2] / 'src')!r})\n"
            "from seclude.formats import libseccomp, oci\n"
            "reading, writing = os.pipe()\n"
            "def wait():\n"
            "    libc.select(reading + 1, ctypes.byref((ctypes.c_long * 16)(1 << reading)), 0, 0, 0)\n"
            "libc = ctypes.CDLL(None)\n"
            "thread = threading.Thread(target=wait); thread.start()\n"
            "place = f'/proc/self/task/{thread.native_id}/syscall'\n"
            "while open(place).read().split()[0] not in ('23', '270'): time.sleep(0.01)\n"
            'rule = \'{"names": ["pselect6", "select"], "action": "SCMP_ACT_ERRNO"}\'\n'
            "profile = oci.loads('{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [' + rule + ']}', 'it')\n"
            "made = libseccomp.build(profile, capabilities=(), machine=os.uname().machine,"
            " kernel=os.uname().release)\n"
            "made.load(no_new_privileges=True); os.write(writing, b'x'); thread.join()\n"
            "print(open('/proc/self/status').read().count('Seccomp:\\t2'))\n"
        )
        done = run(sys.executable, "-c", program)
        assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
        assert watch.sightings() == ()


class TestCommand:
    def test_lines_of_json(self, workloads: Path) -> None:
        with subprocess.Popen(
            [*SECLUDE, "watch", "--pid", str(os.getpid())],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as started:
            assert started.stdout is not None
            lines: list[dict[str, object]] = [{}]
            deadline = time.monotonic() + 60
            # It does not say when it has begun, and whoever is refused before is not seen, or not in full.
            while lines[-1].get("count") != 5:
                assert time.monotonic() < deadline, lines
                refused(workloads, ERRNO | 1, "plain", "5")
                if select.select([started.stdout], [], [], 0.5)[0]:
                    lines.append(json.loads(started.stdout.readline()))
            started.send_signal(signal.SIGINT)
            _, err = started.communicate(timeout=60)
        assert (started.returncode, err) == (2, "")
        assert {(line["format"], line["name"]) for line in lines[1:]} == {("seclude-denial", "getsid")}

    def test_nothing_denied_is_clean(self) -> None:
        done = run(*SECLUDE, "watch", "--pid", str(os.getpid()), "--duration", "0.3")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    def test_a_process_that_ends(self) -> None:
        with subprocess.Popen(["sleep", "600"]) as process:
            words = [*SECLUDE, "watch", "--pid", str(process.pid)]
            with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as watching:
                wait_for(lambda: "anon_inode:[pidfd]" in _files_of(watching.pid))
                process.kill()
                _, err = watching.communicate(timeout=60)
        assert watching.returncode == 1
        assert f"process {process.pid} has ended" in err

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ((), "give one of --container NAME, --pid PID, --all"),
            (("--all", "--pid", "1"), "give one of"),
            (("--pid", "4000000"), "process 4000000 does not run"),
            (("--pid", "-5"), "-5 is no process id"),
            (("--container", "--x"), "--x"),
            (("--container", "no-such-container-here"), "there is no container no-such-container-here"),
            (("--all", "--duration", "-1"), "-1"),
        ],
    )
    def test_what_cannot_be_watched(self, arguments: tuple[str, ...], said: str) -> None:
        done = run(*SECLUDE, "watch", *arguments)
        assert done.returncode == 1
        assert said in done.stderr

    def test_not_root(self) -> None:
        done = run("setpriv", "--reuid=65534", "--clear-groups", *SECLUDE, "watch", "--all")
        if "Permission denied" in done.stderr and "seclude" not in done.stderr:
            pytest.skip("the checkout cannot be read by others")
        assert (done.returncode, "watching denials needs root" in done.stderr) == (1, True), done.stderr


class TestStacks:
    def test_of_python_code(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            "import os, sys, time\n"
            "def inner():\n"
            "    try: os.mkdir('/tmp/none/of/it')\n"
            "    except OSError as error: print(error.errno, flush=True)\n"
            "def outer(): inner()\n"
            "sys.stdin.readline()\n"
            "outer()\n"
        )
        profile = profile_of(tmp_path / "p.json", *(syscalls.names("x86_64") - {"mkdir", "mkdirat"}))
        process = subprocess.Popen(
            [*SECLUDE, "run", "-p", str(profile), "--", sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin and process.stdout
        with Watching(Scope(pid=process.pid), stacks=True) as watching:
            looks = watching.denials(60)
            assert next(looks) == ()
            threading.Timer(0.2, lambda: (process.stdin.write("\n"), process.stdin.flush())).start()
            [denial] = next(found for found in looks if found)
        assert process.stdout.readline() == "1\n"  # it was not left stopped
        assert process.wait(60) == 0
        process.stdin.close()
        process.stdout.close()
        assert denial.name == "mkdir"
        assert [(frame.function, frame.line) for frame in denial.python] == [
            ("inner", 3),
            ("outer", 5),
            ("<module>", 7),
        ]
        assert denial.python[0].module == str(program)
        assert denial.native[0].module.startswith("libc")

    def test_who_is_noted_is_waited_for_until_it_is_stopped(
        self, watch: DenialWatch, workloads: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The kernel notes a process a moment before it sends the signal; to let it go on before that would be lost."""
        assert refused(workloads, ERRNO | 1, "plain").returncode == 0
        [sighting] = watch.sightings()
        monkeypatch.setattr(witness, "STOPPING", 60)
        sent: list[signal.Signals] = []

        def stop() -> None:
            sent.append(signal.SIGSTOP)
            process.send_signal(signal.SIGSTOP)

        with subprocess.Popen(["sleep", "600"]) as process:
            denial = replace(sighting.denial, pid=process.pid, tid=process.pid)
            noted = replace(sighting, denial=denial, paused=True)
            threading.Timer(0.05, stop).start()
            witness.await_stop(noted)
            assert sent
            wait_for(lambda: state_of(process.pid) == "T")
            process.kill()
        witness.await_stop(noted)  # it has ended, and is not waited for

    def test_whoever_is_stopped_goes_on_when_the_watch_is_killed(self, workloads: Path) -> None:
        """The watch dies between the denial and its look: the process must not stay stopped."""
        program = (
            "import sys, time\n"
            f"sys.path.insert(0, {str(Path(__file__).resolve().parents[2] / 'src')!r})\n"
            "from seclude import witness\n"
            "from seclude.watching import Scope, Watching\n"
            "witness.PAUSE *= 60\n"  # it looks once, and who is stopped may come late
            "with Watching(Scope(pid=int(sys.argv[1])), stacks=True) as watching:\n"
            "    next(watching.denials())\n"
            "    print('ready', flush=True)\n"
            "    time.sleep(60)\n"
        )
        watcher = subprocess.Popen(
            [sys.executable, "-c", program, str(os.getpid())], stdout=subprocess.PIPE, text=True
        )
        assert watcher.stdout and watcher.stdout.readline() == "ready\n"
        with subprocess.Popen(
            [workloads / "refused", hex(ERRNO | 1), "plain"], stdout=subprocess.PIPE
        ) as process:
            wait_for(lambda: state_of(process.pid) == "T")
            watcher.kill()
            watcher.wait(60)
            watcher.stdout.close()
            assert process.wait(60) == 0


def _files_of(pid: int) -> set[str]:
    """What a process's descriptors lead to."""
    found = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.add(os.readlink(descriptor))
        except FileNotFoundError:
            pass
    return found
