"""Kubernetes objects in YAML or JSON in, the same with a seccomp profile of type Localhost out.

Nothing but the profile is changed: the new lines are put into the text, so comments and layout stay, and what comes
out is parsed again and compared with what was meant. Fields: k8s.io/api/core/v1, SeccompProfile and SecurityContext.
"""

from __future__ import annotations

from ..errors import ProfileError
from ..model.export import named
from ..yamltext import documents, message, word
from . import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

KUBELET = "/var/lib/kubelet/seccomp"
"""pkg/kubelet/kubelet.go: "seccomp" below --root-dir, which is /var/lib/kubelet unless it is set."""

_TEMPLATE = ("spec", "template", "spec")
_POD_SPECS = {
    "Pod": ("spec",),
    **dict.fromkeys(
        "Deployment StatefulSet DaemonSet ReplicaSet ReplicationController Job".split(), _TEMPLATE
    ),
    "CronJob": ("spec", "jobTemplate", *_TEMPLATE),
    "PodTemplate": ("template", "spec"),
}
"""Kind -> where its pod's spec is."""

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_CONTEXT, _SECCOMP = "securityContext", "seccompProfile"


def default_path(file: str) -> str:
    """Where a profile goes below the kubelet's directory unless the user says: profiles/NAME."""
    return f"profiles/{file.rsplit('/', 1)[-1]}"


def placement(path: str) -> tuple[str, ...]:
    """What to do with the profile; raises ProfileError for a path that the API server would refuse."""
    # pkg/apis/core/validation: validateLocalDescendingPath.
    if not path or path.startswith("/") or ".." in path.split("/") or not path.isprintable():
        raise ProfileError(f"{path[:200]!r} is no path below {KUBELET}", hint="a relative path without '..'")
    return (f"copy the profile to {KUBELET}/{path} on every node that may run the pod",)


def edited(text: str, source: str, path: str, *, container: str = "") -> tuple[str, tuple[str, ...]]:
    """(the text with the profile set in every pod of it, or in the containers of that name; what to know).

    Raises ProfileError with line and column where the text is no YAML or has no such pod or container.
    """
    placement(path)
    found_in = documents(text, source, error=ProfileError)
    values = [document.value for document in found_in]
    editor = _Editor(text, source)
    notes: list[str] = []
    found = 0
    containers: list[str] = []
    for document in found_in:
        for node, spec, name in _pods(document.node, document.value):
            for target, content in _targets(node, spec, container):
                editor.set_profile(target, path)
                _change(content, path)
                found += 1
            containers += [str(each.get("name")) for each in _containers(spec)]
            notes += _notes(spec, name, container)
    if not found:
        told = f"no container {container!r}" if containers else "no pod and no object that makes pods"
        hint = f"it has {named(containers)}" if containers else f"kinds: {', '.join(_POD_SPECS)}"
        raise ProfileError(f"{source} holds {told}", hint=hint)
    result = editor.text()
    if [document.value for document in documents(result, source, error=ProfileError)] != values:
        raise ProfileError(
            f"{source} is laid out in a way that we cannot edit",
            hint=f"write `{_CONTEXT}: {{}}` into the pod's spec or the container, and try again",
        )
    return result, tuple(notes)


def _pods(root: Any, value: Any) -> list[tuple[Any, dict[str, Any], str]]:
    """(node, value, name) of the spec of every pod in an object or a List of objects."""
    if not isinstance(value, dict):
        return []
    kind = value.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(value.get("items"), list):
        items = zip(_member(root, "items").value, value["items"], strict=True)
        return [pod for node, item in items for pod in _pods(node, item)]
    if not isinstance(kind, str) or kind not in _POD_SPECS:
        return []
    spec: Any = value
    node = root
    for key in _POD_SPECS[kind]:
        spec = spec.get(key)
        if not isinstance(spec, dict):
            return []
        node = _member(node, key)
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return [(node, spec, f"{kind} {name}" if name else kind)]


def _member(node: Any, key: str) -> Any:
    return next((value for name, value in node.value if name.value == key), None)


def _containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    lists = [spec.get(key) for key in _CONTAINERS]
    return [each for items in lists if isinstance(items, list) for each in items if isinstance(each, dict)]


def _targets(node: Any, spec: dict[str, Any], container: str) -> list[tuple[Any, dict[str, Any]]]:
    """(node, value) of what gets a securityContext: the pod's spec, or its containers of that name."""
    if not container:
        return [(node, spec)]
    found = []
    for key in _CONTAINERS:
        items = spec.get(key)
        if isinstance(items, list):
            pairs = zip(_member(node, key).value, items, strict=True)
            found += [
                pair for pair in pairs if isinstance(pair[1], dict) and pair[1].get("name") == container
            ]
    return found


def _change(content: dict[str, Any], path: str) -> None:
    """Set the profile in the value, as the text is to have it."""
    context = content.get(_CONTEXT)
    content[_CONTEXT] = context = context if isinstance(context, dict) else {}
    profile = context.get(_SECCOMP)
    context[_SECCOMP] = profile if isinstance(profile, dict) else {}
    context[_SECCOMP] |= {"type": "Localhost", "localhostProfile": path}


def _notes(spec: dict[str, Any], name: str, container: str) -> list[str]:
    notes = []
    for each in _containers(spec):
        context = each.get(_CONTEXT)
        context = context if isinstance(context, dict) else {}
        told = f"{name}, container {str(each.get('name'))[:80]}"
        if context.get("privileged") is True:
            notes.append(f"{told} is privileged: it runs without any seccomp profile")
        elif not container and context.get(_SECCOMP):
            notes.append(f"{told} has a {_SECCOMP} of its own, which the pod's does not change")
    return notes


class _Editor:
    """Text with insertions and replacements, made at the places that the parser's nodes tell."""

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source
        self._edits: list[tuple[int, int, str]] = []
        self._newline = "\r\n" if "\r\n" in text else "\n"

    def text(self) -> str:
        """The text with all changes."""
        result = self._text
        for start, end, new in sorted(self._edits, reverse=True):
            result = result[:start] + new + result[end:]
        return result

    def set_profile(self, target: Any, path: str) -> None:
        """Set securityContext.seccompProfile in a mapping."""
        fields = {"type": "Localhost", "localhostProfile": path}
        context = self._into(target, _CONTEXT, {_SECCOMP: fields})
        profile = self._into(context, _SECCOMP, fields) if context is not None else None
        missing = {
            key: value
            for key, value in fields.items()
            if profile is not None and _member(profile, key) is None
        }
        if missing:
            self._insert(profile, missing)
        for key, value in fields.items():
            if profile is not None and key not in missing:
                self._replace(profile, key, _flow(value) if profile.flow_style else word(value))

    def _into(self, node: Any, key: str, otherwise: dict[str, Any]) -> Any:
        """The mapping under `key`; if there is none it is put there with this content, and None returned."""
        member = _member(node, key)
        if member is None:
            self._insert(node, {key: otherwise})
            return None
        if isinstance(member.value, list) and member.id == "mapping":
            if member.value:
                return member
        elif not str(member.tag).endswith(":null"):
            mark = member.start_mark
            what = f"{key} must be a mapping"
            raise ProfileError(message(self._source, self._text.splitlines(), mark.line, mark.column, what))
        self._replace(node, key, _flow(otherwise))
        return None

    def _replace(self, node: Any, key: str, new: str) -> None:
        name, value = next(pair for pair in node.value if pair[0].value == key)
        start, end = name.end_mark.index, value.end_mark.index
        if value.id == "scalar" and not value.value and value.style is None:
            # A value that is left out ends where the next thing begins, behind all comments.
            end = self._text.index(":", start) + 1
        self._edits.append((start, end, f": {new}"))

    def _insert(self, node: Any, members: dict[str, Any]) -> None:
        if node.flow_style or not node.value:
            new = _flow(members)[1:-1] + (", " if node.value else "")
            self._edits.append((node.start_mark.index + 1, node.start_mark.index + 1, new))
            return
        column = node.value[0][0].start_mark.column
        new = "".join(f"{line}{self._newline}" for line in _block(members, column))
        # Best after a value on one line: comments stand above what they are about.
        for name, value in node.value:
            if (
                value.id == "scalar"
                and value.style in (None, '"', "'")
                and value.end_mark.line == name.start_mark.line
            ):
                end = self._text.find("\n", value.end_mark.index)
                place = len(self._text) if end < 0 else end + 1
                self._edits.append((place, place, new if end >= 0 else self._newline + new))
                return
        place = node.value[0][0].start_mark.index - column
        if self._text[place : place + column].strip():
            # The first key stands behind the dash of a list.
            place = node.value[-1][0].start_mark.index - column
        else:
            place = self._above_comments(place)
        self._edits.append((place, place, new))

    def _above_comments(self, place: int) -> int:
        """The beginning of the lines of comment that end where the line at `place` begins."""
        while place:
            above = self._text.rfind("\n", 0, place - 1) + 1
            if not self._text[above:place].lstrip().startswith("#"):
                return place
            place = above
        return place


def _flow(value: Any) -> str:
    """JSON, which is YAML too, with blanks as people write it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{jsontext.encode(key)}: {_flow(each)}" for key, each in value.items()) + "}"
    return jsontext.encode(value)


def _block(members: dict[str, Any], column: int) -> list[str]:
    lines = []
    for key, value in members.items():
        if isinstance(value, dict):
            lines += [f"{' ' * column}{key}:", *_block(value, column + 2)]
        else:
            lines.append(f"{' ' * column}{key}: {word(value)}")
    return lines
