"""Calls as text: what is read quickly is what is read with care, wherever the text is cut, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seclude import calltext, store
from seclude.errors import RecordingError
from seclude.formats import jsontext
from seclude.model.frozen import replace
from seclude.model.recording import Call, Dropped, Recording

from .test_store import CALL, FIRST, RECORDING, recordings


def carefully(text: str) -> Recording:
    """As `store.loads` reads what it does not read quickly."""
    return store._loads(Recording, text, "it", "seclude-recording", 1)  # type: ignore[no-any-return]


def chunks(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@settings(max_examples=100, deadline=None)
@given(recordings, st.integers(250, 2000))
def test_what_we_write_is_taken_out_and_put_in(recording: Recording, size: int) -> None:
    text = store.dumps(recording)
    assert carefully(text) == recording
    if not recording.calls or size < text.index('"calls":[') + 16:
        return
    rest, calls = calltext.taken_out(chunks(text, size))
    assert calls == recording.calls
    assert carefully(rest) == replace(recording, calls=())
    assert "".join(calltext.put_in(rest, calls)) == text


def made(**members: object) -> str:
    """A call's text with other members, or without those that are None."""
    value = {"abi": "x86_64", "phase": "app", "context": "login", "number": 1, "name": "write"}
    value |= {"first": {"time": 0.5, "pid": 1, "tid": 2, "comm": "a", "executable": "b", "arguments": [1, 2]}}
    return json.dumps({k: v for k, v in (value | members).items() if v is not None}, separators=(",", ":"))


def recorded(*calls: str) -> str:
    text = store.dumps(replace(RECORDING, calls=()))
    return text.replace('"calls":[]', f'"calls":[{",".join(calls)}]')


SEEN = json.loads(made())["first"]


@pytest.mark.parametrize(
    "call",
    [
        made(abi="mips"),
        made(abi=1),
        made(phase="later"),
        made(phase=["app"]),
        made(context=None),
        made(context=3),
        made(number=True),
        made(number=1.0),
        made(number="1"),
        made(name=7),
        made(count=1.5),
        made(count=None, more=1),
        made(first=3),
        made(first=SEEN | {"time": "1"}),
        made(first=SEEN | {"time": True}),
        made(first=SEEN | {"time": None}),
        made(first=SEEN | {"time": [1]}),
        made().replace("0.5", "NaN"),
        made().replace("0.5", "Infinity"),
        made().replace("0.5", "1e999"),
        made().replace("0.5", "-1e999"),
        made().replace("0.5", "01"),
        made().replace("0.5", "1_0"),
        made().replace("0.5", ""),
        made().replace("0.5", "1,2"),
        made().replace("0.5,", ""),
        made().replace('"time":0.5,', ""),
        made().replace('"number":1,', ""),
        made().replace('"number":1', '"number":'),
        made().replace('"pid":1,', ""),
        made().replace(',"arguments":[1,2]', ""),
        made().replace("0.5", '1,"time":2'),
        made(first=SEEN | {"pid": 1.5}),
        made(first=SEEN | {"pid": False}),
        made(first=SEEN | {"comm": 1}),
        made(first=SEEN | {"arguments": [1.5]}),
        made(first=SEEN | {"arguments": [True]}),
        made(first=SEEN | {"arguments": [[1]]}),
        made(first=SEEN | {"arguments": "12"}),
        made(first=SEEN | {"result": "x"}),
        made(first=SEEN | {"result": 1, "more": 1}),
        made().replace("[1,2]", "[1,2],[3]"),
        made().replace("[1,2]", "[1,,2]"),
        made().replace("[1,2]", "[1,2"),
        made().replace('"abi":"x86_64"', '"abi":"x86_64","abi":"x86_64"'),
        made().replace('"pid":1', '"pid":1,"pid":1'),
        made().replace('"pid":1', '"pid":1,"tid":2,"pid":1'),
        made().replace("[1,2]", '[1,2],"arguments":[1,2]'),
        made(count=1).replace('"count":1', '"count":1,"count":1'),
        made() + "}",
        made()[:-1],
        made().replace("login", "lo\x01gin"),
        made().replace("login", "lo\\gin"),
        made() + made(),
        made() + ",",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_wrong_is_refused_as_ever(call: str, place: int) -> None:
    calls = [made(context=str(number)) for number in range(2)]
    text = recorded(*calls[:place], call, *calls[place:])
    with pytest.raises(RecordingError) as expected:
        carefully(text)
    with pytest.raises(RecordingError) as failure:
        store.loads(text, "it")
    assert (failure.value.message, failure.value.hint) == (expected.value.message, expected.value.hint)


@pytest.mark.parametrize(
    "call",
    [
        made(),
        made(count=0),
        made(count=3),
        made(context='a,"b":[{\\}],{"abi":', name="#7"),
        made(context="\u00e9\U0001f600\ud800"),
        made(context="a,"),
        made(first={}),
        made(first={"reason": ',"pid":1}],{"abi":'}),
        made(first=SEEN | {"time": 1}),
        made(first=SEEN | {"time": -1e-7, "result": 0}, count=0),
        made(first=SEEN | {"arguments": []}),
        made(first=SEEN | {"result": -1}, count=5),
        made(first=dict(reversed(SEEN.items()))),
        made().replace(":", " : ").replace(",", "\n,\t"),
        made().replace('"phase"', '"\\u0070hase"'),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_what_is_written_otherwise_is_read_all_the_same(call: str, place: int) -> None:
    calls = [made(context=str(number)) for number in range(2)]
    text = recorded(*calls[:place], call, *calls[place:])
    read = store.loads(text, "it")
    assert read == carefully(text)
    assert [type(each) for each in read.calls] == [Call] * 3
    first = carefully(text).calls[place].first
    if not isinstance(first, Dropped):
        assert type(read.calls[place].first.time) is type(first.time)  # type: ignore[union-attr]


def test_what_stands_elsewhere_is_no_matter() -> None:
    """Members after the calls hold what calls are taken apart by, and lists under the name of the calls."""
    text = recorded(made(), made(first={}))
    more = text.replace('"command":["ls","/"]', '"command":["ls",",{\\"abi\\":"],"denials":[]')
    assert store.loads(more, "it") == carefully(more)
    twice = text.replace('"command":["ls","/"]', f'"calls":[{made()}]')
    nested = text.replace('"calls":[', '"losses":{"calls":[' + made() + ']},"calls":[', 1)
    for wrong in (twice, nested):
        with pytest.raises(RecordingError) as expected:
            carefully(wrong)
        with pytest.raises(RecordingError) as failure:
            store.loads(wrong, "it")
        assert failure.value.message == expected.value.message


def test_much_may_follow_the_calls() -> None:
    words = tuple("x" * 1000 for _ in range(3 * calltext.CHUNK // 1000))
    recording = replace(RECORDING, command=words)
    rest, calls = calltext.taken_out(chunks(store.dumps(recording), calltext.CHUNK))
    assert calls == recording.calls
    assert carefully(rest).command == words


def test_one_long_text_is_left_to_others() -> None:
    long = replace(CALL, context="x" * 3 * calltext.CHUNK)
    text = store.dumps(replace(RECORDING, calls=(long, CALL)))
    with pytest.raises(ValueError):
        calltext.taken_out(chunks(text, calltext.CHUNK))
    assert store.loads(text, "it").calls == (long, CALL)


def test_more_texts_than_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calltext, "MOST_KNOWN", 3)
    seen = [replace(FIRST, time=n / 3, pid=n, comm=str(n), arguments=(n, 2**63 + n)) for n in range(50)]
    calls = tuple(
        replace(CALL, context=f"c{n % 7}", number=n, first=first, count=n) for n, first in enumerate(seen)
    )
    recording = replace(RECORDING, calls=calls)
    text = store.dumps(recording)
    assert text == jsontext.encode(json.loads(text)) + "\n"
    assert calltext.taken_out([text])[1] == calls


def test_a_file_is_read_as_its_text(tmp_path) -> None:  # type: ignore[no-untyped-def]
    calls = tuple(replace(CALL, context=f"test {number}") for number in range(2000))
    path = tmp_path / "r.json"
    path.write_text(store.dumps(replace(RECORDING, calls=calls)))
    assert store.read(str(path)).calls == calls
    path.write_text(path.read_text().replace("test 1999", "\u00e9"))
    assert store.read(str(path)).calls[-1].context == "\u00e9"


@pytest.mark.parametrize("time", [float("nan"), float("inf")])
def test_what_has_no_form_in_json_is_not_written(time: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        store.dumps(replace(RECORDING, calls=(replace(CALL, first=replace(FIRST, time=time)),)))
