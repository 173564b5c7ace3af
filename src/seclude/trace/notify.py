"""The notify tracer: listeners of user notifications in, observations out; needs no privilege, costs every call.

Each listener has a process that answers it. Should that one die, another takes its place, for a process whose question
nobody answers waits for ever, and one whose listener is closed is told that the kernel has no such call (ENOSYS).
"""

from __future__ import annotations

import os
import signal
import time

from ..errors import TraceError
from ..model.recording import NO_CONTEXT
from . import notify_page as page_of
from . import seccomp_notify
from .notify_gathered import Gathered
from .notify_page import Entry, Journal, Page
from .receiver import Order, serve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..model.recording import Observation
    from ..ports import Target
    from .notify_denials import Stacks
    from .notify_rulings import Judgement

_MOST_DEATHS = 20
"""Receivers of one listener that may die before we give it up: something is killing them."""


class NotifyTracer:
    """Records the processes whose listeners it is given. `attend` must be called often.

    `say` is told what the user should know: a receiver that died. Denials are seen where `listen` is told by what to
    judge; `stacks` then reads the stacks of whoever was refused a call, None for not at all.
    """

    name = "notify"

    def __init__(self, say: Callable[[str], None] = lambda _: None, stacks: Stacks | None = None) -> None:
        self._say = say
        self._stacks = stacks
        self._recordings: dict[int, _Recording] = {}

    def unusable(self) -> str:
        """Why this tracer cannot work here, or the empty string."""
        return seccomp_notify.unusable()

    def begin(self, target: Target) -> int:
        """A recording to which listeners can be added; its process is told by them. Raises TraceError."""
        reason = self.unusable()
        if reason:
            raise TraceError(f"notify cannot be used here: {reason}")
        number = len(self._recordings) + 1
        self._recordings[number] = _Recording(target)
        return number

    def listen(
        self, number: int, listener: int, *, from_exec: bool, judgement: Judgement | None = None
    ) -> None:
        """Answer a listener, which is ours from now on; `from_exec`: its calls count from the entrypoint's exec on.

        `judgement`: what is refused, instead of letting every call go on.
        """
        seccomp_notify.wake_on_this_cpu(listener)
        recording = self._recordings[number]
        recording.add(_Answered(listener, recording.order(from_exec, judgement, self._stacks)))

    def attend(self) -> bool:
        """Replace receivers that died; whether anybody is still recorded."""
        living = [recording.attend(self._say) for recording in self._recordings.values()]
        return any(living)

    def observe(self, number: int) -> Observation:
        """What has been seen so far; raises TraceError for an unknown number."""
        if number not in self._recordings:
            raise TraceError(f"there is no recording {number}")
        return self._recordings[number].observation()

    def end(self, number: int) -> None:
        """Forget a recording; whoever is left of its processes keeps being answered."""
        recording = self._recordings.pop(number, None)
        if recording is not None:
            recording.close()

    def close(self) -> None:
        """Forget all recordings."""
        for number in list(self._recordings):
            self.end(number)


class _Answered:
    """One listener, and the process that answers it."""

    def __init__(self, listener: int, order: Order) -> None:
        self.page, self.journal = Page(), Journal()
        self._listener, self._order = listener, order
        self._deaths = 0
        self.contexts_lost = 0
        self._pid = self._start()

    def _start(self) -> int:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _alone(self._listener, self.journal)
                serve(self._listener, self.page, self.journal, self._order)
                status = 0
            finally:
                os._exit(status)
        return pid

    def attend(self, say: Callable[[str], None]) -> bool:
        """Whether it is still answered; a receiver that was killed has been replaced."""
        if not self._pid:
            return False
        try:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = self._pid, 0  # somebody else has waited for it
        if not pid:
            return True
        self._pid = 0
        if status == 0:
            return False
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            self.page.words[page_of.LOST_CALLS] += 1
            say(
                f"{self._deaths} processes that answered notifications have ended: calls fail from now on (ENOSYS)"
            )
            return False
        self.contexts_lost += any(
            isinstance(fact, Entry) and fact.context != NO_CONTEXT for fact in self.journal.facts()
        )
        ending = os.waitstatus_to_exitcode(status)
        how = f"signal {-ending}" if ending < 0 else f"status {ending}"
        say(f"the process that answers notifications ended ({how}); another one has taken over")
        self._pid = self._start()
        return True

    def close(self) -> None:
        """Leave it to its receiver, which ends when nobody is left to ask."""
        os.close(self._listener)
        self.journal.close()


def _alone(listener: int, journal: Journal) -> None:
    """Make this child nothing but a receiver: out of reach of the terminal, and with no descriptor of its parent's."""
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in map(int, os.listdir("/proc/self/fd")):
        if descriptor not in (listener, journal.descriptor):
            try:
                os.close(descriptor)
            except OSError:
                pass  # the one that listed them
    for _ in range(3):
        os.open(os.devnull, os.O_RDWR)


class _Recording:
    """The listeners of one target, and what came of those that have ended."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self._answered: list[_Answered] = []
        self._gathered = Gathered()

    def order(self, from_exec: bool, judgement: Judgement | None, stacks: Stacks | None) -> Order:
        return Order(
            from_exec=from_exec,
            counts=self._target.counts,
            arguments=self._target.arguments,
            started=self._started,
            judgement=judgement,
            stacks=stacks,
        )

    def add(self, answered: _Answered) -> None:
        self._answered.append(answered)

    def attend(self, say: Callable[[str], None]) -> bool:
        for answered in list(self._answered):
            if not answered.attend(say):
                self._gathered.take(answered.page, answered.journal, answered.contexts_lost)
                self._answered.remove(answered)
                answered.close()
        return bool(self._answered)

    def observation(self) -> Observation:
        gathered = self._gathered.copy()
        for answered in self._answered:
            gathered.take(answered.page, answered.journal, answered.contexts_lost)
        return gathered.observation(self._started, self._target)

    def close(self) -> None:
        for answered in self._answered:
            answered.close()
        self._answered = []
