"""The constants that arguments are decoded with, against what a C compiler makes of this machine's headers."""

import os
import re
import shutil
import subprocess

import pytest

from seclude.decode.constants import KINDS
from seclude.decode.kinds import kind

# linux/fcntl.h first: glibc's fcntl.h has other values for O_LARGEFILE and F_GETLK64.
HEADERS = """
linux/fcntl.h
asm/fcntl.h
sys/types.h sys/stat.h unistd.h
signal.h
sched.h
linux/sched.h
sys/wait.h
sys/resource.h
sys/time.h time.h
linux/time.h
sys/mman.h
asm/mman.h
sys/file.h
sys/socket.h
linux/in.h
netinet/in.h
netinet/tcp.h
netinet/ip.h
linux/if_packet.h
sys/socket.h linux/vm_sockets.h
sys/ioctl.h
sys/ipc.h
sys/sem.h
sys/msg.h
sys/shm.h
linux/ipc.h
sys/epoll.h
sys/eventfd.h
sys/inotify.h
sys/signalfd.h
sys/timerfd.h
sys/fanotify.h
sys/xattr.h
sys/swap.h
sys/random.h
sys/mount.h
linux/personality.h
linux/stat.h
linux/falloc.h
linux/fadvise.h
linux/fs.h
linux/mempolicy.h
linux/membarrier.h
linux/futex.h
linux/netlink.h
linux/bpf.h
linux/keyctl.h
linux/seccomp.h
asm/prctl.h
linux/prctl.h
linux/capability.h
linux/perf_event.h
linux/pidfd.h
linux/kcmp.h
linux/kexec.h
linux/module.h
linux/reboot.h
linux/io_uring.h
linux/landlock.h
linux/net.h
fcntl.h linux/mount.h
linux/close_range.h
linux/ptrace.h
asm/ptrace-abi.h
linux/sockios.h
linux/loop.h
linux/nsfs.h
linux/kvm.h
linux/random.h
linux/rseq.h
linux/ioprio.h
sys/ioctl.h linux/seccomp.h
sys/ioctl.h linux/types.h asm/termbits.h
linux/types.h asm/termbits.h asm/ioctls.h
sys/ioctl.h linux/fs.h linux/fiemap.h
sys/ioctl.h linux/if_tun.h
sys/ioctl.h linux/userfaultfd.h
"""

# Kinds that a filter is most often about: all of these must be in the headers.
CERTAIN = (
    "open",
    "clone",
    "prot",
    "domain",
    "sock",
    "signal",
    "mount",
    "namespaces",
    "capability",
    "at",
    "access",
)

NATIVE = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(os.uname().machine, "")
COMPILER = shutil.which("gcc") or shutil.which("cc")

pytestmark = [
    pytest.mark.skipif(not NATIVE, reason=f"no constants for {os.uname().machine}"),
    pytest.mark.skipif(not COMPILER, reason="no C compiler"),
]


def constants(abi):
    """Name -> value over all kinds; a name has one value."""
    found = {}
    for word in KINDS:
        for name, value in kind(abi, word).names().items():
            assert found.setdefault(name, value) == value, name
    return found


def compiler(text, *options):
    """What the compiler says to a C file, with its messages in English."""
    return subprocess.run(
        [COMPILER, "-w", "-fmax-errors=0", *options, "-x", "c", "-"],
        input=text,
        capture_output=True,
        text=True,
        env=os.environ | {"LC_ALL": "C"},
    )


def compared(headers, wanted, options):
    """(names whose value these headers have, names that have another one there), without running anything."""
    start = ["#define _GNU_SOURCE", *(f"#include <{header}>" for header in headers.split())]
    # For a name that is not declared gcc looks for a similar one, which takes its time.
    words = set(re.findall(r"\w+", compiler("\n".join(start) + "\n", "-E", "-dD", *options).stdout))
    names = [name for name in wanted if name in words]
    checks = [f'_Static_assert((unsigned)({name}) == {wanted[name]:#x}u, "");' for name in names]
    done = compiler("\n".join([*start, *checks]) + "\n", "-fsyntax-only", *options)
    if "fatal error" in done.stderr:
        return set(), set()
    wrong, unknown = set(), set()
    for line, message in re.findall(r"^<stdin>:(\d+):\d+: error: (.*)", done.stderr, re.M):
        if int(line) > len(start):
            kept = wrong if "static assertion failed" in message else unknown
            kept.add(names[int(line) - len(start) - 1])
    return set(names) - unknown - wrong, wrong - unknown


def check(abi, options):
    left, wrong = constants(abi), {}
    total = len(left)
    for headers in HEADERS.strip().split("\n"):
        same, others = compared(headers, left, options)
        wrong |= {name: (headers, hex(left[name])) for name in others}
        left = {name: value for name, value in left.items() if name not in same | others}
    assert wrong == {}
    assert len(left) < total / 10, sorted(left)
    assert set(left) & {name for word in CERTAIN for name in kind(abi, word).names()} == set()


def test_constants_of_this_machine():
    check(NATIVE, ())


@pytest.mark.skipif(NATIVE != "x86_64", reason="32-bit x86 is compiled for on x86_64")
def test_constants_of_32_bit_x86():
    if compiler("#include <unistd.h>\n", "-m32", "-fsyntax-only").returncode:
        pytest.skip("the headers of 32-bit x86 are not installed (gcc-multilib)")
    check("x86", ("-m32",))
