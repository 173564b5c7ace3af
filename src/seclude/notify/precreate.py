"""Podman's precreate hook of the notify tracer: an OCI configuration in, the same with permitted calls asked about.

A hook sees the profile as podman resolved it for this container, its built-in one included. What the container may do
stays as it was: calls that were refused are refused. Where the profile is to be proved they are asked about too, and
whoever answers refuses them.
"""

from __future__ import annotations

import os
import sys

from .. import syscalls
from ..errors import EXIT_CLEAN, EXIT_ERROR, EngineError, SecludeError
from ..formats import jsontext
from ..model.environment import NATIVE_ABIS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

REFUSED, CONTAINER = ".refused", ".confined"
"""What is added to the socket's path to name two files: with the reason why a container was not started, and with
"true" or "false", whether it had a filter before."""

JUDGED = ".judged"
"""The same of a file that is there, and empty, where the profile is to be proved: it gets the profile."""

LARGEST_CONFIG = 16 * 1024 * 1024
CONFINED, UNSEEN = "io.seclude.notify.confined", "io.seclude.notify.unseen"
"""Annotations by which the hook says whether there was a filter before, and which calls it could not ask about."""

ALWAYS_UNSEEN = ("write",)
"""runc tells its parent of the listener by it, and refuses profiles that ask about it (libcontainer/specconv)."""

_PERMITTED = ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG")
_ANSWERED = (*_PERMITTED, "SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
"""What whoever is asked can do in the kernel's place."""

_COMPATIBLE = {"x86_64": ("x86_64", "x86", "x32"), "aarch64": ("aarch64", "arm")}


def main() -> int:
    """Entry point of the hooks file: the changed configuration on standard output, or 1 with the reason."""
    listener = sys.argv[-1]
    try:
        text = sys.stdin.buffer.read(LARGEST_CONFIG + 1).decode("utf-8")
        config = jsontext.decode(text, "the configuration", largest=LARGEST_CONFIG)
        if not isinstance(config, dict):
            raise EngineError("the configuration is no object")
        judged = os.path.exists(listener + JUDGED)
        if judged:
            _leave_profile(config, listener + JUDGED)
        changed = notified(config, listener, os.uname().machine, judged=judged)
        with open(listener + CONTAINER, "w", encoding="utf-8") as file:
            file.write(changed["annotations"][CONFINED])
        sys.stdout.write(jsontext.encode(changed))
        sys.stdout.flush()
    except (SecludeError, ValueError, OSError) as error:
        _refuse(error, listener)
        return EXIT_ERROR
    return EXIT_CLEAN


def _leave_profile(config: dict[str, Any], path: str) -> None:
    """Raises EngineError where the container has no filter, so that there is nothing to prove."""
    profile = (config.get("linux") or {}).get("seccomp")
    if not profile:
        raise EngineError(
            "the container has no filter, so that nothing can be proved of a profile",
            hint="--privileged turns filters off: leave it out",
        )
    with open(path, "w", encoding="utf-8") as file:
        file.write(jsontext.encode(profile))


def _refuse(error: Exception, listener: str) -> None:
    """Podman only says that a hook failed, so whoever started it looks for the reason beside the socket."""
    print(f"seclude: {error}", file=sys.stderr)
    try:
        with open(listener + REFUSED, "x", encoding="utf-8") as file:
            file.write(getattr(error, "message", str(error)))
    except OSError:
        pass  # it was worth a try


def leave() -> None:
    """The same as a process that ends at once."""
    status = main()
    sys.stderr.flush()
    os._exit(status)


def notified(config: dict[str, Any], listener: str, machine: str, *, judged: bool = False) -> dict[str, Any]:
    """The configuration with an agent at the socket `listener`; raises EngineError where it has one already.

    Where it has no filter it gets one that permits everything. `judged`: what is refused with an errno is asked about
    as well.
    """
    linux = dict(config.get("linux") or {})
    before = linux.get("seccomp")
    profile = dict(before or _permissive(machine))
    rules = list(profile.get("syscalls") or ())
    if profile.get("listenerPath") or any(rule.get("action") == "SCMP_ACT_NOTIFY" for rule in rules):
        raise EngineError(
            "the container's profile has an agent of its own (SCMP_ACT_NOTIFY), and the kernel allows one",
            hint="record with another profile, or as root with eBPF",
        )
    asked, unseen = (_judged if judged else _permitted)(profile, rules, machine)
    profile["syscalls"], profile["listenerPath"] = asked, listener
    linux["seccomp"] = profile
    annotations = dict(config.get("annotations") or {})
    annotations[CONFINED] = "true" if before else "false"
    annotations[UNSEEN] = ",".join(sorted(unseen))
    return config | {"linux": linux, "annotations": annotations}


def _permitted(
    profile: dict[str, Any], rules: list[dict[str, Any]], machine: str
) -> tuple[list[dict[str, Any]], set[str]]:
    """The rules that ask about what `rules` permit, and the calls about which they cannot ask."""
    unseen = set(ALWAYS_UNSEEN)
    asked: list[dict[str, Any]] = []
    for rule in rules:
        asked += _asked(rule, unseen) if rule.get("action") in _PERMITTED else [rule]
    if profile.get("defaultAction") in _PERMITTED:
        ruled = {name for rule in rules for name in rule.get("names") or ()}
        # A rule without conditions would do away with those that refuse some arguments of the call.
        unseen |= {
            name
            for rule in rules
            if rule.get("args") and rule.get("action") not in _PERMITTED
            for name in rule.get("names") or ()
        }
        others = sorted(_names(profile, machine) - ruled - unseen)
        asked.append({"names": others, "action": "SCMP_ACT_NOTIFY"})
    return asked, unseen


def _judged(
    profile: dict[str, Any], rules: list[dict[str, Any]], machine: str
) -> tuple[list[dict[str, Any]], set[str]]:
    """The same where refusals with an errno are asked about, too: only what kills or sends a signal stays as it is."""
    if profile.get("defaultAction") not in _ANSWERED:
        unseen = set(ALWAYS_UNSEEN)
        return [
            each
            for rule in rules
            for each in (_asked(rule, unseen) if rule.get("action") in _ANSWERED else [rule])
        ], unseen
    # A rule without conditions would do away with those that kill for some arguments of the call.
    deadly = {
        name for rule in rules if rule.get("action") not in _ANSWERED for name in rule.get("names") or ()
    }
    unseen = {*ALWAYS_UNSEEN, *deadly}
    kept = [
        rule | {"names": names}
        for rule in rules
        if (names := [name for name in rule.get("names") or () if name in unseen])
    ]
    others = {name for rule in rules for name in rule.get("names") or ()} | _names(profile, machine)
    return [*kept, {"names": sorted(others - unseen), "action": "SCMP_ACT_NOTIFY"}], unseen


def _asked(rule: dict[str, Any], unseen: set[str]) -> list[dict[str, Any]]:
    """A rule as one that asks, and one that does as it did where a call cannot be asked about."""
    names = rule.get("names") or ()
    asked = [name for name in names if name not in unseen]
    kept = [name for name in names if name in unseen]
    question = {key: value for key, value in rule.items() if key != "errnoRet"}
    found = [question | {"names": asked, "action": "SCMP_ACT_NOTIFY"}] if asked else []
    return [*found, *([rule | {"names": kept}] if kept else [])]


def _permissive(machine: str) -> dict[str, Any]:
    abi = NATIVE_ABIS.get(machine, "")
    architectures = [syscalls.ARCHITECTURES[each] for each in _COMPATIBLE.get(abi, ())]
    return {"defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures}


def _names(profile: dict[str, Any], machine: str) -> set[str]:
    """Every call of the architectures that the profile is for."""
    wanted = {*(profile.get("architectures") or ()), syscalls.ARCHITECTURES.get(NATIVE_ABIS.get(machine, ""))}
    abis = [abi for abi, architecture in syscalls.ARCHITECTURES.items() if architecture in wanted]
    return set[str]().union(*(syscalls.names(abi) for abi in abis))
