"""Podman of an ordinary user for tests: its images, command lines that start containers, and what is recorded."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ordinary import Ordinary
from podman_bed import Bed
from podman_config import cache_dir

from seclude import store
from seclude.model.recording import Recording


class Rootless:
    """Podman of an ordinary user, with the images that are asked for."""

    def __init__(self, user: Ordinary, images: dict[str, str], bed: Bed) -> None:
        self.user = user
        self._bed = bed
        self._imported: dict[str, str] = {}
        configuration = user.home / ".config" / "containers"
        subprocess.run(user.command("mkdir", "-p", configuration), check=True)
        (configuration / "storage.conf").write_text('[storage]\ndriver = "overlay"\n')

    def image(self, name: str) -> str:
        """The image of that name, in the user's own store."""
        if name not in self._imported:
            self._bed.images.named(name)  # made and cached where it was not
            target = f"localhost/{name}:test"
            done = self.user.run(
                "podman", "import", "--quiet", "-", target, stdin=cache_dir() / f"{name}.tar"
            )
            assert done.returncode == 0, done.stderr
            self._imported[name] = target
        return self._imported[name]

    def command(
        self,
        *command: str | Path,
        image: str = "workloads",
        options: tuple[str, ...] = (),
        runtime: str = "runc",
    ) -> list[str]:
        """A `podman run`."""
        engine = ["podman", "--cgroup-manager", "cgroupfs", "--runtime", runtime]
        return [*engine, "run", "--rm", "--network", "none", *options, self.image(image), *map(str, command)]

    def record(
        self, *command: str | Path, wanted: tuple[str, ...] = (), **run: object
    ) -> tuple[subprocess.CompletedProcess[str], Recording]:
        """`seclude record` of it: how it ended, and the recording."""
        file = self.user.home / "recording.json"
        file.unlink(missing_ok=True)
        profile = self.user.home / "profile.json"
        line = self.command(*command, **run)  # type: ignore[arg-type]
        done = self.user.seclude(
            "record", *wanted, "-o", profile, "--recording", file, "--", *line, timeout=240
        )
        assert file.exists(), done.stderr
        return done, store.read(str(file))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


class Running:
    """`seclude record` of a container of the name `name` that waits, or `wanted`, as its user started it."""

    def __init__(
        self, rootless: Rootless, name: str, script: str, wanted: tuple[str | Path, ...] = ()
    ) -> None:
        self.rootless, self.name = rootless, name
        self.file = rootless.user.home / f"{name}.json"
        line = rootless.command("sh", "-c", script, options=("--name", name))
        words = rootless.user.words(*(wanted or ("record", "--recording", self.file)), "--", *line)
        self.process = subprocess.Popen(
            rootless.user.command(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line_read = self.process.stdout.readline()
        assert line_read == "ready\n", self.process.communicate()

    def exec(self, *command: str) -> subprocess.CompletedProcess[str]:
        engine = ("podman", "--cgroup-manager", "cgroupfs", "--runtime", "runc")
        return self.rootless.user.run(*engine, "exec", self.name, *command)

    def let_go(self) -> None:
        """End the wait. The session may be gone with its container before podman knows how it ended."""
        self.exec("touch", "/tmp/go")

    def receivers(self) -> list[int]:
        """Copies of seclude that answer: children of it in groups of their own."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        mine = Path(f"/proc/{pid}/cmdline").read_bytes()
        # Whoever was killed has an empty command line, and then none at all.
        lines = {int(each): Path(f"/proc/{each}/cmdline") for each in children}
        return [each for each, path in lines.items() if _read(path) == mine]

    def ended(self) -> tuple[str, Recording]:
        _, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return err, store.read(str(self.file))


UNTIL = "echo ready; until test -e /tmp/go; do sleep .1; done"
