"""`seclude verify --tracer notify` on plain processes: what it says is what eBPF says, and it takes no privilege."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from catalogue import CONTEXTS, PROCESSES
from ordinary import Ordinary, ordinary_user
from plain import SECLUDE, confined, profile_of, record, run
from receivers import kill_one_after_the_other, receiver

from seclude import syscalls
from seclude.trace import seccomp_notify

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="the comparison with eBPF takes root"),
    pytest.mark.skipif(bool(seccomp_notify.unusable()), reason=seccomp_notify.unusable() or "usable"),
]
EVERY = syscalls.names("x86_64")
WAITING = frozenset(("futex", "restart_syscall", "sched_yield", "clock_nanosleep"))
"""Calls that are made or not as threads happen to wait for one another."""

NOTIFY = ("--tracer", "notify")


def verify(
    profile: Path, *command: str | Path, options: tuple[str, ...] = NOTIFY
) -> tuple[int, dict[str, Any], subprocess.CompletedProcess[str]]:
    """(exit status, the result as JSON, how it ended) of a verification."""
    done = run(*SECLUDE, "verify", "-p", profile, "--json", *options, "--", *command)
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return done.returncode, json.loads(lines[-1]), done


def rules(path: Path, *added: dict[str, Any], without: frozenset[str] = frozenset(), **more: Any) -> Path:
    """A profile that allows every call but `without`, and has other rules."""
    profile = json.loads(profile_of(path, *(EVERY - without)).read_text())
    profile["syscalls"] += added
    path.write_text(json.dumps(profile | more))
    return path


def equal(name: str, index: int, value: int, action: str = "SCMP_ACT_ALLOW", **more: Any) -> dict[str, Any]:
    """A rule on one argument of a call."""
    condition = {"index": index, "value": value, "op": "SCMP_CMP_EQ"}
    return {"names": [name], "action": action, "args": [condition], **more}


def comparable(result: dict[str, Any]) -> dict[str, Any]:
    """What both tracers must say alike: all but numbers of processes, addresses and times."""
    return {
        **{key: result[key] for key in ("clean", "allowed", "statuses", "expected", "lost", "not_recorded")},
        "used": sorted(set(result["used"]) - WAITING),
        "unused": sorted(set(result["unused"]) - WAITING),
        "denied": sorted(result["denied"], key=lambda each: json.dumps(each)),
        "denials": sorted(
            (
                denial["action"],
                denial["data"],
                denial["abi"],
                denial["name"],
                denial["comm"],
                denial["count"],
                denial.get("context", ""),
            )
            for denial in result["denials"]
        ),
    }


@pytest.fixture(scope="module")
def user() -> Iterator[Ordinary]:
    """An ordinary user with a readable copy of seclude."""
    with ordinary_user() as made:
        yield made


class TestSameAsEbpf:
    def both(
        self, profile: Path, *command: str | Path, options: tuple[str, ...] = ()
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What notify says of a command and a profile, and what eBPF does."""
        found = []
        for tracer in ("notify", "ebpf"):
            status, result, _ = verify(profile, *command, options=("--tracer", tracer, *options))
            found.append({"status": status, **comparable(result)})
        return found[0], found[1]

    @pytest.mark.parametrize("workload", [*PROCESSES, CONTEXTS], ids=lambda workload: workload.name)
    def test_what_is_refused_of_a_workload(self, workload: Any, workloads: Path, tmp_path: Path) -> None:
        without = frozenset(("syncfs", "times", "getpriority", "getsid", "getitimer", "sync"))
        profile = rules(tmp_path / "p.json", without=without)
        notify, ebpf = self.both(profile, *workload.argv(str(workloads)))
        assert notify == ebpf

    @pytest.mark.parametrize("workload", PROCESSES[:4], ids=lambda workload: workload.name)
    def test_a_profile_that_was_recorded(self, workload: Any, workloads: Path, tmp_path: Path) -> None:
        command = workload.argv(str(workloads))
        profile = record(tmp_path, *command).profile
        names = {name for rule in json.loads(profile.read_text())["syscalls"] for name in rule["names"]}
        profile_of(profile, *(names | WAITING))
        notify, ebpf = self.both(profile, *command)
        assert notify == ebpf
        assert notify["denied"] == []
        assert notify["used"] == sorted(set(notify["allowed"]) - WAITING)

    def test_a_pipeline(self, tmp_path: Path) -> None:
        profile = rules(tmp_path / "p.json", without=frozenset(("getdents64", "statfs", "prlimit64")))
        notify, ebpf = self.both(profile, "sh", "-c", "ls / | sort -r | head -n 3; (ls /; exit 3) || true")
        assert notify == ebpf
        assert "getdents64" in {each["call"] for each in notify["denied"]}

    def test_conditions_on_arguments(self, tmp_path: Path) -> None:
        profile = rules(
            tmp_path / "p.json",
            equal("socket", 0, 1),
            equal("socket", 0, 10, "SCMP_ACT_ERRNO", errnoRet=97),
            equal("getpriority", 0, 1, "SCMP_ACT_ERRNO", errnoRet=22),
            without=frozenset(("socket", "getpriority")),
            defaultErrnoRet=38,
        )
        program = (
            "import os, socket\n"
            "for family in (1, 2, 10, 1, 10):\n"
            "    try: socket.socket(family).close()\n"
            "    except OSError as error: print(family, error.errno)\n"
            "for which in (0, 1):\n"
            "    try: os.getpriority(which, 0)\n"
            "    except OSError as error: print(which, error.errno)\n"
        )
        notify, ebpf = self.both(profile, sys.executable, "-B", "-c", program)
        assert notify == ebpf
        found = {(each["call"], each["count"], each["cause"]) for each in notify["denied"]}
        assert found == {
            ("socket", 1, "arguments"),
            ("socket", 2, "rule"),
            ("getpriority", 1, "arguments"),
            ("getpriority", 1, "rule"),
        }

    def test_a_marker_that_is_refused(self, tmp_path: Path, workloads: Path) -> None:
        profile = rules(tmp_path / "p.json", without=frozenset(("syncfs", "times", "prctl")))
        notify, ebpf = self.both(profile, workloads / "contexts")
        assert notify == ebpf
        assert ("times", "login") in {(denial[3], denial[6]) for denial in notify["denials"]}

    def test_numbers_without_a_name(self, tmp_path: Path) -> None:
        program = (
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            "for number in (900, 901, 560, 900): libc.syscall(number)\n"
        )
        notify, ebpf = self.both(rules(tmp_path / "p.json"), sys.executable, "-B", "-c", program)
        assert notify == ebpf
        found = {(each["call"], each["count"]) for each in notify["denied"]}
        assert found == {("#other", 3), ("#560", 1)}

    @pytest.mark.parametrize("mode", ["names", "ugly-names", "comm", "numbers"])
    def test_hostile(self, mode: str, workloads: Path, tmp_path: Path) -> None:
        without = frozenset(("getrusage", "eventfd2", "signalfd4", "timerfd_gettime", "preadv", "mlock2"))
        words = (mode, "2000") if mode in ("names", "numbers") else (mode,)
        notify, ebpf = self.both(rules(tmp_path / "p.json", without=without), workloads / "hostile", *words)
        assert notify == ebpf
        assert notify["denied"]

    def test_hostile_names(self, tmp_path: Path, workloads: Path) -> None:
        name = tmp_path / "\x1b[31m<b>$(id)\n::set-output"
        name.write_bytes((workloads / "refused").read_bytes())
        name.chmod(0o755)
        done = run(
            *SECLUDE, "verify", "-p", rules(tmp_path / "p.json", without=frozenset(("getsid",))), *NOTIFY,
            "--", name, "0x7fff0000", "plain",
        )  # fmt: skip
        assert done.returncode == 2
        assert "\x1b" not in done.stderr
        assert "\n::set-output" not in done.stderr

    def test_python_code_is_named(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            "import os\ndef inner():\n    os.getsid(0)\ndef outer():\n    inner()\n"
            "try:\n    outer()\nexcept OSError:\n    pass\n"
        )
        profile = rules(tmp_path / "p.json", without=frozenset(("getsid",)))
        done = run(*SECLUDE, "verify", "-p", profile, *NOTIFY, "--", sys.executable, program)
        assert done.returncode == 2
        assert f"python   {program}:3 inner" in done.stderr
        assert f"{program}:5 outer" in done.stderr
        assert "native   libc.so.6+" in done.stderr


class TestAnswers:
    """The program sees what it would see under the profile itself."""

    PROGRAM = (
        "import ctypes, sys\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "for number, argument in ((124, 0), (124, 7), (124, 8), (36, 0), (140, 0), (140, 2), (97, 4), (99, 0)):\n"
        "    ctypes.set_errno(0)\n"
        "    value = libc.syscall(number, argument, 0, 0)\n"
        "    print(number, argument, min(value, 0), ctypes.get_errno())\n"
    )

    @pytest.mark.parametrize(
        "more",
        [
            {},
            {"defaultErrnoRet": 38},
            {"defaultErrnoRet": 0},
            {"defaultErrnoRet": 4094},
            {"defaultErrno": "EXDEV"},
            {"defaultAction": "SCMP_ACT_TRACE"},
            {"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]},
        ],
        ids=str,
    )
    def test_errnos_are_the_profile_s(self, more: dict[str, Any], tmp_path: Path) -> None:
        masked = {"index": 0, "value": 0xFFFFFFFF, "valueTwo": 4, "op": "SCMP_CMP_MASKED_EQ"}
        profile = rules(
            tmp_path / "p.json",
            equal("getsid", 0, 7, "SCMP_ACT_ERRNO", errnoRet=95),
            equal("getsid", 0, 0),
            {"names": ["getitimer"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
            equal("getpriority", 0, 0),
            {"names": ["getrlimit"], "action": "SCMP_ACT_ALLOW", "args": [masked]},
            without=frozenset(("getsid", "getitimer", "getpriority", "getrlimit", "sysinfo")),
            **more,
        )
        command = (sys.executable, "-c", self.PROGRAM)
        status, result, done = verify(profile, *command)
        under = confined(profile, *command)
        assert (done.stdout.splitlines()[-8:], under.returncode) == (under.stdout.splitlines(), 0)
        assert (status, result["lost"]) == (2, 0)
        assert {"getitimer", "sysinfo"} <= {each["call"] for each in result["denied"]}
        ends = {each["action"] for each in result["denials"] if each["name"] == "sysinfo"}
        assert ends == {more.get("defaultAction", "SCMP_ACT_ERRNO")}

    def test_a_call_that_is_logged_is_made(self, tmp_path: Path) -> None:
        profile = rules(
            tmp_path / "p.json",
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_LOG"},
            without=frozenset(("mkdir", "mkdirat")),
        )
        status, result, done = verify(profile, "mkdir", "-p", tmp_path / "made")
        assert (status, result["denied"]) == (0, []), done
        assert [(denial["name"], denial["action"]) for denial in result["denials"]] in (
            [],
            [("mkdir", "SCMP_ACT_LOG")],
        )
        assert (tmp_path / "made").is_dir()

    @pytest.mark.parametrize("action", ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
    def test_what_kills_is_the_kernel_s_and_said(self, action: str, tmp_path: Path) -> None:
        profile = rules(
            tmp_path / "p.json",
            {"names": ["mkdir", "mkdirat"], "action": action},
            without=frozenset(("mkdir", "mkdirat")),
        )
        directory = tmp_path / "d"
        command = ("sh", "-c", f"rmdir {directory} 2>/dev/null; mkdir {directory}")
        status, result, _ = verify(profile, *command)
        assert (status, result["statuses"], result["denied"]) == (2, [159], [])
        assert result["unnamed"][:1] == [f"calls that are answered with {action}"]
        done = run(*SECLUDE, "verify", "-p", profile, *NOTIFY, "--", *command)
        assert f"note: not named without eBPF: calls that are answered with {action}" in done.stderr

    def test_an_exec_that_is_refused(self, tmp_path: Path) -> None:
        profile = rules(tmp_path / "p.json", without=frozenset(("execve",)))
        status, result, _ = verify(profile, "true")
        assert (status, result["statuses"], result["expected"]) == (2, [126], 0)
        assert [each["call"] for each in result["denied"]] == ["execve"]

    def test_an_architecture_that_is_not_in_the_profile(self, tmp_path: Path, workloads: Path) -> None:
        status, result, _ = verify(rules(tmp_path / "p.json"), workloads / "compat")
        assert (status, result["statuses"]) == (2, [159])
        assert result["unnamed"] == ["calls of an architecture that is not in the profile"]

    @pytest.mark.parametrize("without", [frozenset(), frozenset(("waitpid",))], ids=["clean", "denied"])
    def test_32_bit_calls(self, without: frozenset[str], tmp_path: Path, workloads: Path) -> None:
        profile = rules(tmp_path / "p.json", architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"])
        value = json.loads(profile.read_text())
        value["syscalls"][0]["names"] = sorted((EVERY | syscalls.names("x86")) - without)
        profile.write_text(json.dumps(value))
        found = [
            verify(profile, workloads / "compat", options=("--tracer", tracer))
            for tracer in ("notify", "ebpf")
        ]
        assert comparable(found[0][1]) == comparable(found[1][1])
        assert {(denial["abi"], denial["name"]) for denial in found[0][1]["denials"]} == {
            ("x86", name) for name in without
        }


class TestMany:
    def test_all_are_counted(self, tmp_path: Path, workloads: Path) -> None:
        profile = rules(tmp_path / "p.json", without=frozenset(("getsid",)))
        program = f"for i in 1 2 3; do {workloads}/refused 0x7fff0000 plain 20000; done"
        _, result, _ = verify(profile, "sh", "-c", program)
        [denied] = result["denied"]
        assert (denied["call"], denied["count"], denied["processes"]) == ("getsid", 60000, 3)
        assert len(result["denials"]) == 1
        assert result["denials"][0]["arguments"][:3] == [0x7000007, 8, 9]

    def test_threads(self, tmp_path: Path) -> None:
        program = (
            "import os, threading\n"
            "def ask():\n"
            "    for _ in range(500):\n"
            "        try: os.getsid(0)\n"
            "        except PermissionError: pass\n"
            "threads = [threading.Thread(target=ask) for _ in range(4)]\n"
            "for each in threads: each.start()\n"
            "for each in threads: each.join()\n"
        )
        profile = rules(tmp_path / "p.json", without=frozenset(("getsid",)))
        _, result, _ = verify(profile, sys.executable, "-c", program)
        [denied] = result["denied"]
        assert (denied["count"], denied["processes"]) == (2000, 1)

    def test_signals_and_killed_processes(self, tmp_path: Path) -> None:
        script = (
            "import os, signal, time\n"
            "signal.signal(signal.SIGALRM, lambda *_: None); signal.siginterrupt(signal.SIGALRM, False)\n"
            "signal.setitimer(signal.ITIMER_REAL, .001, .001)\n"
            "for _ in range(20):\n"
            "    reading, writing = os.pipe()\n"
            "    child = os.fork()\n"
            "    if not child:\n"
            "        signal.setitimer(signal.ITIMER_REAL, 0)\n"
            "        while True:\n"
            "            try: os.getsid(0)\n"
            "            except PermissionError: os.write(writing, b'x')\n"
            "    os.read(reading, 1); os.kill(child, 9); os.waitpid(child, 0)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0); print('well')\n"
        )
        profile = rules(tmp_path / "p.json", without=frozenset(("getsid",)))
        _, result, done = verify(
            profile, sys.executable, "-c", script, options=(*NOTIFY, "--no-stacks", "--expect-status", "0")
        )
        assert (done.stdout, result["statuses"], result["lost"]) == ("well\n", [0], 0)
        [denied] = result["denied"]
        assert (denied["call"], denied["processes"]) == ("getsid", 20)
        assert denied["count"] >= 20


class TestDeaths:
    def test_killed_receivers_are_replaced(self, workloads: Path, tmp_path: Path) -> None:
        """What was refused before is known, and what is refused afterwards is still refused and named."""
        go = tmp_path / "go"
        program = (
            "import os, sys, time\n"
            "def ask(number):\n"
            "    for _ in range(number):\n"
            "        try: os.getsid(0); print('made')\n"
            "        except PermissionError: pass\n"
            "ask(100); print('ready', flush=True)\n"
            "while not os.path.exists(sys.argv[1]):\n"
            "    ask(1); time.sleep(.001)\n"
            "ask(100)\n"
            "try: os.mkdir(sys.argv[1] + 'made')\n"
            "except OSError as error: print(error.errno)\n"
        )
        profile = rules(
            tmp_path / "p.json", without=frozenset(("getsid", "mkdir")), defaultErrnoRet=errno.EPERM
        )
        words = [
            *SECLUDE,
            "verify",
            "-p",
            profile,
            "--json",
            *NOTIFY,
            "--no-stacks",
            "--expect-status",
            "0",
            "--",
        ]
        process = subprocess.Popen(
            [*map(str, words), sys.executable, "-c", program, str(go)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        receiver(process.pid, kill_one_after_the_other(process.pid, 3))
        go.touch()
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out.split()) == (2, [str(errno.EPERM)]), err
        result = json.loads(err.splitlines()[-1])
        found = {each["call"]: (each["count"], each["processes"]) for each in result["denied"]}
        assert set(found) == {"getsid", "mkdir"}
        assert found["mkdir"] == (1, 1)
        assert found["getsid"][0] >= 200
        assert found["getsid"][1] == 1
        assert result["lost"] == 0

    def test_nothing_is_left(self, tmp_path: Path) -> None:
        profile = rules(tmp_path / "p.json", without=frozenset(("getsid",)))
        verify(profile, "sh", "-c", "true")
        after = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
        assert str(profile) not in after


class TestWithoutPrivilege:
    def verify(self, user: Ordinary, profile: Path, *command: str, more: tuple[str, ...] = ()) -> Any:
        return user.seclude("verify", "-p", profile, *more, "--", *command)

    def test_a_denial_is_named(self, user: Ordinary) -> None:
        profile = rules(user.home / "p.json", without=frozenset(("mkdir", "mkdirat")))
        done = self.verify(user, profile, "mkdir", "/tmp", more=("--expect-status", "1"))
        assert done.returncode == 2, done
        assert "eBPF refused, neither CAP_SYS_ADMIN nor" in done.stderr
        assert "using notify; expect about" in done.stderr
        [line] = [line for line in done.stderr.splitlines() if "denied: mkdir(" in line]
        assert line.endswith(", 0o777): EPERM, once")
        for said in ("process  mkdir (/usr/bin/mkdir), pid ", "native   libc.so.6+", "cause    no rule"):
            assert said in done.stderr
        assert "1 denied, exit status as without (1)" in done.stderr

    def test_the_same_as_root_s(self, user: Ordinary, tmp_path: Path) -> None:
        command = ("env", "-i", "ls", "/")
        profile = rules(user.home / "p.json", without=frozenset(("getdents64", "statx")))
        done = self.verify(user, profile, *command, more=("--json",))
        _, by_root, _ = verify(profile, *command, options=("--tracer", "ebpf"))
        found, wanted = comparable(json.loads(done.stderr.splitlines()[-1])), comparable(by_root)
        assert found == wanted

    def test_what_was_recorded_runs(self, user: Ordinary) -> None:
        done = user.seclude("record", "-o", "ls.json", "--", "ls", "/")
        assert done.returncode == 0, done
        done = self.verify(user, user.home / "ls.json", "ls", "/", more=("--json", "--repeat", "2"))
        result = json.loads(done.stderr.splitlines()[-1])
        assert (done.returncode, result["clean"], result["statuses"], result["lost"]) == (0, True, [0, 0], 0)
        assert set(result["unused"]) <= WAITING

    def test_ebpf_on_request_fails(self, user: Ordinary) -> None:
        profile = rules(user.home / "p.json")
        done = self.verify(user, profile, "true", more=("--tracer", "ebpf"))
        assert (done.returncode, "run as root" in done.stderr) == (1, True), done
