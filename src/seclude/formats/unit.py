"""A unit file of systemd in, what its SystemCallFilter= and the like amount to as a Profile out.

As systemd reads them (src/core/load-fragment.c, config_parse_syscall_filter; src/shared/seccomp-util.c): the first
assignment decides whether what follows is a list of what is allowed or of what is refused; the former begins with the
set @default. `~` takes away again, or with an errno refuses in that way.
"""

from __future__ import annotations

from .. import callsets
from ..callsets import ARCHITECTURES, DEFAULT, LOCAL
from ..errors import ProfileError
from ..model.export import Read, Settings
from ..model.profile import ALLOW, ERRNO, LARGEST_ERRNO, NATIVE, Profile, Rule, errno_value, nearest
from ..unittext import Line, assignments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..callsets import Sets

SECTIONS = ("Service", "Socket", "Mount", "Swap")
"""Those that have an execution environment (systemd.exec(5))."""

KILL, LOG = "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_LOG"
_FILTER, _ERRNO, _ARCHES, _LOG = (
    "SystemCallFilter SystemCallErrorNumber SystemCallArchitectures SystemCallLog".split()
)


class UnitFormat:
    """Reads a unit file or a drop-in."""

    name = "systemd"

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._sets = callsets.parsed(settings.sets, "--sets") if settings.sets else callsets.shipped()

    def loads(self, text: str, source: str) -> Profile:
        """The profile; raises ProfileError with line and column."""
        return self.read(text, source).profile

    def read(self, text: str, source: str) -> Read:
        """What the settings of a unit file amount to; raises ProfileError with line and column."""
        reader = _Reader(self._sets, self.settings.environment.machine)
        for line in assignments(text, source, "SystemCall", SECTIONS):
            reader.take(line)
        return Read(profile=reader.profile(source))


class _Reader:
    """Assignments one after the other, as systemd merges them."""

    def __init__(self, sets: Sets, machine: str) -> None:
        self._sets = sets
        self._machine = machine
        self._allowing: bool | None = None
        self._calls: dict[str, int] = {}
        self._errno = -1
        self._architectures: list[str] = []
        self._logging: dict[str, None] = {}

    def take(self, line: Line) -> None:
        """One assignment; an empty one forgets all before it."""
        takes = {
            _FILTER: self._filter,
            _ERRNO: self._number,
            _ARCHES: self._archs,
            _LOG: self._log,
        }
        if line.key not in takes:
            raise line.refuse(f"unknown setting {line.key[:80]!r}", hint=nearest(line.key, tuple(takes)))
        for word, place in line.words:
            if set(word) & set("%\"'\\"):
                raise line.refuse(f"{word[:80]!r}: specifiers and quotes are not read", place)
        takes[line.key](line)

    def _filter(self, line: Line) -> None:
        if not line.words:
            self._allowing, self._calls = None, {}
            return
        inverted, words = _inverted(line)
        if self._allowing is None:
            self._allowing = not inverted
            self._calls = dict.fromkeys(sorted(self._sets[DEFAULT]), -1) if self._allowing else {}
        for word, place in words:
            name, colon, answer = word.partition(":")
            number = self._answer(line, answer, place) if colon else -1
            if colon and not inverted:
                raise line.refuse("only what is refused can have an errno", place, hint=f"write ~{word}")
            for call in self._expanded(line, name, place):
                if inverted != self._allowing or number != -1:
                    self._calls[call] = number
                else:
                    self._calls.pop(call, None)

    def _expanded(self, line: Line, name: str, place: int) -> Iterable[str]:
        if not name.startswith("@"):
            if not name:
                raise line.refuse("the name of a call is expected", place)
            return (name,)
        if name not in self._sets:
            hint = nearest(name, tuple(self._sets))
            raise line.refuse(f"unknown set {name[:80]!r}", place, hint)
        return sorted(self._sets[name])

    def _answer(self, line: Line, word: str, place: int) -> int:
        """An errno, or -2 for killing."""
        if word == "kill":
            return -2
        value = errno_value(word)
        if value is None or value > LARGEST_ERRNO:
            raise line.refuse(f"unknown errno {word[:80]!r}", place, "a name such as EPERM, or kill")
        return value

    def _number(self, line: Line) -> None:
        if len(line.words) > 1:
            raise line.refuse("one errno is expected", line.words[1][1])
        self._errno = -1
        for word, place in line.words:
            number = self._answer(line, word, place)
            if number == 0:
                raise line.refuse("systemd takes errnos from 1 on", place)
            self._errno = number if number > 0 else -1

    def _archs(self, line: Line) -> None:
        if not line.words:
            self._architectures = []
        for word, place in line.words:
            if word != "native" and word not in ARCHITECTURES:
                raise line.refuse(
                    f"unknown architecture {word[:80]!r}", place, nearest(word, tuple(ARCHITECTURES))
                )
            self._architectures.append(NATIVE if word == "native" else f"SCMP_ARCH_{ARCHITECTURES[word]}")

    def _log(self, line: Line) -> None:
        if not line.words:
            self._logging = {}
            return
        inverted, words = _inverted(line)
        if inverted:
            raise line.refuse("logging all calls but some is not read", words[0][1] if words else -1)
        for word, place in words:
            self._logging.update(dict.fromkeys(self._expanded(line, word, place)))

    def profile(self, source: str) -> Profile:
        """What has been taken, as rules."""
        if self._allowing is None:
            raise ProfileError(f"{source} has no SystemCallFilter=")
        refusal = (ERRNO, self._errno) if self._errno > 0 else (KILL, None)
        groups: dict[tuple[str, int | None], list[str]] = {}
        for name, number in self._calls.items():
            if number == -1:
                outcome = (ALLOW, None) if self._allowing else refusal
            else:
                outcome = (ERRNO, number) if number >= 0 else (KILL, None)
            if outcome == (ALLOW, None) and name in self._logging:
                outcome = (LOG, None)
            groups.setdefault(outcome, []).append(name)
        if not self._allowing:
            groups.setdefault((LOG, None), []).extend(
                name for name in self._logging if name not in self._calls
            )
        local = LOCAL.get(self._machine, ())
        default = refusal if self._allowing else (ALLOW, None)
        return Profile(
            default_action=default[0],
            default_errno_ret=default[1],
            architectures=tuple(dict.fromkeys(self._architectures))
            or tuple(f"SCMP_ARCH_{name}" for name in local),
            rules=tuple(
                Rule(names=tuple(found), action=action, errno_ret=number)
                for (action, number), found in groups.items()
                if found
            ),
        )


def _inverted(line: Line) -> tuple[bool, list[tuple[str, int]]]:
    """Whether the list begins with ~, and its words without that."""
    word, place = line.words[0]
    if not word.startswith("~"):
        return False, line.words
    first = [(word[1:], place + 1)] if word != "~" else []
    return True, [*first, *line.words[1:]]
