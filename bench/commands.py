"""How long our own command takes to start, against the bare interpreter, and what the hook loads; figures out."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from figures import Table, compared
from programs import ROOT, Unmeasurable
from start import timed

ROUNDS = 10
LIMIT = 3.0
BARE, VERSION = "python3 -c pass", "seclude --version"
HEAVY = ("click", "rich", "jinja2")
LIST = (
    f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r}); import seclude.hook; print(*sorted(sys.modules))"
)


def tables(runs: int, progress: Callable[[str], None]) -> list[Table]:
    """The table of both; raises Unmeasurable where seclude is not installed beside this interpreter."""
    script = Path(sys.executable).with_name("seclude")
    if not script.exists():
        raise Unmeasurable(f"{script} is missing; install seclude for {sys.executable}")
    kinds = {BARE: [sys.executable, "-c", "pass"], VERSION: [str(script), "--version"]}
    samples: dict[str, list[float]] = {name: [] for name in kinds}
    for run in range(runs):
        progress(f"seclude --version: run {run + 1} of {runs}")
        taken: dict[str, list[float]] = {name: [] for name in kinds}
        for _ in range(ROUNDS):
            for name, command in kinds.items():
                taken[name].append(timed(command))
        for name, values in taken.items():
            samples[name].append(statistics.median(values))
    figures = (compared(BARE, samples), compared(VERSION, samples, (BARE, LIMIT)))
    return [Table("The command line", "ms", figures, (hook_modules(),))]


def hook_modules() -> str:
    """What the hook has loaded before it looks at a container, in words."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", LIST], capture_output=True, text=True)
    if done.returncode:
        raise Unmeasurable(f"the hook cannot be imported: {done.stderr}")
    modules = done.stdout.split()
    heavy = sorted({name.split(".")[0] for name in modules} & set(HEAVY))
    ours = sum(name.split(".")[0] == "seclude" for name in modules)
    found = f"OVER: {', '.join(heavy)} among them" if heavy else f"none of {', '.join(HEAVY)}: OK"
    return f"the hook imports {len(modules)} modules, {ours} of them ours; {found}"
