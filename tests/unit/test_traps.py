"""What is known of single calls: it is said where it applies, and nowhere else."""

import errno

import pytest

from seclude import syscalls
from seclude.analyse.traps import FALLBACKS, Refused, danger, fallback_of, traps

NEWUSER = 0x1000_0000


def said(name, number=errno.EPERM, abi="x86_64", **fields):
    return " ".join(traps(Refused(abi=abi, name=name, errno=number, **fields)))


def test_every_call_in_the_tables_exists():
    known = syscalls.all_names()
    assert known >= set(FALLBACKS)
    assert known >= {older for older, _ in FALLBACKS.values()}


@pytest.mark.parametrize("name", ["clone3", "faccessat2", "fchmodat2", "statx", "openat2"])
def test_calls_that_need_enosys(name):
    assert f"EPERM makes it fail: answer with ENOSYS, or allow {name}." in said(name)
    assert f"makes libraries try {fallback_of(name)} in its place" in said(name, errno.ENOSYS)
    assert "makes it fail" not in said(name, errno.ENOSYS)
    assert "any other answer makes it fail" in said(name, 0).replace("Any", "any")


@pytest.mark.parametrize(
    ("name", "older"),
    [
        ("clock_gettime64", "clock_gettime"),
        ("ppoll_time64", "ppoll"),
        ("futex_time64", "futex"),
        ("timerfd_settime64", "timerfd_settime"),
        ("clock_gettime", ""),
        ("read", ""),
        ("stat64", ""),
    ],
)
def test_older_calls(name, older):
    assert fallback_of(name) == older
    if older:
        assert older in syscalls.all_names()
        assert "64-bit times" in said(name, abi="arm")


def test_every_time64_call_has_an_older_one():
    for name in syscalls.names("x86"):
        if "time64" in name:
            assert fallback_of(name) in syscalls.all_names(), name


def test_the_runtime():
    assert "runc 1.2.8 and 1.3.3" in said("openat2", program="runc:[2:INIT]")
    assert "runc 1.2.8 and 1.3.3" in said("statx", program="/usr/sbin/runc")
    assert "runc 1.2.8 and 1.3.3" in said("openat2")
    assert "1.3.3" not in said("openat2", program="curl")
    assert "The OCI runtime itself made it" in said("capset", program="crun")
    assert said("capset", program="sudo") == ""


def test_ending():
    assert "no process ends as it should" in said("exit_group")
    assert "spins at full speed" in said("exit")
    assert "no signal handler can return" in said("rt_sigreturn")
    assert "the kernel does" in said("restart_syscall")


def test_32_bit_calls():
    assert "kills the thread, whatever the call" in said("mkdir", 0, "x86", by_architecture=True)
    assert "32-bit x86 program" in said("mkdir", abi="x86")
    assert said("mkdir") == ""


def test_io_uring_and_the_vdso():
    for name in ("io_uring_setup", "io_uring_enter", "io_uring_register"):
        assert "not checked by seccomp" in said(name)
        assert danger(name)
    for name in ("clock_gettime", "gettimeofday", "time", "getcpu"):
        assert "from the vDSO" in said(name)


def test_personality_that_only_asks():
    assert "only asks for the present value" in said("personality", arguments=(0xFFFF_FFFF,))
    assert "only asks" not in said("personality", arguments=(8,))


def test_danger():
    names = "ptrace bpf mount kexec_load init_module userfaultfd process_vm_writev open_by_handle_at keyctl"
    for name in names.split():
        assert danger(name), name
    assert danger("clone3")
    assert danger("unshare")
    assert danger("unshare", (NEWUSER, 0, 0, 0, 0, 0))
    assert not danger("unshare", (0x200, 0, 0, 0, 0, 0))
    assert danger("clone", (NEWUSER | 17,))
    assert not danger("clone", (17,))
    assert not danger("clone")
    assert not danger("mkdir")


def test_sentences_end_as_sentences():
    for name in syscalls.all_names():
        for sentence in traps(Refused(abi="x86_64", name=name, errno=1)):
            assert sentence[0].isupper() or sentence.startswith("runc"), sentence
            assert sentence.endswith((".", "`")), sentence
