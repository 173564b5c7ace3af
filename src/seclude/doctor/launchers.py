"""Runtimes of ours that engines start: the launchers that `seclude runtime install` wrote, and whether they lead on."""

from __future__ import annotations

import os

from ..errors import SecludeError
from ..launcher import DIRECTORY, read_launcher
from .check import Check, degraded, ok

_NAME = "runtime"


def check(root: str) -> Check:
    """Which engines have a runtime that records, and what is wrong with it; `root` stands before every path."""
    directory = root + DIRECTORY
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        names = []
    found, wrong = [], []
    for name in names:
        try:
            launcher = read_launcher(os.path.join(directory, name))
        except SecludeError as error:
            wrong.append(error.message)
            continue
        if launcher is None:
            continue
        found.append(f"{name} (leads to {launcher.runtime})")
        if not os.access(root + launcher.runtime, os.X_OK):
            wrong.append(f"{name} leads to {launcher.runtime}, which is not there")
    if wrong:
        return degraded(_NAME, "; ".join(wrong), "`seclude runtime install` writes it again")
    if found:
        return ok(_NAME, ", ".join(found))
    return ok(
        _NAME, "not installed (`seclude runtime install` records containers of docker, containerd and CRI-O)"
    )
