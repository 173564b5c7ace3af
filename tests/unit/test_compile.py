"""`seclude compile`: what it says of differences, how it writes, and how a weak libseccomp is told."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from seclude import compilation
from seclude.analyse.faithful import AMBIGUOUS, MULTIPLEXED, UNNAMED, Comparison, Difference
from seclude.cli import compile as compile_command
from seclude.cli.capabilities import capabilities
from seclude.cli.compile import MOST_SHOWN, differences, notes, write
from seclude.errors import OutputError, SecludeError
from seclude.formats.bpf import Program
from seclude.model.capabilities import DEFAULT_CAPABILITIES
from seclude.model.profile import Profile

GOLD = Path(__file__).parents[1] / "gold"
ALLOW, EPERM = ("SCMP_ACT_ALLOW", 0), ("SCMP_ACT_ERRNO", 1)


def difference(name, meant, done, abi="x86_64", arguments=(0,) * 6, **fields):
    return Difference(abi=abi, name=name, number=1, arguments=arguments, meant=meant, done=done, **fields)


FOUND = Comparison(
    calls=9,
    differences=(
        difference("kill", ALLOW, ("SCMP_ACT_KILL_PROCESS", 0)),
        difference("getppid", EPERM, ("SCMP_ACT_ERRNO", 38), count=3),
        difference("clone", EPERM, ALLOW, arguments=(0x1000_0000, 0, 7, 0, 0, 0), reason=AMBIGUOUS),
        difference("socketcall", EPERM, ("SCMP_ACT_TRACE", 5), "x86", (1, 0, 0, 0, 0, 0), reason=MULTIPLEXED),
        difference("mseal", EPERM, ("SCMP_ACT_LOG", 0), "x32", reason=UNNAMED, count=2),
        difference("statmount", ALLOW, EPERM, "x86", reason=UNNAMED, expected=True),
        difference("ipc", EPERM, ALLOW, "x86", reason=MULTIPLEXED, expected=True),
    ),
    thinned=("ioctl",),
)
PROFILE = Profile(default_action="SCMP_ACT_ALLOW", flags=("SECCOMP_FILTER_FLAG_LOG",), listener_path="/x")


def test_differences_and_notes_as_expected():
    lines = [*differences(FOUND), "", *notes(PROFILE, FOUND)]
    assert "\n".join(lines) + "\n" == (GOLD / "compile-differences.txt").read_text()


def test_differences_are_bounded():
    many = Comparison(calls=1, differences=tuple(difference(f"c{each}", ALLOW, EPERM) for each in range(50)))
    lines = differences(many)
    assert len(lines) == MOST_SHOWN + 1
    assert lines[-1] == f"and {50 - MOST_SHOWN} more differences"


def test_writing(tmp_path, monkeypatch):
    target = tmp_path / "filter.bpf"
    target.write_bytes(b"old")
    write(b"new", str(target))
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]
    monkeypatch.chdir(tmp_path)
    write(b"newer", "filter.bpf")
    assert target.read_bytes() == b"newer"


def test_where_nothing_can_be_written(tmp_path):
    for path in (tmp_path, "/dev/null", tmp_path / "none" / "f"):
        with pytest.raises(OutputError, match=r"no regular file|cannot be written"):
            write(b"x", str(path))
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "filter.bpf"
    target.write_bytes(b"old")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write(b"new", str(target))
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_it_needs_something_to_do():
    result = CliRunner().invoke(compile_command.command, ["seccomp.json"])
    assert result.exit_code == 2
    assert "give -o FILE, --disassemble, or both" in result.output


def test_capabilities():
    assert capabilities(()) == tuple(sorted(DEFAULT_CAPABILITIES))
    assert capabilities(("none",)) == ()
    assert capabilities(("sys_admin",)) == ("CAP_SYS_ADMIN",)
    assert len(capabilities(("default", "CAP_SYS_ADMIN"))) == len(DEFAULT_CAPABILITIES) + 1
    assert len(capabilities(("all",))) > 40
    for words, message in ((("CAP_SYS_ADMN",), "CAP_SYS_ADMIN"), (("none", "all"), "with others")):
        with pytest.raises(SecludeError, match=message):
            capabilities(words)


def _probe(below):
    """What libseccomp makes of the probe: `below` is the answer where the upper half is smaller than the rules'."""
    return Program(
        instructions=(
            (0x20, 0, 0, 20),
            (0x25, 6, 0, 2),
            (0x15, 0, 3, 2),
            (0x20, 0, 0, 16),
            (0x25, 2, 0, 5),
            (0x06, 0, 0, 0x0005_0001),
            (0x06, 0, 0, below),
            (0x06, 0, 0, 0x7FFF_0000),
            (0x06, 0, 0, 0x8000_0000),
        )
    )


@pytest.mark.parametrize(("below", "weak"), [(0x7FFF_0000, True), (0x0005_0001, False)])
def test_a_libseccomp_that_weakens_filters_is_told_by_a_filter(below, weak, monkeypatch):
    monkeypatch.setattr(compilation, "compiled", lambda profile, environment: _probe(below))
    monkeypatch.setattr(compilation.libseccomp, "version", lambda: "2.5.4")
    told = compilation.weak_library("x86_64")
    assert bool(told) == weak
    assert told in ("", "libseccomp 2.5.4 merges comparisons of 64 bits wrongly (GHSA-4q85-33p6-j5g6)")
    assert compilation.weak_library("i686") == ""
