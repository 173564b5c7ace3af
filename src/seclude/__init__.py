"""Records the system calls of a container and writes the tight seccomp profile it can run under.

Importing the package loads nothing else: the names below come when they are first used.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errors import SecludeError as SecludeError
    from .marking import mark as mark
    from .marking import marked as marked
    from .model.profile import Profile as Profile
    from .model.recording import Recording as Recording

__version__ = "0.1.0"
__all__ = ("Profile", "Recording", "SecludeError", "__version__", "mark", "marked")


def __getattr__(name: str) -> object:
    if name == "SecludeError":
        from .errors import SecludeError

        return SecludeError
    if name == "Recording":
        from .model.recording import Recording

        return Recording
    if name == "Profile":
        from .model.profile import Profile

        return Profile
    if name in ("mark", "marked"):
        from . import marking

        return getattr(marking, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
