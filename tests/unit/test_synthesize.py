"""Synthesis: the seed's shape without a base; with one, what was recorded is allowed and no denial is lost."""

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.errors import ProfileError, RecordingError
from seclude.formats import oci
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.profile import OPERATORS, Argument, Filter, Profile, Rule, SubArchitectures
from seclude.model.recording import ArgumentValues, Call, Dropped, Losses, Recording
from seclude.synthesize import conditional_arguments, synthesize

GOLD = Path(__file__).parents[1] / "gold"
ALLOW, DENY = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def call(name, abi="x86_64", phase="app", number=0):
    return Call(abi=abi, phase=phase, context="", number=number, name=name, first=Dropped())


def recording(*calls, **fields):
    return Recording(
        created="2026-01-01T00:00:00Z",
        duration=1.0,
        seclude="0",
        tracer="ebpf",
        kernel=fields.pop("kernel", "6.1.0"),
        machine=fields.pop("machine", "x86_64"),
        engine="podman",
        calls=tuple(item if isinstance(item, Call) else call(item) for item in calls),
        **fields,
    )


def values(name, *found, abi="x86_64", complete=True, indices=None):
    tuples = tuple(item if isinstance(item, tuple) else (item,) for item in found)
    indices = indices if indices is not None else tuple(range(len(tuples[0]) if tuples else 1))
    return ArgumentValues(abi=abi, name=name, indices=indices, values=tuples, complete=complete)


def condition(index, op, value, two=0):
    return Argument(index=index, op=f"SCMP_CMP_{op}", value=value, value_two=two)


def rule(name, action=ALLOW, *args, **fields):
    return Rule(names=(name,), action=action, args=args, **fields)


def base(*rules, **fields):
    return Profile(default_action=fields.pop("default_action", DENY), rules=rules, **fields)


def appended(profile, *recordings, **options):
    """The rules that synthesis adds to `profile`, which it must leave as it is."""
    result = synthesize(recordings, base=profile, **options)
    assert result.profile.rules[: len(profile.rules)] == profile.rules
    assert replace(result.profile, rules=(), architectures=()) == replace(profile, rules=(), architectures=())
    return result.profile.rules[len(profile.rules) :]


def notes(profile, *recordings):
    return synthesize(recordings, base=profile).notes


class TestFresh:
    def test_the_seeds_shape(self):
        text = (GOLD / "profile-seed.json").read_text()
        names = oci.loads(text, "seed").rules[0].names
        seen = recording(*reversed(names))
        assert oci.dumps(synthesize([seen]).profile) == text

    def test_union_of_phases_recordings_and_baseline_without_denied_calls(self):
        one = recording(call("write"), call("capset", phase="runtime"), call("mount", phase="denied"))
        two = recording(call("read"), call("write"))
        result = synthesize([one, two], baseline=["execve"])
        assert result.profile.rules[0].names == ("capset", "execve", "read", "write")
        assert result.notes == ()

    def test_architectures_of_the_abis_in_use_native_first(self):
        seen = recording(call("mmap2", abi="x86"), call("read"), call("open", abi="x32", phase="denied"))
        assert synthesize([seen]).profile.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
        arm = recording(call("mmap2", abi="arm"), call("read", abi="aarch64"), machine="aarch64")
        assert synthesize([arm]).profile.architectures == ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")

    def test_a_call_without_a_name_is_noted(self):
        seen = recording("read", call("#10000", number=10000), call("#9999", abi="x86", number=9999))
        result = synthesize([seen])
        assert result.profile.rules[0].names == ("read",)
        assert result.profile.architectures == ("SCMP_ARCH_X86_64",)
        assert [note[:24] for note in result.notes] == [
            "x86 call number 9999 has",
            "x86_64 call number 10000",
        ]

    def test_thousands_of_calls_without_a_name_are_summed_up(self):
        seen = recording("read", *(call(f"#{number}", number=number) for number in range(1000, 9000)))
        found = synthesize([seen]).notes
        assert len(found) == 21
        assert found[-1] == "and 7980 more of this kind"

    def test_another_errno(self):
        text = oci.dumps(synthesize([recording("read")], default_errno="ENOSYS").profile)
        assert text.startswith('{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"architectures"')
        for wrong in ("EWHAT", "0", "5000"):
            with pytest.raises(ProfileError):
                synthesize([recording("read")], default_errno=wrong)

    @pytest.mark.parametrize(
        "recordings", [[], [recording()], [recording(call("mount", phase="denied"), call("#7"))]]
    )
    def test_nothing_to_go_by(self, recordings):
        with pytest.raises(RecordingError):
            synthesize(recordings, baseline=["read"])

    def test_lost_calls_need_insistence(self):
        seen = recording("read", losses=Losses(calls=3))
        with pytest.raises(RecordingError, match="lost 3 calls"):
            synthesize([recording("read"), seen])
        assert "lost 3 calls" in synthesize([seen], insist=True).notes[0]
        assert synthesize([recording("read", losses=Losses(facts=9))]).notes == ()

    def test_what_the_tracer_cannot_see_is_allowed_with_a_note(self):
        made = synthesize([recording("read", unseen=("write",)), recording("open")])
        assert made.profile.rules[0].names == ("open", "read", "write")
        assert "allowed without having been seen, which notify cannot: write" in made.notes


class TestOnTop:
    def test_an_allowed_call_adds_nothing_and_another_one_rule(self):
        profile = base(rule("read"))
        assert appended(profile, recording("read")) == ()
        seen = recording("write", "open", "read")
        assert appended(profile, seen) == (Rule(names=("open", "write"), action=ALLOW),)

    def test_a_denied_call_stays_denied_with_a_note(self):
        for action in (
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_KILL",
            "SCMP_ACT_TRAP",
            "SCMP_ACT_TRACE",
            "SCMP_ACT_NOTIFY",
        ):
            profile = base(rule("mkdir", action))
            assert appended(profile, recording("mkdir", "read")) == (rule("read"),)
            assert notes(profile, recording("mkdir", "read")) == (
                "mkdir stays denied: a rule of the base profile denies it",
            )

    def test_log_counts_as_allowed(self):
        assert appended(base(rule("mkdir", "SCMP_ACT_LOG")), recording("mkdir")) == ()

    def test_nothing_is_added_to_a_list_of_denials(self):
        profile = base(rule("mkdir", DENY), default_action=ALLOW)
        assert appended(profile, recording("mkdir", "read")) == ()
        assert len(notes(profile, recording("mkdir", "read"))) == 1

    def test_the_first_of_two_unconditional_rules_counts_as_for_libseccomp(self):
        seen = recording("mkdir")
        assert notes(base(rule("mkdir"), rule("mkdir", DENY, errno_ret=13)), seen) == ()
        assert len(notes(base(rule("mkdir", DENY, errno_ret=13), rule("mkdir")), seen)) == 1

    def test_a_denial_like_the_default_is_passed_over_where_a_rule_allows_the_call(self):
        """Engines leave it out of the filter, so the allowance is in force and no note may say otherwise."""
        assert notes(base(rule("mkdir", DENY), rule("mkdir")), recording("mkdir")) == ()
        conditional = base(rule("personality", DENY), rule("personality", ALLOW, condition(0, "EQ", 0)))
        seen = recording("personality", arguments=(values("personality", 0),))
        assert notes(conditional, seen) == ()
        other = recording("personality", arguments=(values("personality", 0, 5),))
        assert appended(conditional, other) == ()
        assert len(notes(conditional, other)) == 1

    def test_a_conditional_allowance_counts_only_for_the_values_it_covers(self):
        profile = base(
            rule("personality", ALLOW, condition(0, "EQ", 0)),
            rule("personality", ALLOW, condition(0, "EQ", 8)),
        )
        plain = (rule("personality"),)
        assert appended(profile, recording("personality", arguments=(values("personality", 0, 8),))) == ()
        assert appended(profile, recording("personality", arguments=(values("personality", 0, 5),))) == plain
        assert appended(profile, recording("personality")) == plain
        cut = values("personality", 0, complete=False)
        assert appended(profile, recording("personality", arguments=(cut,))) == plain
        other = values("personality", 0, indices=(1,))
        assert appended(profile, recording("personality", arguments=(other,))) == plain
        foreign = values("personality", 0, abi="x86")
        assert appended(profile, recording("personality", arguments=(foreign,))) == plain

    def test_the_baseline_does_not_widen_a_conditional_allowance(self):
        profile = base(rule("clone", ALLOW, condition(0, "MASKED_EQ", 0x7E020000)))
        assert appended(profile, recording("read"), baseline=["clone", "execve"]) == (
            Rule(names=("execve", "read"), action=ALLOW),
        )

    @pytest.mark.parametrize(
        ("op", "complement"),
        [("EQ", "NE"), ("NE", "EQ"), ("LT", "GE"), ("GE", "LT"), ("GT", "LE"), ("LE", "GT")],
    )
    def test_a_conditional_denial_is_complemented(self, op, complement):
        profile = base(rule("socket", DENY, condition(0, op, 16), errno_ret=22))
        assert appended(profile, recording("socket")) == (
            rule("socket", ALLOW, condition(0, complement, 16)),
        )

    def test_a_denial_under_two_conditions_gives_a_rule_for_each(self):
        profile = base(rule("socket", DENY, condition(0, "EQ", 16), condition(2, "EQ", 9), errno_ret=22))
        assert appended(profile, recording("socket")) == (
            rule("socket", ALLOW, condition(0, "NE", 16)),
            rule("socket", ALLOW, condition(2, "NE", 9)),
        )

    def test_two_denials_on_two_arguments_are_complemented_together(self):
        profile = base(
            rule("socket", DENY, condition(0, "EQ", 16)), rule("socket", DENY, condition(1, "EQ", 3))
        )
        assert appended(profile, recording("socket")) == (
            rule("socket", ALLOW, condition(0, "NE", 16), condition(1, "NE", 3)),
        )

    def test_two_denials_on_one_argument_allow_exactly_what_was_seen(self):
        """Engines would OR two conditions on one argument, and so allow everything."""
        profile = base(
            rule("socket", DENY, condition(0, "EQ", 16)), rule("socket", DENY, condition(0, "EQ", 17))
        )
        seen = recording("socket", arguments=(values("socket", 1, 2, 16),))
        assert appended(profile, seen) == (
            rule("socket", ALLOW, condition(0, "EQ", 1)),
            rule("socket", ALLOW, condition(0, "EQ", 2)),
        )
        assert "with some recorded arguments" in notes(profile, seen)[0]
        assert appended(profile, recording("socket")) == ()
        assert "no rules that libseccomp compiles faithfully" in notes(profile, recording("socket"))[0]

    def test_rules_that_libseccomp_would_merge_wrongly_are_not_appended(self):
        """With 2.5.4 (0 NE 3, 1 NE 9) beside the two denials refuses what it says to allow."""
        profile = base(
            rule("socket", DENY, condition(0, "EQ", 3), errno_ret=22),
            rule("socket", DENY, condition(1, "EQ", 9), errno_ret=22),
        )
        seen = recording("socket", arguments=(values("socket", (1, 2)),))
        assert appended(profile, seen) == ()
        assert "no rules that libseccomp compiles faithfully" in notes(profile, seen)[0]

    def test_an_allowance_that_is_there_already_is_not_repeated(self):
        """As in the profile of containers-common for `socket`."""
        profile = base(
            rule("socket", DENY, condition(0, "EQ", 16), condition(2, "EQ", 9), errno_ret=22),
            rule("socket", ALLOW, condition(2, "NE", 9)),
            rule("socket", ALLOW, condition(0, "NE", 16)),
        )
        assert appended(profile, recording("socket")) == ()
        assert notes(profile, recording("socket")) == ()

    def test_a_masked_denial(self):
        many = base(rule("clone", DENY, condition(0, "MASKED_EQ", 0b110, 0b010)))
        assert appended(many, recording("clone")) == ()
        assert len(notes(many, recording("clone"))) == 1
        seen = recording("clone", arguments=(values("clone", 0b100, 0b010),))
        assert appended(many, seen) == (rule("clone", ALLOW, condition(0, "EQ", 0b100)),)
        bit = base(rule("clone", DENY, condition(0, "MASKED_EQ", 0b100, 0b100)))
        assert appended(bit, recording("clone")) == (rule("clone", ALLOW, condition(0, "MASKED_EQ", 0b100)),)

    def test_recorded_values_that_the_denial_matches_stay_denied(self):
        profile = base(rule("socket", DENY, condition(0, "EQ", 16), errno_ret=22))
        seen = recording("socket", arguments=(values("socket", 16),))
        assert appended(profile, seen) == ()
        assert notes(profile, seen) == (
            "socket stays denied: with some recorded arguments a rule of the base profile denies it",
        )

    def test_a_denial_that_does_not_hold_here_keeps_its_meaning_elsewhere(self):
        without = rule("chroot", DENY, excludes=Filter(caps=("CAP_SYS_CHROOT",)))
        seen = recording("chroot", capabilities=("CAP_CHOWN", "CAP_SYS_CHROOT"))
        assert appended(base(without), seen) == (rule("chroot", includes=Filter(caps=("CAP_SYS_CHROOT",))),)
        old = rule("ptrace", DENY, excludes=Filter(min_kernel="4.8"))
        assert appended(base(old), recording("ptrace")) == (
            rule("ptrace", includes=Filter(min_kernel="4.8")),
        )
        only = rule("bpf", DENY, includes=Filter(arches=("arm64",)))
        assert appended(base(only), recording("bpf")) == (rule("bpf", excludes=Filter(arches=("arm64",))),)
        assert len(notes(base(without), recording("chroot"))) == 1

    def test_an_allowance_that_does_not_hold_here_does_not_count(self):
        profile = base(rule("bpf", includes=Filter(caps=("CAP_BPF",))))
        assert appended(profile, recording("bpf", capabilities=("CAP_BPF",))) == ()
        assert appended(profile, recording("bpf", capabilities=("CAP_CHOWN",))) == (rule("bpf"),)

    def test_each_recording_is_judged_by_its_own_capabilities(self):
        profile = base(rule("bpf", includes=Filter(caps=("CAP_BPF",))))
        able, unable = recording("bpf", capabilities=("CAP_BPF",)), recording("bpf")
        assert appended(profile, able, unable) == (rule("bpf"),)

    def test_32_bit_values_are_compared_as_32_bits(self):
        profile = base(rule("personality", ALLOW, condition(0, "EQ", 0xFFFF_FFFF_FFFF_FFFF)))
        arguments = (values("personality", 0xFFFF_FFFF, abi="x86"),)
        assert appended(profile, recording(call("personality", abi="x86"), arguments=arguments)) == ()
        wide = (values("personality", 0xFFFF_FFFF),)
        assert appended(profile, recording("personality", arguments=wide)) == (rule("personality"),)

    def test_a_multiplexer_is_left_denied_where_a_call_made_through_it_is(self):
        seen = recording(call("socketcall", abi="x86"))
        assert appended(base(rule("socket", DENY, errno_ret=22)), seen) == ()
        assert "socketcall stays denied: socket," in notes(base(rule("socket", DENY)), seen)[0]
        assert appended(base(rule("mkdir", DENY)), seen) == (rule("socketcall"),)

    def test_architectures(self):
        both = recording("read", call("mmap2", abi="x86"))
        known = base(architectures=("SCMP_ARCH_X86_64",))
        assert synthesize([both], base=known).profile.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
        foreign = base(architectures=("SCMP_ARCH_AARCH64",))
        assert synthesize([recording("read")], base=foreign).profile.architectures == (
            "SCMP_ARCH_AARCH64",
            "SCMP_ARCH_X86_64",
        )
        assert synthesize([recording("read")], base=base()).profile.architectures == ()
        assert synthesize([both], base=base()).profile.architectures == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")

    def test_no_architecture_is_added_beside_arch_map(self):
        mapped = base(
            arch_map=(
                SubArchitectures(architecture="SCMP_ARCH_X86_64", sub_architectures=("SCMP_ARCH_X32",)),
            )
        )
        result = synthesize([recording("read", call("mmap2", abi="x86"))], base=mapped)
        assert result.profile.architectures == ()
        assert result.profile.arch_map == mapped.arch_map
        assert result.notes == ("x86 calls stay refused: SCMP_ARCH_X86 is not in the base profile's archMap",)

    def test_the_errno_of_the_base_stays(self):
        result = synthesize([recording("read")], base=base(default_errno_ret=38), default_errno="EPERM")
        assert result.profile.default_errno_ret == 38
        assert "not EPERM" in result.notes[0]

    def test_gold(self):
        profile = oci.loads((GOLD / "base-conditions.json").read_text(), "base")
        seen = recording(
            *("mkdir read close ptrace personality clone chroot socket openat".split()),
            capabilities=("CAP_SYS_CHROOT",),
            arguments=(values("personality", 0, 8), values("clone", 0x1200011)),
        )
        text = oci.dumps(synthesize([seen], base=profile).profile)
        assert text == (GOLD / "profile-extended.json").read_text()


def test_conditional_arguments():
    profile = base(
        rule("socket", DENY, condition(2, "EQ", 9), condition(0, "EQ", 16)),
        Rule(names=("clone", "socket"), action=ALLOW, args=(condition(1, "NE", 0),)),
        rule("read"),
    )
    assert conditional_arguments(profile) == {"clone": (1,), "socket": (0, 1, 2)}


# What follows checks synthesis against a small statement of what engines and libseccomp do with a profile.

CAPS = ("CAP_A", "CAP_B")
GRID = tuple(product(range(4), repeat=2))
FILTERS = st.builds(Filter, caps=st.lists(st.sampled_from(CAPS), max_size=2, unique=True).map(tuple))
CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.integers(0, 3),
    value_two=st.integers(0, 3),
    op=st.sampled_from(OPERATORS),
)
RULES = st.builds(
    Rule,
    names=st.just(("getppid",)),
    action=st.sampled_from([ALLOW, DENY]),
    errno_ret=st.sampled_from([None, 22]),
    args=st.lists(CONDITIONS, max_size=2).map(tuple),
    includes=FILTERS,
    excludes=FILTERS,
)
BASES = st.builds(Profile, default_action=st.just(DENY), rules=st.lists(RULES, max_size=4).map(tuple))
CAPABILITIES = st.lists(st.sampled_from(CAPS), unique=True).map(tuple)


def holds(each, caps):
    return all(cap in caps for cap in each.includes.caps) and not any(
        cap in caps for cap in each.excludes.caps
    )


def vacuous(item):
    return item.op == "SCMP_CMP_MASKED_EQ" and item.value == 0


def combined(each, met):
    return any(met) if len({item.index for item in each.args}) < len(met) else all(met)


def unconditional(each):
    return combined(each, [vacuous(item) for item in each.args])


def matches(each, arguments):
    return combined(each, [item.matches(arguments[item.index]) for item in each.args])


def permitted(profile, caps, arguments):
    """True, False, or None where libseccomp's answer depends on how it merged conflicting conditions."""
    live = [each for each in profile.rules if holds(each, caps) and each.outcome != profile.outcome]
    for each in live:
        if unconditional(each):
            return each.permits
    answers = {each.permits for each in live if matches(each, arguments)}
    return None if len(answers) > 1 else answers.pop() if answers else False


def denied_by_rule(profile, caps, arguments):
    return any(not each.permits and holds(each, caps) and matches(each, arguments) for each in profile.rules)


@given(BASES, CAPABILITIES, st.lists(st.sampled_from(GRID), unique=True, min_size=1), st.booleans())
@settings(max_examples=1500, deadline=None)
def test_what_was_recorded_is_allowed_and_every_denial_stays(profile, caps, seen, complete):
    arguments = (values("getppid", *seen, complete=complete),)
    result = synthesize([recording("getppid", capabilities=caps, arguments=arguments)], base=profile)
    assert result.profile.rules[: len(profile.rules)] == profile.rules
    for item in seen:
        allowed = permitted(result.profile, caps, item)
        if denied_by_rule(profile, caps, item):
            assert allowed == permitted(profile, caps, item) or allowed is None
        else:
            conditional = [each for each in profile.rules if holds(each, caps) and not unconditional(each)]
            masked = any(item.op == "SCMP_CMP_MASKED_EQ" for each in conditional for item in each.args)
            assert allowed or (result.notes and (not complete or masked or len(conditional) > 1))
    for elsewhere in ((), ("CAP_A",), ("CAP_B",), CAPS):
        for item in GRID:
            before = permitted(profile, elsewhere, item)
            if before is False and denied_by_rule(profile, elsewhere, item):
                assert permitted(result.profile, elsewhere, item) is False
            if before:
                assert permitted(result.profile, elsewhere, item) is not False


@given(BASES, CAPABILITIES, st.lists(st.sampled_from(GRID), unique=True, min_size=1))
@settings(max_examples=300, deadline=None)
def test_recording_again_under_the_result_adds_nothing(profile, caps, seen):
    again = recording("getppid", capabilities=caps, arguments=(values("getppid", *seen),))
    once = synthesize([again], base=profile)
    assert synthesize([again], base=once.profile) == once


def test_the_decision_needs_the_environment_of_the_recording():
    here = Environment(machine="x86_64", kernel="6.1", capabilities=("CAP_A",))
    assert here.applies(rule("getppid", DENY, includes=Filter(caps=("CAP_A",))))
