"""The process that answers notifications: a listener in, each new call written down, and every call let go on.

Where it is told a profile, it refuses what that refuses, and writes down who was refused what. The way of a call that
is known is two system calls and two look-ups, because a whole process waits for it meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import select
import signal

from .. import syscalls
from ..marking import MARK
from ..model.denial import ALLOWED, OTHER_NUMBER
from ..model.frozen import frozen
from ..model.recording import ABIS, OVERFLOW, PHASES
from . import layout
from . import notify_page as page_of
from .notify_contexts import Contexts
from .notify_denials import KeptDenials, Refused
from .notify_facts import NAME_BYTES, KeptCalls, process_of
from .notify_page import Journal, Page
from .notify_rulings import AT_A_LOSS, GO_ON, Judgement, Rulings
from .seccomp_notify import ANSWER, ANSWERED, AUDIT_ABIS, NOTIFICATION, RECEIVE, STILL_WAITS, X32_BIT
from .text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .notify_denials import Stacks
    from .notify_rulings import Ruling

CONTEXTS = 16384  # bpf/recorder.h, TARGET_CONTEXTS

_ZEROS = bytes(NOTIFICATION.size)
_RUNTIME, _APP = PHASES.index("runtime"), PHASES.index("app")
_PASSING = (errno.EINTR, errno.ENOENT)
"""Our own alarm, and whoever asked was killed meanwhile."""
_LOOK = 0.2
"""Seconds after which a receiver looks whether anybody is left to ask: before Linux 6.11 it is not told."""


@frozen
class Order:
    """What a receiver shall record: from the entrypoint's exec on or from the first call, with counts, with the values
    of some arguments (call name -> indices); `started` in ns since boot.

    `judgement`: what it shall refuse, None to let every call go on; `stacks`: how to read those of who was refused.
    """

    from_exec: bool
    counts: bool
    arguments: Mapping[str, Sequence[int]]
    started: int
    judgement: Judgement | None = None
    stacks: Stacks | None = None


def serve(listener: int, page: Page, journal: Journal, order: Order) -> None:
    """Answer until nobody is left to ask. It is a process of its own, with no other descriptors than these."""
    gc.disable()
    signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, _LOOK, _LOOK)
    receiver = _Receiver(page, journal, order, listener)
    notification, answer, counts = page.notification, page.answer, page.counts
    counted, ioctl = order.counts, fcntl.ioctl
    threads, look = receiver.threads, receiver.look
    if notification[:8] != _ZEROS[:8]:
        # Another receiver was killed over this one; the kernel does not hand it out again.
        journal.begin()
        _answer(listener, page, look())
    while True:
        notification[: NOTIFICATION.size] = _ZEROS
        try:
            ioctl(listener, RECEIVE, notification)
        except OSError as error:
            if _nobody_left(listener):
                return
            if error.errno not in _PASSING:
                raise
            continue
        known = threads.get(notification[8:12], receiver.others)
        entry = known.get(notification[16:24])
        if entry is None:
            _answer(listener, page, look())
            continue
        if counted:
            counts[entry] += 1
        answer[:8] = notification[:8]
        try:
            ioctl(listener, ANSWER, answer)
        except OSError as error:
            if error.errno == errno.EINTR:
                _answer(listener, page, GO_ON)
            # ENOENT: whoever asked was killed, or interrupted by a signal and will ask again.


def _answer(listener: int, page: Page, said: bytes) -> None:
    """Answer the call in the page; after that what stands ready to be answered is to go on again."""
    page.answer[:8] = page.notification[:8]
    page.answer[8 : ANSWERED.size] = said
    while True:
        try:
            fcntl.ioctl(listener, ANSWER, page.answer)
        except InterruptedError:
            continue
        except OSError:
            pass
        break
    page.answer[8 : ANSWERED.size] = GO_ON


def _nobody_left(listener: int) -> bool:
    poll = select.poll()
    poll.register(listener, 0)
    return any(event & select.POLLHUP for _, event in poll.poll(0))


class _Receiver:
    """What is known so far. `threads`: thread (4 bytes) -> call (number and architecture, 8 bytes) -> entry, the calls
    that need no more looking at; `others`: the same for threads that are not listed."""

    def __init__(self, page: Page, journal: Journal, order: Order, listener: int) -> None:
        self.threads: dict[bytes, dict[bytes, int]] = {}
        self.others: dict[bytes, int] = {}
        self._page, self._order, self._listener = page, order, listener
        self._words = page.words
        self._contexts = Contexts()
        self._sets: dict[str, dict[bytes, int]] = {"": {}}
        self._kept = KeptCalls(page, journal, order.started)
        self._before, self._executing = b"", 0
        judgement = order.judgement
        self._rulings = None if judgement is None else Rulings(judgement)
        self._exempt = frozenset() if judgement is None else judgement.exempt
        self._denials = KeptDenials(page, journal, self._kept.who, order.stacks)
        if self._words[page_of.APP]:
            self.others = self._sets[""]

    def look(self) -> bytes:
        """What to answer to the call in the page; what is new about it is written down.

        Without a profile it goes on whatever happens here. With one it is refused where it is not known whether that
        permits it.
        """
        self._said = GO_ON if self._rulings is None else AT_A_LOSS
        try:
            self._look()
        except Exception:
            permitted = self._said == GO_ON
            self._words[page_of.LOST_CALLS if permitted else page_of.LOST_DENIALS] += 1
        return self._said

    def _look(self) -> None:
        """Sets what is answered as soon as that is known."""
        raw = self._page.notification
        _, thread, _, number, architecture, pointer, *arguments = NOTIFICATION.unpack_from(raw)
        abi = AUDIT_ABIS.get(architecture, "")
        if not abi:
            raise LookupError(architecture)  # we have no table of it
        if abi == "x86_64" and number & X32_BIT and number >= 0:
            abi, number = "x32", number & ~X32_BIT
        number &= 0xFFFFFFFF
        name = syscalls.name_of(abi, number)
        phase = self._phase(thread, name)
        if phase == _RUNTIME and self._order.from_exec and name not in _EXECS:
            self._said = GO_ON
            return
        ruling = None
        if self._rulings is not None and not (phase == _RUNTIME and name in self._exempt):
            ruling = self._rulings.of(memoryview(raw), abi, number)
        self._said = GO_ON if ruling is None else ruling.answer
        if name == "prctl" and arguments[0] & 0xFFFFFFFF == MARK:
            self._mark(thread, arguments[1])
            return
        context = self._contexts.of(thread)
        if ruling is not None and ruling.action != ALLOWED:
            slot = layout.slot_of_number(ABIS.index(abi), number)
            refused = Refused(
                abi=abi,
                number=number if slot < _SLOTS else OTHER_NUMBER,
                context=context,
                thread=thread,
                pointer=pointer,
                arguments=arguments,
            )
            self._denials.add(refused, ruling)
            if not ruling.permits:
                return
        index = self._kept.entry(phase, abi, number, name, context, thread, arguments)
        if index is None:
            return
        self._page.counts[index] += 1
        watched = self._order.arguments.get(name)
        if watched:
            self._kept.values(abi, number, tuple(arguments[each] for each in watched))
        if name in _ENDS:
            self._denials.forget(thread, whole=name == "exit_group")
            self._forget(self._contexts.leave(thread, whole=name == "exit_group"))
        elif phase == _APP and name != "prctl" and not watched and _settled(ruling):
            known = self._sets.setdefault(context, {})
            known[raw[16:24]] = index
            if self._contexts.used:
                self.threads[raw[8:12]] = known
                self._forget(self._contexts.pruned())

    # Phases

    def _phase(self, thread: int, name: str) -> int:
        words = self._words
        if words[page_of.APP]:
            return _APP
        if words[page_of.EXECUTING]:
            image = _image(words[page_of.EXECUTING])
            if not image or image != self._before:
                words[page_of.APP], words[page_of.EXECUTING] = 1, 0
                self.others = self._sets[""]
                return _APP
            # Others of its threads go on up to the moment of the exec, as those of a runtime in Go do.
            if thread == self._executing:
                words[page_of.EXECUTING] = 0  # it is back: the exec has failed
        if name in _EXECS:
            # Whichever thread calls it, the process goes on under the number of its leader.
            process = process_of(thread)
            self._before, self._executing = _image(process), thread
            words[page_of.EXECUTING] = process
        return _RUNTIME

    # Contexts

    def _mark(self, thread: int, address: int) -> None:
        if not self._words[page_of.APP]:
            return
        try:
            with open(f"/proc/{thread}/mem", "rb", buffering=0) as memory:
                memory.seek(address)
                name = memory.read(NAME_BYTES - 1)
            # Whoever asked may have been killed and its number given away: then that was another's memory.
            fcntl.ioctl(self._listener, STILL_WAITS, self._page.notification[:8])
        except (OSError, OverflowError):
            self._words[page_of.LOST_MARKERS] += 1
            return
        context = text_of(name)
        if context not in self._sets:
            if len(self._sets) > CONTEXTS:
                self._words[page_of.LOST_CONTEXTS] += 1
                context = OVERFLOW
            self._sets.setdefault(context, {})
        if not self._contexts.used:
            self.others = {}  # from now on it matters who calls
        for each in self._contexts.enter(thread, context):
            self.threads[each.to_bytes(4, "little")] = self._sets[context]

    def _forget(self, threads: frozenset[int]) -> None:
        for thread in threads:
            self.threads.pop(thread.to_bytes(4, "little"), None)


_SLOTS = 64 * layout.WORDS
"""Numbers from here on are in no table: of refused ones it is told that there were some."""
_EXECS = frozenset(("execve", "execveat"))
_ENDS = frozenset(("exit", "exit_group"))


def _settled(ruling: Ruling | None) -> bool:
    """Whether nothing but permission is to be expected for this call, whoever makes it and with which arguments."""
    return ruling is None or (ruling.constant and ruling.action == ALLOWED)


def _image(process: int) -> bytes:
    """What differs after every exec: the auxiliary vector, which tells random places in memory."""
    try:
        with open(f"/proc/{process}/auxv", "rb") as file:
            return file.read(4096)
    except OSError:
        return b""
