"""The command line: arguments in, exit status out. Answers --version before anything heavy is imported."""

from __future__ import annotations

import os
import sys

from .. import __version__
from ..errors import EXIT_ERROR, SecludeError


def main() -> int:
    """Entry point of `seclude`; every SecludeError ends here, as one message on standard error."""
    if sys.argv[1:] == ["--version"]:
        print(f"seclude {__version__}")
        return 0
    import click

    from .commands import group
    from .console import printable

    try:
        status = group.main(args=sys.argv[1:], prog_name="seclude", standalone_mode=False)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_ERROR
    except click.Abort:
        return 130
    except SecludeError as error:
        print(f"seclude: error: {printable(error.message, lines=True)}", file=sys.stderr)
        if error.hint:
            print(f"seclude: hint: {printable(error.hint)}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Whoever read our output has gone; Python would say so once more as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_ERROR
    return status if isinstance(status, int) else 0
