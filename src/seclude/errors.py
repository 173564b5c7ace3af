"""The one family of errors: a message, the next step, and the exit code it ends the program with."""

from __future__ import annotations

EXIT_CLEAN = 0
EXIT_ERROR = 1
EXIT_FINDINGS = 2


class SecludeError(Exception):
    """What went wrong, said once to the user: `message` names the value and the limit, `hint` the next step."""

    def __init__(self, message: str, *, hint: str = "", exit_code: int = EXIT_ERROR) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ProfileError(SecludeError):
    """A seccomp profile that cannot be read, or that means nothing."""


class RecordingError(SecludeError):
    """A recording that cannot be read, or that no profile may be made from."""


class TraceError(SecludeError):
    """The kernel side cannot be loaded, reached or read."""


class EngineError(SecludeError):
    """A container engine or a command that cannot be run."""


class OutputError(SecludeError):
    """A place where we may not, or cannot, write."""


class RegistryError(SecludeError):
    """A registry that cannot be reached, that refuses, or whose answer is not what it should be."""
