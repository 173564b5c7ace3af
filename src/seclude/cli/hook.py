"""`seclude hook`: the OCI hook of engines that read hooks files: install, uninstall, status, gc."""

from __future__ import annotations

import compileall
import json
import os

import click

from .. import bpffs, containers
from ..engines.podman import HOOKS_DIRECTORIES, HOOKS_FILE, hooks_file
from ..errors import OutputError
from ..outputs import POLICY, Output
from ..registrations import Registrations
from ..session import PACKAGE, Settings, hook_arguments
from ..trace.ebpf import EbpfTracer
from .console import Console, printable
from .options import output_options, place_options

_hooks_dir = click.option(
    "--hooks-dir",
    default=HOOKS_DIRECTORIES[0],
    show_default=True,
    metavar="DIR",
    help="The directory that the engine reads hooks files from (podman --hooks-dir).",
)


@click.group()
def command() -> None:
    """Record containers that carry the annotation io.containers.trace-syscall, however they are started."""


def _is_ours(text: str) -> bool:
    try:
        entry = json.loads(text)
    except ValueError:
        return False
    return isinstance(entry, dict) and "seclude.hook" in json.dumps(entry.get("hook"))


def _file(hooks_dir: str) -> Output:
    return Output(os.path.join(os.path.realpath(hooks_dir), HOOKS_FILE), "hooks file of seclude", _is_ours)


@command.command()
@_hooks_dir
@place_options
@click.option(
    "--policy", default=POLICY, show_default=True, metavar="FILE", help="Where outputs may be written."
)
@output_options
def install(hooks_dir: str, bpffs_path: str, state_dir: str, policy: str, quiet: bool, as_json: bool) -> int:
    """Write the hooks file. Containers without the annotation are not touched."""
    console = Console(quiet=quiet, as_json=as_json)
    if not os.path.isdir(hooks_dir):
        if hooks_dir not in HOOKS_DIRECTORIES:
            raise OutputError(f"there is no directory {hooks_dir}", hint="create it first")
        try:
            os.makedirs(hooks_dir, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{hooks_dir} cannot be made: {error.strerror}", hint="run as root") from error
    if os.geteuid() == 0 and bpffs.ensure(bpffs_path):
        console.say(f"mounted a BPF file system at {bpffs_path}")
    # The hook must not spend its time compiling.
    compileall.compile_dir(os.path.join(PACKAGE, "seclude"), quiet=2, maxlevels=3)
    settings = Settings(
        bpffs=os.path.abspath(bpffs_path), state=os.path.abspath(state_dir), policy=os.path.abspath(policy)
    )
    output = _file(hooks_dir)
    output.write(hooks_file(hook_arguments(settings), PACKAGE))
    console.result(f"wrote {output.path}", {"hooks_file": output.path})
    return 0


@command.command()
@_hooks_dir
@output_options
def uninstall(hooks_dir: str, quiet: bool, as_json: bool) -> int:
    """Remove the hooks file. Recordings that have begun are still finished."""
    output = _file(hooks_dir)
    removed = output.remove()
    console = Console(quiet=quiet, as_json=as_json)
    console.result(
        f"removed {output.path}" if removed else f"{output.path} is not there", {"removed": removed}
    )
    return 0


@command.command()
@_hooks_dir
@place_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(hooks_dir: str, bpffs_path: str, state_dir: str, as_json: bool) -> int:
    """Show the hooks file, whether the recorder is loaded, and what is being recorded."""
    path = _file(hooks_dir).path
    installed = os.path.exists(path)
    tracer = EbpfTracer(bpffs=bpffs_path)
    recordings = [
        {
            "container": item.known.container,
            "state": "running" if item.alive() else "ended",
            "profile": item.request.profile,
            "recording": item.request.recording,
        }
        for item in Registrations(state_dir)
    ]
    problem = tracer.unusable()
    if as_json:
        values = {
            "hooks_file": path if installed else "",
            "loaded": tracer.pinned(),
            "unusable": problem,
            "recordings": recordings,
            "last_error": Registrations(state_dir).last_error(),
        }
        click.echo(json.dumps(values))
        return 0
    click.echo(f"hooks file: {path if installed else 'none in ' + hooks_dir}")
    click.echo(
        f"recorder: {'loaded' if tracer.pinned() else 'not loaded'}{'; ' + problem if problem else ''}"
    )
    click.echo(f"recordings: {len(recordings)}")
    if error := Registrations(state_dir).last_error():
        click.echo(f"last error: {printable(error)}")
    for item in recordings:
        note = (
            ""
            if item["state"] == "running"
            else " (leftover unless its clean-up is under way: seclude hook gc)"
        )
        click.echo(f"  {item['container']} {item['state']}{note}")
    return 0


@command.command()
@place_options
@click.option(
    "--all", "everything", is_flag=True, help="Also those still running, and a recorder of another version."
)
@output_options
def gc(bpffs_path: str, state_dir: str, everything: bool, quiet: bool, as_json: bool) -> int:
    """Remove what killed containers left: their recordings in progress, and the recorder if none is left."""
    removed = containers.collect(
        containers.Places(bpffs=bpffs_path, state=state_dir, policy=POLICY), everything=everything
    )
    console = Console(quiet=quiet, as_json=as_json)
    console.result(f"removed {len(removed)} leftovers", {"removed": list(removed)})
    return 0
