"""Decoded arguments: the right names for each ABI, bounded and printable whatever the bits, and back to numbers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude import syscalls
from seclude.decode import LONGEST, decoded, register_of, signature, value_of
from seclude.decode.constants import KINDS, VARIANTS
from seclude.decode.kinds import SUFFIXES, kind, names
from seclude.decode.signatures import CHOICES, SIGNATURES, WIDE
from seclude.model.recording import ABIS

ALL = 0xFFFF_FFFF_FFFF_FFFF
CWD = ALL - 99
PLAIN = {"fd", "dirfd", "int", "uint", "size", "long", "mode", "ptr", "hex", "num"}


@pytest.mark.parametrize(
    ("abi", "name", "arguments", "line"),
    [
        ("x86_64", "openat", (CWD, 0x7F12, 0x80000, 0, 0, 0), "openat(AT_FDCWD, 0x7f12, O_RDONLY|O_CLOEXEC, 0o0)"),
        ("x86_64", "openat", (0xFFFF_FF9C, 0x7F12, 0x241, 0o644),
         "openat(AT_FDCWD, 0x7f12, O_WRONLY|O_CREAT|O_TRUNC, 0o644)"),
        ("x86_64", "open", (0x10, 0x101002, 0), "open(0x10, O_RDWR|O_SYNC, 0o0)"),
        ("x86_64", "open", (0x10, 0x410002, 0o600), "open(0x10, O_RDWR|O_TMPFILE, 0o600)"),
        ("x86_64", "open", (0x10, 0x8000_0000, 0), "open(0x10, O_RDONLY|0x80000000, 0o0)"),
        ("x86_64", "socket", (2, 0x80001, 6, 1, 2, 3), "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP)"),
        ("x86_64", "socket", (16, 3, 0), "socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)"),
        ("x86_64", "socket", (1, 0x805, 0), "socket(AF_UNIX, SOCK_SEQPACKET|SOCK_NONBLOCK, 0)"),
        ("x86_64", "accept4", (3, 0, 0, 0x80800), "accept4(3, 0, 0, SOCK_CLOEXEC|SOCK_NONBLOCK)"),
        ("x86_64", "clone", (0x4111, 1, 0, 0, 0), "clone(CLONE_VM|CLONE_VFORK|SIGCHLD, 0x1, 0, 0, 0)"),
        ("x86_64", "clone", (0x1_0000_0011, 0, 0, 0, 0), "clone(SIGCHLD, 0, 0, 0, 0)"),
        ("x86_64", "clone3", (0x10, 88, 7), "clone3(0x10, 88)"),
        ("x86_64", "unshare", (0x1002_0000,), "unshare(CLONE_NEWNS|CLONE_NEWUSER)"),
        ("x86_64", "setns", (3, 0x4000_0000), "setns(3, CLONE_NEWNET)"),
        ("x86_64", "prctl", (38, 1, 0, 0, 0, 9), "prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)"),
        ("x86_64", "prctl", (24, 21, 0, 0, 0), "prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0)"),
        ("x86_64", "prctl", (0x7FFF_0001, ALL, 0, 0, 0), "prctl(0x7fff0001, -1, 0, 0, 0)"),
        ("x86_64", "mmap", (0, 4096, 3, 0x22, ALL, 0),
         "mmap(0, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)"),
        ("x86_64", "mprotect", (0x1000, 4096, 0), "mprotect(0x1000, 4096, PROT_NONE)"),
        ("x86_64", "madvise", (0x1000, 4096, 4), "madvise(0x1000, 4096, MADV_DONTNEED)"),
        ("x86_64", "ioctl", (1, 0x5401, 0x7F), "ioctl(1, TCGETS, 0x7f)"),
        ("x86_64", "ioctl", (1, 0xC0DEC0DE, 0), "ioctl(1, 0xc0dec0de, 0)"),
        ("x86_64", "fcntl", (3, 1, 77), "fcntl(3, F_GETFD)"),
        ("x86_64", "fcntl", (3, 2, 1), "fcntl(3, F_SETFD, FD_CLOEXEC)"),
        ("x86_64", "fcntl", (3, 4, 0x802), "fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK)"),
        ("x86_64", "fcntl", (3, 6, 0x7F), "fcntl(3, F_SETLK, 127)"),
        ("x86", "fcntl64", (3, 13, 0xFFFFF), "fcntl64(3, F_SETLK64, 0xfffff)"),
        ("x86_64", "kill", (1, 15), "kill(1, SIGTERM)"),
        ("x86_64", "kill", (ALL, 64), "kill(-1, 64)"),
        ("x86_64", "rt_sigprocmask", (2, 1, 0, 8), "rt_sigprocmask(SIG_SETMASK, 0x1, 0, 8)"),
        ("x86_64", "mount", (1, 2, 3, 0x1001, 0), "mount(0x1, 0x2, 0x3, MS_RDONLY|MS_BIND, 0)"),
        ("x86_64", "personality", (0x40008,), "personality(PER_LINUX32|ADDR_NO_RANDOMIZE)"),
        ("x86_64", "ptrace", (0, 0, 0, 0), "ptrace(PTRACE_TRACEME, 0, 0, 0)"),
        ("x86_64", "ptrace", (12, 5, 0, 0), "ptrace(PTRACE_GETREGS, 5, 0, 0)"),
        ("aarch64", "ptrace", (12, 5, 0, 0), "ptrace(12, 5, 0, 0)"),
        ("x86_64", "bpf", (5, 0x7F, 120), "bpf(BPF_PROG_LOAD, 0x7f, 120)"),
        ("x86_64", "keyctl", (0, ALL - 2, 0, 0, 0), "keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0)"),
        ("x86_64", "setsockopt", (3, 6, 1, 0x7F, 4), "setsockopt(3, IPPROTO_TCP, TCP_NODELAY, 0x7f, 4)"),
        ("x86_64", "setsockopt", (3, 1, 2, 0x7F, 4), "setsockopt(3, SOL_SOCKET, SO_REUSEADDR, 0x7f, 4)"),
        ("x86_64", "futex", (0x7F, 0x80, 2, 0, 0, 0), "futex(0x7f, FUTEX_WAIT|FUTEX_PRIVATE_FLAG, 2, 0, 0, 0)"),
        ("x86_64", "epoll_ctl", (4, 1, 5, 0x7F), "epoll_ctl(4, EPOLL_CTL_ADD, 5, 0x7f)"),
        ("x86_64", "arch_prctl", (0x1002, 0x7F), "arch_prctl(ARCH_SET_FS, 0x7f)"),
        ("x86_64", "seccomp", (1, 2, 0x7F), "seccomp(SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_LOG, 0x7f)"),
        ("x86_64", "pipe2", (0x7F, 0x80800), "pipe2(0x7f, O_CLOEXEC|O_NONBLOCK)"),
        ("x86_64", "eventfd2", (0, 0x80800), "eventfd2(0, EFD_CLOEXEC|EFD_NONBLOCK)"),
        ("x86_64", "renameat2", (CWD, 1, CWD, 2, 1), "renameat2(AT_FDCWD, 0x1, AT_FDCWD, 0x2, RENAME_NOREPLACE)"),
        ("x86_64", "statx", (CWD, 1, 0x100, 0xFFF, 2),
         "statx(AT_FDCWD, 0x1, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS|STATX_BTIME, 0x2)"),
        ("x86_64", "access", (1, 0), "access(0x1, F_OK)"),
        ("x86_64", "faccessat2", (CWD, 1, 5, 0x200), "faccessat2(AT_FDCWD, 0x1, X_OK|R_OK, AT_EACCESS)"),
        ("x86_64", "fchmodat2", (CWD, 1, 0o4755, 0x1000), "fchmodat2(AT_FDCWD, 0x1, 0o4755, AT_EMPTY_PATH)"),
        ("x86_64", "wait4", (ALL, 0, 1, 0), "wait4(-1, 0, WNOHANG, 0)"),
        ("x86_64", "clock_gettime", (1, 0x7F), "clock_gettime(CLOCK_MONOTONIC, 0x7f)"),
        ("x86_64", "prlimit64", (0, 7, 0, 1), "prlimit64(0, RLIMIT_NOFILE, 0, 0x1)"),
        ("x86_64", "memfd_create", (1, 3), "memfd_create(0x1, MFD_CLOEXEC|MFD_ALLOW_SEALING)"),
        ("x86_64", "io_uring_enter", (3, 1, 1, 1, 0, 8), "io_uring_enter(3, 1, 1, IORING_ENTER_GETEVENTS, 0, 8)"),
        ("x86_64", "reboot", (0xFEE1DEAD, 672274793, 0x4321FEDC, 0),
         "reboot(LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0)"),
        ("x86_64", "syslog", (3, 1, 9), "syslog(SYSLOG_ACTION_READ_ALL, 0x1, 9)"),
        ("x86_64", "getpid", (1, 2, 3, 4, 5, 6), "getpid()"),
        ("x86_64", "lseek", (3, ALL - 9, 2), "lseek(3, -10, SEEK_END)"),
        ("x86_64", "write", (2, 0x7F, ALL), "write(2, 0x7f, 0xffffffffffffffff)"),
        # 32-bit x86: registers have 32 bits, 64-bit arguments take two, old calls pass a block.
        ("x86", "open", (1, 0x8241, 0o600), "open(0x1, O_WRONLY|O_CREAT|O_TRUNC|O_LARGEFILE, 0o600)"),
        ("x86", "socketcall", (1, 0xFF00), "socketcall(SYS_SOCKET, 0xff00)"),
        ("x86", "ipc", (2, 1, 2, 3, 4, 5), "ipc(SEMGET, 1, 2, 3, 0x4, 5)"),
        ("x86", "mmap", (0xFF00, 1), "mmap(0xff00)"),
        ("x86", "mmap2", (0, 8192, 1, 2, 3, 4), "mmap2(0, 8192, PROT_READ, MAP_PRIVATE, 3, 4)"),
        ("x86", "ftruncate64", (3, 16, 1), "ftruncate64(3, 0x10, 0x1)"),
        ("arm", "pread64", (3, 1, 2, 9, 4, 5), "pread64(3, 0x1, 2, 0x9, 0x4, 0x5)"),
        ("x86", "brk", (0x1_0000_0010,), "brk(0x10)"),
        # What differs on arm (arch/arm64/include/uapi/asm/fcntl.h)
        ("aarch64", "openat", (CWD, 1, 0x4000, 0), "openat(AT_FDCWD, 0x1, O_RDONLY|O_DIRECTORY, 0o0)"),
        ("aarch64", "openat", (CWD, 1, 0x10000, 0), "openat(AT_FDCWD, 0x1, O_RDONLY|O_DIRECT, 0o0)"),
        ("aarch64", "openat", (CWD, 1, 0x28000, 0), "openat(AT_FDCWD, 0x1, O_RDONLY|O_LARGEFILE|O_NOFOLLOW, 0o0)"),
        # What is in no table
        ("x86_64", "#575", (1, 0, ALL, 0, 0, 0), "#575(0x1, 0x0, 0xffffffffffffffff)"),
        ("riscv64", "open", (1,), "open(0x1)"),
        ("x86_64", "\x1b[31m\u202e", (), "??31m?()"),
        ("x86_64", "kill", (1,), "kill(1)"),
        ("x86_64", "kill", (-1, 1 << 70), "kill(-1, 0)"),
    ],
)  # fmt: skip
def test_decoded(abi, name, arguments, line):
    assert decoded(abi, name, arguments) == line


NAMES = [*sorted(syscalls.all_names()), "", "#1", "x" * 1000, "\n", "é"]


@given(
    st.sampled_from([*ABIS, "", "riscv64"]),
    st.sampled_from(NAMES),
    st.lists(st.integers(0, ALL) | st.sampled_from([ALL, 0, 1 << 31, 1 << 63]), max_size=8),
)
def test_any_bits_give_a_bounded_printable_line(abi, name, arguments):
    line = decoded(abi, name, arguments)
    assert len(line) <= LONGEST
    assert line.isprintable()
    assert line.isascii()


def test_every_bit_of_every_call():
    for abi in ABIS:
        for name in syscalls.names(abi):
            line = decoded(abi, name, (ALL,) * 6)
            assert len(line) <= LONGEST
            assert line.isprintable()


def test_the_tables_know_nearly_every_call():
    unknown = {abi: {name for name in syscalls.names(abi) if signature(abi, name) is None} for abi in ABIS}
    assert unknown["aarch64"] == set()
    # These were never implemented, or are gone (man 2 unimplemented).
    gone = set(
        "afs_syscall break epoll_ctl_old epoll_wait_old ftime getpmsg gtty lock mpx prof profil putpmsg security stty "
        "tuxcall ulimit vserver".split()
    )
    assert set().union(*unknown.values()) <= gone


def test_every_word_and_every_choice_means_something():
    called = set()
    for line in SIGNATURES.strip().split("\n"):
        name, *words = line.split()
        assert name not in called
        called.add(name)
        assert len(words) <= 6
        assert set(words) <= PLAIN | set(KINDS), line
        assert name.partition("@")[0] in syscalls.all_names()
    for line in CHOICES.strip().split("\n"):
        if " = " in line:
            continue
        chosen, _, words = line.partition(":")
        name, index, *constants = chosen.split()
        base = signature("x86_64", name)
        assert base[int(index)] == words.split()[int(index)]
        assert set(constants) <= set(names("x86_64", base[int(index)])), line
        assert set(words.split()) <= PLAIN | set(KINDS)
    assert PLAIN | set(KINDS) >= WIDE
    assert {key.partition("@")[0] for key in VARIANTS} <= set(KINDS)


def test_constants_fit_their_bits():
    for abi in SUFFIXES:
        for word in KINDS:
            of = kind(abi, word)
            for _, bits in of.flags:
                assert bits
                assert not bits & of.mask, (abi, word)
            assert all(value & ~of.mask == 0 for value in of.numbers), (abi, word)


@pytest.mark.parametrize(
    ("name", "index", "text", "abi", "value"),
    [
        ("openat", 2, "O_RDWR|O_CLOEXEC", "x86_64", 0x80002),
        ("openat", 2, " O_RDWR | 0x80000 ", "x86_64", 0x80002),
        ("openat", 2, "O_DIRECTORY", "x86_64", 0x10000),
        ("openat", 2, "O_DIRECTORY", "aarch64", 0x4000),
        ("openat", 0, "AT_FDCWD", "x86_64", 0xFFFF_FF9C),
        ("openat", 3, "0644", "x86_64", 0o644),
        ("openat", 3, "0o644", "x86_64", 0o644),
        ("mmap", 4, "-1", "x86_64", 0xFFFF_FFFF),
        ("lseek", 1, "-1", "x86_64", ALL),
        ("lseek", 1, "-1", "x86", 0xFFFF_FFFF),
        ("clone", 0, "CLONE_NEWUSER|SIGCHLD", "x86_64", 0x1000_0011),
        ("setsockopt", 2, "TCP_NODELAY", "x86_64", 1),
        ("fcntl", 2, "FD_CLOEXEC", "x86_64", 1),
        ("socket", 0, "AF_INET6", "x86_64", 10),
        ("mprotect", 2, "PROT_NONE", "x86_64", 0),
        ("personality", 0, "0xffffffff", "x86_64", 0xFFFF_FFFF),
    ],
)
def test_value_of(name, index, text, abi, value):
    assert value_of(name, index, text, abi) == value


@pytest.mark.parametrize(
    ("name", "index", "text", "message"),
    [
        ("openat", 2, "O_RDWT",
         "'O_RDWT' is neither a number nor a name for argument 2 of openat: did you mean O_RDWR"),
        ("openat", 2, "O_RDWR|", "'' is neither"),
        ("openat", 2, "", "'' is neither"),
        ("openat", 2, "o_cloexec", "did you mean O_CLOEXEC"),
        ("read", 0, "x", "'x' is neither a number nor a name for argument 0 of read, which has no names"),
        ("epoll_ctl", 1, "zz", "it takes EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD"),
        ("madvise", 2, "zz", "MADV_NORMAL, .*, \\.\\.\\."),
        ("kill", 1, "99999999999", "99999999999 is out of range for argument 1 of kill: 0xffffffff is the largest"),
        ("kill", 1, "9" * 5000, "is neither a number"),
        ("kill", 1, "0x", "is neither a number"),
        ("kill", 1, "²", "is neither a number"),
        ("kill", 2, "1", "kill has 2 arguments, numbered from 0: no argument 2"),
        ("kill", -1, "1", "no argument -1"),
        ("frobnicate", 0, "1", "the arguments of frobnicate on x86_64 are not known"),
    ],
)  # fmt: skip
def test_what_is_no_value(name, index, text, message):
    with pytest.raises(ValueError, match=message):
        value_of(name, index, text, "x86_64")


@given(st.sampled_from(ABIS), st.integers(0, 0xFFFF_FFFF))
def test_back_and_forth(abi, flags):
    shown = decoded(abi, "openat", (0, 0, flags, 0)).split(", ")[2]
    assert value_of("openat", 2, shown, abi) == flags


def test_the_width_of_registers():
    assert register_of("x86") == register_of("arm") == 0xFFFF_FFFF
    assert register_of("x86_64") == register_of("x32") == register_of("aarch64") == ALL
