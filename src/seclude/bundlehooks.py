"""A bundle's config.json in; what recording it asks for and the same configuration with our hooks, out.

A recording is asked for by annotations (the engine passes on what its user gave), by the environment variable
SECLUDE_TRACE where the engine knows no annotations, or by a request that root left in the state directory, which
SECLUDE_TRACE then names.
"""

from __future__ import annotations

import os
import stat

from .errors import SecludeError
from .formats import jsontext
from .hookwords import python_words
from .pods import OURS, TRACE, is_sandbox, own_annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDING = f"{OURS}recording"
ENGINE = f"{OURS}engine"
VARIABLE = "SECLUDE_TRACE"
REQUEST = "request:"
"""What the variable begins with where it names a request: 32 hexadecimal digits follow."""

MARKS = (TRACE.encode(), OURS.encode(), VARIABLE.encode())
"""Without one of these a configuration asks for nothing, and need not be understood."""

STAGES = ("createRuntime", "poststop")
VERSION = 1
_TOKEN = 32
_LARGEST_REQUEST = 64 * 1024


def with_hooks(
    config: object, *, engine: str, places: Mapping[str, str], state: str, package: str
) -> dict[str, object] | None:
    """The configuration (OCI runtime-spec, config.json) with our hooks; None where nothing is asked for.

    `engine`: how the recording shall name the engine, empty for what can be told; `places`: options for the hook;
    `state`: the directory with requests. Only a request of root's is trusted with its paths: whoever else chose them is
    held to the policy. Raises SecludeError.
    """
    if not isinstance(config, dict):
        return None
    annotations = _mapping(config.get("annotations"))
    if is_sandbox(annotations):
        return None
    annotations = own_annotations(annotations)
    process = _mapping(config.get("process"))
    environment = process.get("env")
    environment = environment if isinstance(environment, list) else []
    variable = _variable(environment)
    trusted = variable.startswith(REQUEST)
    if trusted:
        requested = read_request(state, variable.removeprefix(REQUEST))
        if requested is None:
            return None  # the recording is over, and the container is started once more
        kept = {name: value for name, value in annotations.items() if not _is_ours(name)}
        annotations = {**kept, **requested}
    elif TRACE in annotations or RECORDING in annotations:
        annotations = {name: value for name, value in annotations.items() if name != ENGINE}
    elif variable:
        kept = {name: value for name, value in annotations.items() if name != ENGINE}
        annotations = {**kept, TRACE: variable}
    else:
        return None
    if engine:
        annotations[ENGINE] = engine
    changed = {**config, "annotations": annotations}
    if variable:
        # The program sees the environment that it has when nobody records it.
        process["env"] = [item for item in environment if not _is_variable(item)]
        changed["process"] = process
    options = {**places, "--paths-by": "root" if trusted else "anyone"}
    changed["hooks"] = _hooks(_mapping(config.get("hooks")), python_words("hook", options, package))
    return changed


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _is_ours(annotation: str) -> bool:
    return annotation == TRACE or annotation.startswith(OURS)


def _is_variable(item: object) -> bool:
    return isinstance(item, str) and item.startswith(f"{VARIABLE}=")


def _variable(environment: list[object]) -> str:
    """The value of SECLUDE_TRACE; where it is given twice the last one counts, as it does for programs."""
    values = [str(item).partition("=")[2] for item in environment if _is_variable(item)]
    return values[-1] if values else ""


def _hooks(given: dict[str, object], words: list[str]) -> dict[str, object]:
    """The hooks with ours at the end of their stages, once, however often the bundle is started."""
    for stage in STAGES:
        listed = given.get(stage)
        others = [hook for hook in listed if not _is_our_hook(hook)] if isinstance(listed, list) else []
        given[stage] = [*others, {"path": words[0], "args": words}]
    return given


def _is_our_hook(hook: object) -> bool:
    words = hook.get("args") if isinstance(hook, dict) else None
    return isinstance(words, list) and any("from seclude.hook import" in str(word) for word in words)


def request_path(state: str, token: str) -> str:
    """Where the request of this token lies; raises SecludeError for what can be none."""
    if len(token) != _TOKEN or not all(digit in "0123456789abcdef" for digit in token):
        raise SecludeError(
            f"{VARIABLE}={REQUEST}{token[:40]!r} names no request",
            hint=f"such values are given by `seclude record`; write {VARIABLE}=of:/absolute/output",
        )
    return os.path.join(state, "requests", f"{token}.json")


def read_request(state: str, token: str) -> dict[str, object] | None:
    """The annotations of a request, None where it is no more; raises SecludeError for what root has not written."""
    path = request_path(state, token)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecludeError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        os.close(descriptor)
        raise SecludeError(f"{path} can be changed by others than root", hint="remove it")
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(_LARGEST_REQUEST + 1)
    values = jsontext.decode(raw.decode("utf-8", "replace"), path, largest=_LARGEST_REQUEST)
    annotations = values.get("annotations") if isinstance(values, dict) else None
    if not isinstance(values, dict) or values.get("version") != VERSION or not isinstance(annotations, dict):
        raise SecludeError(f"{path} was written by another version of seclude")
    return {str(name): value for name, value in annotations.items() if _is_ours(str(name))}


def write_request(state: str, annotations: Mapping[str, str]) -> str:
    """Leave a request in the state directory, which is root's own; its token. Raises OSError."""
    token = os.urandom(_TOKEN // 2).hex()
    path = request_path(state, token)
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(jsontext.encode({"version": VERSION, "annotations": dict(annotations)}))
    return token
