"""CRI-O reads hooks files as podman does: its annotations, on containers of podman, lead to the same recordings.

CRI-O itself is in no package here. What its containers carry is taken from its source (internal/factory/container).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from podman_bed import Bed, Result
from recording import TRACE, Recorder

pytestmark = pytest.mark.engine

TYPE, NAME = "io.kubernetes.cri-o.ContainerType", "io.kubernetes.container.name"


@pytest.fixture
def hooked(bed: Bed, recorder: Recorder) -> Iterator[tuple[Path, Path]]:
    """A hooks directory as `seclude hook install` fills it, and the one directory that its policy allows."""
    hooks, outputs = bed.directory / "crio-hooks.d", bed.directory / "crio"
    policy = bed.directory / "crio-policy.toml"
    for path in (hooks, outputs):
        path.mkdir()
    policy.write_text(f'output-directories = ["{outputs}"]\n')
    recorder.seclude("hook", "install", "--hooks-dir", hooks, "--policy", policy).succeeded()
    yield hooks, outputs
    recorder.seclude("hook", "uninstall", "--hooks-dir", hooks).succeeded()
    hooks.rmdir()
    for path in outputs.iterdir():
        path.unlink()
    outputs.rmdir()


def run(bed: Bed, hooks: Path, kind: str, name: str, annotations: dict[str, str], *command: str) -> Result:
    """A container as CRI-O would start it for a pod with these annotations, in as far as hooks can see."""
    line = bed.run_arguments(*command, annotations={TYPE: kind, NAME: name} | annotations)
    return bed.host(line[0], "--hooks-dir", hooks, *line[1:])


def test_each_container_has_its_own_file(bed: Bed, hooked: tuple[Path, Path]) -> None:
    hooks, outputs = hooked
    pod = {
        f"{TRACE}/web": f"of:{outputs}/web.json",
        f"{TRACE}/log": f"of:{outputs}/log.json",
        "io.seclude.recording/log": f"{outputs}/log.recording.json",
    }
    run(bed, hooks, "sandbox", "POD", pod, "true").succeeded()
    assert list(outputs.iterdir()) == []
    # CRI-O rewrites the one key that it knows.
    run(bed, hooks, "container", "web", pod | {TRACE: f"of:{outputs}/web.json"}, "ls", "/").succeeded()
    assert [path.name for path in outputs.iterdir()] == ["web.json"]
    run(bed, hooks, "container", "db", pod, "true").succeeded()
    assert [path.name for path in outputs.iterdir()] == ["web.json"]
    run(bed, hooks, "container", "log", pod, "mkdir", "/tmp/new").succeeded()
    assert {path.name for path in outputs.iterdir()} == {"web.json", "log.json", "log.recording.json"}
    assert ("mkdir" in bed.allowed(outputs / "web.json"), "mkdir" in bed.allowed(outputs / "log.json")) == (
        False,
        True,
    )


def test_pods_are_held_to_a_policy(bed: Bed, recorder: Recorder, tmp_path: Path) -> None:
    """Also through a hooks file that trusts whoever starts podman, and where root has written no policy."""
    path = tmp_path / "web.json"
    recorder.bed.run("true", annotations={TRACE: f"of:{path}"}).succeeded()
    path.unlink()
    done = run(bed, bed.hooks_dir, "container", "web", {TRACE: f"of:{path}"}, "true")
    assert done.status != 0
    assert f"{path}: the policy allows only paths in /var/lib/seclude" in done.err
    assert not path.exists()
