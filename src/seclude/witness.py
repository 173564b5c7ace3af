"""Looks at processes at the moment of a denial: a denial watch in, the stacks of what it saw out.

Where pausing is on, the kernel stops a process whose denial is new (SIGSTOP); it goes on once its stack was read. A
helper process lets everything go on if we are killed meanwhile.
"""

from __future__ import annotations

import os
import signal
import time

from .foreign import U32, U64, Int, Library, Pointer, byref
from .model.denial import ALLOWED, OTHER_PROCESSES
from .model.frozen import replace
from .registrations import start_of
from .stacks.native import NativeStacks
from .stacks.python import is_python, python_frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .model.denial import Denial, Frame, Sighting
    from .model.origin import Origin
    from .model.recording import Recording
    from .trace.watch import DenialWatch

    Stacks = tuple[tuple[Frame, ...], tuple[Frame, ...]]

PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 36, 37  # include/uapi/linux/prctl.h

PAUSE = 1_000_000_000
"""ns for which the kernel may stop processes after we were last seen alive."""

STOPPING = 0.1
"""Seconds within which the kernel stops a process that it has said it stops."""

MOST_STACKS = 1024
"""Stacks that are read in one watch: each may stop a process, and py-spy takes a while."""

ROUNDS = 4
"""Times that one look asks what is new, before it lets those go on that are stopped."""

MOST_PROCESSES = 4096
"""Processes that are asked, once one has ended, whether they have its files mapped."""


class Witness:
    """Reads the stacks of each new sighting in `look`, which is to be called often. Use as a context manager.

    `watch` gives the denial watch once there is one (it may raise OSError); `pause`: stop processes to read their
    stacks; `configure(watch, until)` tells the watch what to look at, and up to when it may stop processes.
    """

    def __init__(
        self,
        watch: Callable[[], DenialWatch | None],
        *,
        pause: bool,
        configure: Callable[[DenialWatch, int], None] | None = None,
    ) -> None:
        self._watch = watch
        self._pause = pause
        self._configure = configure or (lambda opened, until: opened.configure(pause_until=until))
        self._stacks: dict[tuple[object, ...], Stacks] = {}
        self._origins: dict[tuple[int, str, str, str], Stacks] = {}
        self._seen: dict[bytes, int] = {}
        self._native = NativeStacks()
        self._rescuer = Rescuer(watch) if pause else None

    def __enter__(self) -> Witness:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            opened = self._watch()
            if opened is not None and self._pause:
                self._configure(opened, 0)
                resume(opened.sightings())
        except OSError:
            pass  # it was not there yet, or is not there any more: nothing is stopped
        finally:
            if self._rescuer is not None:
                self._rescuer.close()

    def look(self) -> tuple[Sighting, ...]:
        """What is new, or was seen more often, since the last look; who was stopped for its stacks goes on.

        A process goes on as a whole, so not before all is read for which it was stopped: two of its threads may each
        have made a call for the first time, the second while the first was being looked at.
        """
        try:
            opened = self._watch()
            if opened is None:
                return ()
        except OSError:
            return ()
        found: list[Sighting] = []
        stopped: list[Sighting] = []
        try:
            for _ in range(ROUNDS if self._pause else 1):
                # Each time: reading stacks may have taken longer than the kernel goes on pausing for us.
                self._go_on_pausing(opened)
                sightings = opened.sightings(seen=self._seen)
                if not sightings:
                    break
                found += sightings
                for sighting in sightings:
                    if self._read(sighting):
                        stopped.append(sighting)
            for sighting in stopped:
                await_stop(sighting)
        except OSError:
            pass
        finally:
            resume(stopped)
        return tuple(found)

    def _go_on_pausing(self, opened: DenialWatch) -> None:
        if self._pause:
            pausing = len(self._stacks) < MOST_STACKS
            now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            self._configure(opened, now + PAUSE if pausing else 0)

    def _read(self, sighting: Sighting) -> bool:
        """Whether it was not known yet."""
        denial = sighting.denial
        key = _identity(denial)
        if key in self._stacks:
            return False
        stacks = self._stacks[key] = self._stacks_of(sighting)
        if denial.action == ALLOWED:
            self._origins[denial.pid, denial.abi, denial.name, denial.context] = stacks
        return True

    def make_room(self, room: int) -> None:
        """Have the kernel forget what was seen of processes that have ended, once its table holds more than `room`."""
        if len(self._seen) <= room:
            return
        opened = self._watch()
        if opened is None:
            return
        for sighting in opened.sightings():
            if start_of(sighting.denial.pid) != sighting.started and sighting.key in self._seen:
                opened.forget(sighting.key)
                del self._seen[sighting.key]
                self._stacks.pop(_identity(sighting.denial), None)

    def completed(self, recording: Recording) -> Recording:
        """The same recording, with the stacks that were read while they could be."""
        return replace(
            recording,
            denials=self.with_stacks(recording.denials),
            origins=self._with_origins(recording.origins),
        )

    def with_stacks(self, denials: Sequence[Denial]) -> tuple[Denial, ...]:
        """The same denials, with the stacks that were read while they could be."""
        found = []
        for denial in denials:
            python, native = self._stacks.get(_identity(denial), ((), ()))
            found.append(replace(denial, python=python, native=native or denial.native))
        return tuple(found)

    def _with_origins(self, origins: Sequence[Origin]) -> tuple[Origin, ...]:
        found = []
        for origin in origins:
            python, native = self._origins.get(
                (origin.pid, origin.abi, origin.name, origin.context), ((), ())
            )
            found.append(replace(origin, python=python, native=native or origin.native))
        return tuple(found)

    def _stacks_of(self, sighting: Sighting) -> Stacks:
        denial = sighting.denial
        if len(self._stacks) >= MOST_STACKS or denial.pid == OTHER_PROCESSES:
            return (), ()
        lives = start_of(denial.pid) == sighting.started
        python = python_frames(denial.pid, denial.tid).frames if lives and is_python(denial.pid) else ()
        native = self._native.frames(
            denial.pid,
            sighting.started if lives else 0,
            sighting.places,
            () if lives else processes_in(sighting.mnt_namespace),
        )
        return python, native


def _identity(denial: Denial) -> tuple[object, ...]:
    """What tells a denial apart wherever it is read: the time of its first call is in ns."""
    return denial.pid, denial.abi, denial.number, denial.action, denial.data, denial.context, denial.first


def processes_in(namespace: int) -> Iterator[int]:
    """The processes in a mount namespace that execute a file (kernel threads do not), we first, then the newest."""
    pids = sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True)
    for pid in [os.getpid(), *pids[:MOST_PROCESSES]]:
        try:
            if os.stat(f"/proc/{pid}/ns/mnt").st_ino == namespace and os.readlink(f"/proc/{pid}/exe"):
                yield pid
        except OSError:
            continue


def await_stop(sighting: Sighting) -> None:
    """Return once the thread is stopped: the kernel side notes it, then sends SIGSTOP.

    A SIGCONT that came in between would be lost, and the process stay stopped.
    """
    deadline = time.monotonic() + STOPPING
    while sighting.paused and not _stops(sighting.denial.pid, sighting.denial.tid):
        if time.monotonic() > deadline:
            return  # somebody else has let it go on
        time.sleep(0.001)


def _stops(pid: int, tid: int) -> bool:
    """Whether a thread is stopped, is about to be (proc(5), SigPnd), or has ended."""
    try:
        with open(f"/proc/{pid}/task/{tid}/status", "rb") as file:
            fields = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
        pending = int(fields[b"SigPnd"], 16)
        return fields[b"State"].split()[0] in (b"T", b"t", b"Z", b"X") or bool(
            pending >> signal.SIGSTOP - 1 & 1
        )
    except (OSError, KeyError, ValueError, IndexError):
        return True


def resume(sightings: Sequence[Sighting]) -> None:
    """Let processes go on that were stopped for us; those that have ended are passed over.

    Each once: a second SIGCONT would undo the stop for what it has called since the first.
    """
    for sighting in {sighting.denial.pid: sighting for sighting in sightings if sighting.paused}.values():
        try:
            process = os.pidfd_open(sighting.denial.pid)
        except OSError:
            continue
        try:
            # The descriptor holds on to the process, so that what is checked is what gets the signal.
            if start_of(sighting.denial.pid) == sighting.started:
                signal.pidfd_send_signal(process, signal.SIGCONT)
        except OSError:
            pass
        finally:
            os.close(process)


class Rescuer:
    """A process that waits for our end: if we do not say goodbye, it lets everything go on that we had stopped.

    It is no child of ours: whoever waits for all of our children does not wait for it.
    """

    def __init__(self, watch: Callable[[], DenialWatch | None]) -> None:
        waiting, self._goodbye = os.pipe()
        self._gone, staying = os.pipe()
        adopting = subreaper(False)
        try:
            between = os.fork()
            if between == 0:
                if os.fork() == 0:
                    self._wait(waiting, watch)
                os._exit(0)
            os.waitpid(between, 0)
        finally:
            subreaper(adopting)
        os.close(waiting)
        os.close(staying)

    def _wait(self, waiting: int, watch: Callable[[], DenialWatch | None]) -> None:
        try:
            os.close(self._goodbye)
            os.close(self._gone)
            for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            if not os.read(waiting, 1):
                # What was stopped while we died is in the table too.
                opened = watch()
                if opened is not None:
                    opened.configure()
                    resume(opened.sightings())
        finally:
            os._exit(0)

    def close(self) -> None:
        """Have it end, and see it gone."""
        os.write(self._goodbye, b"g")
        os.read(self._gone, 1)
        for descriptor in (self._goodbye, self._gone):
            os.close(descriptor)


def subreaper(adopting: bool) -> bool:
    """Whether orphans among our descendants have become our children so far; from now on as said (prctl(2))."""
    before = U32()
    prctl = Library(None).function("prctl", Int, (Int, Pointer, U64, U64, U64))
    prctl(PR_GET_CHILD_SUBREAPER, byref(before), 0, 0, 0)
    prctl(PR_SET_CHILD_SUBREAPER, int(adopting), 0, 0, 0)
    return bool(before.value)
