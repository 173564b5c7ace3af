"""Profiles as JSON files that OCI runtimes, Docker and Podman read: text in, a Profile out, and back."""

from __future__ import annotations

from ..errors import ProfileError
from ..model.profile import Argument, FieldError, Filter, Profile, Rule, SubArchitectures, nearest
from . import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")
    Path = tuple[str | int, ...]

LARGEST = 4 * 1024 * 1024
"""Characters of a profile that we read; those that engines ship have 30,000."""

_PROFILE = (
    "defaultAction",
    "defaultErrnoRet",
    "defaultErrno",
    "architectures",
    "archMap",
    "syscalls",
    "flags",
    "listenerPath",
    "listenerMetadata",
)
_RULE = ("names", "name", "action", "args", "comment", "includes", "excludes", "errnoRet", "errno")
_ARGUMENT = ("index", "value", "valueTwo", "op")
_FILTER = ("arches", "caps", "minKernel")
_ARCH_MAP = ("architecture", "subArchitectures")

_KEYS = {
    "default_action": "defaultAction",
    "default_errno_ret": "defaultErrnoRet",
    "default_errno": "defaultErrno",
    "arch_map": "archMap",
    "listener_path": "listenerPath",
    "listener_metadata": "listenerMetadata",
    "errno_ret": "errnoRet",
    "value_two": "valueTwo",
    "min_kernel": "minKernel",
    "sub_architectures": "subArchitectures",
}
"""Field of the model -> key of the file, where they differ."""


class _Misfit(Exception):
    """What is wrong with the member at `path`: its key, or its value."""

    def __init__(self, path: Path, what: str, hint: str = "", *, at_value: bool = False) -> None:
        super().__init__(what)
        self.path = path
        self.what = what
        self.hint = hint
        self.at_value = at_value


def loads(text: str, source: str) -> Profile:
    """The profile in `text`; raises ProfileError with `source`, line, column and the line itself.

    As for the engines, a null stands for a field that is left out. Unknown fields are errors: an engine would
    pass over a misspelt one and enforce something else.
    """
    # Whoever chose the path may have no right to read the file: nothing is shown of one that is no profile.
    quote = '"defaultAction"' in text
    value = jsontext.decode(text, source, error=ProfileError, largest=LARGEST, quote=quote)
    if not isinstance(value, dict) or "defaultAction" not in value:
        raise ProfileError(
            f"{source} is no seccomp profile: it has no defaultAction",
            hint='a profile begins like {"defaultAction":"SCMP_ACT_ERRNO"',
        )
    try:
        return _profile(value)
    except _Misfit as misfit:
        offset = jsontext.offset_of(text, misfit.path, value=misfit.at_value)
        raise ProfileError(jsontext.located(text, offset, source, misfit.what), hint=misfit.hint) from None


def looks_like_profile(value: object) -> bool:
    """Whether a text, or the value decoded from it, is a profile by its outermost fields: what we may replace."""
    if isinstance(value, str):
        try:
            value = jsontext.decode(value, "", error=ProfileError, largest=LARGEST, quote=False)
        except ProfileError:
            return False
    if not isinstance(value, dict) or not set(value) <= set(_PROFILE):
        return False
    action = value.get("defaultAction")
    return isinstance(action, str) and action.startswith("SCMP_ACT_")


class _Members:
    """The members of one object, read by key; a key that is none of `known` is a misfit."""

    def __init__(self, value: object, path: Path, known: tuple[str, ...]) -> None:
        if not isinstance(value, dict):
            raise _Misfit(path, f"{_last(path)} must be an object", at_value=True)
        for key in value:
            if key not in known:
                raise _Misfit((*path, key), f"unknown field {key[:80]!r}", nearest(key, known))
        self._value = value
        self.path = path

    def has(self, key: str) -> bool:
        return self._value.get(key) is not None

    def text(self, key: str, *, required: bool = False) -> str:
        value = self._get(key, str, "a string", required)
        return value if value is not None else ""

    def whole(self, key: str, *, required: bool = False) -> int | None:
        value = self._get(key, int, "a whole number", required)
        if isinstance(value, bool):
            raise _Misfit((*self.path, key), f"{key} must be a whole number", at_value=True)
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        return self.list(key, lambda value, path: _of_type(value, path, str, "a string"))

    def list(self, key: str, read: Callable[[object, Path], T]) -> tuple[T, ...]:
        items: Any = self._get(key, list, "a list", False)
        path = (*self.path, key)
        return tuple(read(item, (*path, index)) for index, item in enumerate(items or ()))

    def get(self, key: str) -> object:
        return self._value.get(key)

    def _get(self, key: str, kind: type[T], what: str, required: bool) -> T | None:
        value = self._value.get(key)
        if value is None:
            if required:
                raise _Misfit(self.path, f"{_last(self.path)} has no {key}")
            return None
        return _of_type(value, (*self.path, key), kind, what)

    def build(self, cls: type[T], **fields: Any) -> T:
        """An instance of the model, whose complaint about a field points at the member that gave it."""
        try:
            return cls(**fields)
        except FieldError as failure:
            path = (*self.path, self._key_of(failure.field))
            raise _Misfit(path, failure.message, failure.hint, at_value=True) from None

    def _key_of(self, field: str) -> str:
        key = _KEYS.get(field, field)
        return "name" if key == "names" and not self.has("names") else key


def _of_type(value: object, path: Path, kind: type[T], what: str) -> T:
    if not isinstance(value, kind):
        raise _Misfit(path, f"{_last(path)} must be {what}", at_value=True)
    return value


def _last(path: Path) -> str:
    if not path:
        return "the profile"
    return str(path[-1]) if isinstance(path[-1], str) else f"{path[-2]}[{path[-1]}]"


def _profile(value: object) -> Profile:
    members = _Members(value, (), _PROFILE)
    return members.build(
        Profile,
        default_action=members.text("defaultAction", required=True),
        default_errno_ret=members.whole("defaultErrnoRet"),
        default_errno=members.text("defaultErrno"),
        architectures=members.texts("architectures"),
        arch_map=members.list("archMap", _sub_architectures),
        rules=members.list("syscalls", _rule),
        flags=members.texts("flags") if members.has("flags") else None,
        listener_path=members.text("listenerPath"),
        listener_metadata=members.text("listenerMetadata"),
    )


def _sub_architectures(value: object, path: Path) -> SubArchitectures:
    members = _Members(value, path, _ARCH_MAP)
    return members.build(
        SubArchitectures,
        architecture=members.text("architecture", required=True),
        sub_architectures=members.texts("subArchitectures"),
    )


def _rule(value: object, path: Path) -> Rule:
    members = _Members(value, path, _RULE)
    name, names = members.text("name"), members.texts("names")
    if name and names:
        raise _Misfit((*path, "name"), "both name and names are given", "engines take only one")
    return members.build(
        Rule,
        names=(name,) if name else names,
        legacy_name=bool(name),
        action=members.text("action", required=True),
        args=members.list("args", _argument),
        comment=members.text("comment"),
        includes=_filter(members.get("includes"), (*path, "includes")),
        excludes=_filter(members.get("excludes"), (*path, "excludes")),
        errno_ret=members.whole("errnoRet"),
        errno=members.text("errno"),
    )


def _argument(value: object, path: Path) -> Argument:
    members = _Members(value, path, _ARGUMENT)
    return members.build(
        Argument,
        index=members.whole("index", required=True),
        value=members.whole("value", required=True),
        value_two=members.whole("valueTwo") or 0,
        op=members.text("op", required=True),
    )


def _filter(value: object, path: Path) -> Filter:
    if value is None:
        return Filter()
    members = _Members(value, path, _FILTER)
    return members.build(
        Filter,
        arches=members.texts("arches"),
        caps=members.texts("caps"),
        min_kernel=members.text("minKernel"),
    )


def dumps(profile: Profile) -> str:
    """The profile as one line of JSON with a newline: fields that say nothing are left out, save in rules."""
    value: dict[str, object] = {"defaultAction": profile.default_action}
    if profile.default_errno_ret is not None:
        value["defaultErrnoRet"] = profile.default_errno_ret
    if profile.default_errno:
        value["defaultErrno"] = profile.default_errno
    if profile.architectures:
        value["architectures"] = profile.architectures
    if profile.arch_map:
        value["archMap"] = [
            {"architecture": entry.architecture, "subArchitectures": entry.sub_architectures}
            for entry in profile.arch_map
        ]
    value["syscalls"] = [_rule_value(rule) for rule in profile.rules]
    if profile.flags is not None:
        value["flags"] = profile.flags
    if profile.listener_path:
        value["listenerPath"] = profile.listener_path
    if profile.listener_metadata:
        value["listenerMetadata"] = profile.listener_metadata
    return jsontext.encode(value) + "\n"


def _rule_value(rule: Rule) -> dict[str, object]:
    value: dict[str, object] = {"name": rule.names[0]} if rule.legacy_name else {"names": rule.names}
    value |= {
        "action": rule.action,
        "args": [
            {"index": each.index, "value": each.value, "valueTwo": each.value_two, "op": each.op}
            for each in rule.args
        ],
        "comment": rule.comment,
        "includes": _filter_value(rule.includes),
        "excludes": _filter_value(rule.excludes),
    }
    if rule.errno_ret is not None:
        value["errnoRet"] = rule.errno_ret
    if rule.errno:
        value["errno"] = rule.errno
    return value


def _filter_value(filter_: Filter) -> dict[str, object]:
    value: dict[str, object] = {}
    if filter_.arches:
        value["arches"] = filter_.arches
    if filter_.caps:
        value["caps"] = filter_.caps
    if filter_.min_kernel:
        value["minKernel"] = filter_.min_kernel
    return value
