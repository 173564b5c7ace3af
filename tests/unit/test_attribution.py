"""Which test made which call: tests out of contexts, singletons, a covering few, and what a profile says of each."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seclude import expectations, store
from seclude.analyse.attribution import (
    Expected,
    attribution,
    cover,
    harmonic,
    makers,
    split,
    surprises,
    why,
    why_all,
)
from seclude.cli import tests as tests_command
from seclude.cli import why as why_command
from seclude.cli.commands import group
from seclude.cli.show import plain
from seclude.errors import RecordingError, SecludeError
from seclude.model.denial import Frame
from seclude.model.frozen import replace
from seclude.model.origin import Origin
from seclude.model.recording import OVERFLOW, Call, Dropped, FirstSeen, Losses, Recording
from seclude.syscalls import number_of

GOLD = Path(__file__).parents[1] / "gold"
HOSTILE = "t.py::test_x[\x1b[31m\n[bold]\u202e]"


def call(name, time, context="", phase="app", **more):
    first = FirstSeen(
        time=time,
        pid=100,
        tid=100,
        comm="python3",
        executable="/usr/bin/python3",
        arguments=(2, 1, 0, 0, 0, 0),
    )
    number = number_of("x86_64", name) if not name.startswith("#") else int(name[1:])
    values = {
        "abi": "x86_64",
        "phase": phase,
        "context": context,
        "number": number,
        "name": name,
        "first": first,
    }
    return Call(**(values | more))


def recording(*calls, **more):
    values = {
        "created": "2026-01-02T03:04:05Z",
        "duration": 1.25,
        "seclude": "0.1.0",
        "tracer": "ebpf",
        "kernel": "6.18.44",
        "machine": "x86_64",
        "engine": "process",
        "calls": calls,
    }
    return Recording(**(values | more))


RECORDING = recording(
    call("execve", 0.001, phase="runtime"),
    call("read", 0.01),
    call("read", 0.2, "t.py::test_a|call"),
    call("openat", 0.21, "t.py::test_a|call"),
    call("socket", 0.22, "t.py::test_a|setup"),
    call("openat", 0.31, "t.py::test_b|call"),
    call("socket", 0.32, "t.py::test_b|teardown", first=Dropped()),
    call("bind", 0.4, HOSTILE + "|call"),
    call("getrandom", 0.41, HOSTILE + "|call"),
    call("sync", 0.5, "t.py::test_b|call", abi="x86", number=36, count=3),
    call("ptrace", 0.6, "t.py::test_b|call", phase="denied"),
)


def test_steps_are_of_their_test() -> None:
    assert split("a|b|call") == ("a|b", "call")
    assert split("a|setup") == ("a", "setup")
    assert split("a|b") == ("a|b", "")
    assert split("") == ("", "")
    assert split("call") == ("call", "")


def test_each_call_has_its_tests() -> None:
    made = {name: [maker.test for maker in found] for name, found in makers([RECORDING]).items()}
    assert made["read"] == ["", "t.py::test_a"]
    assert made["socket"] == ["t.py::test_a", "t.py::test_b"]
    assert made["execve"] == [""]
    assert "ptrace" not in made


def test_what_one_test_calls_alone() -> None:
    found = attribution([RECORDING])
    assert [test.name for test in found.tests] == ["t.py::test_a", "t.py::test_b", HOSTILE]
    assert found.singletons == {"bind": HOSTILE, "getrandom": HOSTILE, "sync": "t.py::test_b"}
    assert found.outside == ("execve", "read")
    assert found.enough == (
        ("t.py::test_b", ("openat", "socket", "sync")),
        (HOSTILE, ("bind", "getrandom")),
    )
    assert not found.notes


def test_without_the_only_test_of_a_call_the_call_is_gone() -> None:
    for name, test in attribution([RECORDING]).singletons.items():
        calls = tuple(each for each in RECORDING.calls if split(each.context)[0] != test)
        assert name not in replace(RECORDING, calls=calls).names()


def test_recordings_together() -> None:
    other = recording(call("bind", 0.1, "other"), call("getrandom", 0.2))
    found = attribution([RECORDING, other])
    assert found.singletons == {"sync": "t.py::test_b"}
    assert [test.name for test in found.tests][-1] == "other"
    assert [maker.source for maker in why("bind", [RECORDING, other]).makers] == [0, 1]


def test_what_was_lost_is_said_and_never_alone() -> None:
    lost = recording(
        call("bind", 0.1, "a"), call("bind", 0.2, OVERFLOW), losses=Losses(calls=2, contexts=3, markers=1)
    )
    found = attribution([lost])
    assert not found.singletons
    assert found.outside == ("bind",)
    assert [note.split()[0] for note in found.notes] == ["2", "3", "1"]


def test_why() -> None:
    answer = why("socket", [RECORDING])
    assert answer.tests == ("t.py::test_a", "t.py::test_b")
    assert (answer.outside, answer.only) == (False, "")
    assert why("sync", [RECORDING]).only == "t.py::test_b"
    missing = why("open", [RECORDING])
    assert not missing.makers
    assert [(each.name, each.tests) for each in missing.relatives] == [
        ("openat", ("t.py::test_a", "t.py::test_b"))
    ]
    order = [each.name for each in why_all([RECORDING])]
    assert order == ["bind", "getrandom", "sync", "openat", "socket", "execve", "read"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.frozensets(st.integers(0, 8)), max_size=6))
def test_the_cover_is_whole_and_within_its_bound(wanted) -> None:
    every = frozenset().union(*wanted.values())
    chosen = cover(wanted)
    assert frozenset().union(*(wanted[test] for test, _ in chosen)) == every
    assert sorted(call for _, adds in chosen for call in adds) == sorted(every)
    fewest = next(
        number
        for number in range(len(wanted) + 1)
        for some in itertools.combinations(wanted.values(), number)
        if frozenset().union(*some) == every
    )
    largest = max(map(len, wanted.values()), default=0)
    assert len(chosen) <= harmonic(largest) * fewest + 1e-9
    assert harmonic(largest) <= math.log(max(largest, 1)) + 1 + 1e-9


def test_surprises() -> None:
    found = attribution([RECORDING])
    allowed = frozenset({"read", "execve", "openat", "socket", "sync", "getrandom"})
    new = surprises(found, allowed, {})
    assert [(each.kind, each.test, each.calls) for each in new] == [("new", HOSTILE, ("bind",))]
    told = {
        HOSTILE: Expected(allow=frozenset({"bind"})),
        "t.py::test_a": Expected(deny=frozenset({"socket"})),
    }
    assert [(each.kind, each.test) for each in surprises(found, allowed, told)] == [
        ("denied", "t.py::test_a")
    ]
    assert [each.test for each in surprises(found, frozenset(found.calls) - {"read"}, {})] == [
        "t.py::test_a",
        "",
    ]
    assert surprises(found, None, {}) == ()


# The commands


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    Path("app.rec").write_text(store.dumps(RECORDING))
    return "app.rec"


def invoke(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(group, arguments, standalone_mode=False)
    if done.exception:
        raise done.exception
    return done.return_value, done.output


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("why-made", ["why", "socket", "app.rec"]),
        ("why-only", ["why", "sync", "app.rec"]),
        ("why-family", ["why", "open", "app.rec"]),
        ("why-all", ["why", "--all", "app.rec"]),
        ("tests", ["tests", "app.rec"]),
    ],
)
def test_gold(path: str, name: str, arguments: list[str]) -> None:
    status, text = invoke(*arguments)
    assert status == 0
    assert text == (GOLD / f"{name}.txt").read_text()
    assert "\x1b" not in text and "\u202e" not in text


def test_json(path: str) -> None:
    _, text = invoke("why", "--format", "json", "socket", path)
    value = json.loads(text)
    assert value["tests"] == ["t.py::test_a", "t.py::test_b"]
    assert value["makers"][0]["first"]["decoded"].startswith("socket(AF_INET, SOCK_STREAM")
    assert "first" not in value["makers"][1]
    _, text = invoke("why", "--all", "--format", "json", path)
    assert [each["call"] for each in json.loads(text)["calls"]][:2] == ["bind", "getrandom"]
    _, text = invoke("tests", "--format", "json", path)
    value = json.loads(text)
    assert value["tests"][HOSTILE] == {"calls": ["bind", "getrandom"], "only": ["bind", "getrandom"]}
    assert value["enough"][0] == {"test": "t.py::test_b", "adds": ["openat", "socket", "sync"]}


def test_against_a_profile_and_expectations(path: str) -> None:
    names = ["read", "execve", "openat", "socket", "sync", "getrandom"]
    rule = {"names": names, "action": "SCMP_ACT_ALLOW"}
    Path("app.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule]}))
    status, text = invoke("tests", "--profile", "app.json", path)
    assert status == 2
    assert "the profile does not allow it" in text
    told = {HOSTILE: {"allow": ["bind"], "deny": []}}
    value = {"format": "seclude-expectations", "version": 1, "tests": told}
    Path("expected.json").write_text(json.dumps(value))
    assert invoke("tests", "--profile", "app.json", "--expectations", "expected.json", path)[0] == 0
    told["t.py::test_a"] = {"deny": ["socket"]}
    Path("expected.json").write_text(json.dumps(value))
    status, text = invoke("tests", "--expectations", "expected.json", path)
    assert (status, "the test denies it" in text) == (2, True)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": 2}, "version 2, not 1"),
        ({"format": "x"}, "holds no expectations"),
        ({"more": 1}, "other members"),
        ({"tests": {"a": {"x": []}}}, "not an object with allow and deny"),
        ({"tests": {"a": {"deny": "read"}}}, "deny is no list of names"),
        ({"tests": {"a": {"deny": ["raed"]}}}, "no system call is called 'raed'"),
    ],
)
def test_expectations_that_are_wrong(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "expected.json"
    path.write_text(json.dumps({"format": "seclude-expectations", "version": 1, "tests": {}} | change))
    with pytest.raises(SecludeError, match=said):
        expectations.read(str(path))


def test_what_cannot_be_answered(path: str) -> None:
    with pytest.raises(SecludeError, match="no system call is called 'opneat'") as caught:
        invoke("why", "opneat", path)
    assert "openat" in caught.value.hint
    with pytest.raises(Exception, match="RECORDING"):
        invoke("why", "openat")
    Path("none.rec").write_text(store.dumps(recording(call("read", 0.1))))
    with pytest.raises(RecordingError, match="no test is named"):
        invoke("tests", "none.rec")
    assert "nobody made it" in invoke("why", "socket", "none.rec")[1]


def test_many_tests_are_counted_and_cut() -> None:
    names = ("read", "write", "openat", "close")
    calls = [call(name, number / 1000, f"test_{number}|call") for number in range(5000) for name in names]
    found = attribution([recording(*calls)])
    text = plain(tests_command.overview(found, (), ["app.rec"], asked=False))
    assert text.count("\n") < 700
    assert "and 4400 more: JSON has all" in text
    assert len(found.enough) == 1


def test_calls_without_a_name_and_several_recordings() -> None:
    one = recording(call("#575", 0.1, "a"), counted=True)
    answer = why("#575", [one, one])
    text = plain(why_command.overview(answer, ["one.rec", "two\n.rec"], [one, one]))
    assert "two\\n.rec" in text and "TIMES" in text


# The code that made a call


def test_gold_of_why_with_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    frames = (
        Frame(module="/app/t.py", function="test_a\x1b[31m", line=7),
        Frame(
            module="/usr/lib/python3/dist-packages/_pytest/python.py", function="pytest_pyfunc_call", line=159
        ),
    )
    native = (Frame(module="libc.so.6", function="socket", offset=0x10ADC7),)
    values = {"abi": "x86_64", "name": "socket", "tid": 101}
    origins = (
        Origin(context="t.py::test_a|setup", pid=101, python=frames, native=native, **values),
        Origin(context="t.py::test_b|teardown", pid=102, python=frames, native=native, **values),
        Origin(context="t.py::test_b|teardown", pid=103, native=native, **values),
        Origin(context="t.py::test_b|teardown", pid=104, **values),
    )
    Path("app.rec").write_text(store.dumps(replace(RECORDING, origins=origins)))
    assert store.read("app.rec").origins == origins
    status, text = invoke("why", "socket", "app.rec")
    assert status == 0
    assert text == (GOLD / "why-code.txt").read_text()
    _, text = invoke("why", "--format", "json", "socket", "app.rec")
    [first, second] = json.loads(text)["makers"]
    assert [origin["pid"] for origin in first["origins"]] == [101]
    assert [origin["pid"] for origin in second["origins"]] == [102, 103]
    assert second["origins"][1]["native"] == [
        {"module": "libc.so.6", "function": "socket", "offset": 0x10ADC7}
    ]
