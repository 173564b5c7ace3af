"""Coverage reports of other tools in (coverage.py's JSON, Cobertura XML, LCOV), a Coverage out.

Which it is shows in the text. The tests that are recorded write it, so it is read like any other hostile file: bounded,
and XML without the features that attack those who read it.
"""

from __future__ import annotations

from .errors import SecludeError
from .formats import jsontext
from .inputs import read_text
from .model.coverage import Coverage, CoverageError, FileCoverage, FileLines

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST = 64 * 1024 * 1024
"""Bytes of a report: coverage.py writes some 50 for each line of code."""

_HINT = "write it with `coverage json`, `coverage xml` or `coverage lcov`"
_LARGEST_NUMBER = 2**31

Lines = dict[int, bool]
"""Number of a line -> whether it was run."""


def read(path: str) -> Coverage:
    """The coverage in a file; raises CoverageError."""
    return loads(read_text(path, limit=LARGEST, error=CoverageError), path)


def loads(text: str, source: str) -> Coverage:
    """The coverage in a text; raises CoverageError with `source`."""
    text = text.removeprefix("\ufeff")
    start = text.lstrip(" \t\r\n")[:64]
    if start.startswith("{"):
        return _coverage(_json(text, source), source)
    if start.startswith("<"):
        return _coverage(_cobertura(text, source), source)
    if start.startswith(("TN:", "SF:")):
        return _coverage(_lcov(text, source), source)
    raise CoverageError(f"{source} is no coverage report: neither JSON, Cobertura XML nor LCOV", hint=_HINT)


def _coverage(files: Mapping[str, tuple[int, int]], source: str) -> Coverage:
    """Path -> (lines that were run, lines) as a Coverage."""
    lines = sum(total for _, total in files.values())
    if not lines:
        raise CoverageError(f"{source} has no lines of code in it", hint=_HINT)
    try:
        found = tuple(
            FileCoverage(path=path, covered=covered, lines=total)
            for path, (covered, total) in sorted(files.items())
        )
    except SecludeError as error:
        raise CoverageError(f"{source}: {error.message}") from error
    return Coverage(percent=100.0 * sum(each.covered for each in found) / lines, files=found)


# coverage.py's JSON (coverage/jsonreport.py): {"files": {PATH: {"summary": {"covered_lines", "num_statements"}}}}


def _json(text: str, source: str) -> dict[str, tuple[int, int]]:
    value = jsontext.decode(text, source, error=CoverageError, largest=LARGEST, quote=False)
    files = value.get("files") if isinstance(value, dict) else None
    if not isinstance(files, dict):
        raise CoverageError(f"{source} is no report of coverage.py: it has no `files`", hint=_HINT)
    found = {}
    for path, entry in files.items():
        summary = entry.get("summary") if isinstance(entry, dict) else None
        if not isinstance(summary, dict):
            raise CoverageError(f"{source}: {path[:200]!r} has no `summary`", hint=_HINT)
        covered, total = summary.get("covered_lines"), summary.get("num_statements")
        # A bool is an int to Python.
        if type(covered) is not int or type(total) is not int:
            raise CoverageError(
                f"{source}: the summary of {path[:200]!r} has no numbers `covered_lines` and `num_statements`",
                hint=_HINT,
            )
        found[path] = (covered, total)
    return found


def read_lines(path: str) -> tuple[FileLines, ...]:
    """The lines in a report of coverage.py; raises CoverageError."""
    return lines(read_text(path, limit=LARGEST, error=CoverageError), path)


def lines(text: str, source: str) -> tuple[FileLines, ...]:
    """By path; with `coverage json --show-contexts` also the tests that ran them. Raises CoverageError."""
    start = text.removeprefix("\ufeff").lstrip(" \t\r\n")
    if not start.startswith("{"):
        raise CoverageError(
            f"{source} is no report of coverage.py", hint="write it with `coverage json --show-contexts`"
        )
    value = jsontext.decode(start, source, error=CoverageError, largest=LARGEST, quote=False)
    files = value.get("files") if isinstance(value, dict) else None
    if not isinstance(files, dict):
        raise CoverageError(f"{source} is no report of coverage.py: it has no `files`", hint=_HINT)
    found = []
    for path, entry in sorted(files.items()):
        missing = entry.get("missing_lines") if isinstance(entry, dict) else None
        contexts = entry.get("contexts", {}) if isinstance(entry, dict) else None
        if not isinstance(missing, list) or any(type(line) is not int for line in missing):
            raise CoverageError(f"{source}: {path[:200]!r} has no list `missing_lines`", hint=_HINT)
        if not isinstance(contexts, dict):
            raise CoverageError(f"{source}: the `contexts` of {path[:200]!r} are no object", hint=_HINT)
        tests = []
        for line, names in contexts.items():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise CoverageError(
                    f"{source}: the contexts of {path[:200]!r}, line {line[:20]}, are no names", hint=_HINT
                )
            number = _number(line, f"{source}: {path[:200]!r}", "a line's number")
            tests.append((number, tuple(name for name in names if name)))
        found.append(FileLines(path=path, missing=tuple(missing), tests=tuple(sorted(tests))))
    return tuple(found)


# Cobertura: <class filename="..."><lines><line number="..." hits="..."/></lines></class>


def _cobertura(text: str, source: str) -> dict[str, tuple[int, int]]:
    """Read as it is parsed, so that no tree is built of it.

    A document type with declarations of its own is how XML attacks its readers (entities that grow without bound,
    or that are files); the plain reference that Cobertura, gcovr and istanbul write is not followed and so harmless.
    """
    from re import ASCII, compile
    from xml.etree.ElementTree import ParseError, XMLParser

    plain = compile(
        r"<!DOCTYPE\s+coverage(\s+(SYSTEM|PUBLIC)(\s+(\"[^\"<>\[]*\"|'[^'<>\[]*')){1,2})?\s*>", ASCII
    )
    rest = plain.sub("", text[:4096], count=1) + text[4096:]
    for declaration in ("<!DOCTYPE", "<!ENTITY", "<!ELEMENT", "<!ATTLIST"):
        if declaration in rest:
            raise CoverageError(
                f"{source} has a {declaration} declaration, which a coverage report does not need", hint=_HINT
            )
    reader = _Cobertura(source)
    parser = XMLParser(target=reader)  # noqa: S314 -- no declarations get to it
    try:
        parser.feed(rest.lstrip(" \t\r\n"))
        parser.close()
    except ParseError as error:
        line, column = error.position
        raise CoverageError(
            f"{source}: line {line}, column {column + 1}: this is no XML", hint=_HINT
        ) from None
    return {path: (sum(lines.values()), len(lines)) for path, lines in reader.files.items()}


class _Cobertura:
    """What the parser tells of its elements. Lines of methods are there twice, so each is counted by its number."""

    def __init__(self, source: str) -> None:
        self.files: dict[str, Lines] = {}
        self._source = source
        self._path: list[str] = []
        self._lines: Lines = {}

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self._path and tag != "coverage":
            raise CoverageError(
                f"{self._source} is no Cobertura report: it begins with <{tag[:40]}>", hint=_HINT
            )
        if len(self._path) >= jsontext.DEEPEST:
            raise CoverageError(f"{self._source}: nested more than {jsontext.DEEPEST} deep")
        self._path.append(tag)
        if tag == "class":
            self._lines = self.files.setdefault(attributes.get("filename", "?"), {})
        elif tag == "line" and "class" in self._path:
            number = _number(attributes.get("number", ""), self._source, "a line's number")
            hits = _number(attributes.get("hits", ""), self._source, "a line's hits")
            self._lines[number] = self._lines.get(number, False) or hits > 0

    def end(self, tag: str) -> None:
        self._path.pop()

    def close(self) -> None:
        """The parser asks for it."""


# LCOV (geninfo(1), "TRACEFILE FORMAT")


def _lcov(text: str, source: str) -> dict[str, tuple[int, int]]:
    """Of a file that is there for several tests the lines are put together; without lines its own sums count."""
    files: dict[str, Lines] = {}
    sums: dict[str, tuple[int, int]] = {}
    path, lines, found, hit = "", Lines(), 0, 0
    for number, line in enumerate(text.split("\n"), 1):
        key, _, value = line.strip().partition(":")
        where = f"{source}: line {number}"
        if key == "SF":
            path, lines, found, hit = value, files.setdefault(value, {}), 0, 0
        elif key == "DA":
            place, _, rest = value.partition(",")
            at = _number(place, where, "a line's number")
            hits = _number(rest.partition(",")[0], where, "a line's hits")
            lines[at] = lines.get(at, False) or hits > 0
        elif key == "LF":
            found = _number(value, where, "LF")
        elif key == "LH":
            hit = _number(value, where, "LH")
        elif key == "end_of_record" and path:
            sums[path] = max(sums.get(path, (0, 0)), (hit, found))
            path, lines = "", {}
    return {
        name: (sum(known.values()), len(known)) if known else sums.get(name, (0, 0))
        for name, known in files.items()
    }


def _number(text: str, where: str, what: str) -> int:
    # Counters of hits overflow in some tools; that they are many is all that matters.
    digits = text.strip()
    if digits.isascii() and digits.isdigit():
        return int(digits) if len(digits) <= 9 else _LARGEST_NUMBER
    if digits.startswith("-") and digits[1:].isdigit() and what.endswith("hits"):
        return 0
    raise CoverageError(f"{where}: {what} is {text[:40]!r}, not a number", hint=_HINT)
