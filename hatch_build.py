"""Build hook: bpf/*.{c,h} in, src/seclude/data/*.bpf.o and a wheel for this kind of processor out.

`python hatch_build.py` compiles the objects alone, where they are older than their sources (`--force`: always).
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

OBJECTS = {f"bpf/{name}.bpf.c": f"src/seclude/data/{name}.bpf.o" for name in ("recorder", "watch", "adopt")}
"""Source -> what is compiled from it."""

TARGETS = {"x86_64": "x86", "aarch64": "arm64"}
"""Machine, as uname says it -> processor, as bpf_tracing.h says it."""

INSTALL = """
    Debian, Ubuntu: apt-get install clang llvm libbpf-dev
    Fedora:         dnf install clang llvm libbpf-devel"""


class BuildError(Exception):
    """The recorder cannot be compiled here; the message says what to do."""


def machine() -> str:
    """x86_64 or aarch64; raises BuildError elsewhere."""
    system, name = platform.system(), platform.machine()
    if system != "Linux" or name not in TARGETS:
        raise BuildError(f"seclude runs on Linux on {' or '.join(TARGETS)}; this is {system} on {name}")
    return name


def compiler() -> str:
    """The clang to use ($CLANG, or the one on the PATH); raises BuildError where there is none."""
    wanted = os.environ.get("CLANG", "clang")
    found = shutil.which(wanted)
    if not found:
        raise BuildError(
            f"{wanted} was not found; it compiles the part that runs in the kernel. Install it:{INSTALL}"
        )
    return found


def include_directories(clang: str) -> list[str]:
    """Where the system's headers are, beyond clang's own choice for the bpf target (asm/ on Debian)."""
    multiarch = Path(f"/usr/include/{machine()}-linux-gnu")
    directories = [str(multiarch)] if multiarch.is_dir() else []
    probe = [clang, "-target", "bpf", *(f"-I{path}" for path in directories), "-fsyntax-only", "-x", "c", "-"]
    text = "typedef unsigned int __u32; typedef unsigned long long __u64;\n#include <bpf/bpf_helpers.h>\n"
    run = subprocess.run(probe, input=text, capture_output=True, text=True, check=False)
    if "file not found" in run.stderr:
        raise BuildError(f"the headers of libbpf (bpf/bpf_helpers.h) were not found. Install them:{INSTALL}")
    return directories


def strip(clang: str, path: Path) -> None:
    """Drop the debugging sections but not BTF, where llvm-strip is there: a third of the size remains."""
    beside = Path(os.path.realpath(clang)).with_name("llvm-strip")
    tool = shutil.which("llvm-strip") or (str(beside) if beside.exists() else "")
    if tool:
        subprocess.run([tool, "-g", str(path)], check=True)


def outdated(root: Path) -> bool:
    """Whether an object is missing or older than one of the sources."""
    targets = [root / target for target in OBJECTS.values()]
    newest = max(path.stat().st_mtime for path in (root / "hatch_build.py", *(root / "bpf").glob("*.[ch]")))
    return any(not target.exists() or target.stat().st_mtime < newest for target in targets)


def compile_objects(root: Path) -> list[Path]:
    """Compile the programs under `root` and return the objects' paths; raises BuildError."""
    return [compile_object(root, source, root / target) for source, target in OBJECTS.items()]


def compile_object(root: Path, source: str, target: Path, *, wanted: str = "") -> Path:
    """Compile one of the sources under `root`, for this machine or the `wanted` one of TARGETS; raises BuildError."""
    if not (root / source).exists():
        raise BuildError(f"{source} is missing from {root}: build from a whole checkout or sdist")
    clang = compiler()
    includes = [*include_directories(clang), "bpf"]
    target.parent.mkdir(parents=True, exist_ok=True)
    # Written beside and renamed: a recorder that is in use, or another build, never sees half a file.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as scratch:
        output = Path(scratch) / target.name
        # v3: atomic operations that return the old value (Linux 5.12); older versions of clang stay at v1.
        command = [clang, "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3"]
        command += [f"-D__TARGET_ARCH_{TARGETS[wanted or machine()]}", f"-ffile-prefix-map={root}=."]
        command += [*(f"-I{path}" for path in includes), "-c", source, "-o", str(output)]
        run = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if run.returncode:
            reason = "\n".join(run.stderr.splitlines()[:40])  # a crash of clang prints its whole stack
            raise BuildError(f"clang could not compile {source}:\n{reason}")
        strip(clang, output)
        output.chmod(0o644)
        output.replace(target)
    return target


def main(arguments: list[str]) -> int:
    root = Path(__file__).resolve().parent
    if not outdated(root) and "--force" not in arguments:
        return 0
    try:
        paths = compile_objects(root)
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in paths:
        print(f"compiled {path.relative_to(root)} ({path.stat().st_size} bytes)", file=sys.stderr)
    return 0


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ModuleNotFoundError:  # as a plain script, before anything is installed
    pass
else:

    class RecorderBuildHook(BuildHookInterface[Any]):
        """Compiles the recorder before a wheel, editable ones included, is put together."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            try:
                compile_objects(Path(self.root))
                build_data["tag"] = f"py3-none-linux_{machine()}"
            except BuildError as error:
                self.app.abort(f"\nerror: {error}")
            build_data["pure_python"] = False
            build_data["artifacts"].extend(f"/{target}" for target in OBJECTS.values())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
