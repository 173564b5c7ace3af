"""Paths of recordings in, all of the recordings in memory out, for the commands that look at them together."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from .. import store
from ..model.recording import Recording


def read_recordings(paths: Sequence[str]) -> list[Recording]:
    """The recordings in the files; raises RecordingError."""
    recordings = [store.read(path) for path in paths]
    # They stay until the end of the command, and nothing in them refers back: to look for garbage in a million calls
    # again and again takes as long as what the command does with them.
    gc.freeze()
    return recordings
