"""What holds for the whole profile: the default action, and what engines refuse to load."""

from __future__ import annotations

from collections.abc import Iterable

from ...complements import faithful, telling
from ...model.decision import width_of
from .subject import Found, Subject

_NOTIFY = "SCMP_ACT_NOTIFY"


def check(subject: Subject) -> Iterable[Found]:
    """The default first."""
    profile = subject.profile
    if profile.permits:
        yield Found(
            rule="lint/default-allow",
            severity="warning",
            message=f"the default action is {profile.default_action}: every call is made that no rule names, also "
            "those that Linux will have next year",
            spot=("defaultAction",),
            hint="make the default SCMP_ACT_ERRNO and list what the program needs: `seclude record` finds that out",
        )
    yield from _notify(subject)
    yield from _twice(subject)
    yield from _merged(subject)


def _notify(subject: Subject) -> Iterable[Found]:
    """What runc refuses (libcontainer/seccomp/seccomp_linux.go, InitSeccomp; process_linux.go, "listenerPath")."""
    profile = subject.profile
    if profile.default_action == _NOTIFY:
        yield _refused("SCMP_ACT_NOTIFY cannot be the default action: runc refuses it", ("defaultAction",))
    rules = [number for number, rule in enumerate(profile.rules) if rule.action == _NOTIFY and rule.names]
    for number in rules:
        if "write" in profile.rules[number].names:
            yield _refused(
                "SCMP_ACT_NOTIFY on write stops the runtime itself, which hands the listener over with it: runc "
                "refuses it",
                subject.name_spot(number, "write"),
            )
    if rules and not profile.listener_path:
        yield _refused(
            "a rule has SCMP_ACT_NOTIFY and the profile no listenerPath: runc refuses it, as nobody would answer",
            ("syscalls", rules[0], "action"),
        )


def _twice(subject: Subject) -> Iterable[Found]:
    """The same conditions with two outcomes, which libseccomp refuses (EEXIST, src/db.c, _db_tree_add)."""
    for name in subject.by_name:
        reported = False
        for case in subject.cases(name):
            rules = [
                number for number in case if subject.profile.rules[number].outcome != subject.profile.outcome
            ]
            if reported or len({subject.profile.rules[number].outcome for number in rules}) < 2:
                continue
            seen: dict[object, int] = {}
            for width in dict.fromkeys(map(width_of, subject.abis())):
                live = [subject.profile.rules[number] for number in rules]
                if any(rule.unconditional(width=width) for rule in live):
                    continue
                for number in rules:
                    rule = subject.profile.rules[number]
                    for conditions in telling(rule, width):
                        key = (width, frozenset(map(repr, conditions)))
                        first = seen.setdefault(key, number)
                        if subject.profile.rules[first].outcome == rule.outcome or reported:
                            continue
                        reported = True
                        yield _refused(
                            f"rules {first + 1} and {number + 1} decide {name} under the same conditions differently: "
                            "libseccomp refuses the second (EEXIST), and no container starts",
                            subject.name_spot(number, name),
                            name,
                        )


def _merged(subject: Subject) -> Iterable[Found]:
    """Conditions that libseccomp may compile to something else (complements.faithful)."""
    width = width_of(subject.abis()[0])
    for name in subject.by_name:
        for case in subject.cases(name):
            rules = [subject.profile.rules[number] for number in case]
            rules = [rule for rule in rules if rule.outcome != subject.profile.outcome]
            if any(rule.unconditional(width=width) for rule in rules):
                continue
            if not faithful([conditions for rule in rules for conditions in telling(rule, width)]):
                yield Found(
                    rule="lint/merged-conditions",
                    severity="note",
                    message=f"libseccomp may compile the conditions on {name} to something else: it merges rules with "
                    "several conditions on one call wrongly (seccomp/libseccomp issue 118)",
                    spot=subject.name_spot(case[0], name),
                    call=name,
                    hint="try the calls that matter under the profile; one condition in each rule is safe",
                )
                break


def _refused(message: str, spot: tuple[str | int, ...], call: str = "") -> Found:
    return Found(
        rule="lint/engine-refuses",
        severity="error",
        message=message,
        spot=spot,
        call=call,
        hint="change it: the engine ends with an error before the container starts",
    )
