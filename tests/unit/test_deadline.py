"""A deadline calls its deed when the time is over, again as long as that is needed, and never after its block."""

import signal
import subprocess
import time

import pytest

from seclude import deadline
from seclude.deadline import Deadline


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(deadline, "EVERY", 0.01)


def test_what_runs_longer_is_ended():
    with subprocess.Popen(["sleep", "100"]) as child:

        def end():
            child.kill()
            return True

        with Deadline(0.05, end) as limit:
            status = child.wait()
    assert (status, limit.passed) == (-signal.SIGKILL, True)


def test_what_ends_in_time_is_left_alone():
    before = signal.getsignal(signal.SIGALRM)
    with Deadline(100, lambda: pytest.fail("it was called")) as limit:
        pass
    assert not limit.passed
    assert (signal.getsignal(signal.SIGALRM), signal.getitimer(signal.ITIMER_REAL)) == (before, (0, 0))


def test_it_is_called_until_the_block_ends():
    times = []
    with Deadline(0.01, lambda: times.append(1) or True):
        while len(times) < 2 * deadline.PATIENCE:
            time.sleep(0.01)


def test_with_nothing_to_end_the_block_is_left():
    calls = []
    with pytest.raises(KeyboardInterrupt), Deadline(0.01, lambda: bool(calls.append(1))):
        time.sleep(100)
    # It may ring once more before the block has been left; and then no more.
    assert deadline.PATIENCE < len(calls) <= 2 * deadline.PATIENCE
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
