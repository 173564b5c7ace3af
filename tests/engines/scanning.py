"""What `seclude scan` is told of the programs in containers: a program in, words of its command line out."""

from __future__ import annotations

from podman_config import cache_dir
from programs import IMAGE, Program

TESTED = ("nginx", "redis", "postgres", "node")
"""Those of the programs that tests/kernel/test_scan.py has no like of. scripts/scan_table.py measures all."""

_ALSO = {"python3": tuple(f"/usr/lib/python3.{minor}/lib-dynload" for minor in range(10, 15))}
"""What these load at run time, and no file names: one of the directories is there."""


def scan_options(program: Program) -> tuple[str, ...]:
    """The image, and what the recording does not say: the shells, since the scripts that they run are mounted."""
    also = (word for path in _ALSO.get(program.name, ()) for word in ("--also", path))
    return (str(cache_dir() / f"{IMAGE}.tar"), "--entry", "/bin/bash", "--entry", "/bin/sh", *also)
