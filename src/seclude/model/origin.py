"""One call that was made, with the code that made it: where a process was when it first made it in a context."""

from __future__ import annotations

from .frozen import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .denial import Frame


@frozen
class Origin:
    """The stack of one process at its first time of one call in one context; frames innermost first.

    Empty frames: the process had ended before its stack could be read, or there were too many.
    """

    abi: str
    name: str
    context: str
    pid: int
    tid: int
    python: tuple[Frame, ...] = ()
    native: tuple[Frame, ...] = ()
