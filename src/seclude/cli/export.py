"""`seclude export`: a profile in, the same in another program's format out, with what that could not say by name."""

from __future__ import annotations

import os
import platform
import stat
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

import click

from ..errors import OutputError, ProfileError, SecludeError
from ..formats import WRITERS, engines, kubernetes, oci, spo
from ..inputs import read_text
from ..model.environment import Environment
from ..model.export import Settings, Written, lossless
from ..outputs import Output
from ..yamltext import LARGEST
from .console import Console, printable
from .options import absolute, output_options, read_profile

MACHINES = "x86_64 i686 aarch64 armv7l loongarch64 ppc64le riscv64 s390x".split()

F = TypeVar("F", bound=Callable[..., Any])


def place_of_use(function: F) -> F:
    """Where the profile will be applied: --arch, --kernel, --cap."""
    for option in reversed(
        (
            click.option("--arch", type=click.Choice(MACHINES), help="Its machine [default: this one]."),
            click.option("--kernel", metavar="RELEASE", default="", help="Its kernel [default: this one's]."),
            click.option(
                "--cap",
                "capabilities",
                metavar="CAP",
                multiple=True,
                help="A capability it has. May be repeated.",
            ),
        )
    ):
        function = option(function)
    return function


@click.command(
    epilog="Examples: seclude export app.json --to systemd -o app.service.d/seccomp.conf ;  "
    "seclude export app.json --to kubernetes -o node/app.json --manifest deployment.yaml --in-place"
)
@click.option("--to", "form", type=click.Choice(list(WRITERS)), required=True, help="The format.")
@click.option("--output", "-o", metavar="FILE", default="-", help="Write it here; - is standard output.")
@click.option("--lossy", is_flag=True, help="Accept what the format cannot say; each loss is printed.")
@place_of_use
@click.option("--name", default="seclude", show_default=True, help="spo: the object's name.")
@click.option(
    "--namespace", default="", help="spo: the object's namespace, where the operator is older than v1."
)
@click.option(
    "--api-version",
    type=click.Choice(spo.VERSIONS),
    default="v1",
    show_default=True,
    help="spo: the version of the operator's API.",
)
@click.option("--groups", is_flag=True, help="systemd: name @sets where all of a set is allowed.")
@click.option(
    "--sets", metavar="FILE", default="", help="systemd: what `systemd-analyze syscall-filter` prints there."
)
@click.option(
    "--manifest", metavar="FILE", default="", help="kubernetes: set the profile in these objects, too."
)
@click.option("--in-place", is_flag=True, help="kubernetes: change the manifest; without this it is printed.")
@click.option(
    "--container", metavar="NAME", default="", help="kubernetes: set it for this container, not the pod."
)
@click.option(
    "--localhost-path",
    metavar="PATH",
    default="",
    help="kubernetes: where the profile lies below the kubelet's seccomp directory [default: profiles/FILE].",
)
@output_options
@click.argument("profile_path", metavar="PROFILE")
def command(
    form: str,
    output: str,
    lossy: bool,
    arch: str | None,
    kernel: str,
    capabilities: tuple[str, ...],
    name: str,
    namespace: str,
    api_version: str,
    groups: bool,
    sets: str,
    manifest: str,
    in_place: bool,
    container: str,
    localhost_path: str,
    quiet: bool,
    as_json: bool,
    profile_path: str,
) -> int:
    """Write PROFILE in the format of another program.

    What the format cannot say is an error that names it; with --lossy it is printed, and the export lets in no more
    than PROFILE does unless the loss says so. Where PROFILE depends on the place of use (capabilities, architecture,
    kernel) and the format does not, it is written for the one that --arch, --kernel and --cap describe.
    """
    console = Console(quiet=quiet, as_json=as_json)
    settings = Settings(
        environment=environment(arch, kernel, capabilities),
        name=name,
        namespace=namespace,
        api_version=api_version,
        groups=groups,
        sets=read_text(sets, limit=LARGEST, error=SecludeError) if sets else "",
    )
    written: Written = load(WRITERS[form])(settings).written(read_profile(profile_path))
    if not lossy:
        lossless(written.losses, form)
    notes = list(written.notes)
    edited = ""
    if form == "kubernetes":
        path = localhost_path or kubernetes.default_path(output if output != "-" else profile_path)
        notes += kubernetes.placement(path)
        if manifest:
            text = read_text(manifest, limit=LARGEST, error=ProfileError)
            edited, seen = kubernetes.edited(text, manifest, path, container=container)
            notes += seen
    elif manifest or in_place or container or localhost_path:
        raise SecludeError(
            "--manifest, --in-place, --container and --localhost-path are for --to kubernetes",
            hint=f"not for {form}",
        )
    if not manifest and (in_place or container):
        raise SecludeError("there is no manifest to be edited", hint="--manifest FILE names it")
    _write_all(form, written.text, output, edited, manifest, in_place)
    for loss in written.losses:
        console.say(f"loss: {loss.text} [{loss.id}]")
    for note in notes:
        console.say(f"note: {note}")
    console.result(
        f"wrote {form} to {'standard output' if output == '-' else output}",
        {
            "format": form,
            "output": output,
            "losses": [{"id": loss.id, "text": loss.text} for loss in written.losses],
            "notes": notes,
        },
    )
    return 0


def environment(arch: str | None, kernel: str, capabilities: Sequence[str]) -> Environment:
    """Where the profile will be applied: here, as far as nothing else is given."""
    return Environment(
        machine=arch or platform.machine(),
        kernel=kernel or platform.release(),
        capabilities=tuple(f"CAP_{each.upper().removeprefix('CAP_')}" for each in capabilities),
    )


def load(place: str) -> Any:
    """The class that a registry of formats names as "module:class"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)


def looks_exported(text: str) -> bool:
    """Whether a file may be replaced: it is a profile, or what we wrote."""
    marks = ("# seclude export: ", "/* seclude export: ", f"{engines.LABEL}=")
    return text.startswith(marks) or oci.looks_like_profile(text)


def _write_all(form: str, text: str, output: str, edited: str, manifest: str, in_place: bool) -> None:
    if edited and not in_place and output == "-":
        raise OutputError(
            "the profile and the manifest would both go to standard output",
            hint="give -o FILE for the profile, or --in-place",
        )
    if output == "-":
        click.echo(text, nl=False)
    else:
        Output(absolute(output), f"{form} file that seclude wrote", looks_exported).write(text)
    if edited and in_place:
        _replace(manifest, edited)
    elif edited:
        click.echo(edited, nl=False)


def _replace(path: str, text: str) -> None:
    """Put `text` in place of a file at once: with its mode, as it may hold secrets, and behind a link if it is one."""
    real = os.path.realpath(path)
    beside = ""
    try:
        descriptor, beside = tempfile.mkstemp(dir=os.path.dirname(real), prefix=".seclude-")
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            os.fchmod(descriptor, stat.S_IMODE(os.stat(real).st_mode))
        os.replace(beside, real)
    except OSError as error:
        if beside and os.path.exists(beside):
            os.unlink(beside)
        reason = f"{printable(path)} cannot be written: {error.strerror}"
        raise OutputError(reason, hint="leave --in-place out") from error
