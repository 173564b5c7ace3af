"""`lint`: each finding where it belongs and nowhere else, on the line it is about; the command around it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.analyse.diff import difference, environments_for
from seclude.analyse.lint import CHECKS, Runtime, effect, lint
from seclude.analyse.lint.lines import lines_of
from seclude.analyse.lint.subject import Subject
from seclude.cli.lint import command
from seclude.formats import jsontext, oci
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.lint_rules import LINT_RULES
from seclude.model.profile import OPERATORS, Argument, Filter, Profile, Rule
from seclude.model.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
GOLD = ROOT / "tests" / "gold"
PODMAN = Path("/usr/share/containers/seccomp.json")
NEEDED = "read write execve exit exit_group rt_sigreturn restart_syscall openat openat2 statx".split()
ALLOW = "SCMP_ACT_ALLOW"


def rule(*names, action=ALLOW, args=(), **fields):
    listed = [dict(zip(("index", "op", "value", "valueTwo"), each, strict=False)) for each in args]
    for each in listed:
        each["op"] = f"SCMP_CMP_{each['op']}"
    return {"names": list(names), "action": action, "args": listed, **fields}


def text(*rules, needed=True, indent=1, **fields):
    first = [rule(*NEEDED)] if needed else []
    return json.dumps(
        {
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 38,
            "archMap": [
                {
                    "architecture": "SCMP_ARCH_X86_64",
                    "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
                }
            ],
            **fields,
            "syscalls": [*first, *rules],
        },
        indent=indent,
    )


def found(*rules, **fields):
    source = text(*rules, **fields)
    return lint(oci.loads(source, "p.json"), source, "p.json")


def ids(*rules, **fields):
    return [finding.rule.removeprefix("lint/") for finding in found(*rules, **fields)]


def test_nothing_is_found_in_a_good_profile():
    assert found() == ()


def test_every_rule_is_documented_as_a_finding():
    assert set(LINT_RULES) <= set(RULES)
    assert len(CHECKS) == 9


def quoted(finding, *rules, **fields):
    """The line of the file that a finding is about."""
    return text(*rules, **fields).splitlines()[finding.line - 1].strip().rstrip(",")


def test_an_unknown_call_has_its_line_and_the_nearest_name():
    rules = [rule("opnat", "close")]
    (finding,) = found(*rules)
    assert (finding.rule, finding.severity, finding.call) == ("lint/unknown-call", "warning", "opnat")
    assert "openat" in finding.hint
    assert quoted(finding, *rules) == '"opnat"'


def test_unknown_capabilities_and_arches():
    rules = [rule("close", includes={"caps": ["SYS_ADMIN"]}, excludes={"arches": ["SCMP_ARCH_X86_64"]})]
    first, second = found(*rules)
    assert (first.rule, second.rule) == ("lint/unknown-capability", "lint/unknown-arch")
    assert "CAP_SYS_ADMIN" in first.hint
    assert quoted(first, *rules) == '"SYS_ADMIN"'


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ([rule("close"), rule("close", args=[(0, "EQ", 1)])], "has no conditions"),
        ([rule("close"), rule("close")], "says the same"),
        ([rule("close"), rule("close", action="SCMP_ACT_KILL_PROCESS")], "comes first"),
        ([rule("close", action="SCMP_ACT_ERRNO", errnoRet=38)], "engines leave it out"),
        ([rule("close", args=[(0, "LT", 0)])], "no arguments fulfil"),
        ([rule("dup3", args=[(0, "MASKED_EQ", 0, 0), (1, "GT", (1 << 64) - 1)])], "no arguments fulfil"),
        ([rule("dup3", args=[(0, "LT", 8)]), rule("dup3", args=[(0, "LT", 5)])], "decide the same"),
        ([rule("close", includes={"caps": ["CAP_BPF"]}, excludes={"caps": ["CAP_BPF"]})], "rules it out"),
        ([rule("close", includes={"arches": ["amd64"]}, excludes={"arches": ["amd64"]})], "all arches"),
        ([rule("close", includes={"minKernel": "5.4"}, excludes={"minKernel": "5.4"})], "no kernel"),
        ([rule("close", includes={"minKernel": "54.1"})], "there is no Linux"),
        ([rule("close", excludes={"minKernel": "2.6"})], "every kernel"),
        ([rule()], "names no call"),
    ],
)
def test_without_effect(rules, why):
    (finding,) = found(*rules)
    assert finding.rule == "lint/no-effect"
    assert why in finding.message


@pytest.mark.parametrize(
    "rules",
    [
        [rule("close", includes={"caps": ["CAP_BPF"]}), rule("close", excludes={"caps": ["CAP_BPF"]})],
        [rule("dup3", args=[(0, "EQ", 1)]), rule("dup3", args=[(1, "EQ", 1)])],
        # Two conditions on one argument are alternatives to the engines.
        [rule("pipe2", args=[(1, "EQ", 1), (1, "EQ", 2)])],
        [rule("close", args=[(0, "EQ", 1)], action="SCMP_ACT_LOG"), rule("close", args=[(0, "LT", 9)])],
    ],
)
def test_with_effect(rules):
    assert "lint/no-effect" not in {finding.rule for finding in found(*rules)}


def test_one_name_of_a_rule_without_effect():
    rules = [rule("close"), rule("dup", "close")]
    (finding,) = found(*rules)
    assert (finding.rule, finding.call) == ("lint/no-effect", "close")
    assert quoted(finding, *rules) == '"close"'


def test_io_uring_names_what_it_undoes():
    (finding,) = found(rule("io_uring_setup", "io_uring_enter"))
    assert finding.rule == "lint/io-uring"
    assert "connect" in finding.message and "openat," not in finding.message


def test_the_upper_half_of_an_argument():
    """moby's condition on AF_ALG, and how to say it right."""
    open_ = [rule("socket", args=[(0, "LT", 38)]), rule("socket", args=[(0, "GT", 38)])]
    (finding,) = [each for each in found(*open_) if each.rule == "lint/upper-half"]
    assert finding.severity == "error"
    assert finding.details == ("refused: --arg 0=0x26", "made: --arg 0=0x100000026")
    masked = [rule("socket", args=[(0, "MASKED_EQ", 0xFFFF_FFFF, family)]) for family in (1, 2, 10)]
    assert "upper-half" not in ids(*masked)
    # Equality lets nothing in, and a file offset has 64 bits.
    assert "upper-half" not in ids(rule("socket", args=[(0, "EQ", 1)]))
    assert "upper-half" not in ids(rule("lseek", args=[(1, "GT", 4)]))
    deny = rule("ioctl", action="SCMP_ACT_ERRNO", args=[(1, "EQ", 0x5412)])
    assert "upper-half" in ids(deny, defaultAction=ALLOW, defaultErrnoRet=None)


def test_ways_around():
    socket = rule("socket", args=[(0, "MASKED_EQ", 0xFFFF_FFFF, 1)])
    assert ids(socket, rule("socketcall")) == ["way-around"]
    assert ids(socket, rule("socketcall"), archMap=None, architectures=["SCMP_ARCH_X86_64"]) == [
        "siblings",
        "other-architecture",
    ]
    conditional = rule("open", args=[(1, "MASKED_EQ", 3, 0)])
    assert "way-around" in ids(conditional)


def test_user_namespaces():
    clone = rule("clone", args=[(0, "MASKED_EQ", 0x7E02_0000, 0)])
    assert ids(clone) == []
    (finding,) = found(clone, rule("clone3"))
    assert (finding.rule, finding.severity, finding.call) == ("lint/user-namespace", "warning", "clone3")
    assert [(each.severity, each.call) for each in found(rule("clone"))] == [("warning", "clone")]
    assert [(each.severity, each.call) for each in found(rule("clone3"))] == [("note", "clone3")]
    assert "user-namespace" not in ids(rule("clone", "clone3", "unshare"))


def test_terminal():
    assert ids(rule("ioctl")) == ["terminal"]
    assert ids(rule("ioctl", args=[(1, "MASKED_EQ", 0xFFFF_FFFF, 0x5401)])) == []


def test_dangerous_calls_are_looked_at_without_capabilities():
    assert ids(rule("mount")) == ["dangerous-call"]
    assert ids(rule("mount", includes={"caps": ["CAP_SYS_ADMIN"]})) == []


def test_answers():
    older = rule("clone", "faccessat", "newfstatat")
    assert ids(older, defaultErrnoRet=1).count("needs-enosys") == 2
    explicit = rule("clone3", action="SCMP_ACT_ERRNO", errnoRet=1)
    assert "needs-enosys" in ids(older, explicit)
    assert "needs-enosys" not in ids(older)
    assert "needs-enosys" not in ids(rule("clone3", "faccessat2"), older, defaultErrnoRet=1)


def test_what_every_process_needs():
    findings = found(rule("read"), needed=False)
    assert [(each.call, each.severity) for each in findings if each.rule == "lint/missing-call"] == [
        ("exit_group", "error"),
        ("execve", "error"),
        ("rt_sigreturn", "warning"),
        ("exit", "warning"),
        ("restart_syscall", "note"),
    ]


def test_runtimes():
    source = text()
    profile = oci.loads(source, "p.json")
    runtime = Runtime(name="runc", version="1.3.3", calls=("read", "setgid"), confined_calls=("read",))
    for chosen, severity in ((False, "note"), (True, "warning")):
        (finding,) = lint(profile, source, "p.json", runtimes=[runtime], chosen=chosen)
        assert (finding.rule, finding.severity, finding.call) == ("lint/runtime-call", severity, "setgid")
    source = text(rule("execve", "exit", "exit_group", "rt_sigreturn", "restart_syscall"), needed=False)
    profile = oci.loads(source, "p.json")
    for version, affected in (
        ("1.2.7", False),
        ("1.2.8", True),
        ("1.3.2", False),
        ("1.3.3", True),
        ("1.4.1", True),
    ):
        runtime = Runtime(name="runc", version=version, calls=(), confined_calls=())
        rules = [each.rule for each in lint(profile, source, "p.json", runtimes=[runtime], chosen=True)]
        assert rules == (["lint/runtime-update"] if affected else [])


def test_architectures():
    assert ids(archMap=None, architectures=["SCMP_ARCH_X86_64"]) == ["siblings"]
    assert ids(archMap=None) == []
    entry = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}
    assert ids(archMap=[entry, entry]) == ["arch-map"]
    assert ids(archMap=[entry, entry | {"architecture": "SCMP_ARCH_NATIVE"}]) == ["arch-map"]
    wrong = {"architecture": "SCMP_ARCH_S390X", "subArchitectures": ["SCMP_ARCH_X86"]}
    assert ids(archMap=[entry, wrong]) == ["engine-refuses"]


def test_what_engines_refuse():
    twice = [rule("close", args=[(0, "EQ", 1)]), rule("close", action="SCMP_ACT_LOG", args=[(0, "EQ", 1)])]
    assert "engine-refuses" in ids(*twice)
    notify = rule("mkdir", action="SCMP_ACT_NOTIFY")
    assert ids(notify) == ["engine-refuses"]
    assert ids(notify, listenerPath="/run/agent.sock") == []
    assert "engine-refuses" in ids(defaultAction="SCMP_ACT_NOTIFY", listenerPath="/run/agent.sock")


def test_the_rest():
    assert "default-allow" in ids(defaultAction=ALLOW, defaultErrnoRet=None)
    assert ids(rule("close", "close")) == ["duplicate"]
    assert ids({"name": "close", "action": ALLOW}) == ["legacy-name"]
    assert ids(rule("close", includes={"minKernel": "3.0"})) == ["min-kernel"]
    assert ids(rule("futex", args=[(1, "MASKED_EQ", 0xFFFF_FFFF, 0)])) == ["slow-path"]
    assert ids(rule("close", action="SCMP_ACT_LOG")) == ["slow-path"]
    mixed = [rule("dup3", args=[(0, "EQ", 1), (1, "LT", 3)]), rule("dup3", args=[(0, "LT", 2), (2, "EQ", 3)])]
    assert "merged-conditions" in ids(*mixed)


def test_lines_are_those_of_the_reader():
    source = text(rule('na"me', "close", args=[(0, "EQ", 1)]), indent=2)
    spots = [
        ("defaultAction",),
        ("archMap", 0, "subArchitectures", 1),
        ("syscalls", 0, "names", 3),
        ("syscalls", 1, "names", 1),
        ("syscalls", 1, "args", 0),
        ("syscalls", 1, "args", 0, "value"),
        ("syscalls", 9),
        (),
    ]
    assert lines_of(source, spots) == {spot: jsontext.position_of(source, spot)[0] for spot in spots}


@pytest.mark.parametrize(
    ("rules", "options", "status"),
    [([], [], 0), ([rule("opnat")], [], 0), ([rule("opnat")], ["--strict"], 2)],
)
def test_the_exit_status(tmp_path, rules, options, status):
    path = tmp_path / "p.json"
    path.write_text(text(*rules))
    result = CliRunner().invoke(command, [*options, str(path)], standalone_mode=False)
    assert result.return_value == status


def test_every_format(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(text(rule("opnat"), defaultAction="SCMP_ACT_NOTIFY"))
    for form in ("console", "json", "markdown", "sarif", "github"):
        result = CliRunner().invoke(command, ["--format", form, str(path)], standalone_mode=False)
        assert result.return_value == 2
        assert "opnat" in result.output
        assert "lint/unknown-call" in result.output


def test_an_unknown_runtime(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(text())
    for source, said in (("runk", "no data for the runtime"), ("runc:latest", "no version")):
        result = CliRunner().invoke(command, ["--runtime", source, str(path)], standalone_mode=False)
        assert said in str(result.exception)


# Whole profiles


def listing(path, shown):
    """The findings as lines, without those on runtimes, whose data grows."""
    source = path.read_text()
    return "".join(
        f"{shown}:{each.line}: {each.severity} {each.rule}: {each.message}\n"
        + "".join(f"  {detail}\n" for detail in each.details)
        + f"  hint: {each.hint}\n"
        for each in lint(oci.loads(source, shown), source, shown)
    )


def test_a_profile_with_much_wrong():
    assert listing(GOLD / "lint-profile.json", "lint-profile.json") == (GOLD / "lint-profile.txt").read_text()


def test_our_own_profile_is_no_cause_for_complaint():
    path = ROOT / "examples" / "flask-api" / "seccomp.json"
    source = path.read_text()
    assert {each.severity for each in lint(oci.loads(source, "p"), source, "p")} == {"note"}


@pytest.mark.skipif(not PODMAN.exists(), reason="containers-common is not installed")
def test_the_errors_in_podmans_default_profile_are_real():
    """Both calls are socket(AF_NETLINK, SOCK_RAW, NETLINK_AUDIT) to the kernel, and the filter is in no doubt."""
    source = PODMAN.read_text()
    profile = oci.loads(source, "p")
    for finding in lint(profile, source, "p"):
        if finding.severity == "error":
            assert (finding.rule, finding.call) == ("lint/upper-half", "socket")
            made = dict(pair.split("=") for pair in finding.details[1].split("--arg ")[1:])
            arguments = [int(made.get(str(index), "0"), 16) for index in range(6)]
            place = Environment(machine="x86_64", kernel="6.1", capabilities=())
            assert decide(profile, place, "x86_64", "socket", arguments).action == ALLOW
            low = [value & 0xFFFF_FFFF for value in arguments]
            assert decide(profile, place, "x86_64", "socket", low).action == "SCMP_ACT_ERRNO"


CONDITIONS = st.builds(
    Argument,
    index=st.integers(0, 1),
    value=st.integers(0, 4),
    value_two=st.integers(0, 4),
    op=st.sampled_from(OPERATORS),
)
LIMITS = st.sampled_from([Filter(), Filter(caps=("CAP_BPF",)), Filter(min_kernel="5.4")])
SOME_RULES = st.builds(
    Rule,
    names=st.lists(st.sampled_from(["dup2", "dup3"]), min_size=1, max_size=2, unique=True).map(tuple),
    action=st.sampled_from([ALLOW, "SCMP_ACT_LOG", "SCMP_ACT_ERRNO"]),
    args=st.lists(CONDITIONS, max_size=2).map(tuple),
    includes=LIMITS,
    excludes=LIMITS,
)


@given(st.lists(SOME_RULES, max_size=5))
@settings(deadline=None)
def test_what_has_no_effect_can_go_and_nothing_else(rules):
    profile = Profile(default_action="SCMP_ACT_ERRNO", rules=tuple(rules))
    idle = [each for each in effect.check(Subject(profile)) if each.rule == "lint/no-effect"]
    kept = []
    for number, one in enumerate(rules):
        if any(each.spot == ("syscalls", number) for each in idle):
            continue
        gone = {each.call for each in idle if each.spot[:2] == ("syscalls", number)}
        names = tuple(name for name in one.names if name not in gone)
        kept += [replace(one, names=names)] if names else []
    smaller = replace(profile, rules=tuple(kept))
    places = environments_for([profile], machine="x86_64", kernel="6.18")
    assert difference(profile, smaller, environments=places).empty
    assert not [each for each in effect.check(Subject(smaller)) if each.rule == "lint/no-effect"]
