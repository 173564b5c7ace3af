"""The package as users get it: its names, the wheel with the recorder in it, and a build that fails well."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import seclude
from seclude.errors import SecludeError
from seclude.model.recording import Recording

ROOT = Path(__file__).resolve().parents[2]
OBJECT = "src/seclude/data/recorder.bpf.o"
WATCH = "src/seclude/data/watch.bpf.o"
ADOPT = "src/seclude/data/adopt.bpf.o"
EM_BPF = 247  # include/uapi/linux/elf-em.h
ADVICE = ("apt-get install clang llvm libbpf-dev", "dnf install clang llvm libbpf-devel")


def checkout(directory: Path) -> Path:
    """What a build needs of this tree, without anything that was built in it."""
    for name in ("src", "bpf"):
        shutil.copytree(
            ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", "*.o", ".build-*")
        )
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, directory / name)
    return directory


def run(*command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def compile_only(tree: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "hatch_build.py", *options, cwd=tree, **environment)


def build(tree: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = (
        sys.executable,
        "-m",
        "build",
        "--no-isolation",
        "--outdir",
        str(tree / "out"),
        *options,
        str(tree),
    )
    return run(*command, cwd=tree.parent, **environment)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = checkout(tmp_path_factory.mktemp("checkout"))
    result = build(tree, "--wheel")
    assert result.returncode == 0, result.stdout + result.stderr
    return tree


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return checkout(tmp_path)


@pytest.fixture
def no_tools(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which nothing is found."""
    return str(tmp_path_factory.mktemp("empty"))


def test_the_version_has_one_source(built: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" in project["project"]["dynamic"]
    assert project["tool"]["hatch"]["version"]["path"] == "src/seclude/__init__.py"
    (wheel,) = (built / "out").glob("*.whl")
    assert wheel.name == f"seclude-{seclude.__version__}-py3-none-linux_{platform.machine()}.whl"


def test_public_names() -> None:
    assert seclude.SecludeError is SecludeError
    assert seclude.Recording is Recording
    assert seclude.Profile.__module__ == "seclude.model.profile"
    assert set(seclude.__all__) <= set(dir(seclude))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = seclude.Nothing


def test_the_wheel_holds_the_recorder_and_no_sources_of_it(built: Path) -> None:
    (wheel,) = (built / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        programs = [archive.read(name.removeprefix("src/")) for name in (OBJECT, WATCH, ADOPT)]
        info = f"seclude-{seclude.__version__}.dist-info"
        scripts = archive.read(f"{info}/entry_points.txt").decode()
    assert [program[:4] for program in programs] == [b"\x7fELF"] * 3
    assert [int.from_bytes(program[18:20], "little") for program in programs] == [EM_BPF] * 3
    assert {"seclude/py.typed", "seclude/hook.py", f"{info}/licenses/LICENSE"} <= set(names)
    assert {f"seclude/reports/templates/report.{kind}" for kind in ("html", "css", "js")} <= set(names)
    assert "seclude = seclude.cli:main" in scripts
    assert "seclude-hook = seclude.hook:main" in scripts
    assert not [
        name for name in names if not name.startswith("seclude") or name.endswith((".c", ".h", ".pyc"))
    ]


def test_the_recorder_is_the_same_wherever_it_is_compiled(built: Path, tree: Path) -> None:
    assert compile_only(tree).returncode == 0
    for name in (OBJECT, WATCH, ADOPT):
        assert (tree / name).read_bytes() == (built / name).read_bytes()
        assert str(tree).encode() not in (tree / name).read_bytes()


def test_the_recorder_is_compiled_where_it_is_out_of_date_only(tree: Path) -> None:
    assert "compiled" in compile_only(tree).stderr
    assert compile_only(tree).stderr == ""
    (tree / WATCH).unlink()
    assert "compiled" in compile_only(tree).stderr
    newer = (tree / OBJECT).stat().st_mtime + 10
    os.utime(tree / "bpf" / "recorder.h", (newer, newer))
    assert "compiled" in compile_only(tree).stderr
    assert "compiled" in compile_only(tree, "--force").stderr


def test_without_clang_the_build_says_what_to_install(tree: Path, no_tools: str) -> None:
    for result in (compile_only(tree, PATH=no_tools), build(tree, "--wheel", PATH=no_tools)):
        output = result.stdout + result.stderr
        assert result.returncode == 1
        assert "clang was not found" in output
        assert all(advice in output for advice in ADVICE)
        assert "Traceback" not in output
    assert not (tree / OBJECT).exists()
    assert not list(tree.glob("out/*.whl"))


def test_without_libbpf_the_build_says_what_to_install(tree: Path) -> None:
    clang = tree / "clang-without-headers"
    clang.write_text('#!/bin/sh\nexec clang -nostdinc "$@"\n')
    clang.chmod(0o755)
    result = compile_only(tree, CLANG=str(clang))
    assert result.returncode == 1
    assert "bpf/bpf_helpers.h" in result.stderr
    assert all(advice in result.stderr for advice in ADVICE)


def test_a_mistake_in_the_source_is_shown_and_the_old_object_stays(tree: Path) -> None:
    compile_only(tree)
    before = (tree / OBJECT).read_bytes()
    with (tree / "bpf" / "recorder.bpf.c").open("a") as source:
        source.write("int mistake(void) { return undeclared; }\n")
    result = compile_only(tree, "--force")
    assert result.returncode == 1
    assert "clang could not compile bpf/recorder.bpf.c" in result.stderr
    assert "undeclared" in result.stderr
    assert (tree / OBJECT).read_bytes() == before
    assert [path.name for path in (tree / OBJECT).parent.glob(".build-*")] == []


def test_another_machine_is_refused(tree: Path) -> None:
    program = "import hatch_build, platform; platform.machine = lambda: 'riscv64'; hatch_build.machine()"
    result = run(sys.executable, "-c", program, cwd=tree)
    assert "x86_64 or aarch64; this is Linux on riscv64" in result.stderr


def test_an_sdist_builds_the_same_wheel(
    built: Path, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert build(tree, "--sdist").returncode == 0
    unpacked = tmp_path_factory.mktemp("sdist")
    shutil.unpack_archive(next((tree / "out").glob("*.tar.gz")), unpacked)
    (source,) = unpacked.iterdir()
    assert not (source / OBJECT).exists()
    assert compile_only(source).returncode == 0
    for name in (OBJECT, WATCH, ADOPT):
        assert (source / name).read_bytes() == (built / name).read_bytes()
