"""The command line: exit codes, help, errors on standard error alone, and what it takes to answer --version."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from seclude import __version__
from seclude.cli.commands import COMMANDS

SOURCES = str(Path(__file__).resolve().parents[2] / "src")
START = f"import sys; sys.path.insert(0, {SOURCES!r}); from seclude.cli import main; sys.exit(main())"
PROFILE = '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}'
CALL = {
    "abi": "x86_64",
    "phase": "app",
    "context": "",
    "number": 1,
    "name": "write",
    "first": {"reason": "none"},
}
RECORDING = {
    "format": "seclude-recording",
    "version": 1,
    "created": "2026-01-01T00:00:00Z",
    "duration": 1.0,
    "seclude": "0.1.0",
    "tracer": "ebpf",
    "kernel": "6.1.0",
    "machine": "x86_64",
    "engine": "process",
    "calls": [CALL],
}
HELP = [
    [],
    *([name] for name in COMMANDS),
    *(["hook", name] for name in ("install", "uninstall", "status", "gc")),
]


def seclude(*arguments, **options):
    settings = {"capture_output": True, "text": True, "timeout": 60} | options
    return subprocess.run([sys.executable, "-c", START, *map(str, arguments)], **settings)


def refused(*arguments, status=1):
    """Standard error of a command that ends with an error and says nothing else."""
    done = seclude(*arguments)
    assert (done.returncode, done.stdout) == (status, ""), done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.replace("\n", "").isprintable()
    return done.stderr


@pytest.fixture
def of_nobody():
    """A directory of an ordinary user, which he can reach: pytest's own are root's."""
    with tempfile.TemporaryDirectory() as directory:
        os.chown(directory, 65534, 65534)
        yield Path(directory)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording.json"
    path.write_text(json.dumps(RECORDING))
    return path


class TestVersion:
    def test_it(self):
        done = seclude("--version")
        assert (done.returncode, done.stdout, done.stderr) == (0, f"seclude {__version__}\n", "")

    def test_it_imports_nothing_heavy(self):
        program = (
            f"import sys; sys.path.insert(0, {SOURCES!r}); sys.argv = ['seclude', '--version']\n"
            "from seclude.cli import main\n"
            "main()\n"
            "print(*sys.modules)"
        )
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, check=True
        )
        modules = {name.partition(".")[0] for name in done.stdout.splitlines()[1].split()}
        assert not modules & {"click", "rich", "json", "typing", "dataclasses", "re", "ctypes", "subprocess"}

    def test_no_command_imports_rich_before_it_draws(self, recording):
        program = (
            f"import sys; sys.path.insert(0, {SOURCES!r})\n"
            f"sys.argv = ['seclude', 'show', {str(recording)!r}]\n"
            "from seclude.cli import main\n"
            "main()\n"
            "assert not any(name.startswith('rich') for name in sys.modules)"
        )
        assert subprocess.run([sys.executable, "-c", program], capture_output=True).returncode == 0


class TestHelp:
    @pytest.mark.parametrize("command", HELP, ids=" ".join)
    def test_of_every_command(self, command):
        done = seclude(*command, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith(f"Usage: seclude {' '.join(command)}".rstrip())

    def test_the_commands_are_listed_with_their_summaries(self):
        text = " ".join(seclude("--help").stdout.split())
        for name, summary in COMMANDS.items():
            assert f"{name} {summary}" in text


class TestUsage:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [("recrod", "record"), ("showw", "show"), ("hooks", "hook"), ("generat", "generate")],
    )
    def test_did_you_mean(self, typed, meant):
        assert f"No such command '{typed}'. Did you mean '{meant}'?" in refused(typed)

    def test_nothing_alike(self):
        assert "No such command 'xyzzy'." in refused("xyzzy")
        assert "Did you mean" not in refused("xyzzy")

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("record",), "Missing argument"),
            (("record", "--", "ls"), "nothing would be written"),
            (("record", "-o", "-", "--", "true"), "standard output is no place"),
            (("record", "--recording", "-", "--", "true"), "standard output is no place"),
            (("record", "-o"), "requires an argument"),
            (("run", "ls"), "Missing option"),
            (("generate", "-o", "/tmp/x"), "Missing argument"),
            (("show",), "Missing argument"),
            (("show", "--jsn", "x"), "--json"),
            (("hook", "instal"), "No such command 'instal'"),
        ],
    )
    def test_what_is_wrong_is_said(self, arguments, message):
        assert message in refused(*arguments)

    def test_a_relative_output_is_the_users_own(self, recording, tmp_path):
        done = seclude("generate", "-o", "p.json", recording, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / "p.json").read_text())["syscalls"][0]["names"] == ["write"]

    def test_an_output_beyond_a_link_of_the_users_own(self, recording, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        assert seclude("generate", "-o", tmp_path / "link" / "p.json", recording).returncode == 0
        assert (tmp_path / "real" / "p.json").exists()


class TestErrors:
    def test_a_hint_follows(self, tmp_path):
        lines = refused("show", tmp_path / "none").splitlines()
        assert lines == [
            f"seclude: error: {tmp_path}/none cannot be read: No such file or directory",
            "seclude: hint: check the path",
        ]

    def test_nothing_hostile_gets_through(self, tmp_path):
        path = tmp_path / "\x1b[31mred\u202e"
        assert "\\x1b[31m" in refused("show", path)
        path.write_text('{"defaultAction": "\x7f\\u001b[31m"}')
        refused("show", path)
        refused("run", "-p", path, "--", "true")

    def test_a_profile_that_is_wrong_is_shown_with_a_caret(self, tmp_path):
        path = tmp_path / "p.json"
        path.write_text('{"defaultAction": "SCMP_ACT_ALLOW", "sycalls": []}')
        text = refused("show", path)
        assert f"{path}: line 1, column 37" in text
        assert "\n" + " " * 38 + "^" in text

    def test_what_is_no_file(self, tmp_path):
        assert "is no regular file" in refused("show", tmp_path)
        assert "holds no *.json" in refused("generate", "-o", "/nonexistent/p.json", tmp_path)

    def test_an_output_that_is_not_ours_to_replace(self, recording, tmp_path):
        precious = tmp_path / "precious"
        precious.write_text("precious")
        assert "is no seccomp profile; it is not replaced" in refused("generate", "-o", precious, recording)
        assert "is no seccomp profile; it is not replaced" in refused("record", "-o", precious, "--", "true")
        assert "is no recording; it is not replaced" in refused(
            "record", "--recording", precious, "--", "true"
        )
        assert precious.read_text() == "precious"

    @pytest.mark.skipif(os.geteuid() != 0, reason="changing the user takes root")
    def test_not_root(self, of_nobody):
        # The user may have no right to read this Python, so it is not started anew.
        program = (
            f"import gettext, locale, os, sys; sys.path.insert(0, {SOURCES!r})\n"
            "from seclude.cli import main\n"
            "assert main() == 0\n"
            "os.unlink(sys.argv[-3])\n"
            "os.setgid(65534); os.setuid(65534)\n"
            "print('as nobody', file=sys.stderr)\n"
            "sys.exit(main())"
        )
        words = ["record", "--tracer", "ebpf", "-o", str(of_nobody / "p.json"), "--", "true"]
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        said = done.stderr.partition("as nobody\n")[2]
        assert "permission denied" in said, done.stderr
        assert "run as root" in said
        assert list(of_nobody.iterdir()) == []

    def test_whoever_read_the_output_has_gone(self, recording):
        words = [sys.executable, "-c", START, "show", str(recording)]
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert (done.returncode, done.stderr) == (1, "")


class TestGenerate:
    def test_to_standard_output(self, recording):
        done = seclude("generate", "-o", "-", recording)
        assert json.loads(done.stdout)["syscalls"][0]["names"] == ["write"]
        assert "1 calls from 1 recordings" in done.stderr

    def test_as_json(self, recording, tmp_path):
        done = seclude("generate", "--json", "-o", tmp_path / "p.json", recording)
        assert json.loads(done.stderr) == {
            "calls": ["write"],
            "profile": str(tmp_path / "p.json"),
            "notes": [],
        }
        assert done.stdout == ""

    def test_on_top_of_a_base(self, recording, tmp_path):
        base = tmp_path / "base.json"
        base.write_text(PROFILE)
        done = seclude("generate", "-q", "--from", base, "-o", tmp_path / "p.json", recording)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        rules = json.loads((tmp_path / "p.json").read_text())["syscalls"]
        assert [rule["names"] for rule in rules] == [["read"], ["write"]]

    def test_errno(self, recording, tmp_path):
        assert seclude("generate", "--errno", "ENOSYS", "-o", tmp_path / "p.json", recording).returncode == 0
        assert json.loads((tmp_path / "p.json").read_text())["defaultErrnoRet"] == 38
        assert "unknown errno 'ENOSUCH'" in refused("generate", "--errno", "ENOSUCH", "-o", "-", recording)

    def test_baselines(self, recording):
        done = seclude("generate", "--baseline", "runc,crun", "-o", "-", recording)
        assert {"write", "execve"} <= set(json.loads(done.stdout)["syscalls"][0]["names"])
        assert "no baseline for the runtime 'youki'" in refused(
            "generate", "--baseline", "youki", "-o", "-", recording
        )

    def test_lost_calls(self, recording, tmp_path):
        recording.write_text(json.dumps(RECORDING | {"losses": {"calls": 3}}))
        assert "lost 3 calls" in refused("generate", "-o", tmp_path / "p.json", recording)
        assert not (tmp_path / "p.json").exists()
        done = seclude("generate", "--insist", "-o", tmp_path / "p.json", recording)
        assert (done.returncode, "lost 3 calls" in done.stderr) == (0, True)


class TestHook:
    def places(self, tmp_path):
        return ("--bpffs", tmp_path / "bpffs", "--state-dir", tmp_path / "state")

    def test_status_where_nothing_is(self, tmp_path):
        done = seclude("hook", "status", "--hooks-dir", tmp_path, *self.places(tmp_path), "--json")
        assert done.returncode == 0, done.stderr
        values = json.loads(done.stdout)
        assert (values["hooks_file"], values["loaded"], values["recordings"]) == ("", False, [])
        assert "no BPF file system" in values["unusable"]
        text = seclude("hook", "status", "--hooks-dir", tmp_path, *self.places(tmp_path)).stdout
        assert text.splitlines()[0] == f"hooks file: none in {tmp_path}"

    def test_uninstall(self, tmp_path):
        ours = tmp_path / "seclude.json"
        assert "is not there" in seclude("hook", "uninstall", "--hooks-dir", tmp_path).stderr
        ours.write_text('{"hook": {"args": ["from seclude.hook import main"]}}')
        done = seclude("hook", "uninstall", "--hooks-dir", tmp_path, "--json")
        assert json.loads(done.stderr) == {"removed": True}
        assert not ours.exists()

    @pytest.mark.parametrize("text", ["precious", "{}", '{"hook": {"path": "/bin/true"}}'])
    def test_uninstall_leaves_what_is_not_ours(self, text, tmp_path):
        other = tmp_path / "seclude.json"
        other.write_text(text)
        assert "is no hooks file of seclude" in refused("hook", "uninstall", "--hooks-dir", tmp_path)
        assert other.read_text() == text

    def test_install_wants_a_directory(self, tmp_path):
        assert "there is no directory" in refused("hook", "install", "--hooks-dir", tmp_path / "none")

    def test_gc_where_nothing_is(self, tmp_path):
        done = seclude("hook", "gc", *self.places(tmp_path), "--json")
        assert (done.returncode, json.loads(done.stderr)) == (0, {"removed": []})
