"""Test commands as contexts: lines to commands with names, recordings joined, results as TAP and JUnit's XML."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude import store
from seclude.analyse.attribution import attribution, split, surprises
from seclude.cli.contexts import summary, surprised
from seclude.cli.results import Tap, junit, looks_like_junit
from seclude.errors import EngineError, RecordingError, SecludeError
from seclude.joining import Joining, in_context
from seclude.marking import LONGEST
from seclude.model.denial import Denial
from seclude.model.frozen import replace
from seclude.model.recording import OVERFLOW, ArgumentValues, Call, Dropped, FirstSeen, Losses, Recording
from seclude.session import Settings
from seclude.suite import Command, Ended, Suite, SuiteRecorder, lines, named, words
from seclude.syscalls import number_of

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
START = f"import sys; sys.path.insert(0, {SOURCES!r}); from seclude.cli import main; sys.exit(main())"
HOSTILE = "t\x1b[31m # SKIP\n<x>&\"'\u202e]]>\x00\ufffe\udc80"


def seclude(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    settings = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([sys.executable, "-c", START, *map(str, arguments)], **settings)  # type: ignore[call-overload, no-any-return]


def call(name: str, time: float | None = 0.5, context: str = "", phase: str = "app", count: int = 0) -> Call:
    first = (
        Dropped()
        if time is None
        else FirstSeen(time=time, pid=1, tid=1, comm="x", executable="/x", arguments=(0,) * 6)
    )
    number = number_of("x86_64", name)
    assert number is not None
    return Call(
        abi="x86_64", phase=phase, context=context, number=number, name=name, first=first, count=count
    )


def recording(*calls: Call, **more: object) -> Recording:
    values: dict[str, object] = {
        "created": "2026-01-02T03:04:05Z",
        "duration": 2.0,
        "seclude": "0.1.0",
        "tracer": "ebpf",
        "kernel": "6.18.44",
        "machine": "x86_64",
        "engine": "process",
        "calls": calls,
    }
    return Recording(**(values | more))  # type: ignore[arg-type]


def joined(*recordings: Recording, most_calls: int = 1000) -> Recording:
    joining = Joining(most_calls)
    for number, each in enumerate(recordings):
        joining.add(each, f"command {number}")
    return joining.recording()


def suite(*ended: Ended, interrupted: bool = False) -> Suite:
    return Suite(ended=ended, recording=recording(call("read")), interrupted=interrupted)


# Commands


def test_lines() -> None:
    text = "# comment\n\nls /\n  sh -c 'a && b' \r\n\t# more\nx '' é\n"
    assert lines(text, "t") == [("ls", "/"), ("sh", "-c", "a && b"), ("x", "", "é")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no command"),
        ("\n# ls\n\n", "has no command"),
        ("ls\nl\0s", "line 2 has a NUL byte"),
        ("ls 'x", "line 1 cannot be split into words: no closing quotation"),
        ("a && b", "has '&&', but no shell reads it"),
        ("a > b", "has '>', but no shell reads it"),
        ("''", "names no command"),
        ("x" * 5000, "has 5000 characters, a command has at most 4096"),
    ],
)
def test_lines_that_are_wrong(text: str, said: str) -> None:
    with pytest.raises(SecludeError, match=re.escape(said)) as caught:
        lines(text, "t")
    assert caught.value.hint


def test_names_are_distinct() -> None:
    commands = named([("ls",), ("ls",), ("ls (2)",), ("ls",), ("ls", "(2)")])
    names = [command.name for command in commands]
    assert names[:2] == ["ls", "ls (2)"]
    assert len(set(names)) == 5
    assert [command.words for command in commands][3] == ("ls",)


def test_names_that_mean_something_else() -> None:
    for word in (OVERFLOW, "x|call", "x|setup"):
        (command,) = named([(word,)])
        assert command.name != OVERFLOW and split(command.name)[1] == ""


@given(st.lists(st.lists(st.text(min_size=1), min_size=1, max_size=3), min_size=1, max_size=20))
def test_names_are_names(commands: list[list[str]]) -> None:
    found = named([tuple(each) for each in commands])
    names = [command.name for command in found]
    assert len(set(names)) == len(commands)
    for name in names:
        assert len(name.encode()) <= LONGEST and name.isprintable() and name != OVERFLOW


def test_long_names_stay_apart() -> None:
    found = named([("x" * 300 + "a",), ("x" * 300 + "b",), ("x" * 300 + "b",)])
    assert len({command.name for command in found}) == 3


def test_there_are_not_too_many() -> None:
    assert len(named([("ls",)] * 1000)) == 1000
    with pytest.raises(SecludeError, match="10000 commands are given, at most 1000"):
        named([("ls",)] * 10000)


# What can be recorded, before anything runs


@pytest.mark.parametrize(
    ("prefix", "commands", "said"),
    [
        (("docker", "run", "-d", "x"), ["ls"], "detached"),
        (("podman", "run", "-d", "x"), ["ls"], "detached"),
        (("podman", "ps"), ["ls"], "starts no container"),
        (("podman", "run", "--name", "a", "x"), ["ls", "pwd"], "--name allows one only"),
        (("docker", "run", "--name", "a", "x"), ["ls", "pwd"], "--name allows one only"),
        (("podman", "run", "--cidfile=a", "x"), ["ls", "pwd"], "--cidfile allows one only"),
        ((), ["ls", "podman run x"], "not run by the same engine"),
    ],
)
def test_what_cannot_be_recorded(prefix: tuple[str, ...], commands: list[str], said: str) -> None:
    found = named([words(each, "t") for each in commands])
    with pytest.raises(EngineError, match=said):
        SuiteRecorder(found, prefix, Settings(), arguments={})


def test_names_of_containers_that_are_removed() -> None:
    found = named([("ls",), ("pwd",)])
    for more in (["--rm"], ["--replace"]):
        SuiteRecorder(found, ["podman", "run", "--name", "a", *more, "x"], Settings(), arguments={})
    SuiteRecorder(found[:1], ["podman", "run", "--name", "a", "x"], Settings(), arguments={})


def test_the_status_is_that_of_the_first_failure() -> None:
    fine, first, second = (Ended(name=str(status), status=status, seconds=0) for status in (0, 3, 4))
    assert suite(fine, first, second).status == 3
    assert suite(fine).status == 0
    assert suite(fine, interrupted=True).status == 130


# Joining


def test_each_command_is_a_context() -> None:
    whole = joined(
        recording(call("execve", 0.1, phase="runtime"), call("read", 0.2, count=2), call("write", 0.3)),
        recording(
            call("execve", 0.1, phase="runtime"), call("read", 0.2, count=3), call("write", 0.3, "t|call")
        ),
    )
    assert [(each.phase, each.name, each.context) for each in whole.calls] == [
        ("runtime", "execve", ""),
        ("app", "read", "command 0"),
        ("app", "read", "command 1"),
        ("app", "write", "command 0"),
        ("app", "write", "t|call"),
    ]
    times = [each.first.time for each in whole.calls if isinstance(each.first, FirstSeen)]
    assert times == [0.1, 0.2, 2.2, 0.3, 2.3]
    assert whole.duration == 4.0
    assert store.loads(store.dumps(whole), "x") == whole
    assert [test.name for test in attribution([whole]).tests] == ["command 0", "command 1", "t"]


def test_a_test_of_two_commands_is_one() -> None:
    whole = joined(
        recording(call("read", None, "t", count=1), call("write", 0.5, "t", count=1)),
        recording(call("read", 0.5, "t", count=2), call("write", 0.1, "t", count=2)),
    )
    assert [(each.name, each.count) for each in whole.calls] == [("read", 3), ("write", 3)]
    firsts = [each.first for each in whole.calls]
    assert [first.time for first in firsts if isinstance(first, FirstSeen)] == [2.5, 0.5]


def test_runs_that_differ() -> None:
    whole = joined(
        recording(
            command=("podman", "a"),
            no_new_privileges=True,
            capabilities=("CAP_KILL",),
            container="x",
            losses=Losses(calls=1, markers=2),
        ),
        recording(command=("podman", "b"), capabilities=("CAP_CHOWN",), losses=Losses(calls=2)),
    )
    assert (whole.command, whole.no_new_privileges, whole.container) == (("podman",), False, "")
    assert whole.capabilities == ("CAP_KILL", "CAP_CHOWN")
    assert whole.losses == Losses(calls=3, markers=2)
    with pytest.raises(RecordingError, match="engine 'podman'"):
        joined(recording(), recording(engine="podman"))
    with pytest.raises(RecordingError, match="nothing was recorded"):
        joined()


def test_contexts_beyond_the_limit() -> None:
    contexts = [recording(call("read", 0.1, f"test {number}")) for number in range(5)]
    whole = joined(*contexts, recording(call("write")), most_calls=3)
    assert {each.context for each in whole.calls} == {"test 0", "test 1", "test 2", OVERFLOW}
    assert whole.names() == {"read", "write"}
    assert whole.losses.contexts == 3


def test_values_of_arguments() -> None:
    def kept(*values: int, complete: bool = True) -> ArgumentValues:
        each = tuple((value,) for value in values)
        return ArgumentValues(abi="x86_64", name="socket", indices=(0,), values=each, complete=complete)

    made = call("socket")
    whole = joined(recording(made, arguments=(kept(1, 2),)), recording(made, arguments=(kept(2, 3),)))
    assert whole.arguments == (kept(1, 2, 3),)
    for others in (
        [recording(made, arguments=(kept(1),)), recording(made, arguments=(kept(2, complete=False),))],
        [recording(made), recording(made, arguments=(kept(1),))],
        [recording(made, arguments=(kept(1),)), recording(made)],
    ):
        (found,) = joined(*others).arguments
        assert not found.complete
    (found,) = joined(recording(made, arguments=(kept(1),)), recording(call("read"))).arguments
    assert found.complete
    (found,) = joined(*(recording(made, arguments=(kept(number),)) for number in range(1100))).arguments
    assert len(found.values) == 1024 and not found.complete


def test_refused_calls_have_their_command() -> None:
    denial = Denial(
        action="SCMP_ACT_ERRNO",
        data=1,
        abi="x86_64",
        number=0,
        name="read",
        arguments=(0,) * 6,
        pid=1,
        tid=1,
        comm="x",
        executable="/x",
        count=1,
        first=1.0,
        last=1.0,
    )
    named_one = in_context(
        recording(call("read", phase="denied"), denials=(denial, replace(denial, context="t"))), "c"
    )
    assert [each.context for each in named_one.calls] == ["c"]
    assert [each.context for each in named_one.denials] == ["c", "t"]


# Results


def tapped(*ended: Ended, number: int | None = None) -> str:
    stream = io.StringIO()
    tap = Tap(stream, len(ended) if number is None else number)
    tap.begin()
    for each in ended:
        tap.tell(each)
    tap.finish()
    return stream.getvalue()


def test_tap() -> None:
    text = tapped(
        Ended(name="ls /", status=0, seconds=1), Ended(name="x # y\\", status=3, seconds=1, reason='no "x"')
    )
    assert text == (
        "TAP version 14\n1..2\nok 1 - ls /\nnot ok 2 - x \\# y\\\\\n"
        '  ---\n  exitstatus: 3\n  reason: "no \\"x\\""\n  ...\n'
    )
    assert tapped(number=2).endswith("Bail out! not all commands were run\n")


def test_hostile_names_in_tap() -> None:
    text = tapped(Ended(name=HOSTILE, status=1, seconds=0, reason=HOSTILE * 1000))
    assert text.replace("\n", "").isprintable()
    assert len(text.splitlines()) == 7 and len(text) < 10_000
    assert not re.search(r"(?<!\\)#", text.splitlines()[2])


def test_whoever_reads_tap_may_go() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", closefd=True) as stream:
        tap = Tap(stream, 1)
        tap.begin()
        tap.tell(Ended(name="x", status=0, seconds=0))
        tap.finish()
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # what is buffered goes somewhere


def test_junit() -> None:
    commands = [Command(name=name, words=("x",)) for name in ("a", "b", HOSTILE)]
    told = suite(
        Ended(name="a", status=0, seconds=0.25), Ended(name="b", status=127, seconds=0.5, reason=HOSTILE)
    )
    text = junit(replace(told, interrupted=True), commands)
    root = ElementTree.fromstring(text)
    (found,) = root
    counts = {name: found.get(name) for name in ("tests", "failures", "errors", "skipped", "time")}
    assert counts == {"tests": "3", "failures": "1", "errors": "0", "skipped": "1", "time": "0.750"}
    assert [case.get("name") for case in found][:2] == ["a", "b"]
    assert [[child.tag for child in case] for case in found] == [[], ["failure"], ["skipped"]]
    assert text.replace("\n", "").isprintable()
    assert looks_like_junit(text) and not looks_like_junit("<?xml?><html/>")


# What a run says at its end


def test_the_line_about_tests() -> None:
    found = attribution(
        [recording(call("read", context="a"), call("sync", context="a"), call("read", context="b"))]
    )
    assert summary(found, "x.rec") == (
        "2 calls by 2 tests; 1 by one test only: sync (a); `seclude tests x.rec` has all"
    )
    assert "keep --recording FILE" in summary(found, "")
    many = attribution(
        [
            recording(
                *(
                    call(name, context=HOSTILE)
                    for name in ("read", "sync", "tee", "dup", "pipe", "bpf", "kill")
                )
            )
        ]
    )
    text = summary(many, "")
    assert "and 2 more" in text and text.isprintable() and len(text) < 1000


def test_the_lines_about_new_calls() -> None:
    found = attribution([recording(*(call("sync", context=f"{HOSTILE}{number}") for number in range(50)))])
    said = surprised(surprises(found, frozenset(), {}))
    assert len(said) == 41 and said[-1].startswith("and 10 tests more")
    assert all(line.isprintable() for line in said)


# The command line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--per-command", "none.txt"), "none.txt cannot be read"),
        (("--per-command", "."), "is no regular file"),
        (("--test", ""), "names no command"),
        (("--test", "a | b"), "no shell reads it"),
        (("--tap",), "--tap is about several test commands"),
        (("--junit", "j.xml"), "--junit is about several test commands"),
        (("--test", "ls", "--junit", "precious"), "is no file of JUnit's; it is not replaced"),
        (("--fail-on-new", "precious"), "precious"),
        (("--expectations", "precious"), "precious"),
    ],
)
def test_what_is_refused(tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    (tmp_path / "precious").write_text("precious")
    done = seclude("record", "-o", "p.json", *options, "--", "touch", "ran", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert said in done.stderr and "Traceback" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["precious"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "standard input has no command"),
        (b"ls\xff", "standard input is not UTF-8 text: byte 2"),
        (b"l\0s", "standard input, line 1 has a NUL byte"),
        (b"ls\n" * 10000, "10000 commands are given"),
        (b"# " + b"x" * 2**20, "is larger than 1048576 bytes"),
    ],
)
def test_commands_from_standard_input(tmp_path: Path, data: bytes, said: str) -> None:
    done = seclude("record", "-o", "p.json", "--per-command", "-", cwd=tmp_path, input=data, text=False)
    assert done.returncode == 1 and said.encode() in done.stderr, done
    assert not os.listdir(tmp_path)


def test_nothing_could_be_run(tmp_path: Path) -> None:
    done = seclude("record", "--json", "-o", "p.json", "--test", "nosuch-command", cwd=tmp_path)
    assert done.returncode == 1 and "nothing was recorded: 'nosuch-command' is no command" in done.stderr
    assert not os.listdir(tmp_path)
