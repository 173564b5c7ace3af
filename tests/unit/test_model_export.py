"""What formats share: a resolved profile decides as the one it was made of, losses are named, words are words."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.errors import ProfileError
from seclude.model.environment import Environment
from seclude.model.export import (
    MOST_NAMED,
    Loss,
    Losses,
    architectures,
    by_call,
    errno_name,
    extended,
    lossless,
    named,
    resolution,
    resolved,
    words,
)
from seclude.model.frozen import replace
from seclude.model.profile import EVERYWHERE, Argument, Filter, Profile, Rule

from .format_samples import ALLOW, ERRNO, HERE, KILL, LOG, SAMPLE, arguments, profiles, same

FILTERS = st.sampled_from(
    [
        EVERYWHERE,
        Filter(caps=("CAP_CHOWN",)),
        Filter(caps=("CAP_CHOWN", "CAP_KILL")),
        Filter(arches=("amd64",)),
        Filter(arches=("arm64", "arm")),
        Filter(min_kernel="5.0"),
        Filter(min_kernel="6.5"),
    ]
)
PLACES = st.builds(
    Environment,
    machine=st.sampled_from(["x86_64", "aarch64"]),
    kernel=st.sampled_from(["4.4", "6.1", "6.18"]),
    capabilities=st.sampled_from([(), ("CAP_CHOWN",), ("CAP_CHOWN", "CAP_KILL")]),
)


@given(profiles([ALLOW, ERRNO, KILL, LOG], arguments(), [ALLOW, ERRNO, KILL]), PLACES, st.data())
@settings(max_examples=150, deadline=None)
def test_resolved_means_the_same_there(profile, place, data):
    rules = tuple(
        replace(rule, includes=data.draw(FILTERS), excludes=data.draw(FILTERS)) for rule in profile.rules
    )
    profile = replace(profile, rules=rules)
    found = resolved(profile, place)
    assert same(profile, found, [place]).empty
    assert not extended(found)
    assert resolved(found, place) == found
    assert bool(resolution(profile, place)) == extended(profile)


def test_one_rule_for_what_is_treated_alike():
    profile = Profile(
        default_action=ERRNO,
        rules=(
            Rule(names=("b",), action=ALLOW),
            Rule(names=("a", "b"), action=ALLOW),
            Rule(names=("c",), action=ERRNO),
            Rule(names=("d",), action=ALLOW, args=(Argument(index=0, value=0, op="SCMP_CMP_MASKED_EQ"),)),
            Rule(names=("d",), action=KILL, args=(Argument(index=0, value=1, op="SCMP_CMP_EQ"),)),
        ),
    )
    # A mask without bits asks nothing, so its rule stands alone; what the default says anyway is left out.
    assert resolved(profile, HERE).rules == (Rule(names=("a", "b", "d"), action=ALLOW),)
    assert by_call(profile, HERE)["d"] == (((), (ALLOW, 0)),)


def test_architectures():
    assert architectures(SAMPLE, HERE) == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    native = Profile(default_action=ERRNO, architectures=("SCMP_ARCH_NATIVE", "SCMP_ARCH_X86"))
    assert architectures(native, HERE) == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")


def test_losses_are_said_once():
    losses = Losses("x")
    for call in ("read", "write", "read"):
        losses.add("arguments", "x cannot tell {}", call)
    losses.add("flags", "x has no flags")
    losses.add("flags", "x has no flags")
    found = losses.all()
    assert found == (
        Loss(id="x/arguments", text="x cannot tell read, write"),
        Loss(id="x/flags", text="x has no flags"),
    )
    lossless((), "x")
    with pytest.raises(ProfileError, match=r"x cannot say all .*\[x/arguments\]; x has no flags \[x/flags\]"):
        lossless(found, "x")


def test_words():
    assert named([str(number) for number in range(MOST_NAMED + 3)]).endswith(" and 3 more")
    assert [errno_name(number) for number in (1, 11, 35, 38, 95, 4000)] == [
        "EPERM",
        "EAGAIN",
        "EDEADLK",
        "ENOSYS",
        "EOPNOTSUPP",
        "4000",
    ]
    words(["read", "_llseek", "clock_gettime64"], "x")
    for name in ("a b", "a\n", "é", "#1"):
        with pytest.raises(ProfileError, match="is no name of a system call"):
            words([name], "x")
