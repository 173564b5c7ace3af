"""Objects of the Security Profiles Operator: what they say, what they refuse, and that they follow the CRD's schema."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from seclude.errors import ProfileError
from seclude.formats.spo import SpoFormat
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
SCHEMA = json.loads((Path(__file__).parent / "spo-v1.schema.json").read_text())
HEAD = "apiVersion: security-profiles-operator.x-k8s.io/v1\nkind: SeccompProfile\nmetadata:\n  name: a\n"


def spo(**fields):
    return SpoFormat(Settings(environment=HERE, **fields))


def refused(text):
    with pytest.raises(ProfileError) as caught:
        spo().loads(text, "profile.yaml")
    return str(caught.value)


def test_gold():
    written = spo(name="my-app").written(SAMPLE)
    assert written.text == (GOLD / "export-spo.yaml").read_text()
    assert written.losses == ()
    assert written.notes[1].startswith(
        "once it is installed, pods use it as localhostProfile: operator/my-app.json"
    )
    assert same(SAMPLE, spo().loads(written.text, "exported")).empty


@given(
    profiles(
        [ALLOW, ERRNO, KILL, LOG],
        arguments(largest=2**63 - 1),
        [ALLOW, ERRNO, KILL],
        flags=st.sampled_from([None, ("SECCOMP_FILTER_FLAG_LOG",)]),
        architectures=st.sampled_from([(), ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86")]),
    )
)
@settings(max_examples=100, deadline=None)
def test_round_trip(profile):
    text = SpoFormat(SETTINGS).dumps(profile)
    assert everywhere(profile, SpoFormat(SETTINGS).loads(text, "exported")).empty
    jsonschema.validate(YAML(typ="safe", pure=True).load(text), SCHEMA)


def test_schema_is_not_toothless():
    value = YAML(typ="safe", pure=True).load(spo().dumps(SAMPLE))
    value["spec"]["syscalls"][0]["action"] = "ALLOW"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, SCHEMA)


@pytest.mark.parametrize(
    ("profile", "loss"),
    [
        (Profile(default_action=ERRNO, default_errno="ENOSYS"), "spo/default-errno"),
        (Profile(default_action=KILL, flags=()), "spo/no-flags"),
        (Profile(default_action=KILL, architectures=("SCMP_ARCH_LOONGARCH64",)), "spo/architecture"),
        (
            Profile(default_action=KILL, rules=(Rule(names=("read",), action=ERRNO, errno_ret=0),)),
            "spo/errno",
        ),
        (
            Profile(
                default_action=ERRNO,
                rules=(
                    Rule(
                        names=("read",),
                        action=ALLOW,
                        args=(Argument(index=0, value=2**63, op="SCMP_CMP_EQ"),),
                    ),
                ),
            ),
            "spo/argument-value",
        ),
    ],
)
def test_losses(profile, loss):
    with pytest.raises(ProfileError, match=loss) as caught:
        spo().dumps(profile)
    assert "--lossy" in caught.value.hint
    written = spo().written(profile)
    assert [each.id for each in written.losses] == [loss]
    # What is let in afterwards was let in before.
    assert not any(change.loosened for change in same(profile, spo().loads(written.text, "exported")).changes)


def test_a_refusal_is_never_lost():
    args = (Argument(index=0, value=2**64 - 1, op="SCMP_CMP_EQ"),)
    profile = Profile(default_action=ALLOW, rules=(Rule(names=("read",), action=ERRNO, args=args),))
    with pytest.raises(ProfileError, match="refuses read cannot be said"):
        spo().written(profile)


def test_listener():
    path = "/var/run/security-profiles-operator/agent.sock"
    profile = Profile(default_action=KILL, listener_path=path, listener_metadata="a: b # c")
    assert everywhere(profile, spo().loads(spo().dumps(profile), "exported")).empty
    with pytest.raises(ProfileError, match="takes no listener"):
        spo().dumps(Profile(default_action=KILL, listener_path="/run/x"))


@pytest.mark.parametrize("name", ["", "A", "a_b", "-a", "a-", "a..b", "a\nb", "a" * 254, "a: b"])
def test_names_of_objects(name):
    with pytest.raises(ProfileError, match="is no name of a Kubernetes object"):
        spo(name=name).dumps(SAMPLE)


def test_namespace_and_older_version():
    text = spo(name="true", namespace="prod", api_version="v1beta1").dumps(SAMPLE)
    assert 'x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata:\n  name: "true"\n  namespace: prod\n' in text


def test_reads_the_operators_own_examples():
    text = f"""
# comment
apiVersion: v1
kind: Pod
---
{HEAD}  annotations: {{description: "x"}}
spec:
  defaultAction: SCMP_ACT_LOG
  architectures: [SCMP_ARCH_X86_64]
  syscalls:
  - action: SCMP_ACT_ALLOW
    names:
    - exit
    - 'null'
    args:
    - {{index: 1, value: 0x10, op: SCMP_CMP_EQ}}
"""
    profile = spo().loads(text, "x")
    assert profile.default_action == LOG
    assert profile.rules[0].names == ("exit", "null")
    assert profile.rules[0].args[0] == Argument(index=1, value=16, op="SCMP_CMP_EQ")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("  defaultAction: SCMP_ACT_ALOW", "line 6, column 18: unknown action 'SCMP_ACT_ALOW'"),
        ("  defaultAction: SCMP_ACT_ALLOW\n  sycalls: []", "line 7, column 3: unknown field 'sycalls'"),
        ("  defaultAction: [a]", "defaultAction must be a string"),
        ("  {}", "defaultAction is missing"),
        ("  defaultAction: SCMP_ACT_LOG\n  baseProfileName: other", "another profile is added"),
        ("  defaultAction: SCMP_ACT_LOG\n  defaultAction: SCMP_ACT_LOG", "line 7"),
        ("  defaultAction: SCMP_ACT_LOG\n  syscalls: 3", "syscalls must be a list"),
        (
            "  defaultAction: SCMP_ACT_LOG\n  syscalls:\n  - names: [read]\n    action: SCMP_ACT_ALLOW\n    args:\n"
            "    - {index: 6, op: SCMP_CMP_EQ}",
            "line 11, column 15: argument index 6 is out of range",
        ),
        (
            "  defaultAction: SCMP_ACT_LOG\n  syscalls:\n  - names: [a]\n    action: SCMP_ACT_ERRNO\n    errnoRet: -1",
            "line 10, column 15: errnoRet must be a whole number",
        ),
    ],
)
def test_errors_say_where(spec, message):
    assert message in refused(f"{HEAD}spec:\n{spec}\n")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: [",
        "a: \x00",
        "a: &x [1]\nb: [*x, *x]\n",
        "--- !!python/object/apply:os.system ['true']\n",
        "a: !evil 3\n",
        "? [1, 2]\n: 3\n",
        "[" * 5000,
        "{" * 5000,
        "- " * 5000,
        "a" * (512 * 1024 + 1),
        "- a\n" * 60_000,
        "a: 1" * 3,
        "kind: SeccompProfile\n",
        HEAD + "spec: null\n",
        HEAD + "spec: {defaultAction: SCMP_ACT_LOG}\n---\n" + HEAD + "spec: {defaultAction: SCMP_ACT_LOG}\n",
        HEAD + f"spec: {{defaultAction: SCMP_ACT_LOG, syscalls: {'9' * 5000}}}\n",
        HEAD + "spec: {defaultAction: 2001-01-01}\n",
    ],
)
def test_hostile(text):
    assert "profile.yaml" in refused(text)


@given(st.text(max_size=200) | st.text("[]{}:-,\n &*!|>'\"#a1", max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_is_refused_politely(text):
    refused(text)
