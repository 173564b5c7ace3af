"""Containers recorded in a bed through the installed hook: a command in; result, profile and recording out."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from podman_bed import Bed, Result

from seclude import store
from seclude.model.recording import Call, Recording

SOURCES = Path(__file__).resolve().parents[2] / "src"
MAIN = "import sys; sys.argv[0] = 'seclude'; from seclude.cli import main; sys.exit(main())"
TRACE = "io.containers.trace-syscall"
DENIED = "Operation not permitted"


@dataclass(frozen=True)
class Recorded:
    """One run of a container and what was written about it."""

    result: Result
    profile: Path
    file: Path

    @cached_property
    def recording(self) -> Recording:
        """The recording, read strictly."""
        return store.read(str(self.file))

    @cached_property
    def allowed(self) -> frozenset[str]:
        """The names that the profile allows without conditions."""
        return Bed.allowed(self.profile)

    def names(self, *phases: str, abi: str = "", context: str | None = None) -> frozenset[str]:
        """The named calls of these phases (runtime and app unless given), of one ABI and context or of all."""
        calls = [call for call in self.calls(*phases) if call.named]
        return frozenset(
            call.name
            for call in calls
            if abi in ("", call.abi) and (context is None or call.context == context)
        )

    def calls(self, *phases: str) -> list[Call]:
        return [call for call in self.recording.calls if call.phase in (phases or ("runtime", "app"))]


class Recorder:
    """The hook installed in a bed, with the bed's own bpffs and state directory."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self._count = 0
        self._directory = bed.directory / "recordings"
        self._directory.mkdir(exist_ok=True)
        self.environment = {
            "PYTHONPATH": str(SOURCES),
            "SECLUDE_BPFFS": str(bed.bpffs),
            "SECLUDE_STATE_DIR": str(bed.state),
        }

    def seclude(self, *arguments: str | Path, **keywords: Any) -> Result:
        """Runs `seclude` in the bed."""
        environment = self.environment | keywords.pop("env", {})
        return self.bed.host(sys.executable, "-c", MAIN, *arguments, env=environment, **keywords)

    def install(self) -> None:
        self.seclude("hook", "install", "--hooks-dir", self.bed.hooks_dir).succeeded()

    def uninstall(self) -> None:
        self.seclude("hook", "uninstall", "--hooks-dir", self.bed.hooks_dir).succeeded()

    def path(self, suffix: str) -> Path:
        """A new path whose directory exists."""
        self._count += 1
        return self._directory / f"{self._count}{suffix}"

    def annotations(
        self, profile: Path, file: Path, base: Path | None = None, **more: str
    ) -> Mapping[str, str]:
        """What asks for a profile and a recording; `more` are switches such as counts."""
        request = f"of:{profile}" if base is None else f"if:{base};of:{profile}"
        return {TRACE: request, "io.seclude.recording": str(file)} | {
            f"io.seclude.{name}": value for name, value in more.items()
        }

    def record(
        self,
        *command: str | Path,
        base: Path | None = None,
        switches: Mapping[str, str] | None = None,
        **run: Any,
    ) -> Recorded:
        """`podman run` to its end, recorded; the keywords are those of Bed.run_arguments."""
        profile, file = self.path(".json"), self.path(".recording.json")
        annotations = self.annotations(profile, file, base, **(switches or {}))
        result = self.bed.run(*command, annotations=annotations, **run)
        assert file.exists(), f"nothing was recorded\n{result}\n{self.status()}"
        return Recorded(result, profile, file)

    def start(self, *command: str | Path, **run: Any) -> tuple[str, Recorded]:
        """`podman run --detach`, recorded: the container's id, and what there will be once it has ended."""
        profile, file = self.path(".json"), self.path(".recording.json")
        container = self.bed.start(*command, annotations=self.annotations(profile, file), **run)
        started = Result(("podman", "run", "--detach"), 0, container, "", 0.0)
        return container, Recorded(started, profile, file)

    def status(self) -> dict[str, Any]:
        """What `seclude hook status` says."""
        shown = self.seclude("hook", "status", "--hooks-dir", self.bed.hooks_dir, "--json").succeeded()
        status: dict[str, Any] = json.loads(shown.out)
        return status

    def pins(self) -> list[str]:
        """What is pinned in the bed's bpffs."""
        directory = self.bed.bpffs / "seclude"
        return sorted(os.listdir(directory)) if directory.exists() else []


def without(names: Sequence[str] | frozenset[str], *removed: str) -> list[str]:
    return sorted(set(names) - set(removed))
