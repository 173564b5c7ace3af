"""The denial watch: what to look at in, Sightings of refused and logged calls out; private or beside a recorder."""

from __future__ import annotations

import errno
import os

from ..errors import TraceError
from . import denials
from .libbpf import BpfObject, LibBpf
from .tables import names_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from ..model.denial import Sighting

OBJECT = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "data", "watch.bpf.o")
BTF = "/sys/kernel/btf/vmlinux"

SHARED = ("meta", "sets_used", "cpus", "marks", "targets", "names")
"""The recorder's maps: who is recorded, in which context."""

OWN = ("watch_config", "scopes", "denials", "merged", "lost_denials")
PROGRAMS = ("on_exit", "on_death")
FIRST_TIMES = "on_first"
"""Attached only where stacks of calls are wanted that were simply made."""
SCOPE_MNT, SCOPE_PID = 0, 1


class DenialWatch:
    """Loads the watch's programs on `start`, or takes up those that are pinned in a directory on `open`.

    It sees denials of recorded processes whose target asks for them, and of what `follow_*` names. All but `start`
    raise OSError where the kernel refuses.
    """

    def __init__(self, *, library: LibBpf | None = None, object_path: str = OBJECT) -> None:
        self._library = library or LibBpf()
        self._object_path = object_path
        self._object: BpfObject | None = None
        self._maps: dict[str, int] = {}
        self._links: dict[str, int] = {}

    # Loading

    def start(self, shared: Callable[[str], int] | None = None) -> None:
        """Load and attach the programs, over the recorder's maps if `shared` gives their descriptors; TraceError."""
        self._attach(PROGRAMS, SHARED if shared else (), shared)

    def start_first_times(self, shared: Callable[[str], int]) -> None:
        """See too the first time of each call of the targets that ask for stacks; raises TraceError.

        A watch that has not been started takes up the tables of one that has, whose descriptors `shared` gives.
        """
        self._attach((FIRST_TIMES,), (*SHARED, *OWN), shared)

    def _attach(
        self, programs: Sequence[str], reused: Sequence[str], shared: Callable[[str], int] | None
    ) -> None:
        for path in (BTF, self._object_path):
            if not os.path.exists(path):
                raise TraceError(f"denials cannot be watched: {path} is missing", hint="see `seclude doctor`")
        try:
            if self._object is None:
                there = {name: shared(name) for name in reused} if shared else {}
                self._object = self._library.open_object(self._object_path, there)
                self._maps = {name: self._object.map(name) for name in (*SHARED, *OWN)}
            for name in programs:
                self._links[name] = self._library.attach(self._object.program(name))
        except OSError as error:
            self.close()
            if error.errno in (errno.EPERM, errno.EACCES):
                raise TraceError(
                    "the kernel refused to watch denials (permission denied)",
                    hint="run as root, outside user namespaces",
                ) from error
            raise TraceError(
                f"denials cannot be watched: {error}",
                hint="it needs Linux 5.17 or newer; see `seclude doctor`",
            ) from error

    def pin(self, directory: str) -> None:
        """Keep links and maps beside a pinned recorder, the links last."""
        for name in OWN:
            self._library.pin(self._maps[name], os.path.join(directory, name))
        self.pin_links(directory)

    def pin_links(self, directory: str) -> None:
        """Keep the links alone, where the maps are those that are pinned already."""
        for name, link in self._links.items():
            self._library.pin(link, os.path.join(directory, f"link_{name}"))

    def open(self, directory: str) -> None:
        """Take up the maps that are pinned there."""
        try:
            for name in ("names", *OWN):
                self._maps[name] = self._library.get(os.path.join(directory, name))
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Give back this process's descriptors; a watch that is not pinned ends with them."""
        for descriptor in (*self._links.values(), *(() if self._object else self._maps.values())):
            os.close(descriptor)
        self._links, self._maps = {}, {}
        if self._object is not None:
            self._object.close()
            self._object = None

    # What is looked at

    def configure(self, *, everything: bool = False, ancestor: int = 0, pause_until: int = 0) -> None:
        """Look at every process with a filter, or at one with its descendants; and whom to stop at a first denial.

        `pause_until`: ns since boot, up to which a process whose denial is new here gets SIGSTOP. Whoever asks for
        that must look for `paused` sightings and send SIGCONT.
        """
        value = denials.CONFIG.pack(pause_until, int(everything), ancestor)
        self._library.update(self._maps["watch_config"], bytes(4), value)

    def follow_namespaces(self, *, mnt: int = 0, pid: int = 0) -> None:
        """Look at all processes in these namespaces (inode numbers, 0 for none) and in those below the pid one."""
        for kind, inode in ((SCOPE_MNT, mnt), (SCOPE_PID, pid)):
            if inode:
                self._library.update(self._maps["scopes"], denials.SCOPE.pack(kind, inode), bytes(4))

    # What was seen

    def sightings(
        self, target: int | None = None, seen: dict[bytes, int] | None = None
    ) -> tuple[Sighting, ...]:
        """All that was seen so far (of one of the recorder's targets), by time; counts grow from call to call.

        `seen` (key -> count) leaves out what has not changed since it was last given, and is brought up to date.
        """
        found = []
        names: Mapping[int, Mapping[int, str]] | None = None
        for key, value in self._entries():
            number, count = denials.target_of(key), denials.count_of(value)
            if (target is not None and number != target) or (seen is not None and seen.get(key) == count):
                continue
            if seen is not None:
                seen[key] = count
            if names is None:
                names = names_of(self._library, self._maps["names"])
            found.append(denials.sighting_of(key, value, names.get(number, {})))
        return tuple(sorted(found, key=lambda sighting: (sighting.denial.first, sighting.key)))

    def _entries(self) -> Iterator[tuple[bytes, bytes]]:
        for table in ("denials", "merged"):
            for keys, values in self._library.entries(self._maps[table], denials.KEY.size, denials.SIZE):
                for index in range(len(keys) // denials.KEY.size):
                    yield (
                        keys[index * denials.KEY.size : (index + 1) * denials.KEY.size],
                        values[index * denials.SIZE : (index + 1) * denials.SIZE],
                    )

    def lost(self) -> int:
        """Denials that fitted into no table, or whose filter the kernel has not kept (CONFIG_CHECKPOINT_RESTORE)."""
        value = self._library.lookup(self._maps["lost_denials"], bytes(4), 8)
        return int.from_bytes(value or b"", "little")

    def forget(self, key: bytes) -> None:
        """Make room: the process has ended and its denials were read."""
        self._library.delete(self._maps["denials"], key)

    def remove(self, target: int) -> None:
        """Forget a target's denials."""
        for key in [key for key, _ in self._entries() if denials.target_of(key) == target]:
            for table in ("denials", "merged"):
                self._library.delete(self._maps[table], key)
