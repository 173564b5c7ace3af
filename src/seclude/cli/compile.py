"""`seclude compile`: a profile in; the kernel's filter, its listing and what is not as the profile means out."""

from __future__ import annotations

import errno
import os
import platform
import tempfile

import click

from ..analyse.faithful import (
    AMBIGUOUS,
    LOOSER,
    MULTIPLEXED,
    OTHER,
    STRICTER,
    UNNAMED,
    Comparison,
    Difference,
    abis_of,
)
from ..compilation import compared, compiled, weak_library
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, OutputError, ProfileError
from ..formats import bpf
from ..model.environment import NATIVE_ABIS, Environment
from ..model.profile import Profile
from ..syscalls import ARCHITECTURES
from .capabilities import capabilities, capability_option
from .console import Console, printable
from .options import read_profile

MOST_SHOWN = 20
"""Differences that are described; the rest is counted."""

_MODE = 0o644
_REASONS = {
    AMBIGUOUS: "rules with different actions hold for it",
    MULTIPLEXED: "libseccomp adds the rules for the call that it makes, without their first condition",
    UNNAMED: "libseccomp has no name for it",
}
_DIRECTIONS = {
    LOOSER: "looser than meant",
    STRICTER: "stricter than meant",
    OTHER: "not the error that is meant",
}


@click.command(
    epilog="Examples: seclude compile seccomp.json -o filter.bpf && bwrap --ro-bind / / --seccomp 3 ls 3<filter.bpf ;  "
    "seclude compile seccomp.json --disassemble --cap none"
)
@click.option("--output", "-o", metavar="FILE", default="", help="Write the filter here.")
@click.option("--disassemble", "-d", is_flag=True, help="Print its instructions.")
@click.option(
    "--optimize/--no-optimize",
    default=None,
    help="Find the call by a binary search, or compare one after the other. Default: as runc, a search from some 32 "
    "calls on.",
)
@capability_option
@click.option(
    "--check/--no-check", default=True, help="Compare what the filter answers with what the profile means."
)
@click.option("--quiet", "-q", is_flag=True, help="Say nothing but differences and errors.")
@click.argument("path", metavar="PROFILE")
def command(
    path: str,
    output: str,
    disassemble: bool,
    optimize: bool | None,
    caps: tuple[str, ...],
    check: bool,
    quiet: bool,
) -> int:
    """Compile PROFILE to the filter that the kernel runs, for this machine, and check that it means the same.

    The check runs the filter for every call of every ABI, and around every value that a rule compares. Exit status: 0,
    2 if the filter differs from the profile, 1 on an error. A filter that lets more through than meant is not written.
    """
    if not (output or disassemble):
        raise click.UsageError("Nothing to do: give -o FILE, --disassemble, or both.")
    profile = read_profile(path)
    environment = Environment(
        machine=platform.machine(), kernel=platform.release(), capabilities=capabilities(caps)
    )
    program = compiled(profile, environment, optimize=optimize)
    comparison = compared(program, profile, environment) if check else None
    if disassemble:
        click.echo(bpf.disassemble(program), nl=False)
    console = Console(quiet=quiet)
    warnings = Console()
    weak = weak_library(environment.machine)
    if weak:
        (console if comparison and not comparison.mismatches else warnings).say(_weakness(weak, comparison))
    for line in differences(comparison) if comparison else ():
        warnings.say(line)
    for line in notes(profile, comparison):
        console.say(line)
    loose = comparison is not None and any(each.direction == LOOSER for each in comparison.mismatches)
    if loose and output:
        raise ProfileError(
            f"{printable(output)} is not written: the filter lets through more than {printable(path)} means",
            hint="rewrite the rules that are named above, or update libseccomp; --no-check writes it all the same",
            exit_code=EXIT_FINDINGS,
        )
    if output:
        write(program.encode(), output)
    console.say(_summary(output or path, program, profile, environment, comparison))
    return EXIT_FINDINGS if comparison and comparison.mismatches else EXIT_CLEAN


def _summary(
    path: str,
    program: bpf.Program,
    profile: Profile,
    environment: Environment,
    comparison: Comparison | None,
) -> str:
    own = NATIVE_ABIS.get(environment.machine)
    listed = environment.architectures(profile)
    abis = [abi for abi in abis_of(environment.machine) if abi == own or ARCHITECTURES[abi] in listed]
    size = f"{path}: {len(program)} instructions for {', '.join(abis) or environment.machine}"
    if comparison is None:
        return f"{size}; not checked"
    if comparison.mismatches:
        return f"{size}; {comparison.calls} calls tried"
    return f"{size}; {comparison.calls} calls tried, each answered as the profile means"


def _weakness(weak: str, comparison: Comparison | None) -> str:
    if comparison is None:
        return f"warning: {weak}, and this filter was not checked"
    if comparison.mismatches:
        return f"warning: {weak}: update to 2.6.1 or newer. This filter differs from the profile"
    return f"{weak}; this filter does not suffer from it"


def differences(comparison: Comparison) -> list[str]:
    """What is not as the profile means, a line each, looser first."""
    found = comparison.mismatches
    lines = [_described(each) for each in found[:MOST_SHOWN]]
    if len(found) > MOST_SHOWN:
        lines.append(f"and {len(found) - MOST_SHOWN} more differences")
    return lines


def _described(found: Difference) -> str:
    more = f", and so for {found.count - 1} more of the arguments tried" if found.count > 1 else ""
    reason = f" ({_REASONS[found.reason]})" if found.reason else ""
    return (
        f"{found.abi} {_call(found)}: the profile means {_answer(found.meant)}, the filter answers "
        f"{_answer(found.done)}: {_DIRECTIONS[found.direction]}{more}{reason}"
    )


def _call(found: Difference) -> str:
    shown = list(found.arguments)
    while len(shown) > 1 and not shown[-1]:
        shown.pop()
    return f"{found.name}({', '.join(hex(value) if value > 9 else str(value) for value in shown)})"


def _answer(outcome: tuple[str, int]) -> str:
    action, data = outcome
    name = action.removeprefix("SCMP_ACT_")
    if name == "ERRNO":
        return errno.errorcode.get(data, f"errno {data}")
    return f"{name}({data})" if name == "TRACE" else name


def notes(profile: Profile, comparison: Comparison | None) -> list[str]:
    """What a filter alone cannot say, and what libseccomp makes of a profile in a way of its own."""
    lines = []
    if profile.flags or profile.listener_path:
        told = [*(profile.flags or ()), *(["listenerPath"] if profile.listener_path else ())]
        lines.append(f"{', '.join(told)}: not part of a filter, but of how it is installed")
    found = comparison.deviations if comparison else ()
    for abi in dict.fromkeys(each.abi for each in found):
        names = [each.name for each in found if each.abi == abi and each.reason == UNNAMED]
        if names:
            lines.append(
                f"{abi} {' '.join(dict.fromkeys(names))}: left to the default action: {_REASONS[UNNAMED]}"
            )
        names = [each.name for each in found if each.abi == abi and each.reason == MULTIPLEXED]
        if names:
            lines.append(f"{abi} {' '.join(dict.fromkeys(names))}: answered as the call that it makes")
    if comparison and comparison.thinned:
        lines.append(
            f"{' '.join(comparison.thinned)}: not every combination of arguments was tried, there are too many"
        )
    return lines


def write(data: bytes, path: str) -> None:
    """Put the filter in place at once or not at all; raises OutputError."""
    directory, name = os.path.split(path)
    beside = ""
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OutputError(f"{printable(path)} exists and is no regular file", hint="give another -o FILE")
        descriptor, beside = tempfile.mkstemp(prefix=f".{name}-", dir=directory or ".")
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(descriptor, _MODE)
            os.fsync(descriptor)
        os.replace(beside, path)
    except OSError as error:
        if beside and os.path.exists(beside):
            os.unlink(beside)
        raise OutputError(
            f"{printable(path)} cannot be written: {error.strerror}", hint="give another -o FILE"
        ) from error
