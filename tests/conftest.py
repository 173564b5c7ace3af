"""What holds for all tests: generated examples are the same ones every time, and Ctrl-C reaches who is to hear it."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings

# A property that fails for one example in a million must not stop a change that has nothing to do with it, nor may a
# machine that is busy. Whoever works on a property draws fresh examples: pytest --hypothesis-profile=fresh.
_SLOW = (HealthCheck.too_slow,)
settings.register_profile(
    "same", derandomize=True, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile("fresh", deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile("same")

# A shell without job control has what it starts in the background ignore SIGINT, and so would all that tests start.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
