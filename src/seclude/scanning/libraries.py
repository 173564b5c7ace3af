"""Which files a program loads: its needs in, paths below the root out, found as ld.so finds them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatch

from ..model.program import Program
from .root import Files

DEFAULTS = (
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/usr/local/lib",
)
VARIANTS = ("x86-64-v4", "x86-64-v3", "x86-64-v2")
LARGEST_CONFIGURATION = 65536
MOST_DIRECTORIES = 200
MOST_INCLUDES = 100


class Libraries:
    """Looks names up below one root. LD_LIBRARY_PATH is not known here: who sets it names the files himself."""

    def __init__(self, root: Files) -> None:
        self._root = root
        self._configured = tuple(self._directories("/etc/ld.so.conf", [0])[:MOST_DIRECTORIES])
        self._configured += tuple(self._lines("/etc/ld-musl-x86_64.path"))

    def preloaded(self) -> tuple[str, ...]:
        """What /etc/ld.so.preload makes every program load."""
        return tuple(
            word for line in self._lines("/etc/ld.so.preload") for word in line.replace(":", " ").split()
        )

    def find(self, name: str, program: Program, path: str, inherited: Iterable[str]) -> tuple[str, ...]:
        """The paths that `name` may mean for a program at `path`; several where the processor decides; none if none.

        `inherited`: the DT_RPATH of those that loaded it.
        """
        if "/" in name:
            name = self._expanded(name, path)
            return (name,) if name.startswith("/") and self._root.exists(name) else ()
        own = program.runpath or (*program.rpath, *inherited)
        directories = [self._expanded(part, path) for entry in own for part in entry.split(":") if part]
        for directory in (*directories[:MOST_DIRECTORIES], *self._configured, *DEFAULTS):
            if not directory.startswith("/"):
                continue
            plain = f"{directory}/{name}"
            variants = (f"{directory}/glibc-hwcaps/{variant}/{name}" for variant in VARIANTS)
            found = tuple(candidate for candidate in (*variants, plain) if self._root.exists(candidate))
            if found:
                return found
        return ()

    def _expanded(self, text: str, path: str) -> str:
        origin = path.rpartition("/")[0] or "/"
        for word, value in (("ORIGIN", origin), ("LIB", "lib/x86_64-linux-gnu"), ("PLATFORM", "x86_64")):
            text = text.replace(f"${{{word}}}", value).replace(f"${word}", value)
        return text

    def _lines(self, path: str) -> list[str]:
        try:
            raw, _ = self._root.read(path, LARGEST_CONFIGURATION)
        except OSError:
            return []
        lines = (line.partition("#")[0].strip() for line in raw.decode("utf-8", "replace").splitlines())
        return [line for line in lines if line]

    def _directories(self, path: str, read: list[int]) -> list[str]:
        """The directories of ld.so.conf and what it includes."""
        found: list[str] = []
        read[0] += 1
        for line in self._lines(path) if read[0] <= MOST_INCLUDES else ():
            words = line.split()
            if words[0] != "include":
                found.append(line.partition("=")[0].strip())
                continue
            for pattern in words[1:]:
                directory, _, last = pattern.rpartition("/")
                directory = directory if directory.startswith("/") else f"/etc/{directory}"
                for name in self._root.names(directory):
                    if fnmatch(name, last):
                        found += self._directories(f"{directory}/{name}", read)
        return found
