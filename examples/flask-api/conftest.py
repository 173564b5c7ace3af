"""Tells seclude's recorder which test is running: an operation of prctl that no kernel knows and the recorder does."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    mark = ctypes.CDLL(None).prctl if os.environ.get("SECLUDE_RECORDING") else lambda *_: None
    mark(0x5EC1DE00, item.nodeid.encode()[:247], 0, 0, 0)
    yield
    mark(0x5EC1DE00, b"", 0, 0, 0)
