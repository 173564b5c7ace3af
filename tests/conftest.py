"""What holds for all tests: generated examples are the same ones every time in continuous integration."""

from __future__ import annotations

import os

from hypothesis import settings

# A property that fails for one example in a million must not stop a change that has nothing to do with it; whoever
# works on it draws fresh ones.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
if os.environ.get("CI"):
    settings.load_profile("ci")
