"""Gives the engine tests an isolated podman (`bed`), the OCI runtimes (`runtime`) and the hook (`recorder`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# For `from podman_bed import Bed` and `from catalogue import WORKLOADS`.
for directory in (HERE, HERE.parent / "workloads"):
    sys.path.insert(0, str(directory))

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
