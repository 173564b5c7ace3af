"""`difference`: profiles are compared by what they mean, against the model's decisions and against one another."""

import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude import store
from seclude.analyse import diff
from seclude.analyse.diff import NO_PROFILE, difference, environments_for
from seclude.cli.diff import command
from seclude.formats import oci
from seclude.model.change import Difference, Maker
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.profile import OPERATORS, Argument, Filter, Profile, Rule, SubArchitectures
from seclude.model.recording import Call, Dropped, FirstSeen, Recording
from seclude.syscalls import all_names

ALLOW, ERRNO, LOG, KILL = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_LOG", "SCMP_ACT_KILL_PROCESS"
HERE = Environment(machine="x86_64", kernel="6.18.44", capabilities=())


def profile(*rules, default=ERRNO, **fields):
    return Profile(default_action=default, rules=rules, **fields)


def allow(*names, action=ALLOW, **fields):
    return Rule(names=names, action=action, **fields)


def condition(index, op, value, two=0):
    return Argument(index=index, op=f"SCMP_CMP_{op}", value=value, value_two=two)


def between(old, new, recordings=()):
    profiles = [each for each in (old, new) if each is not None]
    places = environments_for(profiles, machine="x86_64", kernel="6.18.44")
    return difference(old, new, environments=places, recordings=recordings)


def only(found):
    assert len(found.changes) == 1
    return found.changes[0]


def test_added_removed_changed():
    old = profile(allow("read", "reboot"), allow("socket", args=(condition(0, "EQ", 1),)))
    new = profile(allow("read", "ptrace", "getpid"), allow("socket"))
    found = between(old, new)
    assert [(change.call, change.kind, change.loosened) for change in found.changes] == [
        ("ptrace", "added", True),
        ("reboot", "removed", False),
        ("socket", "changed", True),
        ("getpid", "added", True),
    ]
    assert found.others == ()
    ptrace, _, socket, _ = found.changes
    assert (ptrace.before, ptrace.after) == ("refused with EPERM", "allowed")
    assert (ptrace.category, ptrace.danger.tier) == ("tracing", "critical")
    assert socket.before == "allowed if arg0 == AF_UNIX; otherwise refused with EPERM"


def test_no_profile_allowed_nothing():
    new = profile(allow("read"), allow("clone3", action=ERRNO, errno_ret=38), flags=())
    change = only(between(None, new))
    assert (change.call, change.kind, change.before, change.after) == ("read", "added", NO_PROFILE, "allowed")
    assert between(None, profile()) == Difference(changes=())


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ([allow("read", "write")], [allow("write"), allow("read")]),
        ([allow("read")], [allow("read"), allow("read")]),
        ([allow("read")], [allow("read", legacy_name=True)]),
        ([allow("read", action=ERRNO, errno="ENOSYS")], [allow("read", action=ERRNO, errno_ret=38)]),
        ([], [allow("read", action=ERRNO)]),
        ([], [allow("read", action=ERRNO, errno="EPERM")]),
        ([allow("read", action="SCMP_ACT_KILL")], [allow("read", action="SCMP_ACT_KILL_THREAD")]),
        ([allow("read")], [allow("read"), allow("read", args=(condition(0, "EQ", 1),))]),
        ([allow("read")], [allow("read"), allow("read", action=LOG)]),
        ([allow("read")], [allow("read", comment="why")]),
        (
            [allow("read", args=(condition(0, "EQ", 1), condition(1, "EQ", 2)))],
            [allow("read", args=(condition(1, "EQ", 2), condition(0, "EQ", 1)))],
        ),
        (
            [allow("read", args=(condition(0, "LT", 2),))],
            [allow("read", args=(condition(0, "EQ", 1),)), allow("read", args=(condition(0, "EQ", 0),))],
        ),
        ([allow("read", args=(condition(0, "LE", 6),))], [allow("read", args=(condition(0, "LT", 7),))]),
        ([allow("read", args=(condition(0, "GT", 6),))], [allow("read", args=(condition(0, "GE", 7),))]),
        (
            [allow("read", args=(condition(0, "LT", 16),))],
            [allow("read", args=(condition(0, "MASKED_EQ", 0xFFFF_FFFF_FFFF_FFF0),))],
        ),
        ([allow("read", args=(condition(0, "MASKED_EQ", 0, 5),))], [allow("read")]),
        ([allow("read")], [allow("read", args=(condition(0, "GE", 0),))]),
        (
            # On one argument conditions are alternatives.
            [allow("read", args=(condition(0, "EQ", 1), condition(0, "EQ", 2)))],
            [allow("read", args=(condition(0, "EQ", 2),)), allow("read", args=(condition(0, "EQ", 1),))],
        ),
        (
            [allow("read")],
            [
                allow("read", includes=Filter(caps=("CAP_KILL",))),
                allow("read", excludes=Filter(caps=("CAP_KILL",))),
            ],
        ),
        (
            [allow("read")],
            [
                allow("read", includes=Filter(min_kernel="4.8")),
                allow("read", excludes=Filter(min_kernel="4.8")),
            ],
        ),
    ],
)
def test_what_means_the_same(one, two):
    assert between(profile(*one), profile(*two)).empty
    assert between(profile(*two), profile(*one)).empty


@pytest.mark.parametrize(
    ("old", "new", "kind", "loosened", "after"),
    [
        (
            [],
            [allow("personality", args=(condition(0, "EQ", 0xFFFFFFFF),))],
            "added",
            True,
            "allowed if arg0 == 0xff",
        ),
        ([allow("openat")], [allow("openat", action=LOG)], "changed", False, "allowed and logged"),
        ([], [allow("openat", action=LOG)], "added", True, "allowed and logged"),
        ([], [allow("openat", action=KILL)], "changed", False, "refused, the process killed"),
        ([], [allow("openat", action="SCMP_ACT_NOTIFY")], "added", True, "decided by a supervisor"),
        ([], [allow("openat", action=ERRNO, errno_ret=38)], "changed", False, "refused with ENOSYS"),
        (
            [],
            [allow("openat", action=ERRNO, errno_ret=0)],
            "changed",
            False,
            "refused without an error (errno 0)",
        ),
        (
            [allow("openat")],
            [allow("openat", includes=Filter(caps=("CAP_KILL",)))],
            "changed",
            False,
            "allowed with CAP_KILL; otherwise refused with EPERM",
        ),
        (
            [allow("openat", includes=Filter(min_kernel="4.8"))],
            [allow("openat")],
            "changed",
            True,
            "allowed",
        ),
        (
            [],
            [allow("openat", includes=Filter(arches=("arm64",)), excludes=Filter(caps=("CAP_A", "CAP_B")))],
            "added",
            True,
            "allowed without CAP_A or CAP_B on arm64; otherwise refused with EPERM",
        ),
        (
            [allow("openat", args=(condition(2, "EQ", 0),))],
            [allow("openat", args=(condition(2, "EQ", 0x80000),))],
            "changed",
            True,
            "allowed if arg2 == O_RDONLY|O_CLOEXEC; otherwise refused with EPERM",
        ),
        (
            [allow("clone")],
            [allow("clone", args=(condition(0, "MASKED_EQ", 0x1002_0000),))],
            "changed",
            False,
            "allowed if arg0 & CLONE_NEWNS|CLONE_NEWUSER == 0x0; otherwise refused with EPERM",
        ),
        (
            [],
            [allow("socket", args=(condition(0, "EQ", n),)) for n in (1, 2, 10)],
            "added",
            True,
            "allowed if arg0 is AF_UNIX, AF_INET or AF_INET6; otherwise refused with EPERM",
        ),
        (
            [],
            [allow("dup3", args=(condition(0, "LT", 3), condition(1, "NE", 9)))],
            "added",
            True,
            "allowed if arg0 < 0x3 and arg1 != 0x9; otherwise refused with EPERM",
        ),
    ],
)
def test_changes_in_words(old, new, kind, loosened, after):
    change = only(between(profile(*old), profile(*new)))
    assert (change.kind, change.loosened) == (kind, loosened)
    assert change.after.startswith(after)


def test_many_conditions_are_cut():
    rules = [allow("socket", args=(condition(0, "EQ", number),)) for number in range(100, 200)]
    after = only(between(profile(), profile(*rules))).after
    assert "or one of 88 more" in after
    rules = [allow("dup3", args=(condition(0, "EQ", n), condition(1, "EQ", n))) for n in range(60)]
    assert len(only(between(profile(), profile(*rules))).after) == 400


def test_a_default_that_allows_lets_every_call_in():
    found = between(profile(allow("read")), profile(default=ALLOW))
    assert {change.call for change in found.of("added")} == all_names() - {"read"}
    assert found.changes[0].danger.tier == "critical"
    assert found.others == ("default: refused with EPERM before, allowed now",)
    back = between(profile(default=ALLOW), profile(allow("read")))
    assert len(back.of("removed")) == len(all_names()) - 1


def test_another_refusal_by_default_is_said_once():
    rules = (allow("read"), allow("socket", args=(condition(0, "EQ", 1),)))
    found = between(profile(*rules), profile(*rules, default_errno_ret=38))
    assert found.changes == ()
    assert found.others == ("default: refused with EPERM before, refused with ENOSYS now",)
    # But a call that is refused by a rule of its own has not changed with it.
    explicit = profile(allow("read", action=ERRNO, errno="EPERM"), default_errno_ret=38)
    assert between(profile(), explicit).changes == ()


def test_what_is_beside_the_calls():
    old = profile(architectures=("SCMP_ARCH_X86_64",), listener_path="/run/a")
    new = profile(architectures=("SCMP_ARCH_X86",), flags=("SECCOMP_FILTER_FLAG_LOG",))
    assert between(old, new).others == (
        "architectures on x86_64: SCMP_ARCH_X86 added",
        "flags: the engine's choice before, LOG now",
        "listener: /run/a before, none now",
    )
    mapped = profile(arch_map=(SubArchitectures(architecture="SCMP_ARCH_X86_64"),))
    assert between(profile(architectures=("SCMP_ARCH_X86_64",)), mapped).empty
    assert between(profile(architectures=("SCMP_ARCH_NATIVE",)), profile()).empty


def test_32_bit_calls_compare_the_lower_half():
    old = profile(allow("read", args=(condition(0, "LT", 1 << 32),)), architectures=("SCMP_ARCH_X86",))
    new = profile(
        allow("read", args=(condition(0, "MASKED_EQ", 0xFFFF_FFFF_0000_0000),)),
        architectures=("SCMP_ARCH_X86",),
    )
    # For 64 bits both are the same; for 32 the first never holds and the second always does.
    assert only(between(old, new)).kind == "changed"
    assert between(replace(old, architectures=()), replace(new, architectures=())).empty


def test_rules_that_are_too_complex_are_taken_for_different(monkeypatch):
    # Every pair of bits of two arguments: the diagram doubles with each.
    def rules(order):
        return [
            allow(
                "read",
                args=(condition(0, "MASKED_EQ", 1 << bit, 1 << bit), condition(1, "MASKED_EQ", 1 << bit)),
            )
            for bit in order
        ]

    few, many = range(6), range(64)
    assert between(profile(*rules(few)), profile(*rules(reversed(few)))).empty
    assert only(between(profile(*rules(many)), profile(*rules(reversed(many))))).kind == "changed"
    assert between(profile(*rules(many)), profile(*rules(many))).empty
    monkeypatch.setattr(diff, "MOST_SPENT", 0)
    assert only(between(profile(*rules(few)), profile(*rules(reversed(few))))).kind == "changed"


def test_conditions_on_every_bit_of_all_arguments():
    def rule(last):
        return allow(
            "mmap", args=tuple(condition(index, "EQ", last if index == 5 else 7) for index in range(6))
        )

    others = [allow("mmap", args=(condition(index, "GT", 1 << 63),)) for index in range(6)]
    assert between(profile(rule(1), *others), profile(*reversed(others), rule(1))).empty
    assert only(between(profile(rule(1), *others), profile(rule(2), *others))).loosened


def test_there_must_be_a_place():
    with pytest.raises(ValueError, match="no environment"):
        difference(None, profile(), environments=())


def test_a_profile_with_many_capabilities_is_compared_in_few_places():
    rules = [allow("read", includes=Filter(caps=(f"CAP_{number}",))) for number in range(1000)]
    assert len(environments_for([profile(*rules)], machine="x86_64", kernel="6.1")) < 10


# Who made it


def call(name, comm, context="", time=0.0, phase="app", first=None):
    seen = FirstSeen(time=time, pid=1, tid=1, comm=comm, executable=f"/bin/{comm}", arguments=(0,) * 6)
    return Call(abi="x86_64", phase=phase, context=context, number=0, name=name, first=first or seen)


def recording(*calls, **fields):
    values = {
        "created": "",
        "duration": 1.0,
        "seclude": "1",
        "tracer": "ebpf",
        "kernel": "6.1",
        "machine": "x86_64",
    }
    return Recording(**(values | fields), engine="process", calls=calls)


def test_who_made_the_call():
    first = recording(
        call("ptrace", "runc", time=0.1, phase="runtime"),
        call("ptrace", "gdb", "test_two", time=0.9),
        call("ptrace", "gdb", "test_one", time=0.5),
        call("ptrace", "sh", phase="denied"),
        call("ptrace", "", first=Dropped()),
    )
    second = recording(call("ptrace", "strace", "test_one"), call("ptrace", "gdb", "test_one"))
    change = only(between(profile(), profile(allow("ptrace")), [first, second]))
    assert change.makers == (
        Maker(comm="gdb", executable="/bin/gdb", context="test_one"),
        Maker(comm="gdb", executable="/bin/gdb", context="test_two"),
        Maker(comm="strace", executable="/bin/strace", context="test_one"),
    )


# Properties

CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.integers(0, 4),
    value_two=st.integers(0, 4),
    op=st.sampled_from(OPERATORS),
)
FILTERS = st.sampled_from([Filter(), Filter(caps=("CAP_A",)), Filter(caps=("CAP_B",))])
RULES = st.builds(
    Rule,
    names=st.lists(st.sampled_from(["read", "write", "ptrace"]), min_size=1, max_size=2).map(tuple),
    action=st.sampled_from([ALLOW, LOG, ERRNO, KILL]),
    args=st.lists(CONDITIONS, max_size=2).map(tuple),
    errno_ret=st.sampled_from([None, 1, 38]),
    includes=FILTERS,
    excludes=FILTERS,
)
PROFILES = st.builds(
    Profile,
    default_action=st.sampled_from([ERRNO, ERRNO, ALLOW]),
    rules=st.lists(RULES, max_size=5).map(tuple),
)
PLACES = tuple(
    Environment(machine="x86_64", kernel="6.1", capabilities=caps)
    for caps in ((), ("CAP_A",), ("CAP_B",), ("CAP_A", "CAP_B"))
)
MADE = (ALLOW, LOG)


def outcomes(one, name):
    """What happens, by the model, for small arguments in all places."""
    found = {}
    for place in PLACES:
        for first in range(6):
            for second in range(6):
                decision = decide(one, place, "x86_64", name, (first, second, 0, 0, 0, 0))
                found[place, first, second] = (decision.action, decision.data)
    return found


@given(PROFILES)
def test_a_profile_does_not_differ_from_itself(one):
    assert between(one, one).empty


@given(PROFILES, PROFILES)
@settings(deadline=None)
def test_added_one_way_is_removed_the_other(one, two):
    there, back = difference(one, two, environments=PLACES), difference(two, one, environments=PLACES)
    assert {change.call for change in there.of("added")} == {change.call for change in back.of("removed")}
    assert {change.call for change in there.of("removed")} == {change.call for change in back.of("added")}
    assert {change.call for change in there.of("changed")} == {change.call for change in back.of("changed")}
    assert there.empty == back.empty


@given(PROFILES, PROFILES)
@settings(deadline=None)
def test_the_difference_is_what_the_model_decides(one, two):
    found = {change.call: change for change in difference(one, two, environments=PLACES).changes}
    for name in ("read", "write", "ptrace"):
        before, after = outcomes(one, name), outcomes(two, name)
        # The default is outcome (EPERM) or (ALLOW) in both, so that equal refusals are equal.
        if before != after:
            change = found[name]
            made_before = any(action in MADE for action, _ in before.values())
            made_after = any(action in MADE for action, _ in after.values())
            if change.kind == "added":
                assert made_after and not made_before
            if change.kind == "removed":
                assert made_before and not made_after
            loosened = any(after[k][0] in MADE and before[k][0] not in MADE for k in before)
            assert change.loosened or not loosened


@given(PROFILES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_splitting_and_merging_makes_no_difference(one, random):
    rules = [
        replace(
            rule,
            names=(name,),
            legacy_name=random.random() < 0.5,
            args=tuple(random.sample(rule.args, len(rule.args))),
        )
        for rule in one.rules
        for name in rule.names
        for _ in range(random.randint(1, 2))
    ]
    split = replace(one, rules=tuple(rules))
    assert difference(one, split, environments=PLACES).empty
    assert difference(split, one, environments=PLACES).empty


# The command


def written(path, *rules, **fields):
    path.write_text(oci.dumps(profile(*rules, **fields)))
    return str(path)


def run(*arguments):
    return CliRunner().invoke(command, arguments, standalone_mode=False)


def test_the_command(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old, new = (
        written(tmp_path / "old.json", allow("read")),
        written(tmp_path / "new.json", allow("read", "ptrace")),
    )
    assert run(old, old).return_value == 0
    found = run(old, new)
    assert found.return_value == 2
    assert "ptrace" in found.stdout
    assert run("/dev/null", new).return_value == 2
    assert run(new, old).return_value == 2
    assert run("--gate", new, old).return_value == 0
    gated = run("--gate", "--format", "json", old, new)
    assert gated.return_value == 2
    values = json.loads(gated.stdout)
    assert [each["rule"] for each in values["findings"]] == ["gate/deny"]
    assert values["findings"][0]["path"] == "new.json"
    assert values["headline"].endswith("1 added")


def test_the_command_reads_recordings_and_writes_a_file(tmp_path):
    old, new = (
        written(tmp_path / "old.json", allow("read")),
        written(tmp_path / "new.json", allow("read", "ptrace")),
    )
    made = tmp_path / "made.rec"
    made.write_text(store.dumps(recording(call("ptrace", "gdb", "test_one"))))
    target = tmp_path / "report.md"
    ended = run("-r", str(made), "--format", "markdown", "-o", str(target), old, new)
    assert (ended.return_value, ended.stdout) == (2, "")
    assert "`gdb in test_one`" in target.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "made.rec",
        "new.json",
        "old.json",
        "report.md",
    ]


def test_the_gate_of_a_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    old, new = (
        written(tmp_path / "old.json", allow("read")),
        written(tmp_path / "new.json", allow("read", "ptrace")),
    )
    config = tmp_path / "seclude.toml"
    config.write_text('image = "app"\ntest = ["true"]\n[gate]\nallow = ["ptrace"]\nreview = []\n')
    assert run("--config", str(config), old, new).return_value == 0
    assert run("--gate", old, new).return_value == 0
    config.write_text('image = "app"\ntest = ["true"]\n[gate]\nallow = ["ptrace"]\nreview = ["critical"]\n')
    assert run("--gate", old, new).return_value == 2
    assert run(old, new).return_value == 2


@pytest.mark.parametrize("arguments", [("none.json", "none.json"), ("/dev/null", "/dev/null")])
def test_files_that_are_no_profiles(arguments):
    result = run(*arguments)
    assert result.exception is not None
    assert "none.json cannot be read" in str(result.exception) or "/dev/null" in str(result.exception)
