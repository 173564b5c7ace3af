"""Seccomp user notification: a filter that asks about calls goes into a process, its listener comes out of it.

A process that waits for an answer does nothing else, so the listener has to leave it by a call about which it is not
asked: the filter lets one sendmsg through, told by its descriptor, the address of its message and its flags.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct

from ..errors import TraceError
from ..model.environment import NATIVE_ABIS
from ..syscalls import number_of

# include/uapi/linux/seccomp.h
_SET_MODE_FILTER, _GET_ACTION_AVAILABLE = 1, 2
_FLAG_NEW_LISTENER, _FLAG_WAIT_KILLABLE = 1 << 3, 1 << 5
RET_ACTION, RET_USER_NOTIFICATION, _RET_ALLOW = 0xFFFF0000, 0x7FC00000, 0x7FFF0000
RECEIVE, ANSWER, STILL_WAITS, SET_FLAGS = 0xC0502100, 0xC0182101, 0x40082102, 0x40082104
_WAKE_ON_THIS_CPU = 1
CONTINUE = 1

NOTIFICATION = struct.Struct("=QIIiIQ6Q")
"""struct seccomp_notif: id, thread, flags, then seccomp_data: number, architecture, address, six arguments."""
ANSWERED = struct.Struct("=QqiI")
"""struct seccomp_notif_resp: id, value, error, flags."""

AUDIT_ABIS = {0xC000003E: "x86_64", 0x40000003: "x86", 0xC00000B7: "aarch64", 0x40000028: "arm"}
"""seccomp_data.arch (include/uapi/linux/audit.h) -> ABI; x32 is x86_64's with a bit in the number."""
X32_BIT = 0x40000000

_OLDEST = (5, 5)
"""The first Linux that lets a call go on after the question (SECCOMP_USER_NOTIF_FLAG_CONTINUE, fb3c5386b382)."""

_PR_SET_NO_NEW_PRIVILEGES = 38
_LOAD, _UNLESS_EQUAL, _RETURN = 0x20, 0x15, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_RET|K
_INSTRUCTION = struct.Struct("=HBBI")
_EVERYTHING = _INSTRUCTION.pack(_RETURN, 0, 0, RET_USER_NOTIFICATION)
PREFIX_LENGTH = 13
"""Instructions that let the one sendmsg through, before those that ask."""
_SENDMSG_FLAGS = socket.MSG_NOSIGNAL | socket.MSG_EOR | socket.MSG_CONFIRM


def unusable(system: os.uname_result | None = None) -> str:
    """Why calls cannot be asked about here, or the empty string."""
    system = system or os.uname()
    numbers = [int(part) if part.isdigit() else 0 for part in system.release.split("-")[0].split(".")[:2]]
    if tuple(numbers) < _OLDEST:
        return f"Linux {system.release} cannot let calls go on after a notification; it takes 5.5"
    abi = NATIVE_ABIS.get(system.machine, "")
    if not abi:
        return f"no table of system calls for {system.machine}"
    action = ctypes.c_uint32(RET_USER_NOTIFICATION)
    if _syscall(number_of(abi, "seccomp") or 0, _GET_ACTION_AVAILABLE, 0, ctypes.addressof(action)) != 0:
        reason = os.strerror(ctypes.get_errno())
        return f"the kernel has no user notification ({reason}); it needs CONFIG_SECCOMP_FILTER"
    return ""


def wake_on_this_cpu(listener: int) -> bool:
    """Have receiver and caller take turns on one CPU, which is ten times as fast; False before Linux 6.6."""
    return bool(_LIBRARY.ioctl(listener, ctypes.c_ulong(SET_FLAGS), ctypes.c_ulong(_WAKE_ON_THIS_CPU)) == 0)


def fetched(process: int, descriptor: int) -> int:
    """Our copy of a descriptor of another process (pidfd_getfd(2), Linux 5.6); raises OSError."""
    holder = os.pidfd_open(process)
    try:
        number = number_of(NATIVE_ABIS[os.uname().machine], "pidfd_getfd") or 0
        copy = _syscall(number, holder, descriptor, 0)
        if copy < 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        return copy
    finally:
        os.close(holder)


class Handover:
    """Made before a fork: the child calls `install`, the parent gets the child's `listener`."""

    def __init__(self) -> None:
        self._parent, self._child = socket.socketpair()
        self._parent.setblocking(False)

    def close(self) -> None:
        """Give back both ends; the listener that was received stays."""
        self._parent.close()
        self._child.close()

    def listener(self) -> int:
        """The descriptor of the child's listener, -1 while there is none. Raises TraceError if it was not sent."""
        try:
            _, descriptors, _, _ = socket.recv_fds(self._parent, 1, 1)
        except BlockingIOError:
            return -1
        if not descriptors:
            raise TraceError("the child ended before it handed over its listener")
        return descriptors[0]

    def install(self, *, no_new_privileges: bool, questions: bytes = b"") -> None:
        """Have this process and all its descendants asked about from now on; raises TraceError with nothing done.

        `questions`: instructions that say which calls to ask about; all of them, where there are none.
        """
        descriptor = self._child.fileno()
        abi = NATIVE_ABIS[os.uname().machine]
        message = _Message(os.dup(descriptor))
        os.close(message.expected)  # the listener gets the lowest number that is free
        program = _Program(abi, descriptor, message.address, questions or _EVERYTHING)
        flags = _FLAG_NEW_LISTENER | _FLAG_WAIT_KILLABLE
        number = number_of(abi, "seccomp") or 0
        if no_new_privileges:
            _LIBRARY.prctl(_PR_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        listener = _syscall(number, _SET_MODE_FILTER, flags, program.address)
        if listener < 0 and ctypes.get_errno() == errno.EINVAL:
            # Before Linux 5.19 (c2aa2dfef243): signals may interrupt calls that are asked about.
            listener = _syscall(number, _SET_MODE_FILTER, _FLAG_NEW_LISTENER, program.address)
        if listener < 0:
            raise TraceError(_refusal(ctypes.get_errno()))
        # Whatever else is called now waits until the listener has arrived.
        _SEND(descriptor, message.address, _SENDMSG_FLAGS)


def _refusal(number: int) -> str:
    if number == errno.EBUSY:
        return "its calls are asked about by another program already: the kernel allows one listener (EBUSY)"
    if number in (errno.EPERM, errno.EACCES):
        return "the kernel refused the filter (permission denied)"
    return f"the kernel did not take the filter: {os.strerror(number)}"


class _Message:
    """A message of one byte that carries the descriptor `expected`, ready for sendmsg at `address`."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self._byte = ctypes.create_string_buffer(b"l", 1)
        self._part = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(self._byte), 1))
        rights = struct.pack("@Niii4x", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, expected)
        self._rights = ctypes.create_string_buffer(rights, 24)
        header = struct.pack(
            "@PI4xPNPNi4x",
            0,
            0,
            ctypes.addressof(self._part),
            1,
            ctypes.addressof(self._rights),
            len(rights),
            0,
        )
        self._header = ctypes.create_string_buffer(header, len(header))
        self.address = ctypes.addressof(self._header)


class _Program:
    """struct sock_fprog of the filter at `address`."""

    def __init__(self, abi: str, descriptor: int, message: int, questions: bytes) -> None:
        architecture = next(value for value, name in AUDIT_ABIS.items() if name == abi)
        # Offsets in struct seccomp_data; the low half of an argument comes first (both processors are little-endian).
        wanted = (
            (4, architecture),
            (0, number_of(abi, "sendmsg") or 0),
            (16, descriptor),
            (24, message & 0xFFFFFFFF),
            (28, message >> 32),
            (32, _SENDMSG_FLAGS),
        )
        code = []
        for position, (offset, value) in enumerate(wanted):
            code.append((_LOAD, 0, 0, offset))
            code.append((_UNLESS_EQUAL, 0, 2 * (len(wanted) - position - 1) + 1, value))
        code.append((_RETURN, 0, 0, _RET_ALLOW))
        text = b"".join(_INSTRUCTION.pack(*line) for line in code) + questions
        self._code = ctypes.create_string_buffer(text, len(text))
        program = struct.pack("@H6xP", len(text) // _INSTRUCTION.size, ctypes.addressof(self._code))
        self._program = ctypes.create_string_buffer(program, len(program))
        self.address = ctypes.addressof(self._program)


_LIBRARY = ctypes.CDLL(None, use_errno=True)
_SEND = _LIBRARY.sendmsg
_SEND.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)


def _syscall(number: int, operation: int, flags: int, address: int) -> int:
    return int(
        _LIBRARY.syscall(
            ctypes.c_long(number), ctypes.c_ulong(operation), ctypes.c_ulong(flags), ctypes.c_void_p(address)
        )
    )
