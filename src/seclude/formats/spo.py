"""SeccompProfile objects of the Kubernetes Security Profiles Operator: a Profile in, YAML out, and back.

The fields are those of the operator's api/seccompprofile/v1/seccompprofile_types.go: it has no default errno, no
includes, excludes or archMap, and its numbers are signed.
"""

from __future__ import annotations

from ..errors import ProfileError
from ..model.export import WITH_DATA, Exporter, Losses, Read, Written, named, resolution, resolved
from ..model.profile import ERRNO, PERMITTING, Argument, FieldError, Profile, Rule, nearest
from ..yamltext import Document, documents, word

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    from ..yamltext import Path

    T = TypeVar("T")

GROUP = "security-profiles-operator.x-k8s.io"
VERSIONS = ("v1", "v1beta1")
KIND = "SeccompProfile"
MARK = "# seclude export: spo\n"
LARGEST_NUMBER = 0x7FFF_FFFF_FFFF_FFFF
"""`Value int64`, with a minimum of 0."""

_UNKNOWN = tuple(f"SCMP_ARCH_{name}" for name in "LOONGARCH64 M68K SH SHEB".split())
_LISTENERS = "/var/run/security-profiles-operator/"
_NAME = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")
_FILE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.")
_LONGEST_NAME = 253
_EPERM = 1

_TOP = ("apiVersion", "kind", "metadata", "spec", "status")
_SPEC = (
    "defaultAction architectures listenerPath listenerMetadata syscalls flags state disabled baseProfileName"
).split()
_CALL = ("names", "action", "errnoRet", "args")
_ARGUMENT = ("index", "value", "valueTwo", "op")


class SpoFormat(Exporter):
    """Writes and reads one SeccompProfile."""

    name = "spo"

    def loads(self, text: str, source: str) -> Profile:
        """The profile; raises ProfileError with line and column."""
        return self.read(text, source).profile

    def written(self, profile: Profile) -> Written:
        """Resolved for the settings' environment; raises ProfileError for what has no safe substitute."""
        losses = Losses(self.name)
        here = resolved(profile, self.settings.environment)
        lines = [*self._head(), "spec:", f"  defaultAction: {here.default_action}"]
        if here.default_action == ERRNO and here.outcome[1] != _EPERM:
            losses.add("default-errno", "the operator has no default errno: refused calls return EPERM")
        if here.default_action == "SCMP_ACT_TRACE" and here.outcome[1] != _EPERM:
            losses.add("default-errno", "the operator has no default errno: the tracer is told 1")
        lines += _list("architectures", _architectures(here, losses))
        lines += _list("flags", here.flags or ())
        if here.flags == ():
            losses.add("no-flags", "no flags cannot be told from the engine's choice: it may set SPEC_ALLOW")
        lines += _listener(here)
        rules = [kept for rule in here.rules for kept in _sayable(rule, losses)]
        if rules:
            lines.append("  syscalls:")
        for rule in rules:
            lines += _rule(rule)
        text = MARK + "\n".join(lines) + "\n"
        notes = (*resolution(profile, self.settings.environment), self._use())
        return Written(text=text, losses=losses.all(), notes=notes)

    def _head(self) -> list[str]:
        version, name, namespace = self.settings.api_version, self.settings.name, self.settings.namespace
        if version not in VERSIONS:
            raise ProfileError(
                f"unknown version {version[:40]!r} of the operator's API", hint=f"one of {named(VERSIONS)}"
            )
        for what, value in (("name", name), ("namespace", namespace)):
            if not _is_name(value) and (value or what == "name"):
                raise ProfileError(
                    f"{value[:80]!r} is no {what} of a Kubernetes object",
                    hint="lower-case letters, digits, '-' and '.', beginning and ending with a letter or digit",
                )
        head = [
            f"apiVersion: {GROUP}/{version}",
            f"kind: {KIND}",
            "metadata:",
            f"  name: {word(name)}",
        ]
        return [*head, f"  namespace: {word(namespace)}"] if namespace else head

    def _use(self) -> str:
        directory = f"{self.settings.namespace}/" if self.settings.namespace else ""
        path = f"operator/{directory}{self.settings.name}.json"
        return f"once it is installed, pods use it as localhostProfile: {path} (see the object's status)"

    def read(self, text: str, source: str) -> Read:
        """The one SeccompProfile among the documents; raises ProfileError with line and column."""
        found = [
            document
            for document in documents(text, source, error=ProfileError)
            if isinstance(document.value, dict) and document.value.get("kind") == KIND
        ]
        if len(found) != 1:
            raise ProfileError(
                f"{source} holds {len(found)} objects of kind {KIND}",
                hint="a file with exactly one is expected",
            )
        return _Reader(found[0]).read()


def _is_name(text: str) -> bool:
    """Whether it is a DNS subdomain (RFC 1123), as names of Kubernetes objects are."""
    labels = text.split(".")
    ends = {label[:1] for label in labels} | {label[-1:] for label in labels}
    return set(text) <= _NAME and len(text) <= _LONGEST_NAME and not ends & {"", "-"}


def _architectures(profile: Profile, losses: Losses) -> tuple[str, ...]:
    for name in profile.architectures:
        if name in _UNKNOWN:
            losses.add("architecture", "the operator knows no architecture {}, whose calls are killed", name)
    return tuple(name for name in dict.fromkeys(profile.architectures) if name not in _UNKNOWN)


def _listener(profile: Profile) -> list[str]:
    path = profile.listener_path
    if path and (not path.startswith(_LISTENERS) or not set(path[len(_LISTENERS) :] or "/") <= _FILE):
        raise ProfileError(
            f"the operator takes no listener at {path[:200]!r}", hint=f"a socket in {_LISTENERS} is accepted"
        )
    told = (("listenerPath", path), ("listenerMetadata", profile.listener_metadata))
    return [f"  {key}: {word(value)}" for key, value in told if value]


def _sayable(rule: Rule, losses: Losses) -> list[Rule]:
    """The rule, or nothing where it allows what cannot be said; raises ProfileError where it refuses that."""
    if rule.action in WITH_DATA and rule.outcome[1] == 0:
        for name in rule.names:
            losses.add("errno", "the operator has no errno 0: it is EPERM for {}", name)
    if all(max(each.value, each.value_two) <= LARGEST_NUMBER for each in rule.args):
        return [rule]
    what = f"the operator has no values beyond {LARGEST_NUMBER:#x}"
    if rule.action not in PERMITTING:
        raise ProfileError(f"{what}: a rule that refuses {named(rule.names)} cannot be said")
    for name in rule.names:
        losses.add("argument-value", f"{what}: a rule that allows {{}} is left out", name)
    return []


def _list(key: str, items: tuple[str, ...]) -> list[str]:
    return [f"  {key}:", *(f"  - {item}" for item in items)] if items else []


def _rule(rule: Rule) -> list[str]:
    lines = [f"  - action: {rule.action}"]
    if rule.action in WITH_DATA and rule.outcome[1]:
        lines.append(f"    errnoRet: {rule.outcome[1]}")
    lines += ["    names:", *(f"    - {word(name)}" for name in rule.names)]
    if rule.args:
        lines.append("    args:")
    for each in rule.args:
        lines += [f"    - index: {each.index}", f"      op: {each.op}", f"      value: {each.value}"]
        lines += [f"      valueTwo: {each.value_two}"] if each.value_two else []
    return lines


class _Reader:
    """One object of the operator; every complaint says where."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._losses = Losses(SpoFormat.name)

    def read(self) -> Read:
        top = self._members((), self._document.value, _TOP)
        group, _, version = str(top.get("apiVersion")).partition("/")
        if group != GROUP or version not in (*VERSIONS, "v1alpha1"):
            self._refuse(
                ("apiVersion",), f"{group[:80]}/{version[:20]} is no version of {GROUP} that we know"
            )
        spec = self._members(("spec",), top.get("spec"), _SPEC)
        if spec.get("baseProfileName"):
            self._refuse(
                ("spec", "baseProfileName"), "another profile is added to this one: import what it results in"
            )
        if spec.get("disabled") is True or spec.get("state") == "Disabled":
            self._losses.add("disabled", "the profile is disabled, so no pod can use it yet")
        calls = self._items(("spec", "syscalls"), spec.get("syscalls"))
        profile = self._build(
            ("spec",),
            Profile,
            default_action=self._text(("spec", "defaultAction"), spec.get("defaultAction")),
            architectures=self._texts(("spec", "architectures"), spec.get("architectures")),
            flags=self._texts(("spec", "flags"), spec.get("flags")) or None,
            listener_path=self._text(("spec", "listenerPath"), spec.get("listenerPath") or ""),
            listener_metadata=self._text(("spec", "listenerMetadata"), spec.get("listenerMetadata") or ""),
            rules=tuple(self._rule(("spec", "syscalls", index), call) for index, call in enumerate(calls)),
        )
        return Read(profile=profile, losses=self._losses.all())

    def _rule(self, path: Path, value: object) -> Rule:
        members = self._members(path, value, _CALL)
        args = self._items((*path, "args"), members.get("args"))
        return self._build(
            path,
            Rule,
            names=self._texts((*path, "names"), members.get("names")),
            action=self._text((*path, "action"), members.get("action")),
            # The operator's type leaves out a 0 as it writes the file for the engine.
            errno_ret=self._number((*path, "errnoRet"), members.get("errnoRet")) or None,
            args=tuple(self._argument((*path, "args", index), each) for index, each in enumerate(args)),
        )

    def _argument(self, path: Path, value: object) -> Argument:
        members = self._members(path, value, _ARGUMENT)
        return self._build(
            path,
            Argument,
            index=self._number((*path, "index"), members.get("index")),
            value=self._number((*path, "value"), members.get("value")),
            value_two=self._number((*path, "valueTwo"), members.get("valueTwo")),
            op=self._text((*path, "op"), members.get("op")),
        )

    def _refuse(self, path: Path, what: str, hint: str = "") -> NoReturn:
        raise ProfileError(self._document.located(path, what), hint=hint)

    def _members(self, path: Path, value: object, known: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(path, f"{path[-1] if path else 'the document'} must be a mapping")
        for key in value:
            if key not in known:
                what = self._document.located((*path, key), f"unknown field {key[:80]!r}", key=True)
                raise ProfileError(what, hint=nearest(key, known))
        return value

    def _items(self, path: Path, value: object) -> list[object]:
        if value is None:
            return []
        if not isinstance(value, list):
            self._refuse(path, f"{path[-1]} must be a list")
        return value

    def _texts(self, path: Path, value: object) -> tuple[str, ...]:
        return tuple(self._text((*path, index), item) for index, item in enumerate(self._items(path, value)))

    def _text(self, path: Path, value: object) -> str:
        if not isinstance(value, str):
            self._refuse(
                path, f"{path[-1]} must be a string" if value is not None else f"{path[-1]} is missing"
            )
        return value

    def _number(self, path: Path, value: object) -> int:
        number = 0 if value is None else value
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= LARGEST_NUMBER:
            self._refuse(path, f"{path[-1]} must be a whole number from 0 to {LARGEST_NUMBER}")
        return number

    def _build(self, path: Path, cls: type[T], **fields: Any) -> T:
        try:
            return cls(**fields)
        except FieldError as failure:
            first, *others = failure.field.split("_")
            key = first + "".join(word.capitalize() for word in others)
            self._refuse((*path, key), failure.message, failure.hint)
