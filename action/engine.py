"""The action's inputs, the variables and the configuration in the workspace in; the engine that the tests run with out.

As `seclude ci` decides it: the input wins over the variable, the variable over the file. It is asked before that can
run, since the engine may not be there yet. Runs in the environment that seclude was installed in.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from seclude.configuration.keys import ENGINES
from seclude.configuration.place import find, read
from seclude.errors import SecludeError

DEFAULT = "podman"


def engine(directory: str, environment: Mapping[str, str]) -> str:
    """One of ENGINES; raises SecludeError for another name, or a configuration that cannot be read."""
    path = environment.get("INPUT_CONFIG", "")
    place = read(path) if path else find(directory)
    told = (environment.get(name, "").strip() for name in ("INPUT_ENGINE", "SECLUDE_ENGINE"))
    name = next(filter(None, told), place.tables.get("engine", DEFAULT))
    if name not in ENGINES:
        raise SecludeError(f"unknown engine {str(name)[:80]!r}", hint=f"one of {', '.join(ENGINES)}")
    return str(name)


def main() -> int:
    """The exit status; what was wrong is on standard error."""
    try:
        print(engine(".", os.environ))
    except SecludeError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
