"""Containers of containerd recorded through the installed runtime: a bed in, recordings and leftovers out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from containerd_bed import IMAGE, ContainerdBed, open_containerd_bed
from daemon_recorder import DaemonRecorder, install_runtime, launcher, prepare
from recording import TRACE, Recorded

RUNTIME = "seclude"


class ContainerdRecorder(DaemonRecorder[ContainerdBed]):
    """A containerd that knows our runtime; `launcher` is the program that stands for runc."""

    def __init__(self, bed: ContainerdBed) -> None:
        super().__init__(bed)
        self.launcher = launcher(bed.directory, RUNTIME)

    @staticmethod
    def annotations(profile: Path, file: Path, *, container: str = "") -> Mapping[str, str]:
        """What asks for a profile and a recording, of one container of a pod or of any."""
        own = f"/{container}" if container else ""
        return {f"{TRACE}{own}": f"of:{profile}", f"io.seclude.recording{own}": str(file)}

    def options(self, profile: Path, file: Path) -> list[str]:
        """The same as options of `ctr run`."""
        return [
            word
            for name, value in self.annotations(profile, file).items()
            for word in ("--annotation", f"{name}={value}")
        ]

    def record(
        self, *command: str | Path, options: Sequence[str | Path] = ("--seccomp",), image: str = IMAGE
    ) -> Recorded:
        """`ctr run` to its end, recorded: under containerd's default profile unless other options are given."""
        profile, file = self.path(".json"), self.path(".recording.json")
        more = [*self.options(profile, file), *options]
        result = self.bed.run(*command, options=more, image=image, binary=str(self.launcher))
        assert file.exists(), f"nothing was recorded\n{result}\n{self.status()}"
        return Recorded(result, profile, file)


@contextmanager
def open_containerd_recorder(program: Sequence[str | Path] = ()) -> Iterator[ContainerdRecorder]:
    """A containerd with our runtime from here to the end of the block; nothing remains of it.

    `program` is the command line of the `seclude` that installs it, and that will record.
    """
    with ExitStack() as mounted:

        def install(directory: Path) -> None:
            prepare(directory, mounted)
            config = directory / "config.toml"
            install_runtime(
                directory, RUNTIME, "runc", "--engine", "containerd", "--config", config, program=program
            )

        with open_containerd_bed(prepare=install) as bed, mounted:
            yield ContainerdRecorder(bed)
