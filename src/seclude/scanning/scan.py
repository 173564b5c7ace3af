"""Reads programs and all that they load: paths below a root in, what is reachable and what was not read out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from time import monotonic

from ..analyse.reach import Reached, reach
from ..errors import SecludeError
from ..model.frozen import frozen
from ..model.program import Program
from ..model.recording import OVERFLOW, FirstSeen, Recording
from .cache import Cache
from .disassembly import examine
from .image import Image, NotElf
from .libraries import Libraries
from .root import Files

MOST_FILES = 2000
LONGEST = 600.0
"""Seconds after which the remaining files are named instead of read."""

MOST_SCRIPTS = 4
ITSELF = "/proc/self/exe"
DESCRIPTORS = ("/dev/fd/", "/proc/self/fd/")
"""How the kernel names a program that fexecve() started."""

NAME_SERVICES = re.compile(r"get(pw|gr|sp|host|serv|proto|net|addrinfo|nameinfo)\w*|initgroups|getgrouplist")
UNWINDING = frozenset({"pthread_cancel", "pthread_exit", "backtrace"})
LARGEST_CONFIGURATION = 65536


@frozen
class Loaded:
    """A file that was read: its path below the root, how many instructions it has, whether it was known already."""

    path: str
    build_id: str
    instructions: int
    cached: bool


@frozen
class Scan:
    """`entries`: path as it was asked for -> path of the program that it is; `unread`: path or name -> why."""

    entries: dict[str, str]
    loaded: tuple[Loaded, ...]
    unread: dict[str, str]
    reached: Reached
    seconds: float


def executables(recordings: Sequence[Recording]) -> tuple[str, ...]:
    """The programs that made an application's call for the first time, as far as the recorder could name them."""
    found = {
        call.first.executable
        for recording in recordings
        for call in recording.calls
        if call.phase == "app" and isinstance(call.first, FirstSeen)
    }
    named = found - {"", OVERFLOW}
    # A program that starts itself anew is there under its own name too.
    return tuple(sorted(named - {ITSELF} or named))


def scan(
    root: Files,
    entries: Iterable[str],
    *,
    also: Iterable[str] = (),
    cache: Cache,
    progress: Callable[[str], None] = lambda text: None,
) -> Scan:
    """Read `entries`, the files in `also` that are loaded at run time, and whatever they need.

    A file of `also` may be a directory: then all shared objects right in it. Raises SecludeError if capstone is
    missing.
    """
    try:
        import capstone  # noqa: F401
    except ImportError as error:
        raise SecludeError(
            "capstone, which reads machine code, is not installed", hint="pip install 'seclude[static]'"
        ) from error
    reader = _Reader(root, cache, progress)
    for path in entries:
        reader.enter(path)
    for path in reader.libraries.preloaded() if reader.programs else ():
        reader.open(path)
    for path in also:
        reader.open(path)
    reader.follow()
    for name in reader.opened_by_libc():
        reader.open(name)
    reader.follow()
    return Scan(
        entries=reader.entries,
        loaded=tuple(reader.loaded),
        unread=reader.unread,
        reached=reach(reader.programs, reader.opened),
        seconds=monotonic() - reader.started,
    )


class _Reader:
    """Collects the files, each once."""

    def __init__(self, root: Files, cache: Cache, progress: Callable[[str], None]) -> None:
        self._root = root
        self._cache = cache
        self._progress = progress
        self.libraries = Libraries(root)
        self.started = monotonic()
        self.entries: dict[str, str] = {}
        self.programs: list[Program] = []
        self.loaded: list[Loaded] = []
        self.opened: list[int] = []
        self.unread: dict[str, str] = {}
        self._known: dict[str, int] = {}
        self._work: list[tuple[int, tuple[str, ...]]] = []

    def enter(self, path: str) -> None:
        """A program that is started; a script is the program that its first line names."""
        if path.startswith(DESCRIPTORS):
            self.unread[path] = "it was started by a descriptor: which file that was is not known"
            return
        at = path
        for _ in range(MOST_SCRIPTS):
            following = self._interpreter(at)
            if not following:
                break
            at = following
        if (index := self._add(at, path, ())) is not None:
            self.entries[path] = self.loaded[index].path

    def _interpreter(self, path: str) -> str:
        """What the first line of a script names, empty for what is no script; `env` is looked through."""
        try:
            start, _ = self._root.read(path)
        except OSError:
            return ""
        if start[:2] != b"#!":
            return ""
        words = start[2:256].split(b"\n")[0].decode("utf-8", "replace").split()
        if words and words[0].endswith("/env") and len(words) > 1:
            for directory in ("/usr/local/bin", "/usr/bin", "/bin"):
                if self._root.exists(f"{directory}/{words[1]}"):
                    return f"{directory}/{words[1]}"
        return words[0] if words else ""

    def open(self, path: str) -> None:
        """A file that is loaded at run time: all that it exports may be called."""
        names = [name for name in self._root.names(path) if ".so" in name]
        for file in [f"{path.rstrip('/')}/{name}" for name in names] or [path]:
            if (index := self._add(file, file, ())) is not None and index not in self.opened:
                self.opened.append(index)

    def opened_by_libc(self) -> list[str]:
        """What glibc itself opens at run time for the functions that are used: name services, and the unwinder."""
        used = {name for program in self.programs for code in program.codes for name in code.imports}
        wanted = ["libgcc_s.so.1"] if used & UNWINDING else []
        if any(NAME_SERVICES.fullmatch(name) for name in used):
            try:
                text, _ = self._root.read("/etc/nsswitch.conf", LARGEST_CONFIGURATION)
            except OSError:
                text = b""
            lines = (line.partition(b"#")[0].partition(b":")[2] for line in text.splitlines())
            services = {
                word.decode() for line in lines for word in line.split() if word.isalnum() and word.isascii()
            }
            wanted += [f"libnss_{service}.so.2" for service in sorted(services)]
        found = (self.libraries.find(name, self.programs[0], "/", ()) for name in wanted)
        return [path for paths in found for path in paths]

    def follow(self) -> None:
        """Whatever the files need, and what that needs."""
        while self._work:
            index, inherited = self._work.pop()
            program, path = self.programs[index], self.loaded[index].path
            passed = tuple(dict.fromkeys((*program.rpath, *inherited))) if not program.runpath else ()
            wanted = [*program.needed, *([program.interpreter] if program.interpreter else [])]
            for name in wanted:
                paths = self.libraries.find(name, program, path, inherited)
                if not paths:
                    self.unread.setdefault(name, f"needed by {path}, not found")
                for found in paths:
                    self._add(found, found, passed)

    def _add(self, path: str, asked: str, inherited: tuple[str, ...]) -> int | None:
        if len(self.programs) >= MOST_FILES or monotonic() - self.started > LONGEST:
            self.unread[asked] = f"beyond {MOST_FILES} files or {LONGEST:g} seconds"
            return None
        try:
            data, real = self._root.read(path)
        except (OSError, ValueError) as error:
            self.unread[asked] = getattr(error, "strerror", "") or str(error)
            return None
        if real in self._known:
            return self._known[real]
        name = real.rpartition("/")[2]
        program = self._cache.get(data, name)
        cached = program is not None
        if program is None:
            self._progress(f"reading {real}")
            try:
                program = examine(Image(data), name)
            except NotElf as error:
                self.unread[asked] = error.message
                return None
            self._cache.put(data, program)
        index = len(self.programs)
        self.programs.append(program)
        self.loaded.append(
            Loaded(path=real, build_id=program.build_id, instructions=program.instructions, cached=cached)
        )
        self._known[real] = index
        self._work.append((index, inherited))
        return index
