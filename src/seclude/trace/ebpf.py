"""The eBPF tracer: targets in, observations out; programs and maps pinned under bpffs, or private to the process."""

from __future__ import annotations

import errno
import os
import time

from ..bpffs import is_bpffs
from ..errors import TraceError
from . import layout
from .libbpf import BpfObject, LibBpf
from .tables import Tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..model.recording import Observation
    from ..ports import Target
    from .adoption import Adoption
    from .kinship import Kinship
    from .watch import DenialWatch

OBJECT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "recorder.bpf.o")
BTF = "/sys/kernel/btf/vmlinux"


class EbpfTracer:
    """Loads the recorder on first use, or takes up the one that is pinned in `bpffs`/seclude.

    With `bpffs` empty nothing is pinned and the recording ends with this process. The pinned recorder is shared by
    every recording on the machine: whoever begins or ends one holds the lock of `registrations`.
    """

    name = "ebpf"

    def __init__(self, *, bpffs: str = "", object_path: str = OBJECT, library: LibBpf | None = None) -> None:
        self._bpffs = bpffs
        self._pins = os.path.join(bpffs, "seclude") if bpffs else ""
        self._object_path = object_path
        self._library = library
        self._object: BpfObject | None = None
        self._links: list[int] = []
        self._maps: dict[str, int] = {}
        self._watcher: DenialWatch | None = None
        self._kinship: Kinship | None = None

    # Availability

    def unusable(self) -> str:
        """Why the recorder cannot be loaded here, or the empty string."""
        if not os.path.exists(BTF):
            return f"this kernel has no type information ({BTF}); it must be built with CONFIG_DEBUG_INFO_BTF"
        if not os.path.exists(self._object_path):
            return f"{self._object_path} is missing; reinstall seclude"
        if self._bpffs and not is_bpffs(self._bpffs):
            return f"no BPF file system is mounted at {self._bpffs}; run `mount -t bpf bpf {self._bpffs}`"
        return ""

    def pinned(self) -> bool:
        """Whether a recorder is pinned, of whatever version."""
        return bool(self._pins) and os.path.isdir(self._pins)

    # Recording

    def begin(self, target: Target) -> int:
        """Register `target` and mark its process; raises TraceError, with nothing registered."""
        self._open()
        number = self._new_number()
        flags = (
            (layout.FLAG_UNCONFINED if target.unconfined else 0)
            | (layout.FLAG_COUNTS if target.counts else 0)
            | (layout.FLAG_WATCH if target.denials else 0)
            | (layout.FLAG_ARGUMENTS if target.arguments else 0)
            | (layout.FLAG_STACKS if target.stacks else 0)
        )
        sets = (0,) * layout.SET_WORDS
        started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        record = [*sets, started, 0, 0, 0, 0, 0, flags, target.base_filters, *(0,) * 8]
        mark: tuple[int, ...] = (number, flags | layout.FLAG_INIT, 0, layout.SLOW_SET, 0, target.base_filters)
        try:
            if target.running:
                mark = self._adoption(number).first(target.pid, mark, record)
            self._put("targets", layout.ID.pack(number), layout.TARGET.pack(*record))
            Tables(self._library_(), self._map).ask_arguments(number, target.arguments)
            self._add_namespaces(number, target)
            if target.running:
                self._follow_kin()
            if target.denials or target.stacks:
                self._watch()
            if target.stacks:
                self._watch_first_times()
            process = os.pidfd_open(target.pid)
            try:
                key = process.to_bytes(4, "little")
                self._put("marks", key, layout.MARK_VALUE.pack(*mark))
                self._raise_generation()
                if self._kinship:
                    self._kinship.take_roots()
            finally:
                os.close(process)
        except OSError as error:
            try:
                self._forget(number)
            except TraceError as unforgotten:
                error.add_note(str(unforgotten))
            if error.errno == errno.E2BIG:
                reason = "too many recordings at once"
            elif error.errno == errno.ESRCH or not os.path.exists(f"/proc/{target.pid}"):
                reason = f"process {target.pid} has ended"
            else:
                reason = str(error)
            raise TraceError(
                f"the recording cannot begin: {reason}", hint="see `seclude hook status`"
            ) from error
        return number

    def adopt(self, number: int, processes: Mapping[int, int]) -> int:
        """Mark further processes of a running target, pid -> seccomp filters that it has; how many had no mark.

        Those that have ended are passed over. Up to `settle` the descendants of all who are marked are marked at their
        birth, or when they fork themselves.
        """
        try:
            adopted = self._adoption(number).adopt(processes)
            if adopted:
                self._raise_generation()
                if self._kinship:
                    self._kinship.take_roots()
        except OSError as error:
            raise TraceError(f"the processes that run already cannot be marked: {error}") from error
        return adopted

    def settle(self) -> int:
        """Mark all descendants that have no mark yet, so that none is left; how many processes are marked then.

        From here on marks are inherited and nothing else.
        """
        if self._kinship is None:
            return 0
        try:
            self._kinship.mark_the_rest()
            marked = self._kinship.take_roots()
            self._kinship.close()
            self._raise_generation()
        except OSError as error:
            raise TraceError(f"the processes that run already cannot be marked: {error}") from error
        finally:
            self._kinship.close()
            self._kinship = None
        return marked

    def _follow_kin(self) -> None:
        from .kinship import Kinship  # not needed where a recording begins with the container

        self._kinship = Kinship(self._library_())
        self._kinship.start(self._map)

    def _adoption(self, number: int) -> Adoption:
        from .adoption import Adoption  # not needed where a recording begins with the container

        return Adoption(self._library_(), self._map, number)

    def observe(self, number: int) -> Observation:
        """What has been seen so far of a target; raises TraceError if there is none of that number."""
        from .observation import observation_of  # not needed where a recording begins

        self._open()
        try:
            watch = self.watch()
            sightings, lost = (watch.sightings(number), watch.lost()) if watch else ((), 0)
            observed = observation_of(self._library_(), self._map, number, sightings, lost)
        except OSError as error:
            raise TraceError(f"the recorder's tables cannot be read: {error}") from error
        if observed is None:
            raise TraceError(
                f"the recorder knows no target {number}",
                hint="it was removed, or the machine has restarted since",
            )
        return observed

    def stillborn(self) -> tuple[int, ...]:
        """Targets of the pinned recorder whose first process has ended before it called the application's exec."""
        if not self.pinned():
            return ()
        self._open()
        try:
            return Tables(self._library_(), self._map).stillborn()
        except OSError as error:
            raise TraceError(f"the recorder's tables cannot be read: {error}") from error

    def end(self, number: int) -> None:
        """Forget a target. Its processes, if any are left, are no longer recorded."""
        self._open()
        self._forget(number)

    def close(self) -> None:
        """Give back this process's descriptors; a private recorder ends with them."""
        for descriptor in (*self._links, *(self._maps.values() if self._pins else ())):
            os.close(descriptor)
        self._links, self._maps = [], {}
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        if self._kinship is not None:
            self._kinship.close()
            self._kinship = None
        if self._object is not None:
            self._object.close()
            self._object = None

    def unpin(self) -> None:
        """Take the pinned recorder away: links first, so that nothing runs over maps that are going."""
        if not self._pins or not os.path.isdir(self._pins):
            return
        for name in sorted(os.listdir(self._pins), key=lambda name: not name.startswith("link_")):
            os.unlink(os.path.join(self._pins, name))
        os.rmdir(self._pins)

    # Loading

    def _library_(self) -> LibBpf:
        if self._library is None:
            self._library = LibBpf()
        return self._library

    def _open(self) -> None:
        if self._maps or self._object is not None:
            return
        reason = self.unusable()
        if reason:
            raise TraceError(reason)
        if self._pins and os.path.exists(os.path.join(self._pins, "meta")):
            self._check_version()
            return
        self.unpin()  # half a recorder, from a load that was interrupted
        self._load()

    def _check_version(self) -> None:
        try:
            sizes = self._library_().map_sizes(self._map("meta"))
            value = self._library_().lookup(self._map("meta"), bytes(4), sizes[1])
        except OSError as error:
            raise TraceError(f"the recorder pinned in {self._pins} cannot be opened: {error}") from error
        version = int.from_bytes((value or b"")[:4], "little")
        if version != layout.RECORDER_VERSION or sizes != layout.MAPS["meta"]:
            self.close()  # nothing of it may be read or cleared later
            raise TraceError(
                f"another version of the recorder is pinned in {self._pins}: "
                f"version {version}, this seclude has {layout.RECORDER_VERSION}",
                hint="let its recordings end, or remove it with `seclude hook gc --all`",
            )

    def _load(self) -> None:
        library = self._library_()
        try:
            loaded = self._object = library.open_object(self._object_path)
            library.update(loaded.map("meta"), bytes(4), layout.META.pack(layout.RECORDER_VERSION, 1, 0))
            if self._pins:
                self._pin(loaded)
            else:
                self._links = [library.attach(loaded.program(name)) for name in layout.PROGRAMS]
        except OSError as error:
            self.close()
            self.unpin()
            if error.errno in (errno.EPERM, errno.EACCES):
                raise TraceError(
                    "the kernel refused the recorder (permission denied)",
                    hint="run as root, outside user namespaces",
                ) from error
            raise TraceError(
                f"the recorder cannot be loaded: {error}", hint="see Install in the README for what it needs"
            ) from error

    def _pin(self, loaded: BpfObject) -> None:
        library = self._library_()
        os.mkdir(self._pins, 0o700)
        for name in layout.MAPS:
            if name != "meta":
                library.pin(loaded.map(name), os.path.join(self._pins, name))
        for name in layout.PROGRAMS:
            link = library.attach(loaded.program(name))
            self._links.append(link)
            library.pin(link, os.path.join(self._pins, "link_" + name))
        # Last: a directory without it is half a recorder.
        library.pin(loaded.map("meta"), os.path.join(self._pins, "meta"))

    def _watch(self) -> None:
        """Attach the programs that see refused calls, unless they are: they cost every process on the machine."""
        if self._watcher is not None or self._watch_is_pinned():
            return
        from .watch import DenialWatch  # not needed by most recordings

        watcher = DenialWatch(library=self._library_())
        watcher.start(self._map)
        if not self._pins:
            self._watcher = watcher
            return
        try:
            watcher.pin(self._pins)
        finally:
            watcher.close()

    def _watch_first_times(self) -> None:
        """Have the watch see the first time of each call too, which costs every process on the machine as well."""
        if not self._pins:
            if self._watcher is not None:
                self._watcher.start_first_times(self._map)
            return
        if os.path.exists(os.path.join(self._pins, layout.STACKS_LINK)):
            return
        from .watch import OWN, SHARED, DenialWatch

        watcher = DenialWatch(library=self._library_())
        pinned: dict[str, int] = {}
        try:
            for name in (*SHARED, *OWN):
                pinned[name] = self._library_().get(os.path.join(self._pins, name))
            watcher.start_first_times(pinned.__getitem__)
            watcher.pin_links(self._pins)
        finally:
            watcher.close()
            for descriptor in pinned.values():
                os.close(descriptor)

    def _watch_is_pinned(self) -> bool:
        return bool(self._pins) and os.path.exists(os.path.join(self._pins, layout.WATCH_LINK))

    def watch(self) -> DenialWatch | None:
        """The denial watch of this recorder, None where no target has asked for it. Raises OSError."""
        if self._watcher is None and self._watch_is_pinned():
            from .watch import DenialWatch

            watcher = DenialWatch(library=self._library_())
            watcher.open(self._pins)  # which fails where somebody has just taken the recorder away
            self._watcher = watcher
        return self._watcher

    # Maps

    def _map(self, name: str) -> int:
        if name not in self._maps:
            if self._object is not None:
                return self._object.map(name)
            self._maps[name] = self._library_().get(os.path.join(self._pins, name))
        return self._maps[name]

    def _put(self, name: str, key: bytes, value: bytes, flags: int = 0) -> None:
        self._library_().update(self._map(name), key, value, flags)

    def _new_number(self) -> int:
        value = self._library_().lookup(self._map("meta"), bytes(4), layout.META.size)
        version, number, generation = layout.META.unpack(value or bytes(layout.META.size))
        self._put("meta", bytes(4), layout.META.pack(version, number + 1, generation))
        return int(number)

    def _raise_generation(self) -> None:
        """The process may be running: a CPU that has met it before must look for its mark again."""
        value = self._library_().lookup(self._map("meta"), bytes(4), layout.META.size)
        version, number, generation = layout.META.unpack(value or bytes(layout.META.size))
        generation = (generation + 1) & 0xFFFFFFFF
        self._put("meta", bytes(4), layout.META.pack(version, number, generation))

    def _add_namespaces(self, number: int, target: Target) -> None:
        value = layout.ID.pack(number)
        if target.mnt_namespace:
            key = layout.NAMESPACE_KEY.pack(layout.NAMESPACE_MNT, target.mnt_namespace)
            self._put("namespaces", key, value)
        if target.pid_namespace:
            key = layout.NAMESPACE_KEY.pack(layout.NAMESPACE_PID, target.pid_namespace)
            # Shared with a target that was there first, unless that has ended and the number is another's by now.
            first = self._library_().lookup(self._map("namespaces"), key, layout.ID.size)
            if first is None or self._has_ended(first):
                self._put("namespaces", key, value)

    def _has_ended(self, target: bytes) -> bool:
        record = self._library_().lookup(self._map("targets"), target, layout.TARGET.size)
        return record is None or bool(layout.TARGET.unpack(record)[-1])

    def _forget(self, number: int) -> None:
        try:
            Tables(self._library_(), self._map).remove(number)
            watch = self.watch()
            if watch:
                watch.remove(number)
        except OSError as error:
            raise TraceError(f"the recorder's tables cannot be cleared: {error}") from error
