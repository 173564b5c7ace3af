"""A command and a profile in; whether the command still passes while some of the profile's calls are refused out."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence

from ..analyse.minimize import without
from ..engines import engine_for
from ..errors import EngineError
from ..model.environment import NATIVE_ABIS
from ..model.frozen import frozen
from ..model.profile import Profile
from .started import Ended
from .trials import NOT_STARTED, Container, Process, Trial

FIRST_TIMEOUT = 600.0
LEAST_TIMEOUT = 10.0
TIMES_LONGER = 10.0


@frozen
class Passing:
    """What passing means: the exit status, the seconds it may take (0: judged by the first run), and the output."""

    status: int = 0
    timeout: float = 0.0
    same_output: bool = False

    def __post_init__(self) -> None:
        if self.status in NOT_STARTED:
            raise EngineError(
                f"status {self.status} cannot be expected: it may also mean that the command could not be started",
                hint="expect a status below 125",
            )


class Judge:
    """Asked with calls to refuse (name -> errno), says whether the command passes. Use as a context manager.

    The first question must be about no call: it establishes what later runs are compared with, and raises EngineError
    if the command fails under the full profile.
    """

    def __init__(self, command: Sequence[str], profile: Profile, passing: Passing) -> None:
        self._profile = profile
        self._passing = passing
        self._first: Ended | None = None
        self._timeout = passing.timeout or FIRST_TIMEOUT
        self._abi = NATIVE_ABIS.get(platform.machine(), "")
        self._trial: Trial = Process(command) if engine_for(command).name == "process" else Container(command)

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, *exception: object) -> None:
        self._trial.close()

    def candidate(self, withdrawn: Mapping[str, str]) -> Profile:
        """The profile that a question with these calls is about."""
        return without(self._profile, withdrawn, abi=self._abi)

    def __call__(self, withdrawn: Mapping[str, str]) -> bool:
        if self._first is None:
            self._first = self._establish()
            return True
        ended = self._trial.run(self.candidate(withdrawn), self._timeout)
        passed = not ended.refusal and ended.status == self._passing.status
        if passed and {"execve", "execveat"} <= {*withdrawn, *self._never_allowed()}:
            raise EngineError(
                "the command passes although it cannot have been started: the profile was not in force",
                hint="leave out what sets another one, such as --privileged and --security-opt seccomp=...",
            )
        return passed and (not self._passing.same_output or ended.output == self._first.output)

    def _never_allowed(self) -> set[str]:
        allowed = {name for rule in self._profile.rules if rule.permits for name in rule.names}
        return {"execve", "execveat"} - allowed

    def _establish(self) -> Ended:
        ended = self._trial.run(self._profile, self._timeout)
        said = f":\n{ended.said}" if ended.said else ""
        if ended.refusal:
            raise EngineError(
                f"the command cannot be started under the full profile: {ended.refusal}",
                hint="try the command by itself, then with `seclude run`",
            )
        if ended.status is None:
            raise EngineError(
                f"the command did not end within {self._timeout:g} s under the full profile",
                hint="give a command that ends by itself, or more time with --timeout",
            )
        if ended.status != self._passing.status:
            hint = "complete the profile first"
            if ended.status not in NOT_STARTED:
                hint += f", or give --expect-status {ended.status} if it should end so"
            raise EngineError(
                f"the command ends with status {ended.status} under the full profile, not with "
                f"{self._passing.status}{said}",
                hint=hint,
            )
        self._timeout = self._passing.timeout or max(LEAST_TIMEOUT, TIMES_LONGER * ended.seconds)
        return ended
