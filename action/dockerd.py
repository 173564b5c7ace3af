"""A seclude in; the docker of this machine has its runtime, or has it no more and a configuration as it was, out.

dockerd takes the list of its runtimes when it is told to read its configuration again (SIGHUP, dockerd(8)), which stops
no container. That it has done so is asked of itself. Runs as root; what it says is for docker.sh to escape.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

NAME = "seclude"
LABEL = "io.seclude.run"
"""On the containers of `seclude ci`; without the runtime they could not even be ended."""

DEFAULT_CONFIG = "/etc/docker/daemon.json"
LAUNCHERS = "/usr/local/lib/seclude"
SECONDS = 60.0
"""What dockerd gets to answer, and to take a change."""


class Problem(Exception):
    """Why docker is not as it should be, a sentence."""


def run(*command: str) -> str:
    """What a command prints; raises Problem with what it says if it fails."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=60
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Problem(f"{command[0]} cannot be run: {error}") from error
    if done.returncode:
        raise Problem(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-1000:]}")
    return done.stdout


def runtimes() -> set[str]:
    """The names of the engine's runtimes; raises Problem if it does not answer."""
    try:
        found = json.loads(run("docker", "info", "--format", "{{json .Runtimes}}"))
    except ValueError as error:
        raise Problem("docker info says no JSON") from error
    if not isinstance(found, dict):
        raise Problem(
            "docker's engine does not answer: start it before the action runs, or see `docker info`"
        )
    return set(found)


def engine_pid() -> int:
    """The process id of the engine that docker's client speaks to; raises Problem if it is none of this machine's."""
    host = run("docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}").strip()
    scheme, _, path = host.partition("://")
    if scheme != "unix":
        raise Problem(
            f"docker's engine is not on this machine ({host[:200]}): its containers cannot be recorded"
        )
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            raise Problem(f"{path}: {error.strerror}") from error
        pid, _, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    # Where systemd has made the socket (docker.socket), it is the one who listens.
    if not _is_dockerd(pid):
        told = run("systemctl", "show", "--property=MainPID", "--value", "docker.service").strip()
        pid = int(told) if told.isdigit() else 0
    if not _is_dockerd(pid):
        raise Problem(
            f"no dockerd was found behind {path}: install the runtime of seclude yourself (docs/docker.md)"
        )
    return pid


def _is_dockerd(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return file.read().strip() == "dockerd"
    except OSError:
        return False


def config_of(pid: int) -> str:
    """The absolute path of the file that the dockerd with this process id reads."""
    with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="surrogateescape") as file:
        words = file.read().split("\0")
    path = DEFAULT_CONFIG
    for word, after in zip(words, [*words[1:], ""], strict=True):
        name, equals, value = word.partition("=")
        if name == "--config-file":
            path = value if equals else after
    return os.path.join(os.readlink(f"/proc/{pid}/cwd"), path)


def find() -> str:
    """The engine's file that the runtime goes to; empty if the engine has it already."""
    return "" if NAME in runtimes() else config_of(engine_pid())


def add(seclude: str, config: str) -> None:
    """Install the runtime and have the engine take it; raises Problem."""
    pid = engine_pid()
    run(seclude, "runtime", "install", "--engine", "docker", "--config", config, "--quiet")
    _reload(pid, there=True)


def remove(seclude: str, config: str) -> None:
    """Restore the file and have the engine take that; raises Problem, with the file restored if it could be."""
    try:
        # A job that was cancelled leaves them.
        left = run("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", f"label={LABEL}").split()
        if left:
            run("docker", "rm", "--force", "--volumes", *left)
        pid = engine_pid()
    finally:
        run(seclude, "runtime", "uninstall", "--engine", "docker", "--config", config, "--quiet")
        _remove_empty(LAUNCHERS)
    with _runtimes_named(config):
        _reload(pid, there=False)


@contextmanager
def _runtimes_named(config: str) -> Iterator[None]:
    """The file with a list of runtimes to the end of the block, an empty one unless it has one; then as it was.

    dockerd keeps the list that it has if a file without one is read (moby, daemon/reload_unix.go).
    """
    there = os.path.lexists(config)
    text = ""
    if there:
        with open(config, encoding="utf-8") as file:
            text = file.read()
    told = json.loads(text) if text.strip() else {}
    if "runtimes" in told:
        yield
        return
    # The file itself is moved away and back: not even its times are changed.
    kept, new = f"{config}.kept-by-seclude", f"{config}.new"
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(told | {"runtimes": {}}, file)
    if there:
        os.rename(config, kept)
    try:
        os.rename(new, config)
        yield
    finally:
        if there:
            os.rename(kept, config)
        else:
            os.unlink(config)


def _remove_empty(directory: str) -> None:
    try:
        os.rmdir(directory)
    except OSError:
        pass  # launchers of others are in it


def _reload(pid: int, *, there: bool) -> None:
    os.kill(pid, signal.SIGHUP)
    deadline = time.monotonic() + SECONDS
    while (NAME in runtimes()) != there:
        if time.monotonic() > deadline:
            raise Problem(
                f"dockerd did not take its configuration within {SECONDS:g} s: see its log (journalctl -u docker)"
            )
        time.sleep(0.1)


def main(arguments: Sequence[str]) -> int:
    """The exit status; what was found, or what was wrong, is on standard output."""
    seclude, deed, *rest = arguments
    try:
        if deed == "find":
            print(find())
        elif deed == "add":
            add(seclude, *rest)
        else:
            remove(seclude, *rest)
    except (Problem, OSError, ValueError) as error:
        print(
            "docker cannot be prepared" if deed != "remove" else "docker cannot be restored", error, sep=": "
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
