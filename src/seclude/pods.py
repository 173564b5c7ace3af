"""The annotations of one container of a Kubernetes pod in; what they ask of this container, out.

Kubernetes annotates pods, and engines hand a pod's annotations on to every container of it, also to the one that only
holds the pod's namespaces. So the key of an annotation of ours can name its container, KEY/CONTAINER: CRI-O's
convention for io.containers.trace-syscall (internal/factory/container), extended to io.seclude.*.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

TRACE = "io.containers.trace-syscall"
OURS = "io.seclude."
_TYPES = ("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType")
"""containerd's and CRI-O's annotation that says "sandbox" or "container"."""

_NAMES = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name")
"""Where containerd and CRI-O say what the pod calls the container."""


def is_pod(annotations: Mapping[str, object]) -> bool:
    """Whether a container belongs to a pod: then whoever may make pods chose what is asked."""
    return any(name in annotations for name in _TYPES)


def is_sandbox(annotations: Mapping[str, object]) -> bool:
    """Whether a container is a pod's own, which is nobody's program."""
    return any(annotations.get(name) == "sandbox" for name in _TYPES)


def own_annotations(annotations: Mapping[str, object]) -> dict[str, object]:
    """The annotations of ours as this container shall read them, and all others; a pod's own container has none.

    KEY/CONTAINER stands for KEY in that container and is gone in the others. Outside a pod nothing changes.
    """
    if not is_pod(annotations):
        return dict(annotations)
    own = next((str(annotations[name]) for name in _NAMES if name in annotations), "")
    found: dict[str, object] = {}
    named: dict[str, object] = {}
    for key, value in annotations.items():
        name, slash, container = key.partition("/")
        if name != TRACE and not name.startswith(OURS):
            found[key] = value
        elif is_sandbox(annotations):
            continue
        elif not slash:
            found[key] = value
        elif own and container == own:
            named[name] = value
    return {**found, **named}
