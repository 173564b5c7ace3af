"""Profiles as files: everything that engines read survives, everything else is an error that shows its place."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.errors import ProfileError
from seclude.formats import oci
from seclude.model.profile import (
    ACTIONS,
    ARCHITECTURES,
    FLAGS,
    LARGEST_VALUE,
    OPERATORS,
    Argument,
    Filter,
    Profile,
    Rule,
    SubArchitectures,
)

GOLD = Path(__file__).parents[1] / "gold"
ENGINES_OWN = Path("/usr/share/containers/seccomp.json")

NAMES = st.text(min_size=1, max_size=8)
ERRNO_NAMES = st.sampled_from(["", "EPERM", "ENOSYS", "EINVAL", "38"])
ARGUMENTS = st.builds(
    Argument,
    index=st.integers(0, 5),
    value=st.integers(0, LARGEST_VALUE),
    value_two=st.integers(0, LARGEST_VALUE),
    op=st.sampled_from(OPERATORS),
)
FILTERS = st.builds(
    Filter,
    arches=st.lists(NAMES, max_size=2).map(tuple),
    caps=st.lists(NAMES, max_size=2).map(tuple),
    min_kernel=st.sampled_from(["", "4.8", "6.12"]),
)
RULES = st.builds(
    Rule,
    names=st.lists(NAMES, max_size=3).map(tuple),
    action=st.sampled_from(ACTIONS),
    args=st.lists(ARGUMENTS, max_size=2).map(tuple),
    comment=st.text(max_size=8),
    includes=FILTERS,
    excludes=FILTERS,
    errno_ret=st.none() | st.integers(0, 4094),
    errno=ERRNO_NAMES,
) | st.builds(
    Rule, names=NAMES.map(lambda name: (name,)), action=st.sampled_from(ACTIONS), legacy_name=st.just(True)
)
ARCHITECTURE_LISTS = st.lists(st.sampled_from(ARCHITECTURES), max_size=3).map(tuple)
MAPS = st.lists(
    st.builds(
        SubArchitectures, architecture=st.sampled_from(ARCHITECTURES), sub_architectures=ARCHITECTURE_LISTS
    ),
    max_size=2,
).map(tuple)


@st.composite
def profiles(draw):
    mapped = draw(st.booleans())
    listener = draw(st.text(max_size=5))
    return Profile(
        default_action=draw(st.sampled_from(ACTIONS)),
        default_errno_ret=draw(st.none() | st.integers(0, 4094)),
        default_errno=draw(ERRNO_NAMES),
        architectures=() if mapped else draw(ARCHITECTURE_LISTS),
        arch_map=draw(MAPS) if mapped else (),
        rules=draw(st.lists(RULES, max_size=3).map(tuple)),
        flags=draw(st.none() | st.lists(st.sampled_from(FLAGS), max_size=2).map(tuple)),
        listener_path=listener,
        listener_metadata=draw(st.text(max_size=5)) if listener else "",
    )


@given(profiles())
@settings(max_examples=200, deadline=None)
def test_nothing_is_lost_between_writing_and_reading(profile):
    text = oci.dumps(profile)
    assert oci.loads(text, "text") == profile
    assert text.endswith("}\n")
    assert text.count("\n") == 1
    assert oci.looks_like_profile(text)


def test_the_seed_comes_back_byte_for_byte():
    text = (GOLD / "profile-seed.json").read_text()
    assert oci.dumps(oci.loads(text, "seed")) == text


def test_a_profile_with_everything_keeps_everything():
    text = (GOLD / "base-conditions.json").read_text()
    profile = oci.loads(text, "base")
    assert profile.default_errno_ret == 38
    assert profile.default_errno == "ENOSYS"
    assert profile.arch_map[0].sub_architectures == ("SCMP_ARCH_X86", "SCMP_ARCH_X32")
    assert profile.flags == ("SECCOMP_FILTER_FLAG_LOG",)
    assert profile.rules[0].comment == "no directories"
    assert profile.rules[2].legacy_name
    assert profile.rules[3].includes.min_kernel == "4.8"
    assert profile.rules[6].excludes == Filter(caps=("CAP_SYS_ADMIN",), arches=("s390", "s390x"))
    assert profile.rules[8].errno == "EINVAL"

    def meaning(value):
        """The JSON without what is empty, which engines read like what is left out."""
        if isinstance(value, dict):
            kept = {key: meaning(member) for key, member in value.items()}
            return {key: member for key, member in kept.items() if member not in ({}, [], "", None)}
        return [meaning(member) for member in value] if isinstance(value, list) else value

    def plain(value):
        found = meaning(value)
        for rule in found["syscalls"]:
            for argument in rule.get("args", ()):
                argument.setdefault("valueTwo", 0)
        return found

    assert plain(json.loads(oci.dumps(profile))) == plain(json.loads(text))


@pytest.mark.skipif(not ENGINES_OWN.exists(), reason="containers-common is not installed")
def test_the_default_profile_of_podman_survives():
    text = ENGINES_OWN.read_text()
    profile = oci.loads(text, str(ENGINES_OWN))
    written = json.loads(oci.dumps(profile))
    read = json.loads(text)
    for rule in read["syscalls"]:
        rule["args"] = rule["args"] or []
    assert written == read


def test_nulls_and_absences_are_the_same():
    short = '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}'
    long = json.loads(short)
    long |= dict.fromkeys(("architectures", "archMap", "flags", "defaultErrnoRet", "listenerPath"))
    long["syscalls"][0] |= dict.fromkeys(
        ("args", "comment", "includes", "excludes", "errnoRet", "errno", "name")
    )
    assert oci.loads(short, "short") == oci.loads(json.dumps(long), "long")


def test_no_flags_are_not_the_same_as_an_empty_list_of_them():
    assert oci.loads('{"defaultAction":"SCMP_ACT_KILL","flags":[]}', "x").flags == ()
    assert oci.loads('{"defaultAction":"SCMP_ACT_KILL"}', "x").flags is None


def test_a_rule_without_names_is_read_as_the_peer_hook_writes_it():
    text = (
        '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"action":"SCMP_ACT_ALLOW","args":[],"comment":""}]}'
    )
    assert oci.loads(text, "x").rules[0].names == ()


HEAD = '{"defaultAction":"SCMP_ACT_ERRNO",\n'


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ('"syscals":[]}', "line 2, column 1: unknown field 'syscals'"),
        (
            '"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","foo":1}]}',
            "column 57: unknown field 'foo'",
        ),
        ('"syscalls":[{"names":["a"],"action":"ALLOW"}]}', "column 37: unknown action 'ALLOW'"),
        ('"syscalls":[{"names":["a"]}]}', "column 13: syscalls[0] has no action"),
        ('"syscalls":[{"names":"a","action":"SCMP_ACT_ALLOW"}]}', "column 22: names must be a list"),
        (
            '"syscalls":[{"names":["a",1],"action":"SCMP_ACT_ALLOW"}]}',
            "column 27: names[1] must be a string",
        ),
        ('"syscalls":{}}', "column 12: syscalls must be a list"),
        ('"syscalls":[1]}', "column 13: syscalls[0] must be an object"),
        (
            '"syscalls":[{"name":"a","names":["b"],"action":"SCMP_ACT_ALLOW"}]}',
            "column 14: both name and names are given",
        ),
        ('"defaultErrnoRet":true}', "column 19: defaultErrnoRet must be a whole number"),
        ('"defaultErrnoRet":1.0}', "column 19: defaultErrnoRet must be a whole number"),
        ('"defaultErrnoRet":70000}', "column 19: errno 70000 is out of range"),
        ('"defaultErrno":"EWHAT"}', "column 16: unknown errno 'EWHAT'"),
        (
            '"architectures":["SCMP_ARCH_AMD64"]}',
            "column 17: unknown architecture 'SCMP_ARCH_AMD64'",
        ),
        (
            '"architectures":["SCMP_ARCH_X86"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}',
            "column 45: both architectures and archMap are given",
        ),
        ('"archMap":[{"subArchitectures":[]}]}', "column 12: archMap[0] has no architecture"),
        (
            '"syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":9,"value":1,"op":"SCMP_CMP_EQ"}]}]}',
            "column 71: argument index 9 is out of range",
        ),
        (
            '"syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"op":"SCMP_CMP_EQ"}]}]}',
            "column 62: args[0] has no value",
        ),
        (
            '"syscalls":[{"names":["a"],"action":"SCMP_ACT_ALLOW","includes":{"minKernel":"x"}}]}',
            "column 78: 'x' is no kernel version",
        ),
        (
            '"syscalls":[{"name":"","names":["", "a"],"action":"SCMP_ACT_ALLOW"}]}',
            "column 32: a system call without a name",
        ),
        ('"flags":["x"]}', "column 9: unknown flag 'x'"),
        ('"listenerMetadata":"x"}', "column 20: listenerMetadata is given without listenerPath"),
    ],
)
def test_errors_name_the_field_and_show_its_place(rest, message):
    with pytest.raises(ProfileError) as caught:
        oci.loads(HEAD + rest, "p.json")
    first, shown, caret = caught.value.message.splitlines()
    assert first.startswith("p.json: line 2, ")
    assert message in first
    assert shown.strip()
    assert caret.strip() == "^"


def test_the_nearest_key_is_suggested():
    with pytest.raises(ProfileError, match="did you mean syscalls") as caught:
        oci.loads(HEAD + '"syscals":[]}', "p.json")
    assert str(caught.value).splitlines()[1:] == ['  "syscals":[]}', "  ^ (did you mean syscalls?)"]


@pytest.mark.parametrize(
    "text", ["root:$6$secret:1", '{"auths":{"r":{"auth":"secret"}}}', '["secret"]', '{"a":secret}']
)
def test_of_a_file_that_is_no_profile_nothing_is_shown(text):
    with pytest.raises(ProfileError) as caught:
        oci.loads(text, "/root/file")
    assert "secret" not in str(caught.value)


def test_too_large():
    with pytest.raises(ProfileError, match="larger than"):
        oci.loads(HEAD + " " * oci.LARGEST + "}", "p.json")


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        ('{"defaultAction":"SCMP_ACT_ERRNO"}', True),
        ({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []}, True),
        ("", False),
        ("defaultAction SCMP_ACT_ERRNO", False),
        ('{"defaultAction":"SCMP_ACT_ERRNO"', False),
        ('{"defaultAction":1}', False),
        ('{"ociVersion":"1.0","linux":{"seccomp":{"defaultAction":"SCMP_ACT_ERRNO"}}}', False),
        ('{"ociVersion":"1.0","defaultAction":"SCMP_ACT_ERRNO"}', False),
        ([], False),
        (None, False),
    ],
)
def test_what_may_be_replaced(value, is_one):
    assert oci.looks_like_profile(value) is is_one
