"""Which dockerd it is that docker's client speaks to, which file that reads, and with which rights the action asks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from runner import ROOT, path_with, plainly

_specification = importlib.util.spec_from_file_location("dockerd", ROOT / "action" / "dockerd.py")
assert _specification
assert _specification.loader
dockerd = importlib.util.module_from_spec(_specification)
_specification.loader.exec_module(dockerd)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for programs that come before all others."""
    directory = tmp_path / "programs"
    directory.mkdir()
    monkeypatch.setenv("PATH", path_with(directory))
    return directory


def write(directory: Path, name: str, script: str) -> None:
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Any]:
    """Starts processes that are called dockerd and do nothing, with these arguments."""
    running = []

    def start(*arguments: str) -> int:
        # The name of a process is that of its file. It waits for a line, whatever its arguments are.
        shell = tmp_path / "dockerd"
        shutil.copy(str(shutil.which("sh")), shell)
        command = [shell, "-c", "echo ready; read line", *arguments]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=tmp_path)
        running.append(process)
        # Its arguments are not in /proc at once when exec is done.
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        return process.pid

    yield start
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def listening(tmp_path: Path, programs: Path) -> Iterator[Path]:
    """A socket that another than dockerd listens at, as systemd does, and a client that speaks to it."""
    path = tmp_path / "docker.sock"
    write(programs, "docker", f"echo unix://{path}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        yield path


def test_behind_a_socket_of_systemd(listening: Path, programs: Path, daemon: Any) -> None:
    pid = daemon()
    asked = programs / "asked"
    write(programs, "systemctl", f'echo "$*" >{asked}; echo {pid}')
    assert dockerd.engine_pid() == pid
    assert asked.read_text() == "show --property=MainPID --value docker.service\n"


@pytest.mark.parametrize("told", ["0", "", "1", "nonsense", "99999999999"])
def test_nobody_is_taken_for_dockerd(listening: Path, programs: Path, told: str) -> None:
    write(programs, "systemctl", f"echo {told}")
    with pytest.raises(dockerd.Problem, match="no dockerd was found behind"):
        dockerd.engine_pid()


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2376", "ssh://user@host", ""])
def test_an_engine_elsewhere(programs: Path, host: str) -> None:
    write(programs, "docker", f"echo {host}")
    with pytest.raises(dockerd.Problem, match="is not on this machine"):
        dockerd.engine_pid()


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ((), "/etc/docker/daemon.json"),
        (("--config-file=/a/b.json",), "/a/b.json"),
        (("--debug", "--config-file", "/a/b.json"), "/a/b.json"),
    ],
)
def test_the_file_that_it_reads(daemon: Any, arguments: tuple[str, ...], path: str) -> None:
    assert dockerd.config_of(daemon(*arguments)) == path


def test_a_relative_file_is_where_dockerd_started(daemon: Any, tmp_path: Path) -> None:
    assert dockerd.config_of(daemon("--config-file", "b.json")) == str(tmp_path / "b.json")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_root_asks_and_changes(tmp_path: Path, programs: Path) -> None:
    """Not root itself, as on GitHub's runners; sudo gets the variables that say which docker it is, and no token."""
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    for name in ("asked", "output"):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(0o666)
    write(
        programs,
        "sudo",
        f'printf "%s\\n" "$*" >>{tmp_path}/asked; shift; [ "$1" = true ] || shift; exec "$@"',
    )
    write(programs, "python", "case $* in *find) echo /etc/docker/daemon.json ;; esac")
    told: Mapping[str, str] = {
        "PATH": os.environ["PATH"],
        "PYTHON": str(programs / "python"),
        "SECLUDE": "/s",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_TOKEN": "ghs_secret",
        "DOCKER_HOST": "unix:///d",
        "DOCKER_PASSWORD": "secret",
    }
    command = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", ROOT / "action" / "docker.sh"]
    done = plainly([*command, "add"], tmp_path, told)
    assert done.returncode == 0, done.stdout.decode()
    assert (tmp_path / "output").read_text() == "config=/etc/docker/daemon.json\n"
    script = ROOT / "action" / "dockerd.py"
    _, *lines = (tmp_path / "asked").read_text().splitlines()
    for line, deed in zip(lines, ("find", "add"), strict=True):
        assert line.startswith(f"-n --preserve-env=DOCKER_HOST {programs}/python -I {script} /s {deed}")


def test_without_sudo(tmp_path: Path, programs: Path) -> None:
    """One error, and nothing is put out that would have docker restored."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become somebody else")
    for path in (tmp_path, *tmp_path.parents):
        if path.is_relative_to("/tmp") and path != Path("/tmp"):
            path.chmod(path.stat().st_mode | 0o055)
    (tmp_path / "output").touch()
    (tmp_path / "output").chmod(0o666)
    write(programs, "sudo", 'echo "sudo: a password is required" >&2; exit 1')
    told = {
        "PATH": os.environ["PATH"],
        "PYTHON": sys.executable,
        "SECLUDE": "/s",
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }
    command = ["setpriv", "--reuid=65534", "--clear-groups", "--inh-caps=-all", ROOT / "action" / "docker.sh"]
    done = plainly([*command, "add"], tmp_path, told)
    assert done.returncode == 1
    assert "::error title=seclude::docker cannot be changed as root" in done.stdout.decode()
    assert (tmp_path / "output").read_text() == ""
