"""`seclude check`: a profile and one call in; what happens to the call, and the rule that says so, out."""

from __future__ import annotations

import errno
import json
import platform
from collections.abc import Sequence

import click

from ..analyse.reasons import Question
from ..decode import register_of, signature, value_of
from ..errors import EXIT_CLEAN, EXIT_FINDINGS, ProfileError, SecludeError
from ..formats import oci
from ..inputs import read_text
from ..model.decision import Decision, decide
from ..model.environment import NATIVE_ABIS, Environment
from ..model.profile import ACTIONS, NARROW, errno_value, kernel_version, nearest
from ..syscalls import ARCHITECTURES, all_names, name_of, number_of
from ..syscalls import nearest as nearest_call
from .capabilities import capabilities, capability_option
from .console import printable
from .verdict import answered, plain, values

_MOST_ARGUMENTS = 6
_MACHINES = {"x86_64": "x86_64", "x86": "x86_64", "x32": "x86_64", "aarch64": "aarch64", "arm": "aarch64"}
"""ABI -> the machine on which its programs are mostly run."""

_ALIASES = {"amd64": "x86_64", "i386": "x86", "i686": "x86", "386": "x86", "arm64": "aarch64"}


@click.command(
    epilog="Examples: seclude check seccomp.json --syscall openat --arg 2=O_RDWR ;  "
    "seclude check seccomp.json --syscall clone --arg 0=CLONE_NEWUSER --cap none --expect EPERM"
)
@click.option("--syscall", metavar="NAME", required=True, help="The call, by name or number.")
@click.option(
    "--arg",
    "given",
    metavar="INDEX=VALUE",
    multiple=True,
    help="An argument, from 0 on: a number (decimal, 0x..., 0o..., negative) or names such as O_RDWR|O_CLOEXEC. "
    "The others are 0.",
)
@click.option(
    "--arch",
    metavar="ABI",
    default="",
    help=f"What the program is made for: {', '.join(ARCHITECTURES)}. Default: this machine.",
)
@capability_option
@click.option(
    "--kernel",
    metavar="VERSION",
    default="",
    help="The kernel's version, such as 5.15. Default: this machine's.",
)
@click.option(
    "--expect",
    metavar="ACTION",
    default="",
    help="Exit with 2 unless this is what happens: SCMP_ACT_ALLOW, or an errno such as EPERM.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.argument("path", metavar="PROFILE")
def command(
    path: str,
    syscall: str,
    given: tuple[str, ...],
    arch: str,
    caps: tuple[str, ...],
    kernel: str,
    expect: str,
    as_json: bool,
) -> int:
    """Say what a profile does with one call, and which of its rules says so.

    Exit status: 0, whether the call is made or refused; with --expect 2 if something else happens. 1 on an error.
    """
    text = read_text(path, limit=oci.LARGEST, error=ProfileError)
    profile = oci.loads(text, path)
    abi = _abi(arch)
    name = _call(syscall, abi)
    arguments = _arguments(given, abi, name)
    environment = Environment(machine=_MACHINES[abi], kernel=_kernel(kernel), capabilities=capabilities(caps))
    expected = _expected(expect) if expect else None
    decision = decide(profile, environment, abi, name, arguments)
    question = Question(abi=abi, name=name, arguments=arguments)
    answer = answered(text, path, profile, environment, question, decision)
    click.echo(json.dumps(values(answer)) if as_json else plain(answer), nl=as_json)
    if expected is None or _as_expected(decision, *expected):
        return EXIT_CLEAN
    if not as_json:
        click.echo(f"seclude: expected {printable(expect)}", err=True)
    return EXIT_FINDINGS


# What was asked for


def _abi(text: str) -> str:
    if not text:
        own = NATIVE_ABIS.get(platform.machine())
        if own is None:
            raise SecludeError(
                f"no table of calls for this machine, {platform.machine()}",
                hint=f"give --arch: {', '.join(ARCHITECTURES)}",
            )
        return own
    wanted = text.lower().removeprefix("scmp_arch_")
    wanted = _ALIASES.get(wanted, wanted)
    if wanted not in ARCHITECTURES:
        raise SecludeError(f"unknown architecture {text[:80]!r}", hint=nearest(wanted, list(ARCHITECTURES)))
    return wanted


def _call(text: str, abi: str) -> str:
    """The name of the call; raises SecludeError for one that this ABI does not have."""
    name = text
    if text.isascii() and text.isdigit():
        name = name_of(abi, int(text[:9]))
        if name.startswith("#"):
            raise SecludeError(f"{abi} has no call {text[:80]}")
    if number_of(abi, name) is not None:
        return name
    if name in all_names():
        having = [each for each in ARCHITECTURES if number_of(each, name) is not None]
        where = ", ".join(having) if having else "other processors"
        raise SecludeError(f"{abi} has no call {name}", hint=f"it is one of {where}")
    near = nearest_call(name)
    raise SecludeError(f"unknown call {name[:80]!r}", hint=f"did you mean {near}?" if near else "")


def _arguments(given: Sequence[str], abi: str, name: str) -> tuple[int, ...]:
    arguments = [0] * _MOST_ARGUMENTS
    told = set()
    for text in given:
        index, equals, value = text.partition("=")
        if not equals or not index.isdigit() or not index.isascii() or len(index) > 1 or int(index) > 5:
            raise SecludeError(
                f"--arg {text[:80]!r} is not INDEX=VALUE", hint="such as 2=O_RDWR, from 0 to 5"
            )
        if int(index) in told:
            raise SecludeError(f"argument {index} is given twice")
        told.add(int(index))
        arguments[int(index)] = _argument(abi, name, int(index), value)
    return tuple(arguments)


def _argument(abi: str, name: str, index: int, text: str) -> int:
    words = signature(abi, name)
    try:
        if words is None or index < len(words):
            # A number may fill the whole register, also where the kernel reads its lower half alone.
            number = int(text, 0) if len(text) <= 40 else None
            if number is not None and NARROW < number <= register_of(abi):
                return number
            if words is None and number is not None and -(register_of(abi) >> 1) - 1 <= number:
                return number & register_of(abi)
    except ValueError:
        pass
    try:
        return value_of(name, index, text, abi)
    except ValueError as error:
        raise SecludeError(str(error)) from None


def _kernel(text: str) -> str:
    version = text or platform.release()
    if kernel_version(version) is None:
        raise SecludeError(f"{version[:80]!r} is no kernel version", hint="such as 5.15 or 6.1.0")
    return version


def _expected(text: str) -> tuple[str, int | None]:
    """(action, errno or None for any)."""
    action = text.upper() if text.upper().startswith("SCMP_ACT_") else f"SCMP_ACT_{text.upper()}"
    if action in ACTIONS:
        return ("SCMP_ACT_KILL_THREAD" if action == "SCMP_ACT_KILL" else action), None
    number = errno_value(text.upper())
    if number is None:
        known = [*ACTIONS, *sorted(errno.errorcode.values())]
        raise SecludeError(f"unknown action {text[:80]!r}", hint=nearest(text.upper(), known)[:200])
    return "SCMP_ACT_ERRNO", number


def _as_expected(decision: Decision, action: str, number: int | None) -> bool:
    return decision.action == action and number in (None, decision.data)
