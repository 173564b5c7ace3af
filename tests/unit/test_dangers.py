"""Every call has one category and one danger, and the notorious ones are where everybody expects them."""

import pytest

from seclude import dangers, syscalls
from seclude.dangers import CATEGORIES, TIERS, UNKNOWN, at_least, category_of, danger_of
from seclude.model.configuration import DENIED

TABLES = (dangers._CRITICAL, dangers._HIGH, dangers._MEDIUM)


def test_every_call_has_exactly_one_category():
    listed = [name for names in CATEGORIES.values() for name in names.split()]
    assert len(listed) == len(set(listed))
    assert set(listed) == syscalls.all_names()


def test_every_call_is_judged_at_most_once():
    listed = [name for table in TABLES for names in table.values() for name in names.split()]
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) <= syscalls.all_names()


def test_every_call_has_a_danger_with_a_reason():
    for name in syscalls.all_names():
        danger = danger_of(name)
        assert danger.tier in TIERS
        assert len(danger.reason) > 10
        assert danger.reason[0].islower()
        assert not danger.reason.endswith(".")


@pytest.mark.parametrize(
    ("tier", "names"),
    [
        (
            "critical",
            "ptrace bpf init_module finit_module kexec_load mount setns unshare open_by_handle_at io_uring_setup iopl",
        ),
        ("high", "userfaultfd perf_event_open keyctl reboot syslog personality chroot settimeofday"),
        ("medium", "execve clone clone3 socket connect setuid memfd_create splice mprotect chmod"),
        ("low", "read write openat close mmap futex getpid exit_group rt_sigreturn newfstatat brk"),
    ],
)
def test_notorious_and_harmless_calls(tier, names):
    assert {name: danger_of(name).tier for name in names.split()} == dict.fromkeys(names.split(), tier)


def test_what_the_gate_denies_by_default_is_high_at_least():
    assert [name for name in DENIED.split() if not at_least(danger_of(name).tier, "high")] == []


def test_no_ordinary_program_needs_a_review():
    # What `ls`, a shell, and an HTTP server in Python make.
    ordinary = (
        "read write open openat close stat fstat newfstatat lseek mmap mprotect munmap brk rt_sigaction "
        "rt_sigprocmask rt_sigreturn ioctl pread64 access pipe pipe2 select dup2 getpid socket connect accept4 sendto "
        "recvfrom bind listen setsockopt clone clone3 fork vfork execve exit wait4 kill uname fcntl getcwd chdir "
        "readlink getuid setuid setgid setgroups capset prctl arch_prctl futex set_tid_address exit_group epoll_wait "
        "set_robust_list prlimit64 getrandom rseq statx faccessat2 memfd_create"
    )
    assert [name for name in ordinary.split() if at_least(danger_of(name).tier, "high")] == []


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("openat", "file"),
        ("clone", "process"),
        ("mmap", "memory"),
        ("connect", "network"),
        ("futex", "ipc"),
        ("clock_gettime", "time"),
        ("kill", "signal"),
        ("setuid", "credentials"),
        ("mount", "namespace"),
        ("init_module", "kernel"),
        ("ptrace", "tracing"),
        ("io_uring_enter", "io_uring"),
        ("keyctl", "keys"),
        ("sched_yield", "scheduling"),
        ("uname", "system"),
    ],
)
def test_categories(name, category):
    assert category_of(name) == category


def test_what_is_unknown_wants_a_look():
    assert category_of("no_such_call") == UNKNOWN
    assert danger_of("no_such_call").tier == "high"


def test_tiers_are_ordered():
    assert at_least("critical", "high")
    assert at_least("high", "high")
    assert not at_least("medium", "high")
