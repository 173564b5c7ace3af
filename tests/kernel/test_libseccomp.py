"""Filters in force: a child loads one and makes real calls, under root or not."""

import errno
import itertools
import os
import signal

import pytest
from confined import (
    ABI,
    ALLOW,
    DENY,
    KERNEL,
    LIBC,
    MACHINE,
    build,
    everything_but,
    in_child,
    int80,
    outcome,
    under,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seclude.complements import faithful, telling
from seclude.errors import EngineError, ProfileError
from seclude.formats import libseccomp
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.profile import (
    LARGEST_ERRNO,
    LARGEST_VALUE,
    OPERATORS,
    Argument,
    Filter,
    Profile,
    Rule,
    SubArchitectures,
)
from seclude.model.recording import ArgumentValues, Call, Dropped, Recording
from seclude.synthesize import synthesize
from seclude.syscalls import names, number_of

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(not ABI, reason=f"no table of calls for {MACHINE}"),
]
only_x86 = pytest.mark.skipif(MACHINE != "x86_64", reason="32-bit calls are made by int 0x80")


def rule(name, action=ALLOW, *args, **fields):
    return Rule(names=(name,), action=action, args=args, **fields)


def test_what_is_not_allowed_gets_eperm():
    profile = Profile(default_action=DENY, rules=(everything_but("getppid", "getuid"), rule("getuid")))
    assert under(profile, lambda: f"{outcome('getppid')} {outcome('getuid')}") == f"{errno.EPERM} 0"


@pytest.mark.parametrize(
    "fields",
    [
        {"default_errno_ret": 38},
        {"default_errno": "ENOSYS"},
        {"default_errno": "ENOSYS", "default_errno_ret": 1},
    ],
)
def test_the_errno_of_the_default_action(fields):
    profile = Profile(default_action=DENY, rules=(everything_but("getppid"),), **fields)
    assert under(profile, lambda: str(outcome("getppid"))) == str(errno.ENOSYS)


def test_the_errno_of_a_rule_and_of_a_rule_like_the_default():
    profile = Profile(
        default_action=ALLOW,
        rules=(rule("getppid", DENY, errno="EXDEV"), rule("getuid", DENY), rule("getgid", ALLOW)),
    )
    found = under(profile, lambda: f"{outcome('getppid')} {outcome('getuid')} {outcome('getgid')}")
    assert found == f"{errno.EXDEV} {errno.EPERM} 0"


def test_the_smallest_and_the_largest_errno():
    """An errno of 0 makes the call return 0 without being made."""
    profile = Profile(
        default_action=ALLOW,
        rules=(rule("getppid", DENY, errno_ret=LARGEST_ERRNO), rule("getpid", DENY, errno_ret=0)),
    )
    found = under(profile, lambda: f"{outcome('getppid')} {LIBC.syscall(number_of(ABI, 'getpid'))}")
    assert found == f"{LARGEST_ERRNO} 0"


def test_killing():
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"):
        profile = Profile(default_action=ALLOW, rules=(rule("getppid", action),))

        def child(profile=profile):
            build(profile).load(no_new_privileges=True)
            return str(outcome("getppid"))

        assert os.WTERMSIG(in_child(child)[1]) == signal.SIGSYS


def test_includes_and_excludes_are_resolved():
    profile = Profile(
        default_action=ALLOW,
        rules=(
            rule("getppid", DENY, includes=Filter(caps=("CAP_BPF",))),
            rule("getuid", DENY, excludes=Filter(caps=("CAP_BPF",))),
            rule("getgid", DENY, includes=Filter(min_kernel="200.0")),
            rule("geteuid", DENY, includes=Filter(arches=("s390x",))),
        ),
    )

    def work():
        return " ".join(str(outcome(name)) for name in ("getppid", "getuid", "getgid", "geteuid"))

    assert under(profile, work) == "0 1 0 0"
    assert under(profile, work, capabilities=("CAP_BPF",)) == "1 0 0 0"


def test_a_call_that_only_our_table_names_goes_by_its_number():
    library = libseccomp._library()
    # The kernel lets uprobe and uretprobe past every filter (kernel/seccomp.c, seccomp_uprobe_exception).
    candidates = sorted(names(ABI) - {"uprobe", "uretprobe"})
    unknown = [name for name in candidates if library.seccomp_syscall_resolve_name(name.encode()) == -1]
    if not unknown:
        pytest.skip("this libseccomp knows every name")
    for architectures in (
        (),
        ("SCMP_ARCH_X86", "SCMP_ARCH_X32") if MACHINE == "x86_64" else ("SCMP_ARCH_ARM",),
    ):
        profile = Profile(
            default_action=ALLOW,
            architectures=architectures,
            rules=(rule(unknown[-1], DENY, errno_ret=77), rule("getppid", DENY, errno_ret=78)),
        )
        assert under(profile, lambda: f"{outcome(unknown[-1])} {outcome('getppid')}") == "77 78"


def test_names_that_nobody_knows_are_passed_over():
    profile = Profile(default_action=ALLOW, rules=(Rule(names=("no_such_call", "getppid"), action=DENY),))
    assert under(profile, lambda: str(outcome("getppid"))) == "1"


@only_x86
def test_rules_hold_for_every_architecture_by_its_own_numbers():
    for fields in (
        {"architectures": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")},
        {
            "arch_map": (
                SubArchitectures(architecture="SCMP_ARCH_X86_64", sub_architectures=("SCMP_ARCH_X86",)),
            )
        },
    ):
        profile = Profile(default_action=ALLOW, rules=(rule("getppid", DENY, errno_ret=22),), **fields)
        calls = under(profile, lambda: f"{int80(64)} {int80(20) > 0} {outcome('getppid')}")
        assert calls == "-22 True 22"


@only_x86
def test_an_architecture_that_is_not_listed_is_fatal():
    entry = SubArchitectures(architecture="SCMP_ARCH_AARCH64", sub_architectures=("SCMP_ARCH_X86",))
    for fields in ({}, {"architectures": ("SCMP_ARCH_X86_64",)}, {"arch_map": (entry,)}):
        profile = Profile(default_action=ALLOW, **fields)

        def child(profile=profile):
            build(profile).load(no_new_privileges=True)
            return str(int80(20))

        text, status = in_child(child)
        assert text == ""
        assert os.WTERMSIG(status) == signal.SIGSYS


def test_all_threads_come_under_the_filter():
    import threading

    def work():
        go, found = threading.Event(), []
        thread = threading.Thread(target=lambda: (go.wait(), found.append(outcome("getppid"))))
        thread.start()
        with build(Profile(default_action=ALLOW, rules=(rule("getppid", DENY),))) as filter_:
            filter_.load(no_new_privileges=True)
        go.set()
        thread.join()
        return str(found)

    assert in_child(work)[0] == "[1]"


def test_without_rights_it_needs_no_new_privileges():
    def child():
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        try:
            build(Profile(default_action=ALLOW)).load(no_new_privileges=False)
        except EngineError as error:
            return str(error)
        return "loaded"

    assert "CAP_SYS_ADMIN, or no-new-privileges" in in_child(child)[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs CAP_SYS_ADMIN")
def test_no_new_privileges_is_left_alone():
    def child():
        build(Profile(default_action=ALLOW)).load(no_new_privileges=False)
        with open("/proc/self/status") as file:
            return " ".join(line.strip() for line in file if line.startswith(("NoNewPrivs", "Seccomp:")))

    text = in_child(child)[0].split()
    before = "1" if LIBC.prctl(39, 0, 0, 0, 0) == 1 else "0"
    assert text == ["NoNewPrivs:", before, "Seccomp:", "2"]


def test_bpf(tmp_path):
    profile = Profile(default_action=DENY, rules=(everything_but("getppid"),))
    with build(profile) as filter_, open(tmp_path / "filter.bpf", "wb") as file:
        filter_.export_bpf(file.fileno())
    program = (tmp_path / "filter.bpf").read_bytes()
    assert len(program) % 8 == 0
    # ld [4]: the architecture, in struct seccomp_data, comes first.
    assert program[:8] == bytes([0x20, 0, 0, 0, 4, 0, 0, 0])
    with build(profile) as filter_, pytest.raises(EngineError, match="cannot be written"):
        filter_.export_bpf(-1)


def test_what_cannot_be_enforced_is_an_error():
    with pytest.raises(ProfileError, match="SCMP_ACT_NOTIFY"):
        build(Profile(default_action=ALLOW, rules=(rule("getppid", "SCMP_ACT_NOTIFY"),)))
    with pytest.raises(EngineError, match="not one for"):
        build(Profile(default_action=ALLOW), machine="s390x")
    with pytest.raises(EngineError, match="does not know"):
        build(Profile(default_action=ALLOW), machine="vax")


def test_without_the_library(monkeypatch):
    monkeypatch.setattr(libseccomp, "LIBRARY", "libseccomp.so.99")
    with pytest.raises(EngineError, match="libseccomp2 on Debian"):
        build(Profile(default_action=ALLOW))


# The model's reading of a profile, which synthesis relies on, against libseccomp's and the kernel's.

CAPS = ("CAP_A", "CAP_B")
FILTERS = st.builds(Filter, caps=st.lists(st.sampled_from(CAPS), max_size=2, unique=True).map(tuple))
CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.sampled_from([0, 1, 2, 1 << 33]),
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
GRID = tuple(itertools.product((0, 1, 2, 3, 1 << 33, (1 << 64) - 1), repeat=2))


def expected(profile, environment, arguments):
    """The errno (0: allowed), or None where conditions of rules with different actions meet."""
    live = [each for each in profile.rules if environment.applies(each) and each.outcome != profile.outcome]
    plain = [each for each in live if each.unconditional()]
    matching = plain[:1] or [each for each in live if each.matches(dict(enumerate(arguments)))]
    found = {0 if each.permits else each.outcome[1] for each in matching}
    return None if len(found) > 1 else found.pop() if found else profile.outcome[1]


def loadable(profile, caps):
    """Whether libseccomp takes the profile: it refuses one condition under two different actions (EEXIST)."""
    try:
        build(profile, capabilities=caps).close()
    except EngineError as error:
        assert "File exists" in str(error)
        return False
    return True


def enforced(profile, caps):
    """(first two arguments of getppid) -> errno, for all of GRID, as the kernel has it under `profile`."""
    loaded = replace(profile, rules=(everything_but("getppid"), *profile.rules))
    work = lambda: " ".join(str(outcome("getppid", *arguments)) for arguments in GRID)  # noqa: E731
    results = under(loaded, work, capabilities=caps).split()
    return dict(zip(GRID, map(int, results), strict=True))


@given(st.lists(RULES, max_size=4), st.lists(st.sampled_from(CAPS), unique=True))
@settings(max_examples=60, deadline=None)
def test_the_model_decides_like_libseccomp_and_the_kernel(rules, caps):
    profile = Profile(default_action=DENY, rules=tuple(rules))
    environment = Environment(machine=MACHINE, kernel=KERNEL, capabilities=tuple(caps))
    assume(loadable(profile, caps))
    live = [each for each in rules if environment.applies(each) and each.outcome != profile.outcome]
    assume(faithful([conditions for each in live for conditions in telling(each, LARGEST_VALUE)]))
    for arguments, result in enforced(profile, caps).items():
        assert result == (wanted := expected(profile, environment, arguments)) or wanted is None


@given(
    st.lists(RULES, min_size=1, max_size=4),
    st.lists(st.sampled_from(CAPS), unique=True),
    st.lists(st.sampled_from(GRID), min_size=1, max_size=6, unique=True),
    st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_an_extended_profile_allows_what_was_seen_and_opens_nothing_that_a_rule_denies(
    rules, caps, seen, complete
):
    base = Profile(default_action=DENY, rules=tuple(rules))
    call = Call(abi=ABI, phase="app", context="", number=0, name="getppid", first=Dropped())
    recording = Recording(
        created="",
        duration=0.0,
        seclude="",
        tracer="",
        kernel=KERNEL,
        machine=MACHINE,
        engine="",
        calls=(call,),
        capabilities=tuple(caps),
        arguments=(
            ArgumentValues(abi=ABI, name="getppid", indices=(0, 1), values=tuple(seen), complete=complete),
        ),
    )
    result = synthesize([recording], base=base)

    def denied(arguments, capabilities):
        there = Environment(machine=MACHINE, kernel=KERNEL, capabilities=tuple(capabilities))
        values = dict(enumerate(arguments))
        return any(not each.permits and there.applies(each) and each.matches(values) for each in rules)

    assume(all(loadable(base, capabilities) for capabilities in (caps, (), CAPS)))
    after = enforced(result.profile, caps)
    for arguments in seen:
        assert after[arguments] == 0 or denied(arguments, caps) or result.notes
    for capabilities in ((), CAPS):
        before, after = enforced(base, capabilities), enforced(result.profile, capabilities)
        for arguments in GRID:
            if before[arguments] != 0 and denied(arguments, capabilities):
                assert after[arguments] != 0
            if before[arguments] == 0:
                assert after[arguments] == 0
