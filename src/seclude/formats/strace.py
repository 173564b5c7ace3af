"""A log of strace in, a Profile that allows the calls in it and refuses the rest out.

Read are the forms of -f, -ff, -t, -tt, -ttt, -r, -i, -n and -y, calls that were interrupted by another process's, and
the lines on which strace says that a process runs in 32-bit mode: names then belong to that ABI.
"""

from __future__ import annotations

from ..errors import ProfileError
from ..model.environment import NATIVE_ABIS
from ..model.export import Read, Settings
from ..model.profile import ALLOW, ERRNO, Profile, Rule
from ..syscalls import ARCHITECTURES, all_names, name_of, nearest
from . import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Match
    from typing import NoReturn

LARGEST = 64 * 1024 * 1024

# What may stand before a call: "[pid 12] " or "12 ", a time of one of several forms, the number of the call (-n), the
# instruction pointer (-i).
_LINE = (
    r"(?:\[pid\s+(?P<named>\d+)\] |(?P<pid>\d+)\s+)?"
    r"(?:(?:\d+:\d+:\d+(?:\.\d+)?|\d+\.\d+|[+ ]*\d+\.\d+)\s+)?"
    r"(?:\[\s*\d+\] )?"
    r"(?:\[[0-9a-f? ]{8,}\] )?"
    r"(?P<rest>.*)"
)
_CALL = r"(?P<name>[a-zA-Z_][a-zA-Z0-9_]*)\("
_RESUMED = r"<\.\.\. (?P<name>[a-zA-Z_][a-zA-Z0-9_]*) resumed"
_MODE = r"(?:strace: )?\[ Process PID=(?P<pid>\d+) runs in (?P<mode>[a-z0-9]+(?: bit)?) mode\. \]"
_UNKNOWN = r"syscall_(?:0x)?(?P<number>[0-9a-f]+)$"
_PASSED_OVER = ("+++", "---", "strace:", " > ", ">", "???", "<... ???")
"""Exits, signals, strace's own words, the lines of a stack (-k), and calls that were under way as strace came."""

_MODES = {
    "x86_64": {"64 bit": "x86_64", "32 bit": "x86", "x32": "x32"},
    "aarch64": {"64 bit": "aarch64", "32 bit": "arm"},
}


class StraceFormat:
    """Reads a log."""

    name = "strace-log"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    def loads(self, text: str, source: str) -> Profile:
        """The profile; raises ProfileError with line and column."""
        return self.read(text, source).profile

    def read(self, text: str, source: str) -> Read:
        """EPERM for all that was not called; raises ProfileError for a line that is none of strace's."""
        if len(text) > LARGEST:
            raise ProfileError(f"{source} is larger than {LARGEST} characters")
        native = NATIVE_ABIS.get(self.settings.environment.machine, "")
        calls = _Log(text, source, native).read()
        if not any(calls.values()):
            raise ProfileError(f"{source} holds no call", hint="strace -f -o LOG PROGRAM writes such a log")
        names = sorted(set().union(*calls.values()))
        used = [
            ARCHITECTURES[abi]
            for abi, found in calls.items()
            if abi in ARCHITECTURES and found and abi != native
        ]
        own = [ARCHITECTURES[native]] if used and native in ARCHITECTURES else []
        return Read(
            profile=Profile(
                default_action=ERRNO,
                default_errno="EPERM",
                architectures=(*own, *used),
                rules=(Rule(names=tuple(names), action=ALLOW),),
            )
        )


class _Log:
    """The calls of one log, by ABI."""

    def __init__(self, text: str, source: str, native: str) -> None:
        self._text = text
        self._source = source
        self._native = native
        self._known = all_names()
        self._abis: dict[str, str] = {}
        self.calls: dict[str, set[str]] = {native: set()}

    def read(self) -> dict[str, set[str]]:
        """ABI -> names."""
        import re

        line_of, call, resumed, mode = (re.compile(pattern) for pattern in (_LINE, _CALL, _RESUMED, _MODE))
        offset, broken = 0, False
        for line in self._text.split("\n"):
            start, offset = offset, offset + len(line) + 1
            # strace's own words end up within a line, and the next is the rest of it; a log that was cut has no end.
            passable = broken or offset > len(self._text)
            broken = "strace: Process " in line and not line.startswith("strace:")
            if not line.strip():
                continue
            if found := mode.search(line):
                self._mode(found, start)
                continue
            parts = line_of.match(line)
            rest = parts["rest"] if parts else line
            if rest.startswith(_PASSED_OVER) or line.startswith(_PASSED_OVER):
                continue
            named = resumed.match(rest) or call.match(rest)
            if named is None or parts is None:
                if passable:
                    continue
                self._refuse(line, start)
            self._take(named["name"], parts["named"] or parts["pid"] or "", start + parts.start("rest"))
        return self.calls

    def _mode(self, found: Match[str], start: int) -> None:
        modes = _MODES.get(self._native, {})
        if found["mode"] not in modes:
            what = f"this machine has no {found['mode']} mode"
            raise ProfileError(
                jsontext.located(self._text, start, self._source, what),
                hint="--arch says where the log was made",
            )
        self._abis[found["pid"]] = modes[found["mode"]]
        # Without -f, and before the first fork, lines have no pid: they are the first process's.
        if set(self._abis) <= {found["pid"], ""}:
            self._abis[""] = modes[found["mode"]]

    def _take(self, name: str, pid: str, place: int) -> None:
        import re

        abi = self._abis.get(pid, self._native)
        if unknown := re.match(_UNKNOWN, name):
            number = unknown["number"]
            value = int(number, 16)
            name = name_of(abi, value) if abi else f"#{value}"
        if name not in self._known:
            near = nearest(name)
            hint = (
                f"did you mean {near}?"
                if near
                else "a newer kernel's call; take the line out and allow it by hand"
            )
            what = f"no call that we know: {name[:80]!r}"
            raise ProfileError(jsontext.located(self._text, place, self._source, what), hint=hint)
        self.calls.setdefault(abi, set()).add(name)

    def _refuse(self, line: str, start: int) -> NoReturn:
        summary = line.lstrip().startswith("% time")
        what = "a summary (strace -c), not a log" if summary else "no line of a log of strace"
        raise ProfileError(
            jsontext.located(self._text, start, self._source, what),
            hint="strace -f -o LOG PROGRAM writes such a log",
        )
