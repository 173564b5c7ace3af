"""An OCI runtime's program in, containers that it creates, starts, enters and deletes without any engine out."""

from __future__ import annotations

import os
import select
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from ..errors import EngineError

SECONDS = 60
"""For one call of a runtime, and for a container that does nothing."""

LONGEST_OUTPUT = 4096
UNIFIED = "/sys/fs/cgroup/unified"


class OciRuntime:
    """A program with the command line of runc (opencontainers/runtime-tools, docs/command-line-interface.md).

    `state` is the directory where it keeps what it knows of its containers. Raises EngineError if the program is not
    there, or does not say of itself that it is a runtime.
    """

    def __init__(self, path: str, state: Path) -> None:
        self.path = _program(path)
        self.name, self.version = said_version(self.path)
        self._state = state

    def run(
        self, bundle: Path, container: str, *, terminal: bool = False, entering: Path | None = None
    ) -> None:
        """A container from its creation to its deletion. Raises EngineError with what the runtime wrote.

        `entering`: the file of a process that enters it by exec and ends; then the container is ended too.
        """
        pid = self._create(bundle, container, terminal=terminal)
        process = os.pidfd_open(pid)
        try:
            self._call("start", container)
            if entering:
                self._call("exec", "--process", str(entering), container)
                self._call("kill", container, "KILL")
            if not select.select([process], [], [], SECONDS)[0]:
                raise EngineError(
                    f"a container that does nothing has not ended after {SECONDS} seconds",
                    hint="is the machine overloaded?",
                )
        finally:
            _end(process)
            os.close(process)
            self._delete(container)
            _reap(pid)

    def _create(self, bundle: Path, container: str, *, terminal: bool) -> int:
        """The pid of the new container's first process."""
        pid_file = bundle / "pid"
        arguments = ["create", "--bundle", str(bundle), "--pid-file", str(pid_file)]
        try:
            if terminal:
                self._call_with_console(bundle / "console", [*arguments, "--console-socket"], container)
            else:
                self._call(*arguments, container)
            return int(pid_file.read_text())
        except (EngineError, OSError, ValueError) as error:
            try:
                self._delete(container)
            except EngineError:
                pass  # why it could not be made is what there is to say
            if isinstance(error, EngineError):
                raise
            raise EngineError(f"{self.path} wrote no pid: {error}", hint="is it an OCI runtime?") from error

    def _call_with_console(self, path: Path, arguments: Sequence[str], container: str) -> None:
        """Create a container and take the terminal that the runtime made for it."""
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            listening.settimeout(SECONDS)
            self._call(*arguments, str(path), container)
            with listening.accept()[0] as connection:
                connection.settimeout(SECONDS)
                _, descriptors, _, _ = socket.recv_fds(connection, 256, 1)
        # Nobody reads from it: a container that does nothing writes nothing, and it stays until the container is gone.
        self._consoles = descriptors

    _consoles: Sequence[int] = ()

    def _delete(self, container: str) -> None:
        """With --force: whatever has happened, nothing of it stays."""
        try:
            self._call("delete", "--force", container)
        finally:
            for descriptor in self._consoles:
                os.close(descriptor)
            self._consoles = ()

    def _call(self, *arguments: str) -> None:
        """Have the runtime do something; raises EngineError with the end of what it wrote if it does not succeed.

        The container inherits the pipe as its standard output and error, as it has one from engines.
        """
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        command = [*_hidden_hierarchy(), self.path, "--root", str(self._state), *arguments]
        try:
            status = _status(command, writing)
            written = os.read(reading, LONGEST_OUTPUT) if status and _readable(reading) else b""
        finally:
            os.close(reading)
            os.close(writing)
        if status:
            said = written.decode("utf-8", "backslashreplace").strip() or status
            raise EngineError(f"{self.name} {self.version}: {arguments[0]} failed: {said}")


def _status(command: Sequence[str], output: int) -> str:
    """Why a command did not succeed, empty if it did."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer after {SECONDS} seconds"
    except OSError as error:
        return os.strerror(error.errno or 0)
    return f"it ended with {done.returncode}" if done.returncode else ""


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def _hidden_hierarchy() -> list[str]:
    """What goes before a command where version 2 of cgroups is mounted beside version 1.

    crun refuses such a machine ("the cgroup hierarchy is hybrid"), and takes it once the one is not seen.
    """
    if not os.path.ismount(UNIFIED):
        return []
    script = f'umount {UNIFIED} && exec "$@"'
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def _end(process: int) -> None:
    """Kill what is still there: to delete it takes a program, which may fail to start."""
    try:
        signal.pidfd_send_signal(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _reap(pid: int) -> None:
    """Take a container's end from the kernel, where we are the one who gets it (engines.process.Descendants)."""
    deadline = time.monotonic() + 5
    try:
        while os.waitpid(pid, os.WNOHANG) == (0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
    except ChildProcessError:
        pass


def _program(path: str) -> str:
    """The absolute path of a program; raises EngineError."""
    found = path if "/" in path else shutil.which(path, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if not found or not os.path.exists(found):
        raise EngineError(
            f"there is no program {path[:200]!r}", hint="give the path of runc, crun or the like"
        )
    if not os.path.isfile(found) or not os.access(found, os.X_OK):
        raise EngineError(
            f"{path[:200]!r} cannot be executed", hint="give the path of runc, crun or the like"
        )
    return os.path.abspath(found)


def said_version(path: str) -> tuple[str, str]:
    """What a runtime says of itself: ("runc", "1.3.6+ds1"). Raises EngineError where that is no name and version."""
    try:
        done = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{path} --version: {error}", hint="is it an OCI runtime?") from error
    first = done.stdout[:LONGEST_OUTPUT].decode("utf-8", "backslashreplace").partition("\n")[0]
    words = first.split()
    if done.returncode or len(words) < 3 or words[1] != "version" or not _plain(words[0], words[2]):
        said = first[:100] or f"nothing, and ended with {done.returncode}"
        raise EngineError(
            f"{path} --version says {said!r}",
            hint='an OCI runtime says "runc version 1.3.6" or the like; is it one?',
        )
    return words[0], words[2]


def _plain(name: str, version: str) -> bool:
    return (
        name.isascii()
        and name.replace("-", "").isalnum()
        and len(name + version) < 100
        and version.isascii()
        and version[0].isdigit()
        and all(character.isalnum() or character in ".+-~" for character in version)
    )
