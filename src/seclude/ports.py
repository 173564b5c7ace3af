"""What a tracer, an engine, a format and a report must offer: the contracts between the layers, as Protocols."""

from __future__ import annotations

from .model.frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Protocol

    from .model.profile import Profile
    from .model.recording import Observation
    from .model.report import Report
else:
    Protocol = object

WANTED = ("auto", "ebpf", "notify")
"""The tracers that can be asked for, and "auto" for what can be used here."""


@frozen
class Target:
    """One process tree to record: `pid` is the process that will exec the entrypoint, not yet past it.

    `running`: it is past it, and every call counts from now on as the application's; `Tracer.begin` marks that process
    alone, which hands it on to the children it has from then on.

    `unconfined`: no seccomp filter will be installed, so calls count from that exec on; otherwise they count once
    a thread has more than `base_filters` filters. `mnt_namespace` and `pid_namespace` (inode numbers, 0 for none)
    are the target's own: processes that enter them from outside belong to it. `arguments`: call name -> indices of
    the arguments whose distinct values are wanted. `denials`: look for refused calls too. `stacks`: keep the origins
    of calls; somebody must look at them meanwhile (Witness).
    """

    pid: int
    unconfined: bool
    base_filters: int = 0
    mnt_namespace: int = 0
    pid_namespace: int = 0
    counts: bool = False
    denials: bool = False
    stacks: bool = False
    arguments: Mapping[str, Sequence[int]] = {}
    running: bool = False


class Tracer(Protocol):
    """Watches targets. `begin` gives a number that `observe` and `end` take; raises TraceError."""

    name: str

    def unusable(self) -> str:
        """Why this tracer cannot work here, or the empty string."""
        ...

    def begin(self, target: Target) -> int: ...

    def observe(self, number: int) -> Observation: ...

    def end(self, number: int) -> None: ...


class Engine(Protocol):
    """Knows one way of starting what is recorded."""

    name: str

    def recognises(self, command: Sequence[str]) -> bool:
        """Whether `command` starts a container with this engine."""
        ...


class Format(Protocol):
    """Reads and writes profiles as one kind of file; raises ProfileError."""

    def loads(self, text: str, source: str) -> Profile: ...

    def dumps(self, profile: Profile) -> str: ...


class Renderer(Protocol):
    """Draws a report as one kind of text."""

    name: str

    def render(self, report: Report) -> str:
        """The whole text, with a newline at its end."""
        ...
