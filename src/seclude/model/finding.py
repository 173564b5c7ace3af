"""What a check has to say of a profile: a stable id, how bad it is, where, and what to do."""

from __future__ import annotations

from ..errors import SecludeError
from .frozen import frozen

SEVERITIES = ("error", "warning", "note")
"""An error makes a command end with status 2; the others are said only."""


@frozen
class Finding:
    """`rule` is the stable id (docs/findings.md lists all); `call` the system call it is about, or empty.

    `path` is a file relative to the repository, empty where there is none, `line` counts from 1 (0: the whole file).
    `details`: further lines, such as the process and the test that made the call.
    """

    rule: str
    severity: str
    message: str
    call: str = ""
    path: str = ""
    line: int = 0
    hint: str = ""
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise SecludeError(
                f"unknown severity {self.severity[:80]!r}", hint=f"one of {', '.join(SEVERITIES)}"
            )
