"""The command line that starts one of our light entry points: a module and its options in, words out."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def python_words(module: str, arguments: Mapping[str, str], package: str) -> list[str]:
    """The words; the first is the path of the Python that runs us.

    `package` is the directory that holds the package `seclude`. Python starts isolated and without site-packages:
    nothing in the environment or the working directory can change what root runs.
    """
    start = f"import sys; sys.path.insert(0, {package!r}); from seclude.{module} import leave; leave()"
    words = [word for name, value in arguments.items() for word in (name, value)]
    return [os.path.realpath(sys.executable), "-I", "-S", "-c", start, *words]
