"""Recordings as files: all of one comes back, hostile text is escaped, and errors name the member that is wrong."""

import gc
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude import store
from seclude.errors import RecordingError
from seclude.model.frozen import replace
from seclude.model.recording import (
    ABIS,
    PHASES,
    ArgumentValues,
    Call,
    Dropped,
    FirstSeen,
    Losses,
    Recording,
)

FIRST = FirstSeen(
    time=0.5, pid=10, tid=11, comm="ls", executable="/bin/ls", arguments=(1, 2, 3, 4, 5, 2**64 - 1)
)
CALL = Call(abi="x86_64", phase="app", context="login", number=1, name="write", first=FIRST, count=3)
RECORDING = Recording(
    created="2026-01-01T00:00:00Z",
    duration=1.25,
    seclude="0.1.0",
    tracer="ebpf",
    kernel="6.18.44",
    machine="x86_64",
    engine="podman",
    runtime="crun",
    runtime_version="1.8.1",
    image="debian",
    container="0123abc",
    command=("ls", "/"),
    confined=True,
    no_new_privileges=True,
    counted=True,
    capabilities=("CAP_CHOWN",),
    calls=(
        CALL,
        replace(CALL, first=Dropped()),
        replace(CALL, phase="denied", first=replace(FIRST, result=-1)),
    ),
    arguments=(
        ArgumentValues(abi="x86", name="socket", indices=(0, 1), values=((1, 2), (2, 2)), complete=False),
    ),
    losses=Losses(calls=1, facts=2, contexts=3, executables=4, markers=5),
)

texts = st.text(st.characters(), max_size=20)
wholes = st.integers(0, 2**64 - 1)
times = st.floats(0, 1e9)
firsts = st.one_of(
    st.builds(Dropped, reason=texts),
    st.builds(
        FirstSeen,
        time=times,
        pid=wholes,
        tid=wholes,
        comm=texts,
        executable=texts,
        arguments=st.tuples(*[wholes] * 6),
        result=st.integers(-4095, 0),
    ),
)
calls = st.builds(
    Call,
    abi=st.sampled_from(ABIS),
    phase=st.sampled_from(PHASES),
    context=texts,
    number=wholes,
    name=texts,
    first=firsts,
    count=wholes,
)
values = st.builds(
    ArgumentValues,
    abi=st.sampled_from(ABIS),
    name=texts,
    indices=st.tuples(wholes),
    values=st.lists(st.tuples(wholes)).map(tuple),
    complete=st.booleans(),
)
recordings = st.builds(
    Recording,
    created=texts,
    duration=times,
    seclude=texts,
    tracer=texts,
    kernel=texts,
    machine=texts,
    engine=texts,
    runtime=texts,
    command=st.lists(texts, max_size=3).map(tuple),
    confined=st.booleans(),
    calls=st.lists(calls, max_size=3).map(tuple),
    arguments=st.lists(values, max_size=2).map(tuple),
    losses=st.builds(Losses, calls=wholes, markers=wholes),
)


def test_round_trip():
    text = store.dumps(RECORDING)
    assert store.loads(text, "it") == RECORDING
    assert store.looks_like_recording(text)


@settings(max_examples=60, deadline=None)
@given(recordings)
def test_whatever_a_recording_holds_comes_back_from_one_printable_line(recording):
    text = store.dumps(recording)
    assert store.loads(text, "it") == recording
    assert text.endswith("}\n")
    assert text.isascii()
    assert text[:-1].isprintable()


def test_what_is_at_its_default_is_left_out():
    small = Recording(
        created="", duration=0, seclude="", tracer="", kernel="", machine="", engine="", calls=()
    )
    assert set(json.loads(store.dumps(small))) == {
        *(
            "format",
            "version",
            "created",
            "duration",
            "seclude",
            "tracer",
            "kernel",
            "machine",
            "engine",
            "calls",
        )
    }
    assert store.loads(store.dumps(small), "it") == small


def test_read(tmp_path):
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(json.loads(store.dumps(RECORDING)), indent=2))
    assert store.read(str(path)) == RECORDING
    with pytest.raises(RecordingError, match=r"none cannot be read"):
        store.read(str(tmp_path / "none"))


def changed(*path, to):
    """The recording's text with the member at `path` changed; `to` None removes it."""
    value = json.loads(store.dumps(RECORDING))
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    if to is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = to
    return json.dumps(value)


def refusal(text):
    with pytest.raises(RecordingError) as failure:
        store.loads(text, "it.json")
    assert failure.value.message.startswith("it.json")
    return failure.value.message.removeprefix("it.json").lstrip(": ")


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("format",), "other", "is no recording"),
        (("format",), None, "is no recording"),
        (("version",), 2, "has version 2; this seclude reads version 1"),
        (("version",), "1", "has version '1'; this seclude reads version 1"),
        (("version",), True, "has version True; this seclude reads version 1"),
        (("version",), None, "has version None; this seclude reads version 1"),
        (("other",), 1, "unknown field 'other'"),
        (("\x1b[31m\n",), 1, "unknown field '\\x1b[31m\\n'"),
        (("created",), None, "created is missing"),
        (("created",), 3, "created must be a string"),
        (("duration",), "3", "duration must be a number"),
        (("duration",), True, "duration must be a number"),
        (("confined",), 1, "confined must be true or false"),
        (("command",), "ls", "command must be a list"),
        (("command", 1), 3, "command[1] must be a string"),
        (("calls",), {}, "calls must be a list"),
        (("calls", 0), [], "calls[0] must be an object"),
        (("calls", 0, "name"), None, "calls[0].name is missing"),
        (("calls", 0, "number"), 1.5, "calls[0].number must be a whole number"),
        (("calls", 0, "number"), False, "calls[0].number must be a whole number"),
        (("calls", 0, "more"), 1, "unknown field calls[0].'more'"),
        (("calls", 0, "abi"), "mips", "calls[0]: unknown ABI 'mips'"),
        (("calls", 0, "phase"), "later", "calls[0]: unknown phase 'later'"),
        (("calls", 0, "first", "pid"), "1", "calls[0].first.pid must be a whole number"),
        (("calls", 0, "first", "arguments", 2), None, ""),
        (("calls", 0, "first"), {"pid": 1}, "unknown field calls[0].first.'pid'"),
        (("calls", 0, "first"), 3, "calls[0].first must be an object"),
        (("arguments", 0, "values", 1, 0), "x", "arguments[0].values[1][0] must be a whole number"),
        (("arguments", 0, "indices"), None, "arguments[0].indices is missing"),
        (("losses", "calls"), "x", "losses.calls must be a whole number"),
        (("losses", "more"), 1, "unknown field losses.'more'"),
    ],
)
def test_errors_name_the_member(path, to, message):
    text = changed(*path, to=to)
    if message:
        assert refusal(text) == message
    else:
        store.loads(text, "it.json")


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "null", '{"defaultAction": "SCMP_ACT_ALLOW"}', "{", '{"a": 1, "a": 2}']
)
def test_what_is_no_recording(text):
    refusal(text)
    assert not store.looks_like_recording(text)


WRITTEN = json.loads(store.dumps(RECORDING))


@pytest.mark.parametrize(
    ("path", "to", "message"),
    [
        (("losses",), WRITTEN["calls"][0], "unknown field losses.'abi'"),
        (("losses",), WRITTEN["calls"][0]["first"], "unknown field losses.'time'"),
        (("command", 0), WRITTEN["calls"][0], "command[0] must be a string"),
        (("calls", 0), WRITTEN["calls"][0]["first"], "unknown field calls[0].'time'"),
        (("calls", 0, "first"), WRITTEN["calls"][0], "unknown field calls[0].first.'abi'"),
        (("calls", 0, "first", "comm"), WRITTEN["calls"][0]["first"], "calls[0].first.comm must be a string"),
    ],
)
def test_what_is_right_elsewhere_is_wrong_here(path, to, message):
    """Calls and their first times are made as they are read, before it is known where they stand."""
    assert refusal(changed(*path, to=to)) == message


def test_the_order_of_members_is_no_matter():
    value = json.loads(store.dumps(RECORDING))
    for call in value["calls"]:
        call["first"] = dict(reversed(call["first"].items()))
    value["calls"] = [dict(reversed(call.items())) for call in value["calls"]]
    assert store.loads(json.dumps(value), "it") == RECORDING


@pytest.mark.parametrize("collecting", [True, False])
def test_garbage_is_collected_afterwards_as_before(collecting):
    was = gc.isenabled()
    try:
        (gc.enable if collecting else gc.disable)()
        store.loads(store.dumps(RECORDING), "it")
        assert gc.isenabled() is collecting
        refusal("{")
        assert gc.isenabled() is collecting
    finally:
        (gc.enable if was else gc.disable)()


def test_equal_texts_are_kept_once():
    calls = tuple(replace(CALL, number=number, name=f"#{number}") for number in range(3))
    read = store.loads(store.dumps(replace(RECORDING, calls=calls)), "it").calls
    assert read == calls
    assert read[0].context is read[2].context
    assert read[0].first.executable is read[2].first.executable


def test_a_call_given_twice_is_refused_where_it_stands():
    text = store.dumps(RECORDING).replace('"abi":"x86_64"', '"abi":"x86_64","abi":"x86_64"', 1)
    assert "the field 'abi' is given twice" in refusal(text)
