"""A directory in; the files that set seclude up there, and what was guessed for them, out.

`plan` only looks; `write` puts all files in place, or none where one is there already.
"""

from __future__ import annotations

import json
import os
from importlib import metadata

from ..configuration.keys import ENGINES
from ..errors import SecludeError
from ..model.frozen import frozen
from ..outputs import Output
from . import github, gitlab, runner, settings
from .detect import Surroundings, files_in, look
from .place import SETTINGS, placed

SYSTEMS = ("github", "gitlab")
"""The systems that a workflow can be written for."""


@frozen
class File:
    """One file to be written: an absolute path and its text."""

    path: str
    text: str


@frozen
class Plan:
    """`files` to be written below `root`; `guesses`, what was found and taken; `checks`, what somebody should look at,
    a sentence each; `sudoers`, lines for the administrator of a self-hosted runner (empty: there is none).
    """

    root: str
    files: tuple[File, ...]
    guesses: tuple[str, ...]
    checks: tuple[str, ...]
    sudoers: str = ""


def plan(
    directory: str,
    *,
    system: str = "",
    self_hosted: bool = False,
    pin: str = "",
    engine: str = ENGINES[0],
) -> Plan:
    """What to write for `directory`: its seclude.toml and, for a `system`, the workflow at the repository's root.

    `engine`: what the tests run with. `self_hosted`: for a runner of one's own with Fedora (GitHub only). `pin`: the
    commit of the action; empty: the one this seclude was installed from, if pip knows it. Raises SecludeError.
    """
    system = system or ("github" if self_hosted else "")
    if engine not in ENGINES:
        raise SecludeError(f"unknown engine {engine[:80]!r}", hint=f"one of {', '.join(ENGINES)}")
    if system and system not in SYSTEMS:
        raise SecludeError(f"unknown system {system[:80]!r}", hint=f"one of {', '.join(SYSTEMS)}")
    if self_hosted and system != "github":
        raise SecludeError(
            "a runner as in --from-seed-style is GitHub's", hint="leave out --ci, or give --ci github"
        )
    if pin and (len(pin) != 40 or set(pin) - set("0123456789abcdef")):
        raise SecludeError(f"{pin[:80]!r} is no commit", hint="its 40 hexadecimal digits, in small letters")
    around = look(directory)
    place = placed(directory)
    files = [File(path=os.path.join(place.root, place.configuration), text=settings.text(around, engine))]
    checks = _checks(around, engine)
    if around.configured:
        checks.append(
            f"pyproject.toml has [tool.seclude] too: {SETTINGS} wins over it, remove one of the two"
        )
    sudoers = ""
    if system == "github":
        pin = pin or installed_commit()
        if self_hosted:
            text = github.self_hosted(
                place,
                label=runner.LABEL,
                packages=runner.packages(engine),
                seclude=runner.SECLUDE,
                reports=runner.REPORT_DIR,
                pin=pin,
            )
            sudoers = runner.sudoers_github(place, engine)
            checks.append(f"give the runner the label {runner.LABEL}, and sudo only what is printed below")
        else:
            text = github.hosted(place, pin)
        files.append(File(path=os.path.join(place.root, github.PATH), text=text))
        checks.append(
            "a branch that is protected refuses the workflow's push: let it, or change the mode to check"
        )
        if not pin:
            checks.append(
                f"pin {github.ACTION} to its release's commit: the workflow says how, --pin does it"
            )
    elif system == "gitlab":
        path = gitlab.path(files_in(place.root).text(gitlab.PATH))
        text = gitlab.text(place, seclude=runner.SECLUDE, engine=engine)
        files.append(File(path=os.path.join(place.root, path), text=text))
        sudoers = runner.sudoers_gitlab(place, engine)
        if path != gitlab.PATH:
            checks.append(f"{gitlab.PATH} is there and stays: add `include: [{{local: {path}}}]` to it")
        allowed = "" if engine == settings.PROCESS else ", and sudo only what is printed below"
        checks.append(f"give a runner with the shell executor the tag {gitlab.TAG}{allowed}")
    return Plan(
        root=place.root,
        files=tuple(files),
        guesses=tuple(_guesses(around, engine)),
        checks=tuple(checks),
        sudoers=sudoers,
    )


def _guesses(around: Surroundings, engine: str) -> list[str]:
    guesses = []
    if engine != settings.PROCESS:
        guesses.append(f"image: {around.image}, after the directory")
        if around.containerfile:
            guesses.append(f"build: {engine} build, because of {around.containerfile}")
    if around.runners:
        first = around.runners[0]
        guesses.append(f"test: {' '.join(first.command)}, because of {first.told_by}")
    return guesses


def _checks(around: Surroundings, engine: str) -> list[str]:
    if engine == settings.PROCESS:
        return [*_machine_checks(around), *_more_runners(around)]
    checks = []
    if not around.containerfile:
        checks.append("there is no Containerfile or Dockerfile: set image, and build if it has to be built")
    if around.others:
        checks.append(f"{', '.join(around.others)} is there too, but {around.containerfile} is built")
    if around.runners:
        checks.append(
            "the test command runs inside the image, from its WORKDIR: the tests and their tools must be there"
        )
    else:
        checks.append(
            f"no tests were found: write {settings.FALLBACK[0]}, copy it into the image, or change test"
        )
    return [*checks, *_more_runners(around)]


def _machine_checks(around: Surroundings) -> list[str]:
    checks = [
        "the test command runs on the machine itself, with no container around it: in the GitHub action as root"
    ]
    if not around.runners:
        checks.append(f"no tests were found: write {settings.FALLBACK[0]}, or change test")
    return checks


def _more_runners(around: Surroundings) -> list[str]:
    if len(around.runners) < 2:
        return []
    more = ", ".join(f"{' '.join(each.command)} ({each.told_by})" for each in around.runners[1:])
    return [f"other tests were found and are comments in {SETTINGS}: {more}"]


def installed_commit() -> str:
    """The commit that pip installed this seclude from, where it was from git (PEP 610); else empty."""
    try:
        told = json.loads(metadata.distribution("seclude").read_text("direct_url.json") or "{}")
        commit = told.get("vcs_info", {}).get("commit_id", "")
        from_us = f"github.com/{github.ACTION}" in str(told.get("url", ""))
    except (metadata.PackageNotFoundError, ValueError, AttributeError):
        return ""
    # An abbreviated commit is none that an action can be pinned to.
    return commit if from_us and isinstance(commit, str) and len(commit) == 40 and commit.isalnum() else ""


def write(made: Plan, *, force: bool = False) -> None:
    """All files of a plan, each written beside and renamed. Raises SecludeError, and then nothing was written, if one
    is there and not `force`, or cannot be written.
    """
    there = [file.path for file in made.files if os.path.lexists(file.path)]
    if there and not force:
        named = ", ".join(os.path.relpath(path, made.root) for path in there)
        raise SecludeError(
            f"{named} {'is' if len(there) == 1 else 'are'} there already; nothing was written",
            hint="--force replaces what is there",
        )
    outputs = [Output(file.path, "file of ours", lambda _: force) for file in made.files]
    created: list[str] = []
    try:
        for output in outputs:
            created += _directories(os.path.dirname(output.path), made.root)
            output.check()
    except BaseException:
        for directory in reversed(created):
            os.rmdir(directory)
        raise
    for output, file in zip(outputs, made.files, strict=True):
        output.write(file.text)


def _directories(path: str, root: str) -> list[str]:
    """Make `path`, which lies below `root`; the directories that were not there, outermost first."""
    created = []
    current = root
    for step in os.path.relpath(path, root).split("/"):
        current = os.path.normpath(os.path.join(current, step))
        if os.path.islink(current):
            raise SecludeError(f"{current} is a symbolic link", hint="make it a directory")
        try:
            os.mkdir(current)
            created.append(current)
        except FileExistsError:
            pass  # a file of this name is what Output complains about
        except OSError as error:
            raise SecludeError(f"{current} cannot be made: {os.strerror(error.errno or 0)}") from error
    return created
