"""C that loads a filter with libseccomp: a Profile in, one file with a function and a main() of its own out."""

from __future__ import annotations

from ..errors import ProfileError
from ..model.export import (
    Exporter,
    Losses,
    Written,
    architectures,
    by_call,
    errno_name,
    resolution,
    words,
)
from ..model.profile import ERRNO, PERMITTING, Argument, Profile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..model.export import Outcome

MARK = "/* seclude export: c */\n"
_FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": "SCMP_FLTATR_CTL_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG": "SCMP_FLTATR_CTL_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": "SCMP_FLTATR_CTL_SSB",
}
"""seccomp_attr_set(3); libseccomp 2.5."""

_HEAD = """\
/*
 * cc -o confine THIS.c -lseccomp && ./confine PROGRAM ARGUMENT...
 * Or compile it with -DSECLUDE_NO_MAIN and call seclude_load(), which returns 0 or a negative errno.
 * libseccomp sets no_new_privs as it loads the filter (seccomp_attr_set(3), SCMP_FLTATR_CTL_NNP).
 */
#include <errno.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

int seclude_load(void);

struct seclude_rule {
\tconst char *name;
\tuint32_t action;
\tunsigned int count;
\tstruct scmp_arg_cmp args[6];
};
"""

_BODY = """
int seclude_load(void)
{
\tscmp_filter_ctx filter = seccomp_init(seclude_default);
\tint failed = filter ? 0 : -ENOMEM;

\tfor (const uint32_t *arch = seclude_architectures; !failed && *arch; arch++) {
\t\tfailed = seccomp_arch_add(filter, *arch);
\t\tif (failed == -EEXIST)
\t\t\tfailed = 0;
\t}
\tfor (const uint32_t *flag = seclude_flags; !failed && *flag; flag++)
\t\tfailed = seccomp_attr_set(filter, (enum scmp_filter_attr)*flag, 1);
\tfor (const struct seclude_rule *rule = seclude_rules; !failed && rule->name; rule++) {
\t\tint number = seccomp_syscall_resolve_name(rule->name);

\t\t/* A call that this libseccomp cannot name is refused by default, or else must not be let in. */
\t\tif (number != __NR_SCMP_ERROR)
\t\t\tfailed = seccomp_rule_add_array(filter, rule->action, number, rule->count, rule->args);
\t\telse if (seclude_permits)
\t\t\tfailed = -ENOSYS;
\t}
\tif (!failed)
\t\tfailed = seccomp_load(filter);
\tif (filter)
\t\tseccomp_release(filter);
\treturn failed;
}

#ifndef SECLUDE_NO_MAIN
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
\tint failed;

\tif (argc < 2) {
\t\tfprintf(stderr, "usage: %s PROGRAM [ARGUMENT...]\\n", argv[0]);
\t\treturn 125;
\t}
\tfailed = seclude_load();
\tif (failed) {
\t\tfprintf(stderr, "%s: the filter cannot be loaded: %s\\n", argv[0], strerror(-failed));
\t\treturn 125;
\t}
\texecvp(argv[1], argv + 1);
\tfprintf(stderr, "%s: %s: %s\\n", argv[0], argv[1], strerror(errno));
\treturn 127;
}
#endif
"""


class CFormat(Exporter):
    """Writes C."""

    name = "c"

    def written(self, profile: Profile) -> Written:
        """Resolved for the settings' environment; raises ProfileError for a listener, which needs another program."""
        here = self.settings.environment
        calls = by_call(profile, here)
        words(calls, self.name)
        actions = {outcome[0] for meaning in calls.values() for _, outcome in meaning} | {profile.outcome[0]}
        if profile.listener_path or "SCMP_ACT_NOTIFY" in actions:
            raise ProfileError("a program on its own has no listener that SCMP_ACT_NOTIFY could ask")
        losses = Losses(self.name)
        flags = []
        for flag in profile.flags or ():
            if flag in _FLAGS:
                flags.append(_FLAGS[flag])
            else:
                losses.add("flags", f"{flag} means something with a listener only, and is not set")
        permits = int(profile.outcome[0] in PERMITTING)
        lines = [
            f"static const uint32_t seclude_default = {_action(profile.outcome)};",
            f"static const int seclude_permits = {permits};",
            *_table("uint32_t seclude_architectures", [*architectures(profile, here), "0"]),
            *_table("uint32_t seclude_flags", [*dict.fromkeys(flags), "0"]),
            *_table(
                "struct seclude_rule seclude_rules",
                [
                    *(
                        f'{{"{name}", {_action(outcome)}, {len(args)}, {_arguments(args)}}}'
                        for name, meaning in sorted(calls.items())
                        for args, outcome in meaning
                    ),
                    "{NULL, 0, 0, {{0}}}",
                ],
            ),
        ]
        text = MARK + _HEAD + "\n" + "\n".join(lines) + "\n" + _BODY
        return Written(text=text, losses=losses.all(), notes=resolution(profile, here))


def _table(name: str, items: list[str]) -> list[str]:
    return [f"static const {name}[] = {{", *(f"\t{item}," for item in items), "};"]


def _action(outcome: Outcome) -> str:
    action, data = outcome
    if action == ERRNO:
        return f"SCMP_ACT_ERRNO({errno_name(data) if data else 0})"
    return f"SCMP_ACT_TRACE({data})" if action == "SCMP_ACT_TRACE" else action


def _arguments(args: tuple[Argument, ...]) -> str:
    parts = (
        f"{{{each.index}, {each.op}, UINT64_C({each.value:#x}), UINT64_C({each.value_two:#x})}}"
        for each in args
    )
    return f"{{{', '.join(parts) or '{0}'}}}"
