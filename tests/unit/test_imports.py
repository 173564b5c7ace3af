"""What an import loads: the hook starts twice for each container, so it loads nothing that costs time."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src"
HEAVY = {
    *(
        "argparse",
        "asyncio",
        "click",
        "collections",
        "contextlib",
        "dataclasses",
        "enum",
        "functools",
        "importlib",
    ),
    *("inspect", "jinja2", "json", "logging", "msgspec", "pathlib", "re", "rich", "shutil", "subprocess"),
    *("tempfile", "tomllib", "typing"),
}


def loaded(statement: str) -> set[str]:
    """Every module that is loaded after `statement`, in a Python that has loaded nothing else (no site)."""
    program = f"import sys; sys.path.insert(0, {str(SOURCES)!r})\n{statement}\nprint(*sys.modules, sep='\\n')"
    command = [sys.executable, "-I", "-S", "-c", program]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "seclude"}


def test_the_hook_loads_nothing_heavy() -> None:
    modules = loaded("import seclude.hook")
    assert "seclude.hook" in modules
    assert {name for name in modules if name.partition(".")[0] in HEAVY} - loaded("pass") == set()
    assert not [name for name in modules if name.startswith(("seclude.cli", "seclude.engines"))]


def test_the_package_loads_nothing() -> None:
    assert ours(loaded("import seclude; seclude.__version__")) == {"seclude"}


@pytest.mark.parametrize(
    ("statement", "modules"),
    [
        ("import seclude.syscalls", {"seclude.syscalls", "seclude._tables"}),
        ("import seclude; seclude.SecludeError", {"seclude.errors"}),
        (
            "import seclude; seclude.Recording",
            {"seclude.errors", "seclude.model", "seclude.model.frozen", "seclude.model.recording"},
        ),
    ],
)
def test_a_name_loads_its_own_modules_only(statement: str, modules: set[str]) -> None:
    assert ours(loaded(statement)) == {"seclude", *modules}


def test_no_table_is_built_before_it_is_asked_for() -> None:
    program = (
        "from seclude import syscalls\n"
        "syscalls.name_of('x86_64', 0)\n"
        "print('built:', *(abi for abi, table in syscalls._TABLES.items() if table._names))"
    )
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(SOURCES)!r})\n{program}",
    ]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "built: x86_64\n"


@pytest.mark.parametrize(
    "path", sorted(SOURCES.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCES))
)
def test_every_module_opens_with_a_sentence(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    assert docstring, f"{path} has no docstring"
    assert docstring.partition("\n\n")[0].endswith((".", ":"))
