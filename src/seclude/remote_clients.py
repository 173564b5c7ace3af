"""A command in; an error out where it only asks a service to start containers, whose calls others make."""

from __future__ import annotations

from .errors import SecludeError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_ANNOTATE = "annotate it with io.containers.trace-syscall=of:/absolute/output"
_CLIENTS = {
    "ctr": f"start it with `ctr run --runc-binary LAUNCHER` and {_ANNOTATE}",
    "nerdctl": f"start it with `nerdctl run --runtime LAUNCHER` and {_ANNOTATE}",
    "crictl": f"start its pod with the handler `seclude` and {_ANNOTATE}",
    "kubectl": f"give its pod `runtimeClassName: seclude` and {_ANNOTATE}",
}
"""Program -> what to do instead; LAUNCHER is what `seclude runtime install --engine containerd` writes."""

_VERBS = frozenset("run exec debug start create apply task tasks".split())


def check_here(command: Sequence[str]) -> None:
    """Raise SecludeError for a command that has a container started, or entered, by somebody else."""
    name = command[0].rpartition("/")[2] if command else ""
    verb = next((word for word in command[1:] if word in _VERBS), "")
    if name in _CLIENTS and verb:
        raise SecludeError(
            f"`{name} {verb}` asks a service for a container, and the container's calls are not {name}'s",
            hint=f"{_CLIENTS[name]}: docs/kubernetes.md",
        )
