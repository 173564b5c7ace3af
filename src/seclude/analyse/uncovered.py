"""Lines that tests ran, the sources and what was recorded in, the uncovered lines that could need further calls out.

Functions are found by name, as the imports of the file say. What hides behind a variable, a method or a library in C is
not found: the answer is where to look first, not all there is.
"""

from __future__ import annotations

import ast

from ..families import relatives
from ..model.uncovered import Uncovered, UncoveredFile, UncoveredLine
from .callers import calls_of_function
from .incidence import test_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ..model.coverage import FileLines

_BUILT_IN = ("open",)


def uncovered(
    files: Sequence[FileLines], sources: Mapping[str, str], recorded: Iterable[str], tests: Iterable[str]
) -> Uncovered:
    """What the recorded tests leave out. `sources`: path -> text; `recorded`: calls; `tests`: names of units."""
    known, units = frozenset(recorded), frozenset(tests)
    seen = {test_of(name) for file in files for _, names in file.tests for name in names}
    joined = len(seen & units)
    found, unread = [], []
    for file in files:
        # Without a test in common the names say nothing, and lines that any test ran count as run.
        unrun = _unrun(file, units) if joined else dict.fromkeys(file.missing, ())
        if not unrun:
            continue
        calls = function_calls(sources[file.path]) if file.path in sources else None
        if calls is None:
            unread.append(file.path)
            continue
        lines = tuple(
            UncoveredLine(
                path=file.path,
                line=line,
                function=function,
                calls=calls_of_function(function),
                unrecorded=tuple(call for call in calls_of_function(function) if not _covered(call, known)),
                tests=unrun[line],
            )
            for line, function in calls
            if line in unrun
        )
        if lines:
            ranked = sorted(lines, key=lambda each: (-len(each.unrecorded), each.line, each.function))
            found.append(UncoveredFile(path=file.path, missing=len(unrun), lines=tuple(ranked)))
    found.sort(key=lambda each: (-len(each.unrecorded), -len(each.lines), each.path))
    return Uncovered(
        files=tuple(found),
        tests=len(seen),
        joined=joined,
        unread=tuple(unread),
        notes=tuple(_notes(len(seen), joined, len(units))),
    )


def function_calls(source: str) -> tuple[tuple[int, str], ...] | None:
    """(line of the statement, full name) of each known function that is called, by line; None: this is no Python.

    The line is the first of the statement, which is the one that coverage.py counts.
    """
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    finder = _Finder()
    try:
        finder.visit(tree)
    except RecursionError:
        return None
    return tuple(sorted(set(finder.found)))


class _Finder(ast.NodeVisitor):
    """Calls of known functions, with the statement that they are in."""

    def __init__(self) -> None:
        self.found: list[tuple[int, str]] = []
        self._names: dict[str, str] = {name: name for name in _BUILT_IN}
        self._line = 0

    def visit(self, node: ast.AST) -> None:
        before = self._line
        if isinstance(node, ast.stmt):
            self._line = node.lineno
        super().visit(node)
        self._line = before

    def visit_Import(self, node: ast.Import) -> None:
        for name in node.names:
            top = name.name.partition(".")[0]
            self._names[name.asname or top] = name.name if name.asname else top

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for name in node.names:
            # A relative import is of the project's own, whatever it is called.
            self._names[name.asname or name.name] = "" if node.level else f"{node.module}.{name.name}"

    def visit_Call(self, node: ast.Call) -> None:
        name = self._full_name(node.func)
        if name and calls_of_function(name):
            self.found.append((self._line, name))
        self.generic_visit(node)

    def _full_name(self, node: ast.expr) -> str:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        start = self._names.get(node.id, "") if isinstance(node, ast.Name) else ""
        return ".".join((start, *reversed(parts))) if start else ""


def _unrun(file: FileLines, units: frozenset[str]) -> dict[int, tuple[str, ...]]:
    """Line -> the tests that ran it, none of which was recorded; lines that ran outside any test are run."""
    found: dict[int, tuple[str, ...]] = dict.fromkeys(file.missing, ())
    for line, names in file.tests:
        tests = sorted({test_of(name) for name in names})
        if tests and not units.intersection(tests):
            found[line] = tuple(tests)
    return found


def _covered(call: str, recorded: frozenset[str]) -> bool:
    """Whether the call was recorded, or a relative that another C library or processor makes in its place."""
    return call in recorded or any(other in recorded for other in relatives(call))


def _notes(seen: int, joined: int, units: int) -> list[str]:
    if not seen:
        return [
            "the coverage report has no tests: lines that any test ran count as run "
            "(measure with contexts, such as pytest --cov-context=test, and write it with --show-contexts)"
        ]
    if not joined:
        return [
            f"none of the {seen} tests of the coverage report is among the {units} recorded ones: is it of another "
            "project? Lines that any test ran count as run"
        ]
    return []
