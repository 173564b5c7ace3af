"""unittest's tests in, contexts out: `python -m seclude.unittest` is `python -m unittest` that marks each test.

It runs inside the container under test, as the pytest plugin does, and marks where a recorder was announced.
"""

from __future__ import annotations

import os
import unittest

from .marking import ANNOUNCED, LONGEST, bounded, enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

__unittest = True  # by this name unittest knows its own frames, which it leaves out of tracebacks

_ROOM = LONGEST - len("|teardown")
_STEP = "_callTestMethod"
"""TestCase's method between setUp and tearDown. It is not public: where there is none, a test is one step."""


class Marks(unittest.TestResult):
    """Marks the tests whose results it takes; to be put before another class of results.

    The steps are setup (setUp), call, and teardown (tearDown and cleanups; where setUp fails, cleanups are setup).
    setUpClass, setUpModule and their like run between tests, where there is no context.
    """

    def startTest(self, test: unittest.TestCase) -> None:
        name = bounded(test.id(), _ROOM)
        enter(name + b"|setup")
        call = getattr(test, _STEP, None)
        if call is not None:
            setattr(test, _STEP, _stepped(call, name))
        super().startTest(test)

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        vars(test).pop(_STEP, None)
        enter(b"")


def _stepped(call: Callable[[Callable[..., Any]], Any], name: bytes) -> Callable[[Callable[..., Any]], Any]:
    def marked(method: Callable[..., Any]) -> Any:
        enter(name + b"|call")
        try:
            return call(method)
        finally:
            enter(name + b"|teardown")

    return marked


class MarkedResult(Marks, unittest.TextTestResult):
    """What `python -m unittest` prints, with marks: `TextTestRunner(resultclass=MarkedResult)`."""


class MarkingRunner(unittest.TextTestRunner):
    """The runner of `python -m unittest`, with marks."""

    resultclass = MarkedResult  # type: ignore[assignment]  # typeshed asks for a function of three arguments


def main() -> None:
    """Run unittest's own command line; its exit status is unittest's."""
    runner = MarkingRunner if os.environ.get(ANNOUNCED) else unittest.TextTestRunner
    unittest.main(module=None, testRunner=runner)


if __name__ == "__main__":
    import sys

    # As unittest does: the name in its help.
    sys.argv[0] = f"{os.path.basename(sys.executable)} -m seclude.unittest"
    main()
