"""What was read of a file kept for the next time: the file's bytes in, its `Program` out.

A file is known by the hash of all its bytes: a build-id is only what the file says of itself, and an image that
somebody else made could claim that of another image's libc.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile

from ..model.program import Code, Program, Site

VERSION = 2
"""Raised with every change of what is read of a file; older entries are not looked at again and are removed."""

MOST_ENTRIES = 512
LARGEST_ENTRY = 64 * 1024 * 1024
_LISTS = "needed rpath runpath roots root_imports weak searched".split()


def default_directory() -> str:
    """Where entries are kept, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if base.startswith("/") else os.path.expanduser("~/.cache"), "seclude", "scan")


class Cache:
    """A directory of entries; an empty path keeps nothing. It never fails: what cannot be kept is read again."""

    def __init__(self, directory: str) -> None:
        self._directory = directory

    def _path(self, data: bytes) -> str:
        return os.path.join(self._directory, f"v{VERSION}-{hashlib.sha256(data).hexdigest()}.json")

    def get(self, data: bytes, name: str) -> Program | None:
        """The program, under the name it has here; None if it is not kept or the entry is damaged."""
        if not self._directory:
            return None
        path = self._path(data)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(descriptor, "rb") as file:
                if os.fstat(descriptor).st_uid != os.geteuid():
                    return None
                program = _program(json.loads(file.read(LARGEST_ENTRY)), name)
            os.utime(path)  # what was used lately is kept
            return program
        except (OSError, ValueError, TypeError, KeyError, IndexError, RecursionError):
            return None

    def put(self, data: bytes, program: Program) -> None:
        """Keep it, written beside and renamed, and remove the entries that were not used for longest."""
        if not self._directory:
            return
        text = json.dumps(_values(program), separators=(",", ":"))
        if len(text) > LARGEST_ENTRY:
            return
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            with tempfile.NamedTemporaryFile(
                "w", dir=self._directory, prefix=".new-", delete=False, encoding="utf-8"
            ) as file:
                try:
                    file.write(text)
                    file.flush()
                    os.replace(file.name, self._path(data))
                except BaseException:
                    os.unlink(file.name)
                    raise
            self._trim()
        except OSError:
            return

    def _trim(self) -> None:
        with os.scandir(self._directory) as entries:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime, entry.name)
                for entry in entries
                if _ours(entry.name)
            ]
        found.sort(reverse=True)
        stale = [name for _, name in found if name.startswith("v") and not name.startswith(f"v{VERSION}-")]
        for name in (*stale, *(name for _, name in found[MOST_ENTRIES:])):
            try:
                os.unlink(os.path.join(self._directory, name))
            except FileNotFoundError:
                pass  # another scan was faster


def _ours(name: str) -> bool:
    return name.startswith("v") and name.endswith(".json")


def _values(program: Program) -> dict[str, object]:
    return {
        "format": "seclude-scan",
        "version": VERSION,
        "build_id": program.build_id,
        "interpreter": program.interpreter,
        "whole": program.whole,
        "instructions": program.instructions,
        **{name: list(getattr(program, name)) for name in _LISTS},
        "exports": [list(pair) for pair in program.exports],
        "codes": [
            [
                code.name,
                list(code.numbers),
                list(code.leads),
                list(code.imports),
                [[site.address, site.function, site.reason] for site in code.unresolved],
            ]
            for code in program.codes
        ],
    }


def _program(values: dict[str, object], name: str) -> Program:
    if values["format"] != "seclude-scan" or values["version"] != VERSION:
        raise ValueError("another format")
    rest: dict[str, object] = {key: tuple(values[key]) for key in _LISTS}  # type: ignore[arg-type]
    program = Program(
        name=name,
        build_id=str(values["build_id"]),
        interpreter=str(values["interpreter"]),
        whole=bool(values["whole"]),
        instructions=int(values["instructions"]),  # type: ignore[call-overload]
        exports=tuple((str(key), int(piece)) for key, piece in values["exports"]),  # type: ignore[attr-defined]
        codes=tuple(
            Code(
                name=title,
                numbers=tuple(numbers),
                leads=tuple(leads),
                imports=tuple(imports),
                unresolved=tuple(
                    Site(address=address, function=function, reason=reason)
                    for address, function, reason in sites
                ),
            )
            for title, numbers, leads, imports, sites in values["codes"]  # type: ignore[attr-defined]
        ),
        **rest,  # type: ignore[arg-type]
    )
    _check(program)
    return program


def _check(program: Program) -> None:
    """Raise IndexError if an index leads nowhere."""
    most = len(program.codes)
    indices = [piece for _, piece in program.exports if piece != -1]
    indices += program.roots
    for code in program.codes:
        indices += code.leads
    if indices and not 0 <= min(indices) <= max(indices) < most:
        raise IndexError("an index leads nowhere")
