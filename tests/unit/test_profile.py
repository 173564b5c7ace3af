"""The profile model: what may be built, what is refused, and what conditions and filters mean."""

import pytest

from seclude.errors import ProfileError
from seclude.model.environment import Environment, all_of
from seclude.model.profile import (
    LARGEST_VALUE,
    NARROW,
    Argument,
    FieldError,
    Filter,
    Profile,
    Rule,
    SubArchitectures,
    errno_value,
    kernel_version,
)

HERE = Environment(machine="x86_64", kernel="6.1.0-18-amd64", capabilities=("CAP_CHOWN", "CAP_KILL"))


@pytest.mark.parametrize(
    ("build", "field"),
    [
        (lambda: Profile(default_action="SCMP_ACT_NONE"), "default_action"),
        (lambda: Profile(default_action=""), "default_action"),
        (lambda: Profile(default_action="SCMP_ACT_ERRNO", default_errno_ret=65536), "default_errno_ret"),
        (lambda: Profile(default_action="SCMP_ACT_ERRNO", default_errno_ret=-1), "default_errno_ret"),
        (lambda: Profile(default_action="SCMP_ACT_ERRNO", default_errno="ENOTHING"), "default_errno"),
        (lambda: Profile(default_action="SCMP_ACT_ERRNO", architectures=("X86",)), "architectures"),
        (
            lambda: Profile(
                default_action="SCMP_ACT_ERRNO",
                architectures=("SCMP_ARCH_X86",),
                arch_map=(SubArchitectures(architecture="SCMP_ARCH_X86_64"),),
            ),
            "arch_map",
        ),
        (lambda: Profile(default_action="SCMP_ACT_ERRNO", flags=("TSYNC",)), "flags"),
        (lambda: Profile(default_action="SCMP_ACT_ERRNO", listener_metadata="x"), "listener_metadata"),
        (lambda: Rule(names=("read", ""), action="SCMP_ACT_ALLOW"), "names"),
        (lambda: Rule(names=("a", "b"), action="SCMP_ACT_ALLOW", legacy_name=True), "names"),
        (lambda: Rule(names=("read",), action="allow"), "action"),
        (lambda: Rule(names=("read",), action="SCMP_ACT_ERRNO", errno_ret=4095), "errno_ret"),
        (lambda: Rule(names=("read",), action="SCMP_ACT_ERRNO", errno="4095"), "errno"),
        (lambda: Rule(names=("read",), action="SCMP_ACT_TRACE", errno_ret=1 << 16), "errno_ret"),
        (lambda: Rule(names=("read",), action="SCMP_ACT_ERRNO", errno="eperm"), "errno"),
        (lambda: Argument(index=6, value=0, op="SCMP_CMP_EQ"), "index"),
        (lambda: Argument(index=0, value=1 << 64, op="SCMP_CMP_EQ"), "value"),
        (lambda: Argument(index=0, value=0, value_two=-1, op="SCMP_CMP_EQ"), "value_two"),
        (lambda: Argument(index=0, value=0, op="=="), "op"),
        (lambda: Filter(min_kernel="4"), "min_kernel"),
        (lambda: Filter(min_kernel="4.8.1"), "min_kernel"),
        (lambda: Filter(min_kernel="0.0"), "min_kernel"),
        (lambda: Filter(min_kernel="4.256"), "min_kernel"),
        (lambda: SubArchitectures(architecture="amd64"), "architecture"),
        (
            lambda: SubArchitectures(architecture="SCMP_ARCH_X86", sub_architectures=("x",)),
            "sub_architectures",
        ),
    ],
)
def test_what_means_nothing_cannot_be_built(build, field):
    with pytest.raises(FieldError) as caught:
        build()
    assert caught.value.field == field
    assert isinstance(caught.value, ProfileError)


def test_a_misspelt_action_is_guessed():
    with pytest.raises(ProfileError, match=r"SCMP_ACT_ALOW.*did you mean SCMP_ACT_ALLOW\?"):
        Rule(names=("read",), action="SCMP_ACT_ALOW")


def test_a_huge_number_stays_short_in_the_message():
    with pytest.raises(ProfileError) as caught:
        Argument(index=0, value=10**10000, op="SCMP_CMP_EQ")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("op", "matching"),
    [
        ("SCMP_CMP_NE", {0, 1, 3}),
        ("SCMP_CMP_LT", {0, 1}),
        ("SCMP_CMP_LE", {0, 1, 2}),
        ("SCMP_CMP_EQ", {2}),
        ("SCMP_CMP_GE", {2, 3}),
        ("SCMP_CMP_GT", {3}),
    ],
)
def test_operators(op, matching):
    condition = Argument(index=0, value=2, op=op)
    assert {value for value in range(4) if condition.matches(value)} == matching


def test_comparison_is_unsigned_and_masked_equality_takes_value_as_the_mask():
    assert Argument(index=0, value=1, op="SCMP_CMP_GT").matches(LARGEST_VALUE)
    masked = Argument(index=0, value=0b110, value_two=0b100, op="SCMP_CMP_MASKED_EQ")
    assert [value for value in range(8) if masked.matches(value)] == [0b100, 0b101]
    beyond = Argument(index=0, value=0b100, value_two=0b111, op="SCMP_CMP_MASKED_EQ")
    assert [value for value in range(8) if beyond.matches(value)] == [4, 5, 6, 7]


def test_in_a_32_bit_abi_upper_halves_do_not_count():
    condition = Argument(index=0, value=0x1_0000_0005, op="SCMP_CMP_EQ")
    assert condition.matches(5, width=NARROW)
    assert not condition.matches(5)


def test_conditions_of_a_rule_are_anded_but_on_one_argument_ored():
    both = Rule(
        names=("socket",),
        action="SCMP_ACT_ALLOW",
        args=(Argument(index=0, value=1, op="SCMP_CMP_EQ"), Argument(index=1, value=2, op="SCMP_CMP_EQ")),
    )
    assert both.matches({0: 1, 1: 2})
    assert not both.matches({0: 1, 1: 3})
    either = Rule(
        names=("socket",),
        action="SCMP_ACT_ALLOW",
        args=(Argument(index=0, value=1, op="SCMP_CMP_EQ"), Argument(index=0, value=2, op="SCMP_CMP_EQ")),
    )
    assert either.matches({0: 2})
    assert not either.matches({0: 3})


def test_a_mask_without_bits_is_no_condition():
    nothing = Argument(index=0, value=0, value_two=1, op="SCMP_CMP_MASKED_EQ")
    something = Argument(index=1, value=0, op="SCMP_CMP_EQ")
    assert nothing.matches(7)
    assert Rule(names=("a",), action="SCMP_ACT_ALLOW", args=(nothing,)).unconditional()
    assert not Rule(names=("a",), action="SCMP_ACT_ALLOW", args=(nothing, something)).unconditional()
    upper = Argument(index=0, value=1 << 40, op="SCMP_CMP_MASKED_EQ")
    assert upper.vacuous(width=NARROW)
    assert not upper.vacuous()


def test_the_outcome_of_actions_with_and_without_an_errno():
    def outcome(**fields):
        return Rule(names=("read",), **fields).outcome

    assert outcome(action="SCMP_ACT_ERRNO") == ("SCMP_ACT_ERRNO", 1)
    assert outcome(action="SCMP_ACT_ERRNO", errno_ret=0) == ("SCMP_ACT_ERRNO", 0)
    assert outcome(action="SCMP_ACT_ERRNO", errno_ret=1, errno="ENOSYS") == ("SCMP_ACT_ERRNO", 38)
    assert outcome(action="SCMP_ACT_KILL") == outcome(action="SCMP_ACT_KILL_THREAD")
    assert outcome(action="SCMP_ACT_ALLOW", errno_ret=5) == ("SCMP_ACT_ALLOW", 0)
    assert Profile(default_action="SCMP_ACT_ERRNO", default_errno_ret=38).outcome == ("SCMP_ACT_ERRNO", 38)


def test_errno_names_and_digits():
    assert errno_value("EPERM") == 1
    assert errno_value("ENOTSUP") == 95
    assert errno_value("EHWPOISON") == 133
    assert errno_value("38") == 38
    assert errno_value("errorcode") is None
    assert errno_value("E") is None


def test_kernel_versions():
    assert kernel_version("6.18.44-generic") == (6, 18)
    assert kernel_version("3.12-rc5") == (3, 12)
    assert kernel_version("five") is None
    assert kernel_version("6") is None


@pytest.mark.parametrize(
    ("includes", "excludes", "applies"),
    [
        (Filter(), Filter(), True),
        (Filter(arches=("arm64", "amd64")), Filter(), True),
        (Filter(arches=("arm64",)), Filter(), False),
        (Filter(caps=("CAP_CHOWN", "CAP_KILL")), Filter(), True),
        (Filter(caps=("CAP_CHOWN", "CAP_BPF")), Filter(), False),
        (Filter(min_kernel="6.1"), Filter(), True),
        (Filter(min_kernel="6.2"), Filter(), False),
        (Filter(), Filter(arches=("amd64",)), False),
        (Filter(), Filter(caps=("CAP_BPF",)), True),
        (Filter(), Filter(caps=("CAP_BPF", "CAP_KILL")), False),
        (Filter(), Filter(min_kernel="5.19"), False),
        (Filter(), Filter(min_kernel="6.2"), True),
    ],
)
def test_a_rule_applies_and_its_guard_holds_where_it_does_not(includes, excludes, applies):
    rule = Rule(names=("bpf",), action="SCMP_ACT_ERRNO", includes=includes, excludes=excludes)
    assert HERE.applies(rule) is applies
    guard = HERE.guard(rule)
    if applies:
        assert guard is None
        return
    opposite = Rule(names=("bpf",), action="SCMP_ACT_ALLOW", includes=guard[0], excludes=guard[1])
    for caps in ((), ("CAP_CHOWN",), ("CAP_KILL",), ("CAP_BPF",), ("CAP_CHOWN", "CAP_BPF", "CAP_KILL")):
        for machine in ("x86_64", "aarch64"):
            for kernel in ("5.4", "6.1", "6.12"):
                there = Environment(machine=machine, kernel=kernel, capabilities=caps)
                assert not (there.applies(rule) and there.applies(opposite))
    assert HERE.applies(opposite)


def test_guards_together_hold_where_each_holds():
    guards = [
        (Filter(min_kernel="4.9"), Filter()),
        (Filter(min_kernel="4.10"), Filter(caps=("CAP_BPF",))),
        (Filter(caps=("CAP_KILL",)), Filter(min_kernel="6.10")),
        (Filter(), Filter(min_kernel="6.9")),
    ]
    assert all_of(guards) == (
        Filter(caps=("CAP_KILL",), min_kernel="4.10"),
        Filter(caps=("CAP_BPF",), min_kernel="6.9"),
    )


def test_architectures_come_from_the_entry_of_the_machine():
    mapped = Profile(
        default_action="SCMP_ACT_ERRNO",
        arch_map=(
            SubArchitectures(architecture="SCMP_ARCH_AARCH64", sub_architectures=("SCMP_ARCH_ARM",)),
            SubArchitectures(architecture="SCMP_ARCH_X86_64", sub_architectures=("SCMP_ARCH_X86",)),
        ),
    )
    assert HERE.architectures(mapped) == ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")
    riscv = Environment(machine="riscv64", kernel="6.1", capabilities=())
    assert riscv.architectures(mapped) == ()
