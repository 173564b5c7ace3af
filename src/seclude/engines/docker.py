"""Docker: a `docker run` command in, the same command with a profile added, or why that cannot be, out."""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..commandline import Grammar, RunCommand, parse
from ..errors import EngineError
from ..model.capabilities import DEFAULT_CAPABILITIES

GRAMMAR = Grammar(
    engine="docker",
    # docker(1), global options that take their value as the next word.
    global_values=frozenset(
        "--config --context -c --host -H --log-level -l --tlscacert --tlscert --tlskey".split()
    ),
    # docker-run(1), options that take no value, and their letters.
    switches=frozenset(
        "--detach --disable-content-trust --help --init --interactive --no-healthcheck --oom-kill-disable "
        "--privileged --publish-all --quiet --read-only --rm --sig-proxy --tty --use-api-socket".split()
    ),
    letters="ditPq",
    instead="give `docker run`; what runs already can be watched: seclude watch --container NAME",
    example="seclude verify -p PROFILE -- docker run IMAGE COMMAND",
)

_ALL = "CAP_ALL"

_BUILD = (
    "RUN steps are started by BuildKit, which asks no runtime of the engine's: they cannot be recorded; "
    "take `docker run` with what was built"
)
_INSTEAD = {
    "compose": "start the service with `docker run`, or have it recorded by `runtime: seclude` and the environment "
    "variable SECLUDE_TRACE in its compose file, see docs/docker.md",
    "build": _BUILD,
    "buildx": _BUILD,
}
"""What to do in place of commands that start containers in another way."""


class DockerEngine:
    """Recognises docker's client; knows `docker run` and `docker container run`."""

    name = "docker"

    def recognises(self, command: Sequence[str]) -> bool:
        return bool(command) and os.path.basename(command[0]) == "docker"

    def parse(self, command: Sequence[str]) -> RunCommand:
        """The parts of the command; raises EngineError where it starts no container."""
        try:
            return parse(command, GRAMMAR)
        except EngineError as error:
            verb = next((word for word in command[1:] if word in _INSTEAD), "")
            if not verb or f" {verb}" not in error.message:
                raise
            raise EngineError(error.message, hint=_INSTEAD[verb]) from None

    def enforced(self, run: RunCommand, profile: str, more: Sequence[str] = ()) -> list[str]:
        """The command with the profile in force and more options; raises EngineError where another would be."""
        return run.enforced(profile, more)

    def capabilities(self, run: RunCommand, every: Sequence[str]) -> tuple[str, ...]:
        """The bounding set that the container gets, of `every` capability there is (moby, oci/caps/utils.go)."""
        if run.switched_on("--privileged"):
            return tuple(every)
        added, dropped = (
            {f"CAP_{value.upper().removeprefix('CAP_')}" for value in run.values(option)}
            for option in ("--cap-add", "--cap-drop")
        )
        if _ALL in added:
            kept = set(every) - dropped
        elif _ALL in dropped:
            kept = added
        else:
            kept = {*DEFAULT_CAPABILITIES} - dropped | added
        return tuple(name for name in every if name in kept)
