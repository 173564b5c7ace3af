"""A Python whose virtual environments have the seclude under test: nothing is fetched or compiled for each job.

It stands for `pip install` alone, which test_rights.py has for real; all else of such a job is as it is.
"""

from __future__ import annotations

import sys
from pathlib import Path

SECLUDE = Path(sys.executable).with_name("seclude")
_PYTHON = """\
#!/bin/bash
set -e
if [ "$1 $2 $3" = "-I -m venv" ]; then
    mkdir -p "$4/bin"
    printf '#!/bin/sh\\n' >"$4/bin/pip"
    printf '#!/bin/sh\\nexec {python} "$@"\\n' >"$4/bin/python"
    printf '#!/bin/sh\\nexec {seclude} "$@"\\n' >"$4/bin/seclude"
    chmod 755 "$4"/bin/*
    exit
fi
exec {python} "$@"
"""


def python_with_seclude(directory: Path, seclude: Path = SECLUDE) -> Path:
    """Writes it; for the action's input `python`. `seclude` is what the environments have under this name."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "python"
    path.write_text(_PYTHON.format(python=sys.executable, seclude=seclude))
    path.chmod(0o755)
    return path
