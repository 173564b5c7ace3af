"""`seclude runtime`: the OCI runtime for engines that read no hooks files: install, uninstall, status."""

from __future__ import annotations

import compileall
import json
import os

import click

from .. import bpffs
from ..enginefiles import FILES
from ..errors import SecludeError
from ..launcher import Launcher, read_launcher
from ..outputs import DIRECTORY, POLICY
from ..runtime_setup import (
    NAME,
    Changed,
    launcher_path,
    real_runtime,
)
from ..runtime_setup import (
    install as installed,
)
from ..runtime_setup import (
    uninstall as removed,
)
from ..session import PACKAGE
from .console import Console, printable
from .options import output_options, place_options

_engine = click.option(
    "--engine",
    type=click.Choice(tuple(FILES)),
    default="docker",
    show_default=True,
    help="Whose runtime it is.",
)
_config = click.option(
    "--config",
    default="",
    metavar="FILE",
    help="The engine's configuration file, unless it is the usual one.",
)
_name = click.option(
    "--name", default=NAME, show_default=True, metavar="NAME", help="What the engine shall call the runtime."
)


@click.group()
def command() -> None:
    """Record containers of docker, containerd and CRI-O through a runtime that leads to runc or crun."""


@command.command()
@_engine
@_config
@_name
@click.option(
    "--runtime",
    "real",
    default="",
    metavar="PATH",
    help="The real runtime; the first of runc and crun otherwise.",
)
@click.option(
    "--launcher", default="", metavar="FILE", help="Where to write the program that the engine starts."
)
@place_options
@click.option(
    "--policy", default=POLICY, show_default=True, metavar="FILE", help="Where outputs may be written."
)
@output_options
def install(
    engine: str,
    config: str,
    name: str,
    real: str,
    launcher: str,
    bpffs_path: str,
    state_dir: str,
    policy: str,
    quiet: bool,
    as_json: bool,
) -> int:
    """Name the runtime in the engine's configuration. Containers that ask for no recording run as they always did."""
    if os.geteuid() != 0:
        raise SecludeError("installing a runtime needs root", hint="run `sudo seclude runtime install`")
    console = Console(quiet=quiet, as_json=as_json)
    target = Launcher(
        engine=engine,
        runtime=real_runtime(real),
        bpffs=os.path.abspath(bpffs_path),
        state=os.path.abspath(state_dir),
        policy=os.path.abspath(policy),
    )
    if bpffs.ensure(bpffs_path):
        console.say(f"mounted a BPF file system at {bpffs_path}")
    # The runtime must not spend its time compiling.
    compileall.compile_dir(os.path.join(PACKAGE, "seclude"), quiet=2, maxlevels=3)
    changed = installed(
        target,
        config=config or FILES[engine].place,
        path=launcher or launcher_path(engine, name),
        name=name,
        package=PACKAGE,
    )
    notes = list(changed.notes)
    if not os.path.exists(policy) and not os.path.isdir(DIRECTORY):
        notes.append(
            f"annotations and SECLUDE_TRACE may have outputs written only in {DIRECTORY}, which does not exist: "
            f"`mkdir -m 755 {DIRECTORY}`, or write {POLICY}"
        )
    return _said(console, "wrote", changed, notes)


@command.command()
@_engine
@_config
@_name
@output_options
def uninstall(engine: str, config: str, name: str, quiet: bool, as_json: bool) -> int:
    """Take the runtime out of the engine's configuration, which is otherwise left as it is."""
    changed = removed(engine, config=config or FILES[engine].place, name=name)
    return _said(Console(quiet=quiet, as_json=as_json), "changed or removed", changed, list(changed.notes))


def _said(console: Console, deed: str, changed: Changed, notes: list[str]) -> int:
    for note in notes:
        console.say(note)
    text = f"{deed} {', '.join(changed.files)}" if changed.files else "nothing was changed"
    console.result(text, {"files": list(changed.files), "notes": notes})
    return 0


@command.command()
@_engine
@_config
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(engine: str, config: str, as_json: bool) -> int:
    """Show which of the engine's runtimes are ours and what they lead to."""
    file, config = FILES[engine], config or FILES[engine].place
    try:
        with open(config, encoding="utf-8") as opened:
            text = opened.read()
    except FileNotFoundError:
        text = ""
    except (OSError, UnicodeDecodeError) as error:
        raise SecludeError(f"{config} cannot be read: {error}") from error
    found = []
    for name, path in file.paths(text, config).items():
        launcher = read_launcher(path)
        if launcher is not None:
            problem = "" if os.access(launcher.runtime, os.X_OK) else f"{launcher.runtime} is not there"
            found.append(
                {"name": name, "launcher": path, "runtime": launcher.runtime, "state_dir": launcher.state}
                | {"bpffs": launcher.bpffs, "policy": launcher.policy, "problem": problem}
            )
    if as_json:
        click.echo(json.dumps({"config": config, "runtimes": found}))
        return 0
    if not found:
        click.echo(f"{config}: no runtime of seclude (`seclude runtime install --engine {engine}`)")
    for item in found:
        problem = f"; {item['problem']}" if item["problem"] else ""
        click.echo(printable(f"{item['name']}: {item['launcher']} leads to {item['runtime']}{problem}"))
    return 0
