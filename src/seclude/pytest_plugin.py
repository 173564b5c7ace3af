"""pytest's hooks in, contexts out: each test's setup, call and teardown is marked for the recorder, if there is one.

It runs inside the container under test, where no recorder can be asked: it only says which test is running. What the
tests called is read from the recording, by `seclude tests` and `seclude why`.
"""

from __future__ import annotations

import os

import pytest

from .marking import ANNOUNCED, LONGEST, bounded, enter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

try:
    _WRAPPER = pytest.hookimpl(tryfirst=True, wrapper=True)
except TypeError:  # before pluggy 1.2; what follows does for both kinds, the new one costs half as much
    _WRAPPER = pytest.hookimpl(tryfirst=True, hookwrapper=True)

_ROOM = LONGEST - len("|teardown")
"""Bytes for the name of a test, which is the same in all its steps."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("seclude", "system calls of each test (seclude)")
    group.addoption(
        "--seclude",
        action="store_true",
        help=f"mark each test for seclude's recorder, also where {ANNOUNCED} does not announce one",
    )
    group.addoption(
        "--seclude-expectations",
        metavar="FILE",
        default="",
        help="write what the markers `seclude` of the collected tests allow and deny, for `seclude tests "
        "--expectations FILE`; with --collect-only nothing is run for it",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "seclude(allow=[CALL, ...], deny=[CALL, ...]): system calls that this test may make although the profile "
        "lacks them, and those that it must not make; checked by `seclude tests --expectations`",
    )
    if config.getoption("--seclude") or os.environ.get(ANNOUNCED):
        config.pluginmanager.register(Marks(), "seclude-marks")
    if config.getoption("--seclude-expectations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(
            Expectations(config.getoption("--seclude-expectations")), "seclude-expectations"
        )


class Marks:
    """Marks what this process runs. Under pytest-xdist each worker is a process of its own and marks itself."""

    # Wrappers, and outermost, so that what other plugins do belongs to the step for which they do it.

    @_WRAPPER
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        enter(test(item) + b"|setup")
        return (yield)

    @_WRAPPER
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        enter(test(item) + b"|call")
        return (yield)

    @_WRAPPER
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        enter(test(item) + b"|teardown")
        try:
            return (yield)
        finally:
            enter(b"")

    def pytest_report_header(self) -> str:
        return "seclude: each test is marked for the recorder"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        # Counted here and not as they come in: a hook for each report would cost as much as a mark.
        names = {
            report.nodeid
            for reports in terminalreporter.stats.values()
            for report in reports
            if isinstance(report, pytest.TestReport)
        }
        tests = "1 test" if len(names) == 1 else f"{len(names)} tests"
        terminalreporter.write_line(
            f"seclude: {tests} marked; `seclude tests RECORDING` says what each called"
        )


def test(item: pytest.Item) -> bytes:
    """The name of a test, as the recorder keeps it."""
    return bounded(item.nodeid, _ROOM)


class Expectations:
    """Writes the markers of all collected tests to a file."""

    def __init__(self, path: str) -> None:
        self._path = path

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        import json

        tests = {}
        for item in session.items:
            allow, deny = expected(item)
            if allow or deny:
                tests[test(item).decode()] = {"allow": sorted(allow), "deny": sorted(deny)}
        with open(self._path, "w", encoding="utf-8") as file:
            json.dump({"format": "seclude-expectations", "version": 1, "tests": tests}, file, indent=2)
            file.write("\n")


def expected(item: pytest.Item) -> tuple[set[str], set[str]]:
    """(allowed, denied) by all markers of a test, its class and its module. Raises pytest.UsageError."""
    found: dict[str, set[str]] = {"allow": set(), "deny": set()}
    for marker in item.iter_markers("seclude"):
        if marker.args or set(marker.kwargs) - set(found):
            raise pytest.UsageError(
                f"{item.nodeid}: the marker seclude takes allow=[...] and deny=[...] only"
            )
        for key, names in marker.kwargs.items():
            if not isinstance(names, (list, tuple, set, frozenset)) or not all(
                isinstance(name, str) for name in names
            ):
                raise pytest.UsageError(
                    f"{item.nodeid}: {key} of the marker seclude is a list of names of calls"
                )
            found[key].update(names)
    return found["allow"], found["deny"]
