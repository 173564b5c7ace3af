"""An ordinary user for tests, with a home and ranges of ids, gone at the end: runs seclude, podman or anything."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src"
_START = "import sys; sys.argv[0] = 'seclude'; from seclude.cli import main; sys.exit(main())"
_NEEDED = ("click", "elftools", "jinja2", "markupsafe", "ruamel", "rich")
PYTHONS = (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3")
GONE = 60
"""Seconds that the user's processes get to end: podman's clean-up may go on for a moment."""


class Ordinary:
    """The user `name`, with `home`, and with a copy of seclude that it can read; `before` is what root runs it with."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.before: tuple[str, ...] = ()
        self.directory = directory
        entry = pwd.getpwnam(name)
        self.uid = entry.pw_uid
        self.home = Path(entry.pw_dir)
        self.runtime = directory / "run"
        self.runtime.mkdir(mode=0o700)
        os.chown(self.runtime, entry.pw_uid, entry.pw_gid)
        library = directory / "library"
        shutil.copytree(
            SOURCES / "seclude", library / "seclude", ignore=shutil.ignore_patterns("__pycache__")
        )
        for package in _NEEDED:
            self._copy(package, library)
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.home),
            "USER": name,
            "LOGNAME": name,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": str(self.runtime),
            "PYTHONPATH": str(library),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.python = self._python()

    @staticmethod
    def _copy(package: str, library: Path) -> None:
        for directory in map(Path, sys.path):
            if (directory / package).is_dir():
                shutil.copytree(
                    directory / package, library / package, ignore=shutil.ignore_patterns("__pycache__")
                )
                return

    def _python(self) -> str:
        """A Python that the user can run, with what seclude needs."""
        for path in PYTHONS:
            program = "import sys; assert sys.version_info >= (3, 11)"
            if self.run(path, "-c", program).returncode == 0:
                return path
        raise AssertionError(f"an ordinary user can run none of {', '.join(PYTHONS)}")

    def command(self, *argv: str | Path, env: Mapping[str, str] | None = None) -> list[str]:
        """`argv` as this user's, with nothing in the environment but the user's own and `env`."""
        values = self.environment | dict(env or {})
        credentials = [f"--reuid={self.name}", f"--regid={self.uid}", "--init-groups"]
        assigned = [f"{name}={value}" for name, value in values.items()]
        return [
            *self.before,
            *("setpriv", *credentials, "env", "-i", f"--chdir={self.home}", *assigned),
            *map(str, argv),
        ]

    def run(
        self,
        *argv: str | Path,
        env: Mapping[str, str] | None = None,
        stdin: Path | None = None,
        timeout: float = 120,
    ) -> subprocess.CompletedProcess[str]:
        """A command to its end, its output caught as text; `stdin` is a file."""
        with open(stdin or os.devnull, "rb") as file:
            return subprocess.run(
                self.command(*argv, env=env),
                stdin=file,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
            )

    def words(self, *arguments: str | Path) -> list[str | Path]:
        """The command `seclude` with these arguments."""
        return [self.python, "-c", _START, *arguments]

    def seclude(self, *arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """`seclude` to its end."""
        return self.run(*self.words(*arguments), timeout=timeout)

    def processes(self) -> list[int]:
        """The user's processes."""
        found = subprocess.run(["ps", "-o", "pid=", "-u", str(self.uid)], capture_output=True, text=True)
        return [int(pid) for pid in found.stdout.split()]


@contextmanager
def ordinary_user() -> Iterator[Ordinary]:
    """A new user as long as the block lasts; the machine is left as it was found."""
    # A short path, for sockets; and none of /tmp's kind, whose links in it some kernels do not follow for others.
    directory = Path(tempfile.mkdtemp(prefix="seclude-user-", dir="/var/tmp"))
    directory.chmod(0o755)
    name = f"sct{os.getpid()}"
    made = ("useradd", "--create-home", "--home-dir", directory / "home", "--shell", "/bin/sh", name)
    try:
        subprocess.run(made, check=True, capture_output=True)
        try:
            user = Ordinary(name, directory)
            try:
                yield user
            finally:
                _end(user)
        finally:
            subprocess.run(["userdel", name], check=True, capture_output=True)
    finally:
        shutil.rmtree(directory)


def _end(user: Ordinary) -> None:
    """Rootless podman leaves a process behind that keeps its namespaces, and files that belong to the user's range."""
    if shutil.which("podman", path=user.environment["PATH"]):
        user.run("podman", "system", "migrate")
    for pid in user.processes():
        with suppress(ProcessLookupError):  # it may just have ended
            os.kill(pid, 9)
    subprocess.run(
        ["timeout", str(GONE), "sh", "-c", f"while pgrep -u {user.uid} >/dev/null; do sleep .1; done"]
    )
