"""`seclude show`: the kind is recognised, analysis and drawing match the gold files, hostile text stays text."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from seclude import store
from seclude.cli import show
from seclude.cli.overview import (
    MOST_CALLS,
    MOST_CONTEXTS,
    Table,
    Words,
    contexts,
    losses,
    made,
    profile_overview,
    recording_overview,
)
from seclude.cli.show import plain
from seclude.errors import ProfileError, RecordingError, SecludeError
from seclude.formats import oci
from seclude.model.frozen import replace
from seclude.model.recording import ArgumentValues, Call, Dropped, FirstSeen, Losses, Recording

GOLD = Path(__file__).parents[1] / "gold"
SOURCES = str(Path(__file__).resolve().parents[2] / "src")
START = f"import sys; sys.path.insert(0, {SOURCES!r}); from seclude.cli import main; sys.exit(main())"
HOSTILE = "\x1b[31m\n[bold]<b>\u202e\x07"


def first(time, comm="ls", **fields):
    values = {
        "pid": 100,
        "tid": 100,
        "executable": "/bin/ls",
        "arguments": (3, 0xFFFF_FFFF_FFFF_FF9C, 0, 0, 0, 0),
    }
    return FirstSeen(time=time, comm=comm, **(values | fields))


def call(name, number, seen, phase="app", context="", abi="x86_64", count=0):
    return Call(abi=abi, phase=phase, context=context, number=number, name=name, first=seen, count=count)


RECORDING = Recording(
    created="2026-01-02T03:04:05Z",
    duration=1.25,
    seclude="0.1.0",
    tracer="ebpf",
    kernel="6.18.44",
    machine="x86_64",
    engine="podman",
    runtime="crun",
    runtime_version="1.8.1",
    image="docker.io/library/debian:12",
    container="0123abc",
    command=("sh", "-c", "ls; exit 3"),
    confined=True,
    no_new_privileges=True,
    counted=True,
    capabilities=("CAP_CHOWN", "CAP_KILL"),
    calls=(
        call("capset", 126, first(0.001, comm="crun", executable=""), phase="runtime", count=1),
        call("execve", 59, first(0.002, comm="crun", executable=""), phase="runtime", count=1),
        call("#575", 575, Dropped(), count=2),
        call("openat", 257, first(0.1), count=10),
        call("openat", 257, first(0.05, tid=101), context="login", count=5),
        call("times", 100, first(0.06), context="login", count=1),
        call("syncfs", 306, first(0.07), context="checkout", count=1),
        call("waitpid", 7, first(0.2), abi="x86", count=1),
        call("mount", 165, first(0.3, result=-1), phase="denied", count=4),
    ),
    arguments=(
        ArgumentValues(abi="x86_64", name="socket", indices=(0, 1), values=((1, 2), (16, 3)), complete=True),
        ArgumentValues(
            abi="x86_64", name="prctl", indices=(0,), values=tuple((n,) for n in range(20)), complete=False
        ),
    ),
    losses=Losses(facts=2, markers=1),
)


def shown(tmp_path, recording):
    """What `seclude show` prints of a recording, which is the same without a terminal for everybody."""
    path = tmp_path / "recording.json"
    path.write_text(store.dumps(recording))
    result = CliRunner().invoke(show.command, [str(path)], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.stdout


class TestKinds:
    def test_a_profile(self):
        assert show.read(str(GOLD / "profile-seed.json")).default_action == "SCMP_ACT_ERRNO"

    def test_a_recording_however_it_is_written(self, tmp_path):
        path = tmp_path / "r"
        value = json.loads(store.dumps(RECORDING))
        path.write_text(json.dumps(dict(reversed(value.items())), indent=4))
        assert show.read(str(path)) == RECORDING

    @pytest.mark.parametrize("text", ["[]", "{}", "3", '{"format": "other"}', '{"defaultaction": "x"}'])
    def test_neither(self, text, tmp_path):
        (tmp_path / "x").write_text(text)
        with pytest.raises(SecludeError, match="is neither a profile nor a recording"):
            show.read(str(tmp_path / "x"))

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ('{"defaultAction": "no"}', ProfileError),
            ('{"syscalls": []}', ProfileError),
            ('{"format": "seclude-recording", "version": 9}', RecordingError),
            ("{", SecludeError),
        ],
    )
    def test_damaged(self, text, error, tmp_path):
        (tmp_path / "x").write_text(text)
        with pytest.raises(error):
            show.read(str(tmp_path / "x"))

    def test_a_profile_that_is_too_large(self, tmp_path, monkeypatch):
        monkeypatch.setattr(oci, "LARGEST", 10)
        (tmp_path / "x").write_text('{"defaultAction": "SCMP_ACT_ALLOW"}')
        with pytest.raises(ProfileError, match="is larger than 10 characters"):
            show.read(str(tmp_path / "x"))


class TestGold:
    @pytest.mark.parametrize("name", ["profile-seed", "profile-extended", "base-conditions"])
    def test_profiles(self, name):
        profile = oci.loads((GOLD / f"{name}.json").read_text(), name)
        self.compare(f"show-{name}.txt", plain(profile_overview(profile, f"{name}.json")))

    def test_a_recording(self):
        self.compare("show-recording.txt", plain(recording_overview(RECORDING, "recording.json")))

    def compare(self, name, text):
        if os.environ.get("UPDATE_GOLD"):
            (GOLD / name).write_text(text)
        assert text == (GOLD / name).read_text(), "UPDATE_GOLD=1 writes it anew"


class TestAnalysis:
    def test_one_entry_for_a_call_of_several_contexts(self):
        [openat] = [each for each in made(RECORDING) if each.name == "openat"]
        assert (openat.contexts, openat.count, openat.first.time, openat.first.tid) == (2, 15, 0.05, 101)

    def test_order(self):
        assert [each.name for each in made(RECORDING)] == [
            *("capset", "execve", "openat", "syncfs", "times", "#575", "waitpid", "mount")
        ]

    def test_contexts_in_order_of_entry(self):
        assert contexts(RECORDING) == {"login": 2, "checkout": 1, "": 3}
        assert list(contexts(RECORDING)) == ["login", "checkout", ""]

    def test_no_table_of_contexts_where_there_is_none(self):
        plainly = replace(RECORDING, calls=RECORDING.calls[:4])
        assert "context" not in plain(recording_overview(plainly, "r"))

    @pytest.mark.parametrize(
        ("lost", "text"),
        [
            (Losses(), "nothing"),
            (Losses(facts=1, executables=2), "1 first time, 2 executables"),
            (Losses(calls=7), "7 calls (no profile is made of this unless insisted upon)"),
        ],
    )
    def test_losses(self, lost, text):
        assert losses(lost) == text

    def test_an_empty_recording(self):
        overview = recording_overview(replace(RECORDING, calls=(), arguments=()), "r")
        assert overview.parts == ()
        assert plain(overview).startswith("recording r\n")

    def test_an_empty_profile(self):
        text = plain(profile_overview(oci.loads('{"defaultAction":"SCMP_ACT_ALLOW"}', "p"), "p"))
        assert text.splitlines() == [
            *(
                "profile p",
                "",
                "  default        ALLOW",
                "  architectures  the machine's own",
                "  rules          0, for 0 calls",
            )
        ]

    def test_a_recording_without_end_is_cut(self):
        seen = first(0.1)
        many = [call(f"#{number}", number, seen) for number in range(1, 3001)]
        many += [call("read", 0, seen, context=f"context-{number}") for number in range(16000)]
        overview = recording_overview(replace(RECORDING, calls=tuple(many)), "r")
        tables = {part.title: part for part in overview.parts}
        assert len(tables["3001 x86_64 calls by the application"].rows) == MOST_CALLS
        assert (
            tables["3001 x86_64 calls by the application"].note
            == f"and {3001 - MOST_CALLS} more: --json has all"
        )
        assert len(tables["16001 contexts"].rows) == MOST_CONTEXTS
        assert len(plain(overview)) < 200_000


class TestJson:
    def values(self, path):
        result = CliRunner().invoke(show.command, ["--json", str(path)], standalone_mode=False)
        assert result.exception is None, result.exception
        assert result.stdout.isascii()
        assert result.stdout.rstrip("\n").isprintable()
        return json.loads(result.stdout)

    def test_a_recording(self, tmp_path):
        path = tmp_path / "r"
        path.write_text(store.dumps(replace(RECORDING, image=HOSTILE)))
        values = self.values(path)
        assert (values["kind"], values["image"], values["contexts"]["login"]) == ("recording", HOSTILE, 2)
        assert values["calls"][0]["first"]["arguments"][1] == "0xffffffffffffff9c"
        assert [each["first"] for each in values["calls"] if each["name"] == "#575"] == [None]
        assert values["lost"] == {"calls": 0, "facts": 2, "contexts": 0, "executables": 0, "markers": 1}
        assert values["arguments"][0]["values"] == [[1, 2], [16, 3]]

    def test_a_profile(self):
        values = self.values(GOLD / "base-conditions.json")
        assert values["kind"] == "profile"
        assert {"action", "errno", "calls", "conditions", "includes", "excludes", "comment"} == set(
            values["rules"][0]
        )


def hostile():
    seen = first(0.1, comm=HOSTILE, executable=HOSTILE)
    calls = (
        call("read", 0, seen, context=HOSTILE),
        call(HOSTILE, 1, replace(seen, time=0.2), phase="denied"),
        call("write", 2, Dropped(reason=HOSTILE)),
    )
    fields = dict.fromkeys(
        (
            "created",
            "seclude",
            "tracer",
            "kernel",
            "machine",
            "engine",
            "runtime",
            "runtime_version",
            "image",
        ),
        HOSTILE,
    )
    values = (ArgumentValues(abi="x86", name=HOSTILE, indices=(0,), values=((1,),), complete=True),)
    return replace(
        RECORDING, calls=calls, arguments=values, command=(HOSTILE,), capabilities=(HOSTILE,), **fields
    )


HOSTILE_PROFILE = json.dumps(
    {
        "defaultAction": "SCMP_ACT_ERRNO",
        "listenerPath": HOSTILE,
        "syscalls": [
            {
                "names": [HOSTILE, "read"],
                "action": "SCMP_ACT_ALLOW",
                "comment": HOSTILE,
                "includes": {"caps": [HOSTILE], "arches": [HOSTILE]},
            }
        ],
    }
)


class TestHostile:
    def test_in_text(self):
        for overview in (
            recording_overview(hostile(), HOSTILE),
            profile_overview(oci.loads(HOSTILE_PROFILE, "p"), HOSTILE),
        ):
            text = plain(overview)
            assert text.replace("\n", "").isprintable()
            assert text.count("\\x1b[31m\\n[bold]<b>\\u202e\\x07") >= 4

    def test_every_text_of_the_analysis_is_printable(self):
        overview = recording_overview(hostile(), HOSTILE)
        for part in overview.parts:
            words = [word for row in part.rows for word in row] if isinstance(part, Table) else part.words
            assert all(word.isprintable() for word in (part.title, *words))
        assert all(text.isprintable() for _, text in overview.facts)

    @pytest.mark.parametrize("width", ["40", "80", "300"])
    def test_on_a_terminal(self, width, tmp_path):
        path = tmp_path / "r"
        path.write_text(store.dumps(hostile()))
        text = on_a_terminal(path, COLUMNS=width)
        assert "\x1b[31m" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
        assert "Traceback" not in text
        if width == "300":
            assert "[bold]<b>" in text

    def test_very_long_names(self, tmp_path):
        long = replace(hostile(), image="x" * 1_000_000, command=("y" * 1_000_000,), container="z" * 10_000)
        assert len(shown(tmp_path, long)) < 20_000


def on_a_terminal(path, **environment):
    """What `seclude show` writes to a terminal."""
    leader, follower = pty.openpty()
    clean = {
        name: value
        for name, value in os.environ.items()
        if name not in ("NO_COLOR", "FORCE_COLOR", "COLORTERM")
    }
    with subprocess.Popen(
        [sys.executable, "-c", START, "show", str(path)],
        stdout=follower,
        stderr=follower,
        env={**clean, "TERM": "xterm-256color", **environment},
    ) as process:
        os.close(follower)
        pieces = []
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(leader)
    assert process.returncode == 0, pieces
    return b"".join(pieces).decode()


class TestTerminal:
    @pytest.fixture
    def path(self, tmp_path):
        (tmp_path / "r.json").write_text(store.dumps(RECORDING))
        return tmp_path / "r.json"

    def test_coloured(self, path):
        text = on_a_terminal(path, COLUMNS="120")
        assert "\x1b[1m" in text
        assert "openat" in text

    def test_no_color(self, path):
        text = on_a_terminal(path, COLUMNS="120", NO_COLOR="1")
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", text)
        assert "openat" in text

    def test_a_narrow_terminal_cuts_no_name_of_a_call(self, path):
        text = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(path, COLUMNS="60"))
        for name in ("capset", "execve", "openat", "syncfs", "waitpid", "mount"):
            assert re.search(rf"^ *{name} ", text, re.M), name
        assert max(len(line.rstrip("\r")) for line in text.split("\n")) <= 60

    def test_a_profile(self):
        text = re.sub(r"\x1b\[[0-9;]*m", "", on_a_terminal(GOLD / "profile-seed.json", COLUMNS="100"))
        assert "rule 1: ALLOW" in text
        assert "set_tid_address" in text


class TestColumns:
    def test_downwards(self):
        words = Words(title="", words=tuple("abcdefg"))
        assert show._columns(words, 11) == ["  a  d  g", "  b  e", "  c  f"]
        assert show._columns(words, 1) == [f"  {letter}" for letter in "abcdefg"]
        assert show._columns(Words(title="", words=()), 80) == ["  (none)"]

    def test_empty_columns_are_left_out(self):
        table = Table(title="", columns=("a", "b", "c"), rows=(("1", "", "3"), ("22", "", "4")), right=("a",))
        assert show._aligned(table) == ["   A  C", "   1  3", "  22  4"]
