"""What a runtime itself was measured to call under its filter."""

from __future__ import annotations

from .frozen import frozen


@frozen
class Baseline:
    """The calls of one runtime between loading the filter and the entrypoint's exec, and how they were obtained.

    `varying` are those of `calls` that only some of many equal runs made: a profile without them lets a container
    start most of the time (runc's Go runtime collects garbage and is preempted when it likes).
    """

    runtime: str
    version: str
    no_new_privileges: bool
    calls: tuple[str, ...]
    varying: tuple[str, ...]
    obtained: str
