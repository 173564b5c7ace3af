"""Children under filters: a profile or a program in, what their real calls returned out."""

from __future__ import annotations

import ctypes
import faulthandler
import mmap
import os
import signal
import traceback

from seclude.formats import libseccomp
from seclude.model.profile import Rule
from seclude.syscalls import names, number_of

ALLOW, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
MACHINE, KERNEL = os.uname().machine, os.uname().release
ABI = {"x86_64": "x86_64", "aarch64": "aarch64"}.get(MACHINE, "")
LIBC = ctypes.CDLL(None, use_errno=True)

LONGEST = 60
"""Seconds after which a child is killed."""

_SET_NO_NEW_PRIVILEGES, _SET_MODE_FILTER = 38, 1  # linux/prctl.h, linux/seccomp.h


def raw(number, *arguments):
    """0 if the call is made, else its errno."""
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *(ctypes.c_ulong(value) for value in arguments))
    return ctypes.get_errno() if result == -1 else 0


def outcome(name, *arguments):
    """0 if the call is made, else its errno; getppid and its like take no arguments and cannot fail."""
    return raw(number_of(ABI, name), *arguments)


def in_child(work):
    """(what `work` returns, a string; the wait status) of a forked child."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        # Under a filter that refuses everything a handler of SIGSEGV would never come to an end.
        faulthandler.disable()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST)
        try:
            os.close(reader)
            os.write(writer, work().encode())
            code = 0
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    return text, os.waitpid(pid, 0)[1]


def build(profile, **fields):
    return libseccomp.build(
        profile,
        capabilities=fields.get("capabilities", ()),
        machine=fields.get("machine", MACHINE),
        kernel=fields.get("kernel", KERNEL),
    )


def under(profile, work, **fields):
    """What `work` returns in a child under `profile`, whose exit must be clean."""

    def child():
        with build(profile, **fields) as filter_:
            filter_.load(no_new_privileges=True)
        return work()

    text, status = in_child(child)
    assert status == 0, f"status {status:#x}"
    return text


def install(program):
    """The errno (0: installed) of putting this thread under a program in the kernel's form, for good."""
    LIBC.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    instructions = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a count, and after the padding a pointer.
    description = len(program) // 8 & 0xFFFF, ctypes.addressof(instructions)
    block = ctypes.create_string_buffer(b"".join(value.to_bytes(8, "little") for value in description))
    return raw(number_of(ABI, "seccomp"), _SET_MODE_FILTER, 0, ctypes.addressof(block))


def under_program(program, work):
    """What `work` returns in a child under a program, whose exit must be clean."""

    def child():
        error = install(program)
        assert error == 0, os.strerror(error)
        return work()

    text, status = in_child(child)
    assert status == 0, f"status {status:#x}"
    return text


def everything_but(*left_out):
    return Rule(names=tuple(sorted(names(ABI) - set(left_out))), action=ALLOW)


def int80(number, first=0, second=0):
    """What a 32-bit call with two arguments returns in this 64-bit process."""
    # push rbx; mov eax, edi; mov ebx, esi; mov ecx, edx; int 0x80; pop rbx; ret
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(b"\x53\x89\xf8\x89\xf3\x89\xd1\xcd\x80\x5b\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_uint, ctypes.c_uint)
    return function(address)(number, first, second)
