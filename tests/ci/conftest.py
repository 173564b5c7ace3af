"""Gives the tests of the action a bare origin (`origin`), and the engine tests' isolated podman (`bed`)."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
for directory in (HERE, HERE.parent / "engines"):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

from action_runs import Action  # noqa: E402
from origin import Origin  # noqa: E402
from podman_bed import Bed, open_bed  # noqa: E402
from podman_config import missing  # noqa: E402


@pytest.fixture(scope="session")
def bed() -> Iterator[Bed]:
    """One podman of its own for the session; nothing remains of it."""
    if reason := missing():
        pytest.skip(reason)
    with open_bed() as opened:
        yield opened


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    return Origin(tmp_path)


@pytest.fixture
def action(tmp_path: Path) -> Action:
    """Runs of the action with a seclude that does as told."""
    return Action(tmp_path / "jobs")
