"""A machine with a docker of its own, as far as a job can tell: the usual files of dockerd, which are a bed's alone.

dockerd runs in a mount namespace with copies of /etc and /usr/local/lib that nobody else sees; a job's steps run there.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from daemon_recorder import prepare
from docker_bed import DockerBed, open_docker_bed

CONFIG = Path("/etc/docker/daemon.json")
LAUNCHERS = Path("/usr/local/lib/seclude")
COPIES = ("/etc", "/usr/local/lib")


class DockerMachine:
    """Use `open_docker_machine`. `environment` is that of the runner."""

    def __init__(self, bed: DockerBed) -> None:
        self.bed = bed
        self.environment = bed.environment | {
            "SECLUDE_BPFFS": str(bed.directory / "bpf"),
            "SECLUDE_STATE_DIR": str(bed.directory / "state"),
            # The builder of the engine itself, which needs no plugin of the client.
            "DOCKER_BUILDKIT": "0",
        }
        for path in COPIES:
            layers = bed.directory / "copies" / path.replace("/", "_")
            for name in ("upper", "work"):
                (layers / name).mkdir(parents=True)
            options = f"lowerdir={path},upperdir={layers}/upper,workdir={layers}/work"
            self.inside("mount", "-t", "overlay", "-o", options, "overlay", path)

    def command(self, *argv: str | Path, cwd: str | Path = "/") -> list[str]:
        """`argv`, made to run where dockerd does and in the directory `cwd`."""
        enter = ["nsenter", f"--mount=/proc/{self.bed.engine_pid}/ns/mnt", "env", f"--chdir={cwd}"]
        return [*enter, *map(str, argv)]

    def launch(
        self, command: Sequence[str | Path], directory: Path, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """A runner.Launch on this machine."""
        return subprocess.run(
            self.command(*command, cwd=directory),
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
        )

    def inside(self, *argv: str | Path, text: str = "") -> str:
        """What a command prints there; `text` is its input."""
        done = subprocess.run(
            self.command(*argv), input=text, capture_output=True, text=True, env=self.environment, timeout=60
        )
        assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
        return done.stdout

    def write_config(self, text: str) -> None:
        """Makes this docker's configuration; empty: there is none."""
        if text:
            script = f"mkdir -p {CONFIG.parent}; cat >{CONFIG}; chmod 640 {CONFIG}"
        else:
            script = f"rm -f {CONFIG}"
        self.inside("sh", "-c", script, text=text)

    def state(self) -> dict[str, Any]:
        """What a job may change for its time only: files and modes, what the engine knows and holds, what is pinned."""
        names = f"{CONFIG} {CONFIG}.before-seclude {LAUNCHERS}"
        files = self.inside(
            "sh", "-c", f"for name in {names}; do [ ! -e $name ] || stat -c '%n %a' $name; done"
        )
        text = self.inside("cat", CONFIG) if str(CONFIG) + " " in files else ""
        known = json.loads(self.bed.docker("info", "--format", "{{json .Runtimes}}").succeeded().out)
        return {
            "files": files.splitlines(),
            "text": text,
            "runtimes": sorted(name for name in known if "seclude" in name),
            "containers": self.bed.docker("ps", "--all", "--quiet").succeeded().lines,
            "pinned": sorted(path.name for path in (self.bed.directory / "bpf").glob("seclude/*")),
        }


@contextmanager
def open_docker_machine() -> Iterator[DockerMachine]:
    """A machine from here to the end of the block; nothing remains of it."""
    with ExitStack() as mounted:

        def prepared(directory: Path) -> Sequence[str | Path]:
            prepare(directory, mounted)
            return ()

        with open_docker_bed(prepare=prepared) as bed, mounted:
            yield DockerMachine(bed)
