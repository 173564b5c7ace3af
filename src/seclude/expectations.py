"""A file of the pytest plugin in, what each test says of its own calls out (test -> Expected)."""

from __future__ import annotations

from .analyse.attribution import Expected
from .errors import SecludeError
from .formats import jsontext
from .inputs import read_text
from .syscalls import all_names

FORMAT = "seclude-expectations"
VERSION = 1
LARGEST = 64 * 1024 * 1024


def read(path: str) -> dict[str, Expected]:
    """What `pytest --seclude-expectations FILE` wrote; raises SecludeError naming the test that is wrong."""
    text = read_text(path, limit=LARGEST, error=SecludeError)
    value = jsontext.decode(text, path)
    hint = "it is written by pytest --collect-only --seclude-expectations FILE"
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise SecludeError(f"{path} holds no expectations", hint=hint)
    if value.get("version") != VERSION:
        raise SecludeError(f"{path} has version {value.get('version')!r}, not {VERSION}", hint=hint)
    tests = value.get("tests")
    if set(value) != {"format", "version", "tests"} or not isinstance(tests, dict):
        raise SecludeError(f"{path} has other members than format, version and tests", hint=hint)
    return {name: _expected(path, name, told) for name, told in tests.items()}


def _expected(path: str, test: str, told: object) -> Expected:
    if not isinstance(told, dict) or set(told) - {"allow", "deny"}:
        raise SecludeError(f"{path}: {test}: not an object with allow and deny")
    for key, names in told.items():
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise SecludeError(f"{path}: {test}: {key} is no list of names")
        if unknown := sorted(set(names) - all_names()):
            raise SecludeError(f"{path}: {test}: {key}: no system call is called {unknown[0]!r}")
    return Expected(allow=frozenset(told.get("allow", ())), deny=frozenset(told.get("deny", ())))
