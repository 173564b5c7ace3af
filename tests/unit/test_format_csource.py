"""C for libseccomp: it compiles without a warning, and the filter that it loads does what the profile says."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from seclude.errors import ProfileError
from seclude.formats.csource import CFormat
from seclude.model.profile import Argument, Profile, Rule

from .format_samples import ALLOW, ERRNO, KILL, LOG, SAMPLE, SETTINGS, arguments, profiles

GOLD = Path(__file__).parents[1] / "gold"
COMPILER = shutil.which("cc")
HEADER = Path("/usr/include/seccomp.h").exists()
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-std=c11", "-D_POSIX_C_SOURCE=200809L"]

needs_compiler = pytest.mark.skipif(
    not (COMPILER and HEADER), reason="a C compiler and the headers of libseccomp are not installed"
)


def test_gold():
    written = CFormat(SETTINGS).written(SAMPLE)
    assert written.text == (GOLD / "export-c.c").read_text()
    assert written.losses == ()


@needs_compiler
@given(
    profiles(
        [ALLOW, ERRNO, KILL, LOG, "SCMP_ACT_TRAP", "SCMP_ACT_TRACE"], arguments(), [ALLOW, ERRNO, KILL, LOG]
    )
)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_compiles_without_a_warning(tmp_path, profile):
    source = tmp_path / "filter.c"
    source.write_text(CFormat(SETTINGS).dumps(profile))
    subprocess.run(
        [COMPILER, *WARNINGS, "-fsyntax-only", source], check=True, capture_output=True, timeout=60
    )


@needs_compiler
def test_the_filter_is_in_force(tmp_path):
    calls = (
        "access arch_prctl brk close execve exit_group fstat getrandom mmap mprotect munmap newfstatat openat pread64 "
        "prlimit64 read rseq set_robust_list set_tid_address write rt_sigaction rt_sigprocmask rt_sigreturn futex "
        "ioctl lseek fcntl readlink getcwd getpid getppid getuid geteuid getgid getegid wait4 clone vfork"
    ).split()
    equal = Argument(index=0, value=0x1000, op="SCMP_CMP_EQ")
    profile = Profile(
        default_action=ERRNO,
        default_errno="EPERM",
        rules=(
            Rule(names=tuple(calls), action=ALLOW),
            Rule(names=("mkdir",), action=ERRNO, errno="ENOSYS"),
            Rule(names=("personality",), action=ALLOW, args=(equal,)),
        ),
    )
    source, program = tmp_path / "filter.c", tmp_path / "confine"
    source.write_text(CFormat(SETTINGS).dumps(profile))
    subprocess.run([COMPILER, *WARNINGS, "-o", program, source, "-lseccomp"], check=True, timeout=60)
    there = tmp_path / "there"

    def run(*command):
        return subprocess.run(
            [program, *command],
            capture_output=True,
            text=True,
            timeout=30,
            env={"LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )

    done = run("mkdir", there)
    assert "Function not implemented" in done.stderr and not there.exists(), done
    assert "Operation not permitted" in run("sleep", "0").stderr
    assert run("/bin/true").returncode == 0
    assert (run().returncode, run(tmp_path / "absent").returncode) == (125, 127)


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (Profile(default_action=ERRNO, listener_path="/run/x"), "no listener"),
        (Profile(default_action="SCMP_ACT_NOTIFY"), "no listener"),
        (Profile(default_action=KILL, flags=("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",)), "c/flags"),
        (
            Profile(default_action=KILL, rules=(Rule(names=('read"); system("x',), action=ALLOW),)),
            "is no name",
        ),
    ],
)
def test_what_it_cannot_say(profile, message):
    with pytest.raises(ProfileError, match=message):
        CFormat(SETTINGS).dumps(profile)
