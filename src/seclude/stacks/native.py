"""Names native code: addresses that the kernel recorded of a process in, functions of its ELF files out."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

from ..model.denial import Frame, Place
from ..model.frozen import frozen
from .elf import Functions, read_functions
from .patience import Patience
from .process import Mapping, Process

MOST_FILES = 64
MOST_SYMBOLS = 2_000_000
"""Kept of all files together; each takes 25 bytes."""

MOST_PLACES = 128
MOST_RELATIVES = 16
SECONDS = 2.0
DEVICES_KEPT = 256
ANONYMOUS = "[anonymous]"


@frozen
class _Source:
    """Where a place's file can be read: a mapping of this process."""

    process: Process
    mapping: Mapping


class NativeStacks:
    """Names places; remembers the symbol tables of the files that it read last. Threads may share it."""

    def __init__(self, seconds: float = SECONDS) -> None:
        """`seconds` is the longest time that one stack may take."""
        self._patience = Patience(seconds)
        self._kept: OrderedDict[tuple[int, ...], Functions] = OrderedDict()
        self._lock = threading.Lock()
        self._silent: set[str] = set()

    def frames(
        self, pid: int, started: int, addresses: Sequence[Place], relatives: Iterable[int] = ()
    ) -> tuple[Frame, ...]:
        """The frames of a process, innermost first; fewer than `addresses`, since what is no code is left out.

        `started` is the process's start in clock ticks since boot (0: it has ended). The files of a process that
        has ended are looked for among those that the `relatives` execute, processes of the same mount namespace.
        A file that cannot be read, or not within the time, gives frames without functions; nothing is raised.
        """
        places = list(addresses[:MOST_PLACES])
        for index in range(len(places) - 2, -1, -1):
            if places[index].guess and places[index].address == places[index + 1].address:
                del places[index]  # a good guess, which the frames confirm
        asked: list[str] = []
        ended = threading.Event()

        def look() -> tuple[Frame, ...]:
            try:
                with ExitStack() as stack:
                    sources, complete = _sources(places, pid, started, relatives, stack)
                    reader = _Reader(self, stack, asked)
                    frames = [
                        reader.frame(place, source, innermost=index == 0, nowhere=complete and source is None)
                        for index, (place, source) in enumerate(zip(places, sources, strict=True))
                    ]
                    return tuple(frame for frame in frames if frame is not None)
            finally:
                with self._lock:  # however late the answer: the device has answered
                    ended.set()
                    self._silent.difference_update(asked)

        def give_up() -> tuple[Frame, ...]:
            with self._lock:
                if asked and not ended.is_set() and len(self._silent) < DEVICES_KEPT:
                    self._silent.add(asked[-1])
            frames = (_unread(place, innermost=index == 0) for index, place in enumerate(places))
            return tuple(frame for frame in frames if frame is not None)

        return self._patience.result(look, give_up)

    def functions(self, descriptor: int) -> Functions:
        """The functions of an open file; read anew only if it is another one or has changed."""
        status = os.fstat(descriptor)
        key = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        functions = read_functions(descriptor)
        with self._lock:
            self._kept[key] = functions
            while len(self._kept) > MOST_FILES or sum(map(len, self._kept.values())) > MOST_SYMBOLS:
                self._kept.popitem(last=False)
        return functions

    def answers(self, device: str) -> bool:
        """Whether it makes sense to read from a device: it has not been waited for in vain."""
        return device not in self._silent


class _Reader:
    """Opens each file of one stack once; notes in `asked` the device that it reads from."""

    def __init__(self, stacks: NativeStacks, stack: ExitStack, asked: list[str]) -> None:
        self._stacks = stacks
        self._stack = stack
        self._asked = asked
        self._files: dict[tuple[str, int], tuple[int, Functions] | None] = {}

    def frame(self, place: Place, source: _Source | None, *, innermost: bool, nowhere: bool) -> Frame | None:
        """What is at this place; None where it is no place that code returns to, as all are that are `nowhere`."""
        if source is None:
            return None if nowhere and not innermost else _unread(place, innermost=innermost)
        mapping = source.mapping
        if not mapping.inode:
            named = Frame(module=mapping.name, offset=place.address - mapping.start) if mapping.name else None
            return (named or Frame(module=ANONYMOUS)) if innermost else None
        opened = self._open(source)
        if opened is None or not opened[1].segments:
            return _unread(place, innermost=innermost)
        descriptor, functions = opened
        # One back, into the instruction that was left: a call can be the last one of its function.
        before = place.offset - 1
        try:
            if not innermost:
                called = functions.executable(before) and functions.follows_call(descriptor, place.offset)
                if called is False or (called is None and place.guess):
                    return None
            function = functions.name(descriptor, before)
        except (OSError, OverflowError):
            return _unread(place, innermost=innermost)
        # In full where it was cut short; as it was at the call where the file was renamed since.
        module = mapping.name if mapping.name.startswith(place.module) else place.module
        return Frame(module=module, function=function, offset=place.offset)

    def _open(self, source: _Source) -> tuple[int, Functions] | None:
        mapping = source.mapping
        key = (mapping.device, mapping.inode)
        if key not in self._files:
            self._files[key] = self._read(source) if self._stacks.answers(mapping.device) else None
        return self._files[key]

    def _read(self, source: _Source) -> tuple[int, Functions] | None:
        self._asked.append(source.mapping.device)
        try:
            descriptor = source.process.open_file(source.mapping)
            self._stack.callback(os.close, descriptor)
            return descriptor, self._stacks.functions(descriptor)
        except OSError:
            return None


def _unread(place: Place, *, innermost: bool) -> Frame | None:
    """A place whose file cannot be read: what the kernel said of it, unless it need be no code."""
    if place.guess or not (place.module or innermost):
        return None
    return Frame(module=place.module, offset=place.offset) if place.module else Frame(module=ANONYMOUS)


def _sources(
    places: Sequence[Place], pid: int, started: int, relatives: Iterable[int], stack: ExitStack
) -> tuple[list[_Source | None], bool]:
    """Where each place's file can be read, and whether a place that is nowhere is no executable memory."""
    found: list[_Source | None] = [None] * len(places)
    others: Iterable[int] = islice(relatives, MOST_RELATIVES)
    if started:
        for process in _processes([pid], started, stack):
            mappings = _mappings(process)
            for index, place in enumerate(places):
                mapping = _mapping_of(place, mappings)
                found[index] = _Source(process=process, mapping=mapping) if mapping else None
            if found and found[0] is not None:
                return found, True
            # It runs another program by now: its addresses mean something else, and its files may still serve.
            others = [pid, *others]
    wanted = {(place.inode, place.module) for place in places if place.module}
    sources: dict[tuple[int, str], _Source] = {}
    for process in _processes(others, 0, stack):
        for mapping in _mappings(process):
            for key in [key for key in wanted if key[0] == mapping.inode and mapping.name.startswith(key[1])]:
                wanted.remove(key)
                sources[key] = _Source(process=process, mapping=mapping)
        if not wanted:
            break
    return [sources.get((place.inode, place.module)) for place in places], False


def _processes(pids: Iterable[int], started: int, stack: ExitStack) -> Iterator[Process]:
    for pid in pids:
        try:
            yield stack.enter_context(Process(pid, started))
        except OSError:
            continue


def _mappings(process: Process) -> list[Mapping]:
    try:
        return list(process.mappings())
    except OSError:
        return []


def _mapping_of(place: Place, mappings: Sequence[Mapping]) -> Mapping | None:
    """The mapping around a place's address, None if there is none that fits what the kernel said of the place.

    On an overlay the kernel and /proc can give a file different inodes; its name and the offset then decide. The
    kernel program may have cut the name short.
    """
    for mapping in mappings:
        if mapping.start <= place.address < mapping.end:
            if not place.inode:
                return mapping if not mapping.inode else None
            same = mapping.inode == place.inode or (place.module and mapping.name.startswith(place.module))
            return (
                mapping if same and mapping.offset + place.address - mapping.start == place.offset else None
            )
    return None
