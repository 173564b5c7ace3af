"""docs/profile.schema.json: what we write is valid, and what the parser refuses for its structure is not."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude.cli.options import read_profile
from seclude.errors import ProfileError
from seclude.formats import oci
from seclude.model.profile import ACTIONS, ARCHITECTURES, FLAGS, OPERATORS, Argument, Filter, Profile, Rule

jsonschema = pytest.importorskip("jsonschema", reason="check-jsonschema brings it, from the dev extra")

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs" / "profile.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
GOLD = ROOT / "tests" / "gold"
HEAD = {"defaultAction": "SCMP_ACT_ERRNO"}


def rule(**fields):
    return HEAD | {"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"} | fields]}


def argument(**fields):
    return rule(args=[{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"} | fields])


def test_the_schema_is_one_and_knows_what_the_model_knows():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert definitions["action"]["enum"] == list(ACTIONS)
    assert definitions["operator"]["enum"] == list(OPERATORS)
    assert definitions["architecture"]["enum"] == list(ARCHITECTURES)
    assert SCHEMA["properties"]["flags"]["items"]["enum"] == list(FLAGS)
    assert set(SCHEMA["properties"]) == set(oci._PROFILE)
    assert set(definitions["rule"]["properties"]) == set(oci._RULE)
    assert set(definitions["argument"]["properties"]) == set(oci._ARGUMENT)
    assert set(definitions["filter"]["properties"]) == set(oci._FILTER)


@pytest.mark.parametrize(
    "path",
    [GOLD / "profile-seed.json", GOLD / "base-conditions.json", Path("/usr/share/containers/seccomp.json")],
    ids=lambda path: path.name,
)
def test_real_profiles_are_valid(path):
    if not path.exists():
        pytest.skip("containers-common is not installed")
    VALIDATOR.validate(json.loads(path.read_text()))


@given(
    st.builds(
        Profile,
        default_action=st.sampled_from(ACTIONS),
        default_errno=st.sampled_from(["", "EPERM", "38"]),
        architectures=st.lists(st.sampled_from(ARCHITECTURES), max_size=2).map(tuple),
        flags=st.none() | st.lists(st.sampled_from(FLAGS), max_size=2).map(tuple),
        rules=st.lists(
            st.builds(
                Rule,
                names=st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=1).map(tuple),
                action=st.sampled_from(ACTIONS),
                legacy_name=st.booleans(),
                args=st.lists(
                    st.builds(
                        Argument,
                        index=st.integers(0, 5),
                        value=st.integers(0, (1 << 64) - 1),
                        op=st.sampled_from(OPERATORS),
                    ),
                    max_size=2,
                ).map(tuple),
                includes=st.builds(Filter, min_kernel=st.sampled_from(["", "4.8"])),
                errno_ret=st.none() | st.integers(0, 4094),
            ),
            max_size=2,
        ).map(tuple),
    )
)
@settings(max_examples=60, deadline=None)
def test_what_we_write_is_valid(profile):
    VALIDATOR.validate(json.loads(oci.dumps(profile)))


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        HEAD | {"syscals": []},
        HEAD | {"defaultAction": "ALLOW"},
        HEAD | {"defaultErrnoRet": 65536},
        HEAD | {"defaultErrnoRet": True},
        HEAD | {"defaultErrno": "eperm"},
        HEAD | {"architectures": ["SCMP_ARCH_AMD64"]},
        HEAD | {"architectures": [ARCHITECTURES[1]], "archMap": [{"architecture": ARCHITECTURES[2]}]},
        HEAD | {"archMap": [{"subArchitectures": []}]},
        HEAD | {"flags": ["x"]},
        HEAD | {"listenerMetadata": "x"},
        HEAD | {"syscalls": {}},
        HEAD | {"syscalls": [1]},
        HEAD | {"syscalls": [{"names": ["read"]}]},
        rule(name="write"),
        rule(names=[""]),
        rule(names="read"),
        rule(action="SCMP_ACT_WHAT"),
        rule(foo=1),
        rule(includes={"minKernel": "4.8.0"}),
        rule(excludes={"caps": "CAP_KILL"}),
        argument(index=6),
        argument(index=-1),
        argument(value=1 << 64),
        argument(value=-1),
        argument(valueTwo=1 << 64),
        argument(op="SCMP_CMP_IS"),
        rule(args=[{"index": 0, "op": "SCMP_CMP_EQ"}]),
    ],
    ids=str,
)
def test_what_the_parser_refuses_the_schema_refuses(value):
    assert not VALIDATOR.is_valid(value)
    with pytest.raises(ProfileError):
        oci.loads(json.dumps(value), "p.json")


@pytest.mark.parametrize(
    "value",
    [
        HEAD | {"defaultErrno": "EWHAT"},
        HEAD | {"defaultErrnoRet": 4095},
        rule(includes={"minKernel": "0.0"}),
        rule(includes={"minKernel": "4.256"}),
        argument(value=1.0),
    ],
    ids=str,
)
def test_what_only_the_parser_refuses(value):
    """Names of errnos, limits that hang on the action, numbers in a string, 1.0 for 1: docs/merge.md lists them."""
    assert VALIDATOR.is_valid(value)
    with pytest.raises(ProfileError):
        oci.loads(json.dumps(value), "p.json")


@pytest.mark.parametrize(
    "value",
    [
        HEAD | dict.fromkeys(("archMap", "syscalls", "flags", "defaultErrnoRet", "listenerPath")),
        rule(**dict.fromkeys(("args", "comment", "includes", "excludes", "errnoRet", "errno", "name"))),
        argument(valueTwo=None),
        rule(name=""),
        HEAD | {"architectures": [], "archMap": []},
    ],
    ids=str,
)
def test_what_stands_for_nothing_is_valid(value):
    VALIDATOR.validate(value)
    oci.loads(json.dumps(value), "p.json")


# What a schema cannot see: the text itself


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"nam', "line 1, column 48: "),
        ('{"defaultAction":"SCMP_ACT_ERRNO","syscalls":' + "[" * 10_000, "nested more than 64 deep"),
        (
            '{"defaultAction":"SCMP_ACT_ERRNO",\n"defaultAction":"SCMP_ACT_ALLOW"}',
            "line 2, column 1: the field 'defaultAction' is given twice",
        ),
        ('{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":NaN}', "column 53: NaN is no JSON value"),
    ],
    ids=["truncated", "deep", "twice", "nan"],
)
def test_bad_text(text, message):
    with pytest.raises(ProfileError) as caught:
        oci.loads(text, "p.json")
    assert message in caught.value.message
    assert caught.value.exit_code == 1


def test_bad_files(tmp_path):
    """Bytes that are no text, and more of them than any profile has: the first is said with its place."""
    path = tmp_path / "p.json"
    path.write_bytes(b'{"defaultAction":"SCMP_ACT_\xff"}')
    with pytest.raises(ProfileError, match="is not UTF-8 text: byte 27"):
        read_profile(str(path))
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    with pytest.raises(ProfileError, match="is larger than 4194304 bytes"):
        read_profile(str(path))
