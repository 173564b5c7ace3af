"""`seclude minimize` on plain processes: what it says is true of the kernel, and nothing it starts stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from plain import SECLUDE, SOURCES, confined, profile_of, record, run, wait_for

from seclude.cli.minimize import command
from seclude.formats import oci

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading the recorder takes root"),
]

BASE = (
    "access arch_prctl brk close execve exit exit_group fstat futex getrandom mmap mprotect munmap newfstatat openat "
    "pread64 prlimit64 read readlink rseq rt_sigaction rt_sigprocmask set_robust_list set_tid_address write ioctl "
    "fcntl getuid getgid geteuid getegid getpid getppid dup2 wait4 clone lseek getcwd sysinfo uname"
).split()
"""What a shell and the like call."""


def minimized(profile: Path, *words: str | Path, options: tuple[str | Path, ...] = ()) -> dict[str, object]:
    """`seclude minimize --json` to its end."""
    done = run(*SECLUDE, "minimize", "-p", profile, "--json", *options, "--", *words, timeout=280)
    assert done.returncode == 0, done.stderr
    values: dict[str, object] = json.loads(done.stdout)
    return values


def refused(*words: str | Path) -> str:
    """Standard error of a `seclude minimize` that ends with an error and says nothing else."""
    done = run(*SECLUDE, "minimize", *words)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "seclude: error: " in done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def allowed(profile: Path) -> set[str]:
    rules = oci.loads(profile.read_text(), str(profile)).rules
    return {name for rule in rules if rule.permits for name in rule.names}


@pytest.fixture(scope="module")
def of_ls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile that was recorded of `ls /`."""
    return record(tmp_path_factory.mktemp("ls"), "ls", "/").profile


def test_ls(of_ls: Path, tmp_path: Path) -> None:
    before, small = of_ls.read_bytes(), tmp_path / "small.json"
    done = run(*SECLUDE, "minimize", "-p", of_ls, "-o", small, "--same-output", "--", "ls", "/")
    assert done.returncode == 0, done.stderr
    assert "runs many times" in done.stderr
    for line in ("required", "tolerate ENOSYS", "tolerate EPERM", "runs spent", "bound"):
        assert line in done.stdout
    assert of_ls.read_bytes() == before
    assert {"execve", "getdents64"} <= allowed(small) < allowed(of_ls)
    plain = run("ls", "/").stdout
    for _ in range(10):
        again = confined(small, "ls", "/")
        assert (again.returncode, again.stdout) == (0, plain)


def test_each_verdict_is_true(of_ls: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.json"
    values = minimized(of_ls, "ls", "/", options=("-o", small))
    runs, limit = values["runs"], values["bound"]
    assert isinstance(runs, int) and isinstance(limit, int) and runs <= limit
    assert set(values["required"]) | set(values["kept"]) == allowed(small)  # type: ignore[call-overload]
    for name in values["required"]:  # type: ignore[attr-defined]
        for errno in (1, 38):
            profile = json.loads(small.read_text())
            for rule in profile["syscalls"]:
                rule["names"] = [each for each in rule["names"] if each != name]
            profile["syscalls"].append({"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno})
            less = tmp_path / "less.json"
            less.write_text(json.dumps(profile))
            assert confined(less, "ls", "/").returncode != 0, (name, errno)


def test_it_writes_only_what_it_may(of_ls: Path, tmp_path: Path) -> None:
    conditions = {"index": 0, "value": 4096, "op": "SCMP_CMP_NE"}
    value = json.loads(of_ls.read_text())
    value["syscalls"] += [
        {
            "names": ["personality", "ioctl"],
            "action": "SCMP_ACT_ALLOW",
            "args": [conditions],
            "comment": "keep me",
        },
        {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 3, "includes": {"caps": ["CAP_BPF"]}},
    ]
    profile = tmp_path / "p.json"
    profile.write_text(json.dumps(value))
    minimized(profile, "ls", "/", options=("--write", "--keep", "personality"))
    read = oci.loads(profile.read_text(), "it")
    [kept] = [rule for rule in read.rules if rule.comment == "keep me"]
    assert (kept.names, kept.args[0].value) == (("personality",), 4096)
    [denied] = [rule for rule in read.rules if rule.names == ("ptrace",)]
    assert (denied.outcome, denied.includes.caps) == (("SCMP_ACT_ERRNO", 3), ("CAP_BPF",))
    assert confined(profile, "ls", "/").returncode == 0
    assert sorted(tmp_path.iterdir()) == [profile]


PYTHON = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def refused(number):
    return errno.errorcode.get(ctypes.get_errno()) if libc.syscall(number, -1, 0, 0, 0) < 0 else None
strict, lenient, fallback = (refused(number) for number in (140, 145, 147))
sys.exit(7 if strict in ("EPERM", "ENOSYS") or fallback == "EPERM" else 0)
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are x86_64's")
def test_the_three_verdicts(tmp_path: Path) -> None:
    # 140 getpriority must be made, 145 sched_getscheduler may be refused, 147 sched_get_priority_min only so
    seen = record(tmp_path, sys.executable, "-c", PYTHON)
    assert {"getpriority", "sched_getscheduler", "sched_get_priority_min"} <= seen.names()
    values = minimized(seen.profile, sys.executable, "-c", PYTHON)
    assert "getpriority" in values["required"]  # type: ignore[operator]
    assert "sched_getscheduler" in values["tolerates_eperm"]  # type: ignore[operator]
    assert "sched_get_priority_min" in values["tolerates_enosys"]  # type: ignore[operator]


def test_another_status_can_be_expected(tmp_path: Path) -> None:
    words = ("sh", "-c", "exit 3")
    profile = profile_of(tmp_path / "p.json", *BASE)
    text = refused("-p", profile, "--", *words)
    assert "ends with status 3 under the full profile, not with 0" in text
    assert "--expect-status 3" in text
    values = minimized(profile, *words, options=("--expect-status", "3"))
    assert "execve" in values["required"]  # type: ignore[operator]
    assert "127 cannot be expected" in refused("-p", profile, "--expect-status", "127", "--", *words)


def test_what_spins_is_ended(tmp_path: Path) -> None:
    # Refused getpriority: a loop of processes that ignore all signals they may.
    script = (
        "import os, signal, subprocess, sys\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "import ctypes; ok = ctypes.CDLL(None).syscall(140, 0, 0) > 0\n"
        "if not ok:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "    while True: pass\n"
    )
    mark = f"judge-{os.getpid()}"
    words = (sys.executable, "-c", script, mark)
    seen = record(tmp_path, *words)
    names = {"getpriority", "fork", "clone", "setsid"} | seen.recording.names()
    profile = profile_of(tmp_path / "p.json", *names)
    keep = [word for name in names - {"getpriority", "setsid"} for word in ("--keep", name)]
    values = minimized(profile, *words, options=("--timeout", "5", *keep))
    assert values["required"] == ["getpriority"]
    assert run("pgrep", "-f", mark).stdout == ""


def test_what_it_leaves_running_is_ended(tmp_path: Path) -> None:
    mark = f"4{os.getpid()}"
    seen = record(tmp_path, "sh", "-c", "sleep 0.1 & exit 0")
    minimized(seen.profile, "sh", "-c", f"sleep {mark} & exit 0")
    assert run("pgrep", "-f", f"sleep {mark}").stdout == ""


class TestInterrupted:
    def interrupted(self, directory: Path, number: int) -> tuple[subprocess.Popen[str], str, str]:
        directory, log = directory / "profiles", directory / "log"
        directory.mkdir()
        command = ("sh", "-c", f"echo run >>{log}; sleep 0.3")
        profile = record(directory, *command).profile
        (directory / "recording.json").unlink()
        before = profile.read_bytes()
        log.write_text("")
        words = [*SECLUDE, "minimize", "-p", str(profile), "--write", "--", *command]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            wait_for(lambda: len(log.read_text().splitlines()) > 3)
            os.killpg(process.pid, number)
            out, errors = process.communicate(timeout=60)
        assert profile.read_bytes() == before
        assert sorted(directory.iterdir()) == [profile]
        return process, out, errors

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_nothing_is_written_and_what_is_known_is_said(self, number: int, tmp_path: Path) -> None:
        process, out, errors = self.interrupted(tmp_path, number)
        assert process.returncode == 130, errors
        assert "undecided" in out
        assert "interrupted: the undecided calls were not tried" in errors
        assert "was not written" in errors
        assert "Traceback" not in errors


class TestErrors:
    @pytest.fixture
    def profile(self, tmp_path: Path) -> Path:
        return profile_of(tmp_path / "p.json", *BASE)

    def test_no_profile(self, tmp_path: Path) -> None:
        assert "none.json cannot be read" in refused("-p", tmp_path / "none.json", "--", "true")

    def test_an_invalid_profile(self, tmp_path: Path) -> None:
        path = tmp_path / "p.json"
        path.write_text('{"defaultAction": "SCMP_ACT_ERRNO", "sycalls": []}')
        assert "unknown field 'sycalls'" in refused("-p", path, "--", "true")

    def test_nothing_permitted(self, tmp_path: Path) -> None:
        path = profile_of(tmp_path / "p.json", "read", action="SCMP_ACT_ERRNO")
        assert "allows no call at all" in refused("-p", path, "--", "true")

    def test_everything_permitted(self, tmp_path: Path) -> None:
        path = profile_of(tmp_path / "p.json", "read", default="SCMP_ACT_ALLOW")
        assert "allows every call by default" in refused("-p", path, "--", "true")

    def test_no_command(self, profile: Path) -> None:
        assert "Missing argument" in run(*SECLUDE, "minimize", "-p", profile).stderr
        assert "'no-such-command' is no command" in refused("-p", profile, "--", "no-such-command")
        assert "is no command" in refused("-p", profile, "--", profile)

    def test_no_program(self, profile: Path, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text("echo hello\n")
        script.chmod(0o755)
        assert "Exec format error" in refused("-p", profile, "--", script)

    def test_the_command_fails(self, profile: Path) -> None:
        text = refused("-p", profile, "--", "ls", "/")
        assert "under the full profile, not with 0:" in text
        assert "Operation not permitted" in text  # what the command itself said

    def test_the_command_cannot_be_started(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(set(BASE) - {"execve"}))
        text = refused("-p", profile, "--", "true")
        assert "cannot be started under the full profile: [Errno 1] Operation not permitted" in text

    def test_the_command_takes_too_long(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *BASE, "clock_nanosleep")
        text = refused("-p", profile, "--timeout", "0.5", "--", "sleep", "30")
        assert "did not end within 0.5 s under the full profile" in text

    def test_nowhere_to_write(self, profile: Path, tmp_path: Path) -> None:
        precious = tmp_path / "precious"
        precious.write_text("precious")
        assert "it is not replaced" in refused("-p", profile, "-o", precious, "--", "true")
        assert "both -o and --write" in refused("-p", profile, "-o", precious, "--write", "--", "true")
        link = tmp_path / "link.json"
        link.symlink_to(profile)
        assert "is a symbolic link" in refused("-p", link, "--write", "--", "true")

    def test_a_call_to_keep_that_is_not_there(self, profile: Path) -> None:
        assert "--keep mount: the profile does not allow it" in refused(
            "-p", profile, "--keep", "mount", "--", "true"
        )


def test_as_an_ordinary_user(tmp_path: Path) -> None:
    # The user may have no right to read this Python, so it is not started anew.
    seen = record(tmp_path, "true")
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if parent != Path("/tmp"):
            parent.chmod(parent.stat().st_mode | 0o011)
    program = (
        f"import os, sys; sys.path.insert(0, {str(SOURCES)!r})\n"
        "import encodings.idna, hashlib, selectors, subprocess, tempfile\n"
        "from seclude.cli import main\n"
        f"sys.argv = ['seclude', 'minimize', '--json', '-p', {str(seen.profile)!r}, '--', 'true']\n"
        "assert main() == 0\n"
        "os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main())"
    )
    done = run(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert "execve" in json.loads(line)["required"]


def test_the_command_is_documented() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "minimize.md").read_text()
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert f"`{option}" in text, option
