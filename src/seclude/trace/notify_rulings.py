"""What a profile says of a call that is asked about: its compiled filter and the notification in, the answer out.

The filter is run here on what the kernel would have run it on, so conditions, architectures and the order of rules are
what they are under the profile itself.
"""

from __future__ import annotations

import errno
import struct

from ..errors import TraceError
from ..formats.bpf import LARGEST_FILTER, Machine, Program
from ..formats.bpf.program import RETURN
from ..model.denial import ALLOWED
from ..model.frozen import frozen
from .seccomp_notify import ANSWERED, CONTINUE, PREFIX_LENGTH, RET_ACTION, RET_USER_NOTIFICATION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import SupportsIndex

_WORDS = struct.Struct("=16I")
_DATA = 16
"""Where struct seccomp_data begins in a notification."""

# include/uapi/linux/seccomp.h: ERRNO, TRACE, LOG, ALLOW. What kills or sends a signal outranks a question, and nobody
# but the kernel can do it as the kernel does.
_ASKED = (0x0005_0000, 0x7FF0_0000, 0x7FFC_0000, 0x7FFF_0000)
_PERMITTED = (ALLOWED, "SCMP_ACT_LOG")


def _answer(error: int, flags: int = 0) -> bytes:
    return ANSWERED.pack(0, 0, -error, flags)[8:]


GO_ON = _answer(0, CONTINUE)
"""struct seccomp_notif_resp behind its id: the call is made."""

AT_A_LOSS = _answer(errno.ENOSYS)
"""The same where it is not known whether the profile permits the call: as if nobody had answered."""


@frozen
class Ruling:
    """`action` and `data` (an errno, or 0) as in a Denial, and the `answer` (16 bytes) that has the same effect.

    `constant`: it is the same for all arguments.
    """

    action: str
    data: int
    answer: bytes
    constant: bool

    @property
    def permits(self) -> bool:
        """Whether the call is made."""
        return self.action in _PERMITTED


@frozen
class Judgement:
    """What calls are judged by: the compiled profile.

    `newest`: ABI -> the number beyond which the runtime answers ENOSYS before the profile is asked; `exempt`: calls
    that the runtime makes only because it is asked about, which pass until the application's exec.
    """

    program: Program
    newest: Mapping[str, int] = {}
    exempt: frozenset[str] = frozenset()


def questions(program: Program) -> bytes:
    """The instructions of a program that asks where the given one permits, logs or answers with an errno.

    Raises TraceError where it is too long to be loaded by seccomp_notify.Handover.
    """
    if len(program) + PREFIX_LENGTH > LARGEST_FILTER:
        raise TraceError(
            f"the profile is a filter of {len(program)} instructions, of which notify takes "
            f"{LARGEST_FILTER - PREFIX_LENGTH}",
            hint="verify it as root with eBPF, or make it smaller: fewer conditions, fewer architectures",
        )
    return Program(
        instructions=tuple(
            (code, jt, jf, RET_USER_NOTIFICATION)
            if code == RETURN and k & RET_ACTION in _ASKED
            else (code, jt, jf, k)
            for code, jt, jf, k in program.instructions
        )
    ).encode()


class Rulings:
    """Judges notifications; what depends on number and architecture alone is worked out once."""

    def __init__(self, judgement: Judgement) -> None:
        self._machine = Machine(judgement.program)
        self._newest = judgement.newest
        self._constant: dict[bytes, Ruling | None] = {}

    def of(self, notification: memoryview, abi: str, number: int) -> Ruling:
        """What happens to the call in a notification; `abi` and `number` are those of the call."""
        call = bytes(notification[_DATA : _DATA + 8])
        if call not in self._constant:
            self._constant[call] = self._without_arguments(notification, abi, number)
        known = self._constant[call]
        if known is not None:
            return known
        return _ruling(*self._machine(_WORDS.unpack_from(notification, _DATA)), constant=False)

    def _without_arguments(self, notification: memoryview, abi: str, number: int) -> Ruling | None:
        """None where it depends on more."""
        if number > self._newest.get(abi, number):
            return _ruling("SCMP_ACT_ERRNO", errno.ENOSYS, constant=True)
        try:
            answer = self._machine(_Bare(_WORDS.unpack_from(notification, _DATA)))
        except _AskedForMore:
            return None
        return _ruling(*answer, constant=True)


class _AskedForMore(Exception):
    """The filter looked at more than number and architecture."""


class _Bare(tuple[int, ...]):
    """struct seccomp_data of which only number and architecture can be looked at."""

    def __getitem__(self, index: SupportsIndex) -> int:  # type: ignore[override]
        if index.__index__() > 1:
            raise _AskedForMore
        return super().__getitem__(index)


def _ruling(action: str, data: int, *, constant: bool) -> Ruling:
    if action in _PERMITTED:
        answer = GO_ON
    elif action == "SCMP_ACT_ERRNO":
        answer = _answer(data)
    else:
        answer = AT_A_LOSS  # TRACE without a tracer is ENOSYS too; the others are not asked about
    return Ruling(action=action, data=data, answer=answer, constant=constant)
