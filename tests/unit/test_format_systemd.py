"""systemd's drop-ins and units: what they say, what they refuse, groups, and how assignments are merged."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude import callsets
from seclude.errors import ProfileError
from seclude.formats.systemd import SystemdFormat
from seclude.formats.unit import UnitFormat
from seclude.model.decision import decide
from seclude.model.environment import Environment
from seclude.model.export import Settings
from seclude.model.profile import Argument, Profile, Rule

from .format_samples import ALLOW, ERRNO, HERE, KILL, LOG, SAMPLE, SETTINGS, arguments, profiles, same

GOLD = Path(__file__).parents[1] / "gold"
DEFAULT = callsets.shipped()["@default"]


def read(text, source="app.service", machine="x86_64"):
    place = Environment(machine=machine, kernel="6.1", capabilities=())
    return UnitFormat(Settings(environment=place)).loads(text, source)


def decided(profile, name):
    decision = decide(profile, HERE, "x86_64", name, [0] * 6)
    return decision.action, decision.data


def refused(text):
    with pytest.raises(ProfileError) as caught:
        read(text)
    return str(caught.value)


def test_gold():
    written = SystemdFormat(SETTINGS).written(SAMPLE)
    assert written.text == (GOLD / "export-systemd.conf").read_text()
    assert [loss.id for loss in written.losses] == ["systemd/arguments"]
    assert "clone, personality" in written.losses[0].text
    changes = same(SAMPLE, read(written.text)).changes
    assert {change.call for change in changes} == {"clone", "personality"}
    assert not any(change.loosened for change in changes)


@given(
    profiles(
        [ALLOW, ERRNO, KILL, LOG],
        None,
        [ALLOW, ERRNO, KILL],
        architectures=st.sampled_from([(), ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")]),
    )
)
@settings(max_examples=150, deadline=None)
def test_round_trip(profile):
    written = SystemdFormat(SETTINGS).written(profile)
    if not written.losses:
        assert same(profile, read(written.text)).empty
    assert {loss.id for loss in written.losses} <= {"systemd/execve"}


@given(profiles([ALLOW, ERRNO, KILL, LOG], arguments(), [ALLOW, ERRNO, KILL]))
@settings(max_examples=150, deadline=None)
def test_losses_let_nothing_in(profile):
    written = SystemdFormat(SETTINGS).written(profile)
    for change in same(profile, read(written.text)).changes:
        assert not change.loosened or (change.call == "execve" and written.losses)


def test_groups_mean_the_same_for_calls_that_exist():
    sets = callsets.shipped()
    allowed = tuple(sorted((sets["@system-service"] | {"reboot"}) - {"quotactl"}))
    profile = Profile(default_action=ERRNO, rules=(Rule(names=allowed, action=ALLOW),))
    grouped = SystemdFormat(Settings(environment=HERE, groups=True)).written(profile)
    first = next(line for line in grouped.text.splitlines() if line.startswith("SystemCallFilter=@"))
    assert "@system-service" in first and "reboot" in grouped.text
    assert "kexec_load" not in grouped.text and "@mount" not in first
    assert any("--sets" in note for note in grouped.notes)
    for name in sorted(sets["@known"]):
        assert decided(profile, name) == decided(read(grouped.text), name), name
    few = Profile(default_action=ERRNO, rules=(Rule(names=("sync", "execve"), action=ALLOW),))
    assert "@" not in SystemdFormat(Settings(environment=HERE, groups=True)).dumps(few).replace(
        "@default", ""
    )


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (Profile(default_action="SCMP_ACT_TRAP"), "cannot answer all other calls with SCMP_ACT_TRAP"),
        (Profile(default_action=LOG), "cannot answer all other calls with SCMP_ACT_LOG"),
        (Profile(default_action=ERRNO, default_errno_ret=0), "with errno 0"),
        (Profile(default_action=ERRNO, listener_path="/run/x"), "no listener"),
        (Profile(default_action=KILL), "systemd/execve"),
        (Profile(default_action="SCMP_ACT_KILL"), "systemd/kill-thread"),
        (Profile(default_action=ALLOW, flags=("SECCOMP_FILTER_FLAG_LOG",)), "systemd/flags"),
        (Profile(default_action=ALLOW, architectures=("SCMP_ARCH_SHEB",)), "systemd/architecture"),
        (
            Profile(default_action=ALLOW, rules=(Rule(names=("read",), action="SCMP_ACT_TRAP"),)),
            "systemd/action",
        ),
        (
            Profile(
                default_action=ALLOW,
                rules=(
                    Rule(names=("read",), action=KILL, args=(Argument(index=0, value=1, op="SCMP_CMP_EQ"),)),
                ),
            ),
            "systemd/arguments",
        ),
    ],
)
def test_what_it_cannot_say(profile, message):
    with pytest.raises(ProfileError, match=message):
        SystemdFormat(SETTINGS).dumps(profile)


def test_a_list_of_what_is_allowed_begins_with_the_default_set():
    profile = read("[Service]\nSystemCallFilter=read\n")
    assert {name for rule in profile.rules for name in rule.names} == DEFAULT | {"read"}
    assert (profile.default_action, profile.architectures) == (
        KILL,
        ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    )


@pytest.mark.parametrize(
    ("lines", "outcomes"),
    [
        ("SystemCallFilter=read write\nSystemCallFilter=~write", {"read": (ALLOW, 0), "write": (KILL, 0)}),
        (
            "SystemCallFilter=~@mount\nSystemCallErrorNumber=EACCES",
            {"read": (ALLOW, 0), "mount": (ERRNO, 13)},
        ),
        (
            "SystemCallFilter=~read:5 write:kill close",
            {"read": (ERRNO, 5), "write": (KILL, 0), "close": (KILL, 0)},
        ),
        ("SystemCallFilter=~read write\nSystemCallFilter=write", {"read": (KILL, 0), "write": (ALLOW, 0)}),
        (
            "SystemCallFilter=read\nSystemCallFilter=~clone3:ENOSYS",
            {"clone3": (ERRNO, 38), "read": (ALLOW, 0)},
        ),
        ("SystemCallFilter=read\nSystemCallFilter=\nSystemCallFilter=~write", {"read": (ALLOW, 0)}),
        ("SystemCallFilter=read \\\n# note\n  write", {"write": (ALLOW, 0), "close": (KILL, 0)}),
        ("SystemCallFilter=read\nSystemCallLog=read write", {"read": (LOG, 0), "write": (KILL, 0)}),
        ("SystemCallFilter=~write\nSystemCallLog=read write", {"read": (LOG, 0), "write": (KILL, 0)}),
        (
            "SystemCallFilter=@known\nSystemCallErrorNumber=EPERM\nSystemCallErrorNumber=",
            {"reboot": (ALLOW, 0)},
        ),
        ("SystemCallFilter=~", {"reboot": (ALLOW, 0)}),
    ],
)
def test_how_assignments_are_merged(lines, outcomes):
    profile = read(f"[Unit]\nDescription=x\n[Service]\nExecStart=/bin/x\n{lines}\n")
    assert {name: decided(profile, name) for name in outcomes} == outcomes


def test_architectures():
    text = "[Service]\nSystemCallFilter=read\nSystemCallArchitectures=x32\nSystemCallArchitectures=\n"
    assert read(text + "SystemCallArchitectures=native arm\n").architectures == (
        "SCMP_ARCH_NATIVE",
        "SCMP_ARCH_ARM",
    )
    assert read(text, machine="aarch64").architectures == ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no SystemCallFilter="),
        ("[Service]\nExecStart=x\n", "has no SystemCallFilter="),
        ("SystemCallFilter=read\n", "line 1, column 1: SystemCallFilter outside of"),
        ("[Unit]\nSystemCallFilter=read\n", "line 2, column 1: SystemCallFilter outside of [Service]"),
        ("[Service]\nSystemCallFilter=read @moun\n", "line 2, column 23: unknown set '@moun'"),
        ("[Service]\nSystemCallFilter=read:EPERM\n", "line 2, column 18: only what is refused"),
        ("[Service]\nSystemCallFilter=~a \\\n  b:EFOO\n", "line 3, column 3: unknown errno 'EFOO'"),
        ("[Service]\nSystemCallFilter=~:EPERM\n", "the name of a call is expected"),
        ("[Service]\nSystemCallFilter=%i\n", "specifiers and quotes are not read"),
        ("[Service]\nSystemCallErrorNumber=EPERM EIO\n", "line 2, column 29: one errno"),
        ("[Service]\nSystemCallErrorNumber=0\n", "from 1 on"),
        ("[Service]\nSystemCallArchitectures=amd64\n", "line 2, column 25: unknown architecture"),
        ("[Service]\nSystemCallFilters=a\n", "unknown setting 'SystemCallFilters'"),
        ("[Service]\nSystemCallLog=~a\n", "is not read"),
        ("[Service]\nSystemCallFilter\n", "an assignment is expected"),
        ("x" * (1024 * 1024 + 1), "is larger than"),
    ],
)
def test_errors_say_where(text, message):
    assert message in refused(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "has no @default"), ("read\n", "line 1"), ("@default\n  @a\n@a\n  @default\n", "contains itself")],
)
def test_sets_of_ones_own(text, message):
    with pytest.raises(ProfileError, match=message):
        callsets.parsed(text, "--sets")
    mine = Settings(environment=HERE, sets="@default\n  # always\n  exit\n@mine\n    getpid\n    @default\n")
    profile = UnitFormat(mine).loads("[Service]\nSystemCallFilter=@mine\n", "x")
    assert {name for rule in profile.rules for name in rule.names} == {"exit", "getpid"}


@given(
    st.text("[Servic]SystmCalFr=~:@ \\\n#;reda%", max_size=200).map(
        lambda text: "[Service]\nSystemCallFilter=a\n" + text
    )
)
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_or_refused_politely(text):
    try:
        read(text)
    except ProfileError as error:
        assert "app.service" in str(error)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_takes_the_drop_in(tmp_path):
    """It has no complaint about any setting; its exit status says nothing of them."""
    text = SystemdFormat(SETTINGS).written(SAMPLE).text
    unit = tmp_path / "seclude-test.service"

    def complaints(settings_):
        unit.write_text(f"[Unit]\nDescription=x\n{settings_}ExecStart=/bin/true\n")
        done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60)
        return [
            line
            for line in done.stderr.splitlines()
            # An older libseccomp does not know all that systemd's own set has; what it does not know is not let in.
            if "ystem" in line.partition(": ")[2] and line.rpartition(" ")[2] not in DEFAULT
        ]

    assert complaints("[Service]\nSystemCallFilter=no_such_call\n")
    assert complaints(text) == []


@pytest.mark.parametrize("name", ["read\nwrite", "read write", "read:1", "@mount", "~read", "", "r\u00e9ad"])
def test_names_that_would_be_taken_for_more(name):
    rules = (Rule(names=(name,) if name else ("#",), action=ALLOW),)
    with pytest.raises(ProfileError, match="is no name of a system call"):
        SystemdFormat(SETTINGS).written(Profile(default_action=KILL, rules=rules))
