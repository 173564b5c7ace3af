"""The engines: each knows one way of starting what is recorded. A new one is a file here and a line below."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ports import Engine

ENGINES = {
    "podman": "seclude.engines.podman:PodmanEngine",
    "docker": "seclude.engines.docker:DockerEngine",
    "process": "seclude.engines.process:ProcessEngine",
}
"""Name -> where the class is. The first that recognises a command starts it; `process` recognises every command."""


def engine_for(command: Sequence[str]) -> Engine:
    """The engine that starts `command`; raises SecludeError where one does that we cannot follow."""
    from importlib import import_module

    from ..remote_clients import check_here

    check_here(command)
    for place in ENGINES.values():
        module, _, name = place.partition(":")
        engine: Engine = getattr(import_module(module), name)()
        if engine.recognises(command):
            return engine
    raise AssertionError("the engine `process` recognises every command")
