"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from .. import bpffs, store
from ..baseline import automatic, calls_of
from ..belated import belated
from ..conditions import LEVELS
from ..errors import OutputError, ProfileError
from ..formats import oci
from ..inputs import read_text
from ..model.profile import Profile
from ..model.recording import Recording
from ..outputs import Output
from ..ports import WANTED
from ..registrations import STATE
from ..synthesize import Synthesis, synthesize

F = TypeVar("F", bound=Callable[..., Any])


def synthesis_options(function: F) -> F:
    """How a profile is made from recordings: --from, --baseline, --errno, --args, --portable, --insist."""
    for option in reversed(
        (
            click.option(
                "--from", "base", metavar="BASE", default="", help="Extend this profile: all of it stays."
            ),
            click.option(
                "--baseline",
                default="auto",
                metavar="auto|none|RUNTIME,...",
                help="Add what these OCI runtimes need (runc, crun, or a file that `seclude baseline record` wrote). "
                "auto: the runtime in use, where the container ran unconfined and so did not show it.",
            ),
            click.option(
                "--errno",
                "errno_name",
                default="",
                metavar="NAME",
                help="What a refused call returns: EPERM, or ENOSYS for programs that then fall back.",
            ),
            click.option(
                "--args",
                "arguments",
                type=click.Choice(LEVELS),
                default="none",
                show_default=True,
                help="Allow some calls only with arguments like those recorded (by `record --args`, or the annotation "
                "io.seclude.arguments).",
            ),
            click.option(
                "--portable",
                is_flag=True,
                help="Also allow what other libcs, kernels and processors (x86_64, aarch64) call in place of these.",
            ),
            click.option("--insist", is_flag=True, help="Make a profile even if calls were lost."),
        )
    ):
        function = option(function)
    return function


def place_options(function: F) -> F:
    """Where the recorder is pinned and registrations are kept; only tests and unusual systems differ."""
    for option in reversed(
        (
            click.option(
                "--bpffs",
                "bpffs_path",
                default=bpffs.DEFAULT,
                envvar="SECLUDE_BPFFS",
                show_default=True,
                metavar="DIR",
                help="The BPF file system.",
            ),
            click.option(
                "--state-dir",
                default=STATE,
                envvar="SECLUDE_STATE_DIR",
                show_default=True,
                metavar="DIR",
                help="Where running recordings are registered.",
            ),
        )
    ):
        function = option(function)
    return function


def tracer_option(function: F) -> F:
    """--tracer: what sees the calls."""
    return click.option(
        "--tracer",
        type=click.Choice(WANTED),
        default="auto",
        show_default=True,
        help="ebpf takes root; notify takes no privilege and costs every call some microseconds. auto: ebpf where it "
        "can be used.",
    )(function)


def output_options(function: F) -> F:
    """--quiet and --json."""
    for option in reversed(
        (
            click.option("--quiet", "-q", is_flag=True, help="Say nothing but errors."),
            click.option("--json", "as_json", is_flag=True, help="Say the result as JSON."),
        )
    ):
        function = option(function)
    return function


def read_profile(path: str) -> Profile:
    """The profile in a file; raises ProfileError with line and column."""
    return oci.loads(read_text(path, limit=oci.LARGEST, error=ProfileError), path)


def synthesized(
    recordings: Sequence[Recording],
    *,
    base: str,
    baseline: str,
    errno_name: str,
    arguments: str,
    portable: bool,
    insist: bool,
) -> Synthesis:
    """The profile that the synthesis options ask for; raises SecludeError."""
    names: set[str] = set()
    if baseline == "auto":
        for recording in recordings:
            names.update(automatic(recording))
    elif baseline != "none":
        nnp = all(recording.no_new_privileges for recording in recordings)
        names.update(calls_of([name.strip() for name in baseline.split(",")], no_new_privileges=nnp))
        names.update(*map(belated, recordings))
    return synthesize(
        recordings,
        base=read_profile(base) if base else None,
        baseline=names,
        default_errno=errno_name,
        insist=insist,
        arguments=arguments,
        portable=portable,
    )


def absolute(path: str) -> str:
    """The user's own path, links in its directory resolved: we run with the user's rights and on their word."""
    if not path:
        return path
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory or "."), name)


def checked_outputs(profile: str, recording: str) -> tuple[Output | None, Output | None]:
    """Where the two are written, None for one without a path; raises OutputError where that cannot be."""
    if "-" in (profile, recording):
        raise OutputError(
            "-: standard output is no place for it", hint="name a file; one of that name is ./-"
        )
    outputs = (
        Output(absolute(profile), "seccomp profile", oci.looks_like_profile) if profile else None,
        Output(absolute(recording), "recording", store.looks_like_recording) if recording else None,
    )
    for output in outputs:
        if output is not None:
            output.check()
    return outputs
