"""systemd's SystemCallFilter= and its like: a Profile in, a drop-in for a unit out.

As systemd reads them (src/core/load-fragment.c, config_parse_syscall_filter; src/shared/seccomp-util.c): the first
assignment decides whether what follows is a list of what is allowed or of what is refused; the former begins with the
set @default, from which `~name` takes away again. There are no conditions on arguments.
"""

from __future__ import annotations

from .. import callsets
from ..callsets import ARCHITECTURES as NAMES
from ..callsets import DEFAULT, KNOWN
from ..errors import ProfileError
from ..model.export import (
    Exporter,
    Losses,
    Settings,
    Written,
    architectures,
    by_call,
    errno_name,
    resolution,
    words,
)
from ..model.profile import (
    ALLOW,
    ERRNO,
    PERMITTING,
    Profile,
)
from ..syscalls import ARCHITECTURES, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..model.export import Meaning, Outcome

MARK = "# seclude export: systemd\n"
KILL, KILL_THREAD, LOG = "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG"
_NEEDED = "execve"
_WIDTH = 100
_FILTER, _ERRNO, _ARCHES, _LOG = _KEYS = (
    "SystemCallFilter SystemCallErrorNumber SystemCallArchitectures SystemCallLog".split()
)


class SystemdFormat(Exporter):
    """Writes a drop-in."""

    name = "systemd"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._sets = callsets.parsed(settings.sets, "--sets") if settings.sets else callsets.shipped()

    def written(self, profile: Profile) -> Written:
        """A drop-in for NAME.service.d; raises ProfileError for defaults that systemd does not have."""
        here = self.settings.environment
        losses = Losses(self.name)
        if profile.flags:
            losses.add("flags", "systemd sets no flags of the filter")
        if profile.listener_path:
            raise ProfileError("systemd has no listener for SCMP_ACT_NOTIFY")
        words((name for rule in profile.rules for name in rule.names), self.name)
        calls = {
            name: _flat(name, each, profile.outcome, losses) for name, each in by_call(profile, here).items()
        }
        listing = self._allowing if profile.outcome[0] != ALLOW else self._refusing
        # What is empty forgets what the unit itself says: otherwise systemd would merge the two.
        lines = ["[Service]", *(f"{key}=" for key in _KEYS)]
        lines.append(f"{_ARCHES}={' '.join(self._architectures(profile, losses))}")
        lines += listing(profile, calls, losses)
        if logged := sorted(name for name, outcome in calls.items() if outcome[0] == LOG):
            lines += _assigned(_LOG, logged)
        notes = [
            *resolution(profile, here),
            "put it into NAME.service.d/seccomp.conf and run `systemctl daemon-reload`",
        ]
        if self.settings.groups:
            notes.append("another version of systemd may have more calls in its sets: see --sets")
        return Written(text=MARK + "\n".join(lines) + "\n", losses=losses.all(), notes=tuple(notes))

    def _architectures(self, profile: Profile, losses: Losses) -> list[str]:
        known = {f"SCMP_ARCH_{name}": word for word, name in NAMES.items()}
        found = ["native"]
        for name in architectures(profile, self.settings.environment)[1:]:
            if name in known:
                found.append(known[name])
            else:
                losses.add("architecture", "systemd knows no architecture {}, whose calls are killed", name)
        return found

    def _allowing(self, profile: Profile, calls: Mapping[str, Outcome], losses: Losses) -> list[str]:
        """A list of what is allowed; what is refused otherwise than by default follows, call by call."""
        permitted = {name for name, outcome in calls.items() if outcome[0] in PERMITTING}
        if _NEEDED not in permitted:
            losses.add("execve", "systemd needs execve to start the program: it is allowed")
            permitted.add(_NEEDED)
        lines = self._default_errno(profile.outcome, losses)
        lines += _assigned(_FILTER, self._grouped(permitted, profile))
        others = ((name, outcome) for name, outcome in calls.items() if name not in permitted)
        kept = {name: outcome for name, outcome in others if outcome != profile.outcome}
        if left := sorted(self._sets[DEFAULT] - permitted - set(kept)):
            lines += [
                "# systemd would add these of its own accord.",
                *_assigned(_FILTER, left, "~"),
            ]
        return lines + self._refused(kept, losses)

    def _refusing(self, profile: Profile, calls: Mapping[str, Outcome], losses: Losses) -> list[str]:
        """A list of what is refused; each call with its own answer."""
        refused = {name: outcome for name, outcome in calls.items() if outcome[0] not in PERMITTING}
        return self._refused(refused, losses) or [f"{_FILTER}=~"]

    def _default_errno(self, outcome: Outcome, losses: Losses) -> list[str]:
        action, number = outcome
        if action == ERRNO and number:
            return [f"{_ERRNO}={errno_name(number)}"]
        if action == KILL_THREAD:
            losses.add("kill-thread", "systemd kills the process, not the thread alone")
        elif action != KILL:
            what = f"{action} with errno 0" if action == ERRNO else action
            raise ProfileError(
                f"systemd cannot answer all other calls with {what}", hint="it has errnos, and killing"
            )
        return []

    def _refused(self, calls: Mapping[str, Outcome], losses: Losses) -> list[str]:
        refused = []
        for name, (action, number) in sorted(calls.items()):
            if action == ERRNO:
                refused.append(f"{name}:{errno_name(number) if number else 0}")
                continue
            if action not in (KILL, KILL_THREAD):
                losses.add("action", f"systemd knows no {action}: the process is killed for {{}}", name)
            elif action == KILL_THREAD:
                losses.add("kill-thread", "systemd kills the process, not the thread alone")
            refused.append(f"{name}:kill")
        return _assigned(_FILTER, refused, "~")

    def _grouped(self, permitted: set[str], profile: Profile) -> list[str]:
        """The names, with --groups the sets of which all that exists on the architectures is among them."""
        if not self.settings.groups:
            return sorted(permitted)
        abis = {architecture: abi for abi, architecture in ARCHITECTURES.items()}
        chosen = architectures(profile, self.settings.environment)
        if not set(chosen) <= set(abis):
            return sorted(permitted)
        existing = frozenset[str]().union(*(names(abis[each]) for each in chosen))
        rest, found = set(permitted), []
        fitting = {
            name: members & existing for name, members in self._sets.items() if name not in (DEFAULT, KNOWN)
        }
        for name, members in sorted(fitting.items(), key=lambda pair: (-len(pair[1]), pair[0])):
            if members and members <= permitted and members & rest:
                found.append(name)
                rest -= members
        return [*sorted(found), *sorted(rest)]


def _flat(name: str, meaning: Meaning, default: Outcome, losses: Losses) -> Outcome:
    """One outcome for all arguments; where they differ the call is refused, if anything can refuse it."""
    if len(meaning) == 1 and not meaning[0][0]:
        return meaning[0][1]
    losses.add("arguments", "systemd knows no arguments, so it refuses every call of {}", name)
    outcomes = [*(outcome for _, outcome in meaning), default]
    return next((outcome for outcome in reversed(outcomes) if outcome[0] not in PERMITTING), default)


def _assigned(key: str, items: Iterable[str], mark: str = "") -> list[str]:
    """Assignments of a bearable length; each adds to those before."""
    lines: list[str] = []
    for word in items:
        if not lines or len(lines[-1]) + len(word) >= _WIDTH:
            lines.append(f"{key}={mark}{word}")
        else:
            lines[-1] += f" {word}"
    return lines
