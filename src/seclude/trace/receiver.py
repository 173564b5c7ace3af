"""The process that answers notifications: a listener in, each new call written down, and every call let go on.

The way of a call that is known is two system calls and two look-ups, because a whole process waits for it meanwhile.
"""

from __future__ import annotations

import errno
import fcntl
import gc
import os
import select
import signal
import time

from .. import syscalls
from ..marking import MARK
from ..model.frozen import frozen
from ..model.recording import OVERFLOW, PHASES
from . import notify_page as page_of
from .notify_contexts import Contexts
from .notify_page import ENTRIES, Entry, Journal, Page, Values
from .seccomp_notify import ANSWER, AUDIT_ABIS, NOTIFICATION, RECEIVE, STILL_WAITS, X32_BIT
from .text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# bpf/recorder.h: TARGET_CONTEXTS, TARGET_EXECUTABLES, TARGET_NUMBERS, TARGET_ARGUMENTS, NAME_BYTES.
CONTEXTS, EXECUTABLES, NUMBERS, ARGUMENTS, NAME_BYTES = 16384, 2048, 64, 1024, 248

_ZEROS = bytes(NOTIFICATION.size)
_RUNTIME, _APP = PHASES.index("runtime"), PHASES.index("app")
_PASSING = (errno.EINTR, errno.ENOENT)
"""Our own alarm, and whoever asked was killed meanwhile."""
_LOOK = 0.2
"""Seconds after which a receiver looks whether anybody is left to ask: before Linux 6.11 it is not told."""


@frozen
class Order:
    """What a receiver shall record: from the entrypoint's exec on or from the first call, with counts, with the values
    of some arguments (call name -> indices); `started` in ns since boot."""

    from_exec: bool
    counts: bool
    arguments: Mapping[str, Sequence[int]]
    started: int


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
        look()
        answer[:8] = notification[:8]
        _answer(listener, answer)
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
            look()
        elif counted:
            counts[entry] += 1
        answer[:8] = notification[:8]
        try:
            ioctl(listener, ANSWER, answer)
        except OSError as error:
            if error.errno == errno.EINTR:
                _answer(listener, answer)
            # ENOENT: whoever asked was killed, or interrupted by a signal and will ask again.


def _answer(listener: int, answer: memoryview) -> None:
    while True:
        try:
            fcntl.ioctl(listener, ANSWER, answer)
            return
        except InterruptedError:
            continue
        except OSError:
            return


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
        self._page, self._journal, self._order, self._listener = page, journal, order, listener
        self._words = page.words
        self._contexts = Contexts()
        self._sets: dict[str, dict[bytes, int]] = {"": {}}
        self._entries: dict[tuple[int, str, int, str], int] = {}
        self._executables: set[str] = set()
        self._numbers: set[tuple[str, int]] = set()
        self._values: dict[tuple[str, int], set[tuple[int, ...]]] = {}
        self._before = b""
        if self._words[page_of.APP]:
            self.others = self._sets[""]

    def look(self) -> None:
        """Write down what is new about the call in the page. It goes on whatever happens here."""
        try:
            self._look()
        except Exception:
            self._words[page_of.LOST_CALLS] += 1

    def _look(self) -> None:
        raw = self._page.notification
        _, thread, _, number, architecture, _, *arguments = NOTIFICATION.unpack_from(raw)
        abi = AUDIT_ABIS.get(architecture, "")
        if not abi:
            self._words[page_of.LOST_CALLS] += 1  # an architecture of which we have no table
            return
        if abi == "x86_64" and number & X32_BIT and number >= 0:
            abi, number = "x32", number & ~X32_BIT
        number &= 0xFFFFFFFF
        name = syscalls.name_of(abi, number)
        if name == "prctl" and arguments[0] & 0xFFFFFFFF == MARK:
            self._mark(thread, arguments[1])
            return
        phase = self._phase(thread, name)
        context = self._contexts.of(thread)
        if phase == _RUNTIME and self._order.from_exec and name not in _EXECS:
            return
        index = self._entry(phase, abi, number, name, context, thread, arguments)
        if index is None:
            return
        self._page.counts[index] += 1
        watched = self._order.arguments.get(name)
        if watched:
            self._keep(abi, number, tuple(arguments[each] for each in watched))
        if name in _ENDS:
            self._forget(self._contexts.leave(thread, whole=name == "exit_group"))
        elif phase == _APP and name != "prctl" and not watched:
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
        words[page_of.EXECUTING] = 0
        if name in _EXECS:
            # Whichever thread calls it, the process goes on under the number of its leader.
            process = _process(thread)
            self._before = _image(process)
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

    # Facts

    def _entry(
        self,
        phase: int,
        abi: str,
        number: int,
        name: str,
        context: str,
        thread: int,
        arguments: Sequence[int],
    ) -> int | None:
        """The entry of a call in its phase and context; written down on first sight, None where it cannot be."""
        key = (phase, abi, number, context)
        index = self._entries.get(key)
        if index is not None:
            return index
        if name.startswith("#") and (abi, number) not in self._numbers:
            if len(self._numbers) >= NUMBERS:
                self._words[page_of.LOST_FACTS] += 1  # no profile can name it
                return None
            self._numbers.add((abi, number))
        index = self._words[page_of.NEXT]
        if index >= ENTRIES - _RESERVED and context != OVERFLOW:
            self._words[page_of.LOST_FACTS] += 1
            return self._entry(phase, abi, number, name, OVERFLOW, thread, arguments)
        comm, executable, process = self._who(thread)
        entry = Entry(
            index=index,
            phase=phase,
            abi=abi,
            number=number,
            context=context,
            time=time.clock_gettime_ns(time.CLOCK_BOOTTIME) - self._order.started,
            pid=process,
            tid=thread,
            comm=comm,
            executable=executable,
            arguments=tuple(arguments),
        )
        self._journal.add(entry)
        self._words[page_of.NEXT] = index + 1
        self._entries[key] = index
        return index

    def _who(self, thread: int) -> tuple[str, str, int]:
        """(command name, executable, process) of a thread; empty where it cannot be told."""
        comm = executable = b""
        try:
            with open(f"/proc/{thread}/comm", "rb") as file:
                comm = file.read(64).rstrip(b"\n")
            executable = os.readlink(f"/proc/{thread}/exe".encode())[: NAME_BYTES - 1]
        except OSError:
            pass
        path = text_of(executable)
        if path not in self._executables:
            if len(self._executables) >= EXECUTABLES:
                self._words[page_of.LOST_EXECUTABLES] += 1
                path = OVERFLOW
            else:
                self._executables.add(path)
        return text_of(comm), path, _process(thread)

    def _keep(self, abi: str, number: int, values: tuple[int, ...]) -> None:
        kept = self._values.setdefault((abi, number), set())
        if values in kept:
            return
        if sum(map(len, self._values.values())) >= ARGUMENTS:
            self._words[page_of.OVERFLOWED] = 1
            return
        kept.add(values)
        self._journal.add(Values(abi=abi, number=number, values=values))


_RESERVED = 8192
"""Entries left for calls of no context of their own: two phases and every number of every table."""
_EXECS = frozenset(("execve", "execveat"))
_ENDS = frozenset(("exit", "exit_group"))


def _process(thread: int) -> int:
    """The process of a thread, itself where that cannot be told any more."""
    try:
        with open(f"/proc/{thread}/status", "rb") as file:
            for line in file:
                if line.startswith(b"Tgid:"):
                    return int(line[5:])
    except OSError:
        pass
    return thread


def _image(process: int) -> bytes:
    """What differs after every exec: the auxiliary vector, which tells random places in memory."""
    try:
        with open(f"/proc/{process}/auxv", "rb") as file:
            return file.read(4096)
    except OSError:
        return b""
