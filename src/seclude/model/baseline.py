"""What a runtime itself was found to call under its filter, kept apart by the condition that a call depends on."""

from __future__ import annotations

from ..errors import SecludeError
from .frozen import frozen

CONDITIONS: dict[str, str] = {
    "plain": "a container that does nothing, as root",
    "terminal": "with a terminal (-t)",
    "user": "another user and group, with supplementary groups (--user)",
    "read-only": "a read-only root (--read-only)",
    "init": "an init of the engine's, mounted into the container (--init)",
    "user-namespace": "a user namespace (--userns, --uidmap)",
    "no-capabilities": "all capabilities dropped (--cap-drop all)",
    "all-capabilities": "all capabilities, ambient ones too (--cap-add all)",
    "working-directory": "another working directory (--workdir)",
    "personality": "another execution domain (linux.personality)",
    "exec": "another process that enters the container (podman exec, docker exec)",
}
"""Under which conditions a runtime is measured; the first is what the others are compared with."""


@frozen
class More:
    """The calls that one condition adds to those made under every condition, sorted."""

    condition: str
    calls: tuple[str, ...]


@frozen
class NotMeasured:
    """Stands where a condition's calls would be, with the reason why they are not known."""

    condition: str
    reason: str


@frozen
class Baseline:
    """The calls of one runtime between loading the filter and the entrypoint's exec, and how they were obtained.

    `always`: under every condition, in every run. `varying`: in some of many equal runs only, whatever the condition;
    a profile without them lets a container start most of the time (runc's Go runtime collects garbage and is preempted
    when it likes). `conditions` has those that were measured, `unknown` the others. All names are sorted. Raises
    SecludeError for a condition that there is not, or that is there twice.
    """

    runtime: str
    version: str
    machine: str
    no_new_privileges: bool
    always: tuple[str, ...]
    varying: tuple[str, ...]
    conditions: tuple[More, ...]
    unknown: tuple[NotMeasured, ...]
    obtained: str

    def __post_init__(self) -> None:
        named = [*(item.condition for item in self.conditions), *(item.condition for item in self.unknown)]
        for condition in named:
            if condition not in CONDITIONS or named.count(condition) > 1:
                raise SecludeError(
                    f"{condition[:80]!r} is no condition, or is given twice",
                    hint=f"known: {', '.join(CONDITIONS)}",
                )

    @property
    def calls(self) -> tuple[str, ...]:
        """All of them, whatever the conditions, sorted."""
        return self.under(*(item.condition for item in self.conditions))

    def under(self, *conditions: str) -> tuple[str, ...]:
        """Those that may be made under the given conditions, sorted; a condition that was not measured adds none."""
        more = (item.calls for item in self.conditions if item.condition in conditions)
        return tuple(sorted({*self.always, *self.varying}.union(*more)))
