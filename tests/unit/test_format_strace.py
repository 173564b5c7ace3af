"""Logs of strace: every form of line, 32-bit processes, and what is no log."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.errors import ProfileError
from seclude.formats.strace import StraceFormat
from seclude.model.environment import Environment
from seclude.model.export import Settings

from .format_samples import ALLOW, ERRNO, HERE

STRACE = shutil.which("strace")


def read(text, machine="x86_64"):
    place = Environment(machine=machine, kernel="6.1", capabilities=())
    return StraceFormat(Settings(environment=place)).loads(text, "log")


def names(text, **options):
    (rule,) = read(text, **options).rules
    return set(rule.names)


def refused(text):
    with pytest.raises(ProfileError) as caught:
        read(text)
    return str(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        'openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3',
        '25933 openat(AT_FDCWD, "x"...) = -1 ENOENT (No such file or directory)',
        "[pid 12] openat(AT_FDCWD, <unfinished ...>",
        "[pid    12] <... openat resumed>) = 3",
        "7 <... openat resumed> <unfinished ...>) = ?",
        "12:30:01 openat(1) = 0",
        "12 12:30:01.123456 openat(1) = 0",
        "1700000000.123456 openat(1) = 0",
        "     0.000123 openat(1) = 0",
        "12      0.000123 [ 257] [00007f0a5c330c47] openat(1) = 0",
        "[ 257] openat(1) = 0",
        "[00007f0a5c330c47] openat(1) = 0",
        'openat(3</dev/null>, "a(b") = 5</x (y)>',
        "openat(1) = 0 (INJECTED)",
        "openat(1strace: Process 25958 attached\n <unfinished ...>",
        "openat(1strace: Process 25958 attached\n, child_tidptr=0x7) = 25958",
        "syscall_0x101(0x1) = 0",
        "openat(1) = 0\ncl",
    ],
)
def test_forms_of_lines(line):
    assert names(line + ("" if line.endswith("cl") else "\n")) == {"openat"}


@pytest.mark.parametrize(
    "line",
    [
        "+++ exited with 0 +++",
        "12 +++ killed by SIGKILL (core dumped) +++",
        "[pid 12] --- SIGCHLD {si_signo=SIGCHLD} ---",
        "12      0.000144 [ 231] [????????????????] +++ exited with 0 +++",
        "strace: Process 3 attached",
        " > /usr/lib/libc.so.6(read+0x10) [0x1ab70]",
        "[pid 4] ???( <unfinished ...>",
        "[pid 4] <... ??? resumed>) = ?",
        "12 +++ superseded by execve in pid 13 +++",
        "",
    ],
)
def test_lines_without_a_call(line):
    assert names(f"{line}\nread(0) = 0\n{line}\n") == {"read"}


def test_what_was_not_called_is_refused():
    profile = read("read(0) = 0\n")
    assert (profile.default_action, profile.outcome, profile.architectures) == (ERRNO, (ERRNO, 1), ())
    assert profile.rules[0].action == ALLOW


def test_processes_in_32_bit_mode():
    text = (
        "1 execve() = 0\n2 execve() = 0\nstrace: [ Process PID=2 runs in 32 bit mode. ]\n"
        "1 syscall_0x1(0) = 0\n2 syscall_0x3(0) = 0\n2 waitpid(1) = 1\n"
    )
    profile = read(text)
    assert profile.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    assert set(profile.rules[0].names) == {"execve", "write", "read", "waitpid"}
    mode, call = "[ Process PID=9 runs in {} bit mode. ]\n", "syscall_0x3(0) = 0\n"
    assert names(f"execve() = 0\n{mode.format(32)}{call}{mode.format(64)}{call}") == {
        "execve",
        "read",
        "close",
    }
    assert read("[ Process PID=9 runs in 32 bit mode. ]\nread() = 0\n", machine="aarch64").architectures == (
        "SCMP_ARCH_AARCH64",
        "SCMP_ARCH_ARM",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no call"),
        ("hello world\n", "line 1, column 1: no line of a log"),
        ("read(0) = 0\nHello, world\nread(0)\n", "line 2, column 1: no line of a log"),
        ("% time     seconds  usecs/call\n", "a summary (strace -c)"),
        ("12 reed(0) = 0\n", "line 1, column 4: no call that we know: 'reed'"),
        ("syscall_0xffff(0) = 0\n", "no call that we know: '#65535'"),
        ("[ Process PID=9 runs in x33 mode. ]\n", "has no x33 mode"),
        ("[ Process PID=9 runs in 31 bit mode. ]\n", "this machine has no 31 bit mode"),
        ("\x1b[31m\n\n", "line 1, column 1"),
    ],
)
def test_errors_say_where(text, message):
    assert message in refused(text)


@given(st.text("read(0) =\n[]pid1<.>resumed+-strace: Process", max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_politely(text):
    try:
        read(text)
    except ProfileError as error:
        assert "log" in str(error)


def test_long_logs_are_read_in_time():
    line = '12345 12:30:01.123456 [ 257] [00007f0a5c330c47] read(0, "' + "a" * 200 + '"..., 4096) = 4096\n'
    assert names(line * 50_000) == {"read"}
    refused("[" + " " * 100_000 + "\n\n")
    refused("1" * 100_000 + "\n\n")


@pytest.mark.skipif(not STRACE, reason="strace is not installed")
@pytest.mark.parametrize(
    "options", [[], ["-f"], ["-f", "-tt"], ["-f", "-r", "-i", "-n"], ["-f", "-y", "-k"], ["-ttt"]]
)
def test_real_logs(options, tmp_path):
    log = tmp_path / "log"
    done = subprocess.run(
        [STRACE, *options, "-o", log, "sh", "-c", "ls / >/dev/null; kill -CHLD $$; true"],
        capture_output=True,
        timeout=60,
    )
    if b"ptrace" in done.stderr or not log.exists():
        pytest.skip(f"strace cannot trace here: {done.stderr.decode(errors='replace')[:200]}")
    found = names(log.read_text(), machine=HERE.machine)
    assert {"execve", "mmap", "exit_group"} <= found
    assert ("getdents64" in found) == ("-f" in options)
