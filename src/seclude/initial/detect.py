"""A directory in, what it seems to be out: how its image is built, how it is tested, and what that was told by."""

from __future__ import annotations

import json
import os
import stat
import tomllib

from ..errors import SecludeError
from ..inputs import read_text
from ..model.frozen import frozen

CONTAINERFILES = ("Containerfile", "Dockerfile")
"""In the order in which podman itself looks for them."""

_LARGEST = 1024 * 1024
_MOST_ENTRIES = 10_000
_LONGEST_IMAGE = 100


@frozen
class Runner:
    """One way to run the tests: the command, and the file that told of it."""

    command: tuple[str, ...]
    told_by: str


@frozen
class Surroundings:
    """What a directory has: `containerfile` (empty: none), all `runners`, likeliest first, and a name for the image.

    `others`: Containerfiles that were passed over. `configured`: whether pyproject.toml has [tool.seclude].
    """

    image: str
    containerfile: str = ""
    others: tuple[str, ...] = ()
    runners: tuple[Runner, ...] = ()
    configured: bool = False


def look(directory: str) -> Surroundings:
    """What is in `directory`; nothing in it is run. Raises SecludeError if it is none, or cannot be read."""
    here = files_in(directory)
    found = [name for name in CONTAINERFILES if here.has(name)]
    name = os.path.basename(os.path.realpath(directory))
    return Surroundings(
        image=image_name(name),
        containerfile=found[0] if found else "",
        others=tuple(found[1:]),
        runners=tuple(runner for find in _FINDERS if (runner := find(here))),
        configured="seclude" in here.tools(),
    )


def image_name(name: str) -> str:
    """localhost/NAME, of a directory's name what an image's may have (OCI distribution, "Pulling manifests")."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in name.lower())
    words = [word for word in kept.split("-") if word]
    return "localhost/" + ("-".join(words)[:_LONGEST_IMAGE].rstrip("-") or "app")


def files_in(directory: str) -> Files:
    """The files of `directory`; raises SecludeError if it is none, or cannot be read."""
    try:
        entries = sorted(os.listdir(directory))[:_MOST_ENTRIES]
    except OSError as error:
        raise SecludeError(
            f"{directory} cannot be read: {os.strerror(error.errno or 0)}", hint="give --directory DIR"
        ) from error
    return Files(directory, frozenset(entries))


class Files:
    """The regular files directly in a directory, whose text may be whatever somebody wrote."""

    def __init__(self, directory: str, entries: frozenset[str]) -> None:
        self._directory = directory
        self.entries = entries

    def has(self, name: str) -> bool:
        if name not in self.entries:
            return False
        try:
            return stat.S_ISREG(os.stat(os.path.join(self._directory, name)).st_mode)
        except OSError:
            return False

    def text(self, name: str) -> str:
        """The text, empty for a file that is not there, no text, or too large to be what it is called."""
        if not self.has(name):
            return ""
        try:
            return read_text(os.path.join(self._directory, name), limit=_LARGEST, error=SecludeError)
        except SecludeError:
            return ""

    def tools(self) -> dict[str, object]:
        """The tables [tool.*] of pyproject.toml."""
        try:
            tools = tomllib.loads(self.text("pyproject.toml")).get("tool")
        except (ValueError, RecursionError):
            return {}
        return tools if isinstance(tools, dict) else {}

    def below(self, name: str) -> list[str]:
        """The entries of a directory in it."""
        if name not in self.entries:
            return []
        try:
            return sorted(os.listdir(os.path.join(self._directory, name)))[:_MOST_ENTRIES]
        except OSError:
            return []


def _script(here: Files) -> Runner | None:
    return Runner(command=("./test.sh",), told_by="test.sh") if here.has("test.sh") else None


def _pytest(here: Files) -> Runner | None:
    command = ("python3", "-m", "pytest")
    for name in ("pytest.ini", "conftest.py"):
        if here.has(name):
            return Runner(command=command, told_by=name)
    if "pytest" in here.tools():
        return Runner(command=command, told_by="pyproject.toml")
    for name, section in (("tox.ini", "[pytest]"), ("setup.cfg", "[tool:pytest]")):
        if section in here.text(name).splitlines():
            return Runner(command=command, told_by=name)
    for folder in ("tests", "test"):
        for name in here.below(folder):
            if _is_pytest(name):
                return Runner(command=command, told_by=f"{folder}/{name}")
    alone = next((name for name in sorted(here.entries) if _is_pytest(name) and here.has(name)), "")
    return Runner(command=command, told_by=alone) if alone else None


def _is_pytest(name: str) -> bool:
    return name.endswith(".py") and (
        name.startswith("test_") or name == "conftest.py" or name.endswith("_test.py")
    )


def _npm(here: Files) -> Runner | None:
    try:
        package = json.loads(here.text("package.json"))
    except (ValueError, RecursionError):
        return None
    scripts = package.get("scripts") if isinstance(package, dict) else None
    script = scripts.get("test") if isinstance(scripts, dict) else None
    # `npm init` writes a script that only says that there are no tests.
    if not isinstance(script, str) or not script.strip() or "no test specified" in script:
        return None
    return Runner(command=("npm", "test"), told_by="package.json")


def _go(here: Files) -> Runner | None:
    return Runner(command=("go", "test", "./..."), told_by="go.mod") if here.has("go.mod") else None


def _cargo(here: Files) -> Runner | None:
    return Runner(command=("cargo", "test"), told_by="Cargo.toml") if here.has("Cargo.toml") else None


def _make(here: Files) -> Runner | None:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        for line in here.text(name).splitlines():
            targets, colon, rest = line.partition(":")
            if colon and not line[0].isspace() and not rest.startswith("=") and "test" in targets.split():
                return Runner(command=("make", "test"), told_by=name)
    return None


_FINDERS = (_script, _pytest, _npm, _go, _cargo, _make)
