"""What the action installs for which engine, and what it does not touch: a machine's programs in, package names out."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from action_runs import Action, workflow
from installation import python_with_seclude
from origin import Origin
from runner import ROOT, path_with, plainly

from seclude.configuration import keys, load

TOOLS = "bash cat chmod dirname env grep id mkdir mktemp paste sed sh"
BUILD = {
    "apt": ["clang", "llvm", "libbpf-dev", "libbpf1", "libseccomp2", "python3-venv"],
    "dnf": ["clang", "llvm", "libbpf-devel", "libbpf", "libseccomp", "python3"],
}
# Which packages are there is not asked of the machine of these tests: none is, but those that were installed.
MANAGERS = {
    "apt": {
        "dpkg-query": 'grep -qx "$4" "$INSTALLED" && printf installed',
        "apt-get": '[ "$3" = update ] && exit; shift 4; printf "%s\\n" "$@" >>"$INSTALLED"',
    },
    "dnf": {
        "rpm": 'grep -qx "$3" "$INSTALLED"',
        "dnf": 'shift 3; printf "%s\\n" "$@" >>"$INSTALLED"',
        "systemctl": 'printf "%s\\n" "$*" >>"$INSTALLED"',
    },
}


class Machine:
    """A machine with no more programs than one is told of."""

    def __init__(self, directory: Path, manager: str, programs: str) -> None:
        self._directory = directory
        self._programs = directory / "programs"
        self._programs.mkdir()
        for name in TOOLS.split():
            (self._programs / name).symlink_to(str(shutil.which(name)))
        for name in programs.split():
            self._write(name, "exit 1")
        for name, script in MANAGERS[manager].items():
            self._write(name, script)
        self.workspace = directory / "workspace"
        self.workspace.mkdir()
        self._list = directory / "installed"
        self._list.touch()

    def _write(self, name: str, script: str) -> None:
        (self._programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (self._programs / name).chmod(0o755)

    def install(self, **told: str) -> tuple[subprocess.CompletedProcess[bytes], dict[str, str]]:
        """How the step that installs ended, and its outputs."""
        output = self._directory / "output"
        output.write_text("")
        environment = {
            "PATH": str(self._programs),
            "INSTALLED": str(self._list),
            "GITHUB_OUTPUT": str(output),
            "RUNNER_TEMP": str(self._directory),
            "INPUT_PYTHON": str(python_with_seclude(self._directory / "python")),
        }
        done: subprocess.CompletedProcess[bytes] = plainly(
            [ROOT / "action" / "install.sh"], self.workspace, environment | told
        )
        return done, dict(line.split("=", 1) for line in output.read_text().splitlines())

    @property
    def installed(self) -> list[str]:
        """The packages, in their order."""
        return self._list.read_text().splitlines()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: packages are installed with sudo otherwise")
class TestPackages:
    @pytest.mark.parametrize(
        ("manager", "engine", "programs", "more"),
        [
            ("apt", "podman", "", ["podman"]),
            ("apt", "podman", "podman docker", []),
            ("apt", "docker", "", ["docker.io"]),
            # Whatever package it is from: docker-ce on GitHub's runners.
            ("apt", "docker", "docker", []),
            ("apt", "process", "", []),
            ("dnf", "podman", "docker", ["podman"]),
            ("dnf", "docker", "", ["moby-engine", "start docker"]),
            ("dnf", "docker", "docker", []),
            ("dnf", "process", "", []),
        ],
    )
    def test_of_an_engine(
        self, tmp_path: Path, manager: str, engine: str, programs: str, more: list[str]
    ) -> None:
        machine = Machine(tmp_path, manager, programs)
        (machine.workspace / "seclude.toml").write_text(f'engine = "{engine}"\n')
        done, outputs = machine.install()
        assert done.returncode == 0, done.stdout.decode()
        assert machine.installed == BUILD[manager] + more
        assert (outputs["installed"], outputs["engine"]) == ("true", engine)
        assert Path(outputs["command"]).is_relative_to(tmp_path)

    def test_once_is_enough(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path, "apt", "")
        machine.install()
        machine.install()
        assert machine.installed == [*BUILD["apt"], "podman"]

    def test_modules_of_the_workspace_are_not_python_s(self, tmp_path: Path) -> None:
        machine = Machine(tmp_path, "apt", "podman")
        for name in ("venv", "seclude", "json", "sys"):
            (machine.workspace / f"{name}.py").write_text("raise SystemExit('imported')\n")
        done, _ = machine.install()
        assert done.returncode == 0, done.stdout.decode()


class TestEngine:
    """As `seclude ci` decides."""

    @contextmanager
    def told(self, directory: Path, **told: str) -> Iterator[subprocess.CompletedProcess[str]]:
        environment = {"PATH": os.environ["PATH"]} | told
        command = [sys.executable, "-I", ROOT / "action" / "engine.py"]
        yield subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True)

    @pytest.mark.parametrize(
        ("files", "told", "engine"),
        [
            ({}, {}, "podman"),
            ({"seclude.toml": 'image = "a"\n'}, {}, "podman"),
            ({"seclude.toml": 'engine = "docker"\n'}, {}, "docker"),
            ({"pyproject.toml": '[tool.seclude]\nengine = "process"\n'}, {}, "process"),
            ({"api/seclude.toml": 'engine = "docker"\n'}, {}, "podman"),
            ({"api/seclude.toml": 'engine = "docker"\n'}, {"INPUT_CONFIG": "api/seclude.toml"}, "docker"),
            ({"seclude.toml": 'engine = "docker"\n'}, {"SECLUDE_ENGINE": "process"}, "process"),
            ({}, {"SECLUDE_ENGINE": "process", "INPUT_ENGINE": "docker"}, "docker"),
            ({"seclude.toml": 'engine = "docker"\n'}, {"INPUT_ENGINE": ""}, "docker"),
        ],
    )
    def test_what_is_asked_for(
        self, tmp_path: Path, files: dict[str, str], told: dict[str, str], engine: str
    ) -> None:
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        with self.told(tmp_path, **told) as done:
            assert (done.stdout, done.stderr) == (f"{engine}\n", "")

    def test_the_default_is_the_configuration_s(self) -> None:
        told = load(overrides={"image": "a", "test": "a"}).configuration
        assert told.engine == keys.ENGINES[0] == "podman"

    @pytest.mark.parametrize(
        "text", ['engine = "lxc"', "engine = 3", 'engine = ["docker"]', "engine", '[engine]\na = "b"']
    )
    def test_what_is_none(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "seclude.toml").write_text(text)
        with self.told(tmp_path) as done:
            assert (done.returncode, done.stdout) == (1, "")
            assert "Traceback" not in done.stderr


def test_a_hostile_configuration(origin: Origin, action: Action, tmp_path: Path) -> None:
    """What is wrong with it is one error, whatever it says."""
    event = origin.push({"seclude.toml": 'engine = "x\\n::error::injected\\n::set-output name=a::b"\n'})
    told = workflow(mode="commit", python=str(python_with_seclude(tmp_path / "python")))
    outcome = action.run(event, told, SECLUDE_COMMAND="")
    assert not outcome.succeeded
    assert outcome.commands == []
    [(level, text)] = outcome.annotations
    assert (level, text.startswith("unknown engine")) == ("error", True)


def test_the_docker_of_a_runner_s_own_seclude_is_not_touched(
    origin: Origin, action: Action, tmp_path: Path
) -> None:
    (tmp_path / "programs").mkdir()
    docker = tmp_path / "programs" / "docker"
    docker.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 1\n")
    docker.chmod(0o755)
    event = origin.push({"seclude.toml": 'engine = "docker"\n'})
    outcome = action.run(event, workflow(mode="check"), PATH=path_with(tmp_path / "programs"))
    assert outcome.succeeded, outcome
    assert not (tmp_path / "asked").exists()
