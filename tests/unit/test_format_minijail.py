"""minijail's policies: what they say, what they refuse, and that minijail's own compiler means the same."""

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.errors import ProfileError
from seclude.formats.minijail import MinijailFormat
from seclude.formats.policy import PolicyFormat
from seclude.model.decision import decide
from seclude.model.profile import Argument, Profile, Rule
from seclude.syscalls import number_of

from .format_samples import ALLOW, ERRNO, HERE, KILL, LOG, NAMES, SAMPLE, SETTINGS, arguments, profiles, same

GOLD = Path(__file__).parents[1] / "gold"
COMPILER = shutil.which("parse_seccomp_policy")


def read(text):
    return PolicyFormat(SETTINGS).loads(text, "app.policy")


def refused(text):
    with pytest.raises(ProfileError) as caught:
        read(text)
    return str(caught.value)


def allowed(profile, name, *values):
    return decide(profile, HERE, "x86_64", name, [*values, *[0] * (6 - len(values))]).action == ALLOW


def test_gold():
    written = MinijailFormat(SETTINGS).written(SAMPLE)
    assert written.text == (GOLD / "export-minijail.policy").read_text()
    assert [loss.id for loss in written.losses] == ["minijail/default", "minijail/architecture"]
    changes = same(SAMPLE, read(written.text)).changes
    assert not changes


@given(profiles([ALLOW, ERRNO, KILL], arguments(), [KILL]))
@settings(max_examples=200, deadline=None)
def test_round_trip(profile):
    written = MinijailFormat(SETTINGS).written(profile)
    found = same(profile, read(written.text))
    if not written.losses:
        assert found.empty
    assert {loss.id for loss in written.losses} <= {"minijail/conditions"}
    assert not any(change.loosened for change in found.changes)


@given(profiles([ALLOW, ERRNO, KILL, LOG, "SCMP_ACT_TRAP"], arguments(), [KILL, ERRNO, "SCMP_ACT_TRAP"]))
@settings(max_examples=100, deadline=None)
def test_losses_let_nothing_in(profile):
    found = read(MinijailFormat(SETTINGS).written(profile).text)
    # What was logged is allowed all the same.
    assert not [change for change in same(profile, found).changes if change.kind == "added"]


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        (Profile(default_action=ALLOW), "minijail kills all that is not listed"),
        (Profile(default_action=ERRNO), "answers EPERM.*minijail/default"),
        (
            Profile(default_action=KILL, architectures=("SCMP_ARCH_X86",)),
            "SCMP_ARCH_X86.*minijail/architecture",
        ),
        (Profile(default_action=KILL, flags=("SECCOMP_FILTER_FLAG_LOG",)), "minijail/flags"),
        (Profile(default_action=KILL, rules=(Rule(names=("read",), action=LOG),)), "minijail/log"),
        (
            Profile(default_action=KILL, rules=(Rule(names=("read",), action="SCMP_ACT_TRAP"),)),
            "minijail/action",
        ),
        (
            Profile(default_action=KILL, rules=(Rule(names=("read",), action="SCMP_ACT_KILL"),)),
            "minijail/kill-thread",
        ),
    ],
)
def test_what_it_cannot_say(profile, message):
    with pytest.raises(ProfileError, match=message):
        MinijailFormat(SETTINGS).dumps(profile)


def test_calls_of_other_machines_are_left_out():
    rule = Rule(names=("read", "arm_fadvise64_64"), action=ALLOW)
    written = MinijailFormat(SETTINGS).written(Profile(default_action=KILL, rules=(rule,)))
    assert written.text.endswith("\nread: 1\n")
    assert "no such call: arm_fadvise64_64" in written.notes[-1]


def test_the_manuals_examples():
    profile = read(
        """# open with O_LARGEFILE|O_RDONLY|O_NONBLOCK or some combination.
open: arg1 == 32768 || arg1 == 0 || arg1 == 34816 || arg1 == 2048
mmap: arg2 in ~PROT_EXEC || arg2 in ~PROT_WRITE
munmap: 1

close: return EBADF
openat: arg2 & (O_CREAT | O_EXCL) \\
   && arg0 >= 0x10
ioctl: arg1 == 0x5401 && arg0 <= 2
"""
    )
    assert allowed(profile, "open", 0, 34816) and not allowed(profile, "open", 0, 1)
    assert allowed(profile, "mmap", 0, 0, 4) and not allowed(profile, "mmap", 0, 0, 6)
    assert allowed(profile, "munmap") and not allowed(profile, "read")
    assert decide(profile, HERE, "x86_64", "close", [0] * 6).data == 9
    assert allowed(profile, "openat", 16, 0, 0x80) and not allowed(profile, "openat", 16, 0, 0x100)
    assert not allowed(profile, "openat", 15, 0, 0x80)


def test_masks_of_one_argument_become_one_condition():
    (rule,) = read("socket: arg0 & 0x2 && arg0 in ~0x4 && arg1 != -1\n").rules
    assert rule.args == (
        Argument(index=0, value=6, value_two=2, op="SCMP_CMP_MASKED_EQ"),
        Argument(index=1, value=2**64 - 1, op="SCMP_CMP_NE"),
    )
    assert read("socket: arg0 & 2 && arg0 in 1\n").rules == ()


def test_an_else_is_a_loss():
    read_ = PolicyFormat(SETTINGS).read("ioctl: arg1 == 0x5401; return EPERM\n", "x")
    assert [loss.id for loss in read_.losses] == ["minijail/return"]
    assert "EPERM to ioctl with other arguments" in read_.losses[0].text
    assert not allowed(read_.profile, "ioctl", 0, 1) and allowed(read_.profile, "ioctl", 0, 0x5401)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("read 1\n", "line 1, column 6: a colon is expected"),
        ("read", "line 1, column 1: a colon"),
        ("read:\n", "nothing follows the colon"),
        ("read: 1\nread: 1\n", "line 2, column 1: read has been given already"),
        ("@include /etc/x\n", "'@include' is not read"),
        ("@default kill-thread\n", "is not read"),
        ("{ read, write }: 1\n", "is not read"),
        ("read: return EFOO\n", "line 1, column 14: unknown errno 'EFOO'"),
        ("read: return\n", "one errno is expected"),
        ("read: arg6 == 1\n", "line 1, column 7: 'arg6' is no argument"),
        ("read: arg0 === 1\n", "line 1, column 14: '=' is neither"),
        ("read: arg0 + 1\n", "line 1, column 12: '+' is no operator"),
        ("read: arg0 == 0x1ffffffffffffffff\n", "no number of 64 bits"),
        ("read: arg0 == 1 ||\n", "a comparison such as"),
        ("mmap: arg2 in PROT_EXE\n", "PROT_EXE"),
        ("mmap: arg2 in (1\n", "the parenthesis is not closed"),
        ("read: arg0 == ~~1\n", "line 1, column 15"),
        ("read: arg0 & 0\n", "no bit is asked for"),
        ("read: arg0 > 1 && arg0 < 5\n", "two comparisons of arg0 at once"),
        ("read: arg0 == 1; kill\n", "return is expected"),
        ("read: arg0 == 1 1\n", "'1' is not expected"),
        ("read: arg0 == " + "(" * 1000 + "\n", "more than 16 parentheses"),
        ("read: arg0 & -1 && arg1 & -1\n", "more than 256 alternatives"),
        ("read: " + " || ".join(f"arg0 == {n}" for n in range(300)) + "\n", "more than 256 alternatives"),
        ("a" * (1024 * 1024 + 1), "is larger than"),
    ],
)
def test_errors_say_where(text, message):
    assert message in refused(text)


@given(st.text("readg01=&|~(): in;\\\n@{x#-", max_size=120).map(lambda text: "read: arg0 " + text))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused_politely(text):
    try:
        read(text)
    except ProfileError as error:
        assert "app.policy" in str(error)


def run(program, number, values):
    """What a program of classic BPF says of a call on x86_64: the few instructions that minijail uses."""
    data = struct.pack("<IIQ6Q", number, 0xC000003E, 0, *values)
    accumulator, place, memory = 0, 0, [0] * 16
    while True:
        code, jump_true, jump_false, k = program[place]
        place += 1
        if code == 0x20:
            accumulator = struct.unpack_from("<I", data, k)[0]
        elif code == 0x60:
            accumulator = memory[k]
        elif code == 0x02:
            memory[k] = accumulator
        elif code == 0x06:
            return k
        elif code == 0x05:
            place += k
        else:
            met = {
                0x15: accumulator == k,
                0x25: accumulator > k,
                0x35: accumulator >= k,
                0x45: accumulator & k,
            }[code]
            place += jump_true if met else jump_false


@pytest.mark.skipif(not COMPILER, reason="minijail's parse_seccomp_policy is not on the PATH")
@given(profiles([ALLOW, ERRNO, KILL], arguments(), [KILL]), st.data())
@settings(max_examples=60, deadline=None)
def test_minijail_means_the_same(tmp_path_factory, profile, data):
    written = MinijailFormat(SETTINGS).written(profile)
    if written.losses:
        return
    file = tmp_path_factory.mktemp("minijail") / "app.policy"
    file.write_text(written.text)
    dump = file.with_suffix(".bpf")
    subprocess.run([COMPILER, f"--dump={dump}", file], check=True, capture_output=True, env=os.environ)
    program = list(struct.iter_unpack("<HBBI", dump.read_bytes()))
    for name in NAMES:
        values = data.draw(
            st.lists(
                st.sampled_from([0, 1, 2, 3, 0x40, 2**32 - 1, 2**32, 2**63, 2**64 - 1]),
                min_size=6,
                max_size=6,
            )
        )
        verdict = run(program, number_of("x86_64", name), values)
        decision = decide(profile, HERE, "x86_64", name, values)
        action = {0x7FFF: ALLOW, 0x0005: ERRNO}.get(verdict >> 16, KILL)
        assert (action, verdict & 0xFFFF if action == ERRNO else 0) == (decision.action, decision.data)


@pytest.mark.parametrize("name", ["read\nwrite", "read write", "read:1", "@mount", "~read", "", "r\u00e9ad"])
def test_names_that_would_be_taken_for_more(name):
    rules = (Rule(names=(name,) if name else ("#",), action=ALLOW),)
    with pytest.raises(ProfileError, match="is no name of a system call"):
        MinijailFormat(SETTINGS).written(Profile(default_action=KILL, rules=rules))
