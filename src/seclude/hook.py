"""The OCI hook: a container's state on standard input; at createRuntime a recording begins, at poststop it is written.

Started twice for every annotated container, so nothing heavy is imported. A drop-in for oci-seccomp-bpf-hook.
"""

from __future__ import annotations

import os
import sys

from . import bpffs, containers
from .errors import EXIT_CLEAN, EXIT_ERROR, SecludeError
from .formats import jsontext
from .model.frozen import replace
from .outputs import POLICY
from .pods import is_pod, own_annotations
from .registrations import STATE, Registrations, Request, is_of_session

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .registrations import Registration

ANNOTATION = "io.containers.trace-syscall"
RECORDING_ANNOTATION = "io.seclude.recording"
COUNTS_ANNOTATION = "io.seclude.counts"
BASE_ANNOTATION = "io.seclude.base"
DENIALS_ANNOTATION = "io.seclude.denials"
ARGUMENTS_ANNOTATION = "io.seclude.arguments"
STACKS_ANNOTATION = "io.seclude.stacks"
LARGEST_STATE = 16 * 1024 * 1024


def main() -> int:
    """Entry point of the hooks file: 0, or 1 with the reason on standard error (which fails a container's start)."""
    places = None
    try:
        places = places_of(sys.argv[1:])
        state = state_of(sys.stdin.buffer.read(LARGEST_STATE + 1))
        for note in run(state, places):
            print(f"seclude: {note}", file=sys.stderr)
    except SecludeError as error:
        print(f"seclude: {error}", file=sys.stderr)
        if places is not None:
            # crun throws away what hooks say; `seclude hook status` repeats it.
            Registrations(places.state).note_error(str(error))
        if os.fstat(2).st_rdev == os.stat(os.devnull).st_rdev:
            _tell_runtime(f"seclude: {error}", os.getppid())
        return EXIT_ERROR
    return EXIT_CLEAN


def _tell_runtime(reason: str, runtime: int) -> None:
    """Have the engine show why we refuse where the runtime throws our standard error away (crun: to /dev/null).

    The reason goes to the runtime's own, and as one more line into its log: of a log of one line, which is the
    runtime's "error executing hook", podman shows that alone (libpod/oci_conmon_common.go, readConmonPipeData).
    """
    try:
        with open(f"/proc/{runtime}/cmdline", "rb") as file:
            words = file.read(65536).split(b"\0")
        with open(f"/proc/{runtime}/fd/2", "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{reason}\n")
        if b"--log" in words[:-1]:
            path = words[words.index(b"--log") + 1]
            log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                os.write(log, f"{jsontext.encode({'msg': reason, 'level': 'error'})}\n".encode())
            finally:
                os.close(log)
    except OSError:
        pass  # it was worth a try; `seclude hook status` says it as well


def leave() -> None:
    """The same as a process: gone without the interpreter's clean-up, which takes 2 ms and saves nobody anything."""
    status = main()
    sys.stderr.flush()
    os._exit(status)


def run(state: Mapping[str, object], places: containers.Places) -> tuple[str, ...]:
    """Begin or finish the recording of the container in `state` (OCI runtime-spec, "State"); notes for the user."""
    annotations = state.get("annotations")
    annotations = annotations if isinstance(annotations, dict) else {}
    request = request_of(own_annotations(annotations))
    if request is None:
        return ()
    container = str(state["id"])
    if state.get("status") == "stopped":
        return containers.finish(container, places)
    # At createRuntime runc says "creating", crun "created".
    pid = state.get("pid")
    if not isinstance(pid, int) or pid <= 0:
        raise SecludeError(f"the container's state has no process: pid {pid!r}")
    if is_pod(annotations):
        _check_alone(request, container, Registrations(places.state))
        # Pods are made by users of an interface, whatever the hooks file says.
        places = replace(places, trusted=False)
    elif places.trusted and is_of_session(request.recording, places.state) and _is_over(request.recording):
        return ()  # the container is started once more
    containers.begin(container, pid, str(state.get("bundle", "")), request, places)
    return ()


def _is_over(recording: str) -> bool:
    """Whether the `seclude record` that waits for this recording has ended and taken its directory away."""
    return not os.path.lexists(os.path.dirname(recording))


def _check_alone(request: Request, container: str, registrations: Iterable[Registration]) -> None:
    """Raise SecludeError where another container that is being recorded will write to one of the same files."""
    wanted = {path for path in (request.profile, request.recording) if path}
    for other in registrations:
        shared = wanted & {other.request.profile, other.request.recording}
        if shared and other.known.container != container and other.alive():
            raise SecludeError(
                f"{min(shared)}: container {other.known.container} is being recorded to the same file",
                hint=f"give each container of a pod a file of its own: {ANNOTATION}/CONTAINER: of:/absolute/output",
            )


def places_of(arguments: Sequence[str]) -> containers.Places:
    """The places in the hook's command line, as `seclude hook install` wrote it."""
    values = {"--bpffs": bpffs.DEFAULT, "--state-dir": STATE, "--policy": POLICY, "--paths-by": "root"}
    rest = list(arguments)
    while rest:
        name = rest.pop(0)
        if name not in values or not rest:
            raise SecludeError(
                f"unknown or incomplete argument {name!r}",
                hint="the hooks file is written by `seclude hook install`",
            )
        values[name] = rest.pop(0)
    return containers.Places(
        bpffs=values["--bpffs"],
        state=values["--state-dir"],
        policy=values["--policy"],
        trusted=values["--paths-by"] == "root",
    )


def state_of(raw: bytes) -> dict[str, object]:
    """The container state that a runtime wrote to our standard input; raises SecludeError."""
    hint = "this command is started by a container runtime"
    if len(raw) > LARGEST_STATE:
        raise SecludeError(f"the container's state is larger than {LARGEST_STATE} bytes")
    try:
        state = jsontext.decode(raw.decode("utf-8"), "the container's state")
    except UnicodeDecodeError as error:
        raise SecludeError("the container's state is not UTF-8 text", hint=hint) from error
    if not isinstance(state, dict) or not isinstance(state.get("id"), str):
        raise SecludeError("standard input holds no OCI container state", hint=hint)
    return state


def request_of(annotations: Mapping[str, object]) -> Request | None:
    """The request in a container's annotations, None where there is none; raises SecludeError.

    Syntax of the peer hook: "of:/absolute/output" and, before or after it, "if:/absolute/input".
    """
    trace = _annotation(annotations, ANNOTATION)
    recording = _annotation(annotations, RECORDING_ANNOTATION)
    if (
        not trace
        and not recording
        and ANNOTATION not in annotations
        and RECORDING_ANNOTATION not in annotations
    ):
        return None
    paths = _paths(trace) if ANNOTATION in annotations else {}
    if RECORDING_ANNOTATION in annotations and not recording.startswith("/"):
        raise SecludeError(
            f"annotation {RECORDING_ANNOTATION}: {_short(recording)} is no absolute path",
            hint="give an absolute path",
        )
    return Request(
        profile=paths.get("of", ""),
        base=paths.get("if", "") or _annotation(annotations, BASE_ANNOTATION),
        recording=recording,
        counts=_switch(annotations, COUNTS_ANNOTATION),
        denials=_switch(annotations, DENIALS_ANNOTATION),
        arguments=_switch(annotations, ARGUMENTS_ANNOTATION),
        stacks=_switch(annotations, STACKS_ANNOTATION),
    )


def _annotation(annotations: Mapping[str, object], name: str) -> str:
    value = annotations.get(name, "")
    if not isinstance(value, str):
        raise SecludeError(f"annotation {name}: {_short(str(value))} is no string")
    return value


def _switch(annotations: Mapping[str, object], name: str) -> bool:
    value = _annotation(annotations, name)
    if value not in ("", "true", "false"):
        raise SecludeError(f"annotation {name}: {_short(value)}", hint="give true or false")
    return value == "true"


def _short(value: str) -> str:
    return repr(value if len(value) <= 200 else value[:200] + "...")


def _paths(value: str) -> dict[str, str]:
    paths: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in value.split(";"))):
        prefix, colon, path = part.partition(":")
        if not colon or prefix not in ("of", "if"):
            raise SecludeError(
                f"annotation {ANNOTATION}: {_short(part)} begins with neither of: nor if:",
                hint="write of:/absolute/output, and if:/absolute/input to extend a profile",
            )
        if prefix in paths:
            raise SecludeError(
                f"annotation {ANNOTATION}: {prefix}: is given twice, {_short(paths[prefix])} and {_short(path)}",
                hint=f"give one {prefix}:",
            )
        if not path.startswith("/"):
            raise SecludeError(
                f"annotation {ANNOTATION}: {prefix}:{_short(path)} is no absolute path",
                hint="give an absolute path",
            )
        paths[prefix] = path
    if "of" not in paths:
        raise SecludeError(
            f"annotation {ANNOTATION}: {_short(value)} names no output", hint="add of:/absolute/output"
        )
    return paths


if __name__ == "__main__":
    sys.exit(main())
