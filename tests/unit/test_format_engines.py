"""The JSON of each engine: resolved for the runtime-spec, whole for Docker, errno names for Podman, a label."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings

from seclude.errors import ProfileError
from seclude.formats import oci
from seclude.formats.engines import LABEL, DockerFormat, LabelFormat, OciFormat, PodmanFormat
from seclude.model.environment import Environment
from seclude.model.export import Settings
from seclude.model.profile import Argument, Profile, Rule

from .format_samples import (
    ALLOW,
    ERRNO,
    HERE,
    KILL,
    LOG,
    SAMPLE,
    SETTINGS,
    arguments,
    everywhere,
    profiles,
    same,
)

GOLD = Path(__file__).parents[1] / "gold"
EXTENSIONS = {"includes", "excludes", "comment", "errno", "name"}
RUNTIME_SPEC = {
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
}


@pytest.mark.parametrize("form", [OciFormat, DockerFormat, PodmanFormat])
def test_gold(form):
    written = form(SETTINGS).written(SAMPLE)
    assert written.text == (GOLD / f"export-{form.name}.json").read_text()


def test_runtime_spec_has_no_extensions():
    value = json.loads(OciFormat(SETTINGS).dumps(SAMPLE))
    assert set(value) <= RUNTIME_SPEC
    assert all(not EXTENSIONS & set(rule) for rule in value["syscalls"])
    assert value["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]


@pytest.mark.parametrize(
    ("machine", "kernel", "capabilities", "present", "absent"),
    [
        ("x86_64", "6.1", ("CAP_SYS_ADMIN",), {"mount", "ptrace"}, {"chown", "arm_fadvise64_64"}),
        ("aarch64", "4.4", (), {"arm_fadvise64_64"}, {"mount", "ptrace", "chown"}),
    ],
)
def test_resolved_for_a_place(machine, kernel, capabilities, present, absent):
    place = Environment(machine=machine, kernel=kernel, capabilities=capabilities)
    written = OciFormat(Settings(environment=place)).written(SAMPLE)
    found = oci.loads(written.text, "exported")
    names = {name for rule in found.rules for name in rule.names}
    assert present <= names and not absent & names
    assert same(SAMPLE, found, [place]).empty
    assert written.notes == (
        f"resolved for {machine}, kernel {kernel}, {', '.join(capabilities) or 'no capabilities'}",
    )


def test_a_plain_profile_needs_no_note():
    written = OciFormat(SETTINGS).written(
        Profile(default_action=ERRNO, rules=(Rule(names=("read",), action=ALLOW),))
    )
    assert (written.losses, written.notes) == ((), ())


@given(profiles([ALLOW, ERRNO, KILL, LOG], arguments(), [ALLOW, ERRNO, KILL]))
@settings(max_examples=100, deadline=None)
def test_all_mean_the_same(profile):
    for form in (OciFormat, DockerFormat, PodmanFormat):
        assert everywhere(profile, oci.loads(form(SETTINGS).dumps(profile), "exported")).empty
    _, _, text = LabelFormat(SETTINGS).dumps(profile).partition("=")
    assert everywhere(profile, oci.loads(text, "label")).empty


def test_two_conditions_on_one_argument_are_alternatives():
    args = tuple(Argument(index=0, value=value, op="SCMP_CMP_EQ") for value in (1, 2))
    profile = Profile(default_action=ERRNO, rules=(Rule(names=("socket",), action=ALLOW, args=args),))
    found = oci.loads(OciFormat(SETTINGS).dumps(profile), "exported")
    assert [rule.args for rule in found.rules] == [args[:1], args[1:]]
    assert same(profile, found).empty


def test_docker_keeps_all_but_names_of_errnos():
    found = oci.loads(DockerFormat(SETTINGS).dumps(SAMPLE), "exported")
    assert everywhere(SAMPLE, found).empty
    assert {rule.errno for rule in found.rules} | {found.default_errno} == {""}
    assert found.arch_map == SAMPLE.arch_map


def test_podman_has_no_min_kernel():
    with pytest.raises(ProfileError, match=r"podman cannot say all of this profile.*podman/min-kernel"):
        PodmanFormat(SETTINGS).dumps(SAMPLE)
    written = PodmanFormat(SETTINGS).written(SAMPLE)
    assert [loss.id for loss in written.losses] == ["podman/min-kernel"]
    assert "ptrace" in written.losses[0].text
    found = oci.loads(written.text, "exported")
    assert same(SAMPLE, found).empty
    assert '"errno":"ENOSYS"' in written.text and '"errnoRet":38' in written.text
    old = Settings(environment=Environment(machine="x86_64", kernel="4.4", capabilities=()))
    assert '"ptrace"' not in PodmanFormat(old).written(SAMPLE).text


def test_an_errno_that_no_action_uses_is_left_out():
    rule = Rule(names=("read",), action=ALLOW, errno_ret=5)
    text = OciFormat(SETTINGS).dumps(Profile(default_action=KILL, default_errno_ret=5, rules=(rule,)))
    assert "rrno" not in text


def test_label_is_one_line():
    written = LabelFormat(SETTINGS).written(SAMPLE)
    assert written.text.startswith(f"{LABEL}={{") and written.text.count("\n") == 1
    assert "--seccomp-policy=image" in written.notes[0]
    assert HERE.kernel in written.losses[0].text
