"""Gives the engine tests an isolated podman (`bed`), the OCI runtimes (`runtime`), the hook (`recorder`) and docker."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# For `from podman_bed import Bed` and `from catalogue import WORKLOADS`.
for directory in (HERE, HERE.parent / "workloads"):
    sys.path.insert(0, str(directory))

import docker_bed  # noqa: E402
from daemons import opened_or_skipped  # noqa: E402
from docker_recorder import DockerRecorder, open_docker_recorder  # noqa: E402
from podman_bed import Bed, open_bed  # noqa: E402
from podman_config import missing, runtime_path  # noqa: E402
from recording import Recorder  # noqa: E402


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """One podman of its own for the session, with the images `debian` and `workloads`; nothing remains of it."""
    if reason := missing():
        pytest.skip(reason)
    with open_bed() as opened:
        yield opened


@pytest.fixture(params=["runc", "crun"])
def runtime(request: pytest.FixtureRequest) -> str:
    """The name of an OCI runtime: each test that asks for it runs once with each."""
    name: str = request.param
    if not runtime_path(name):
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture(scope="session")
def installed(bed: Bed) -> Iterator[Recorder]:
    """The hook, installed in the bed for the session."""
    recorder = Recorder(bed)
    recorder.install()
    yield recorder
    recorder.uninstall()


@pytest.fixture
def recorder(installed: Recorder) -> Iterator[Recorder]:
    """The hook; after the test nothing may be registered or pinned."""
    yield installed
    status = installed.status()
    assert (status["recordings"], installed.pins()) == ([], [])


@pytest.fixture(scope="module")
def installed_docker() -> Iterator[DockerRecorder]:
    """Docker's engine of a module's own, with our runtime."""
    with opened_or_skipped(docker_bed.missing(), open_docker_recorder) as opened:
        yield opened


@pytest.fixture
def docker(installed_docker: DockerRecorder) -> Iterator[DockerRecorder]:
    """The same; after the test nothing may be registered, pinned or asked for."""
    yield installed_docker
    installed_docker.left_nothing()
