"""`seclude verify` on plain processes: proofs, denials with cause, stack and remedy, statuses, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from plain import SECLUDE, profile_of, record, run

from seclude import store, syscalls

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="recording takes root"),
]
EVERY = syscalls.names("x86_64")


def verify(
    profile: Path, *command: str | Path, options: tuple[str, ...] = ()
) -> tuple[int, dict[str, Any], str]:
    """(exit status, the result as JSON, the command's own standard output) of a verification."""
    done = run(*SECLUDE, "verify", "-p", profile, "--json", *options, "--", *command)
    lines = [line for line in done.stderr.splitlines() if line.startswith("{")]
    assert lines, done.stderr
    return done.returncode, json.loads(lines[-1]), done.stdout


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The profile of `ls /`."""
    return record(tmp_path_factory.mktemp("ls"), "ls", "/").profile


class TestClean:
    def test_what_was_recorded_runs(self, listed: Path) -> None:
        status, result, out = verify(listed, "ls", "/", options=("--repeat", "3"))
        assert (status, result["clean"], result["denied"], result["lost"]) == (0, True, [], 0)
        assert (result["statuses"], result["expected"]) == ([0, 0, 0], 0)
        assert result["used"] == result["allowed"]
        assert result["unused"] == []
        assert out.count("etc") >= 4  # its output passes through, each time

    def test_for_people(self, listed: Path) -> None:
        done = run(*SECLUDE, "verify", "-p", listed, "--", "ls", "/")
        assert done.returncode == 0
        calls = len(json.loads(listed.read_text())["syscalls"][0]["names"])
        assert f"{calls} calls allowed, {calls} used, 0 denied, exit status as without (0)" in done.stderr

    def test_calls_that_were_never_made_are_named(self, tmp_path: Path) -> None:
        status, result, _ = verify(profile_of(tmp_path / "p.json", *EVERY), "true")
        assert (status, result["clean"]) == (0, True)
        assert {"ptrace", "mount"} <= set(result["unused"])
        assert set(result["used"]) | set(result["unused"]) == set(result["allowed"]) == EVERY

    def test_a_status_that_is_not_zero_is_as_without(self, tmp_path: Path) -> None:
        status, result, _ = verify(profile_of(tmp_path / "p.json", *EVERY), "sh", "-c", "exit 7")
        assert (status, result["statuses"], result["expected"]) == (0, [7], 7)

    def test_an_expected_status_spares_a_run(self, listed: Path, tmp_path: Path) -> None:
        program = f"echo run >>{tmp_path}/log; exit 3"
        profile = profile_of(tmp_path / "p.json", *EVERY)
        status, result, _ = verify(profile, "sh", "-c", program, options=("--expect-status", "3"))
        assert (status, (tmp_path / "log").read_text()) == (0, "run\n")
        status, result, _ = verify(profile, "sh", "-c", program, options=("--expect-status", "4"))
        assert (status, result["clean"], result["denied"]) == (2, False, [])


class TestDenied:
    def test_a_call_without_a_rule(self, tmp_path: Path) -> None:
        directory = tmp_path / "made"
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"mkdir", "mkdirat"}))
        done = run(*SECLUDE, "verify", "-p", profile, "--", "mkdir", directory)
        assert done.returncode == 2
        directory.rmdir()  # the run without the profile made it
        lines = done.stderr.splitlines()
        [index] = [index for index, line in enumerate(lines) if "denied: mkdir(" in line]
        assert lines[index].endswith(", 0o777): EPERM, once")
        text = "\n".join(lines[index:])
        assert "process  mkdir (/usr/bin/mkdir), pid " in text
        assert "native   libc.so.6+" in text
        assert "cause    no rule" in text
        assert "remedy   record a run that makes it" in text
        assert "1 denied, exit status 1, 0 without the profile" in text

    def test_the_functions_are_named(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"mkdir", "mkdirat"}))
        _, result, _ = verify(profile, "mkdir", tmp_path / "made")
        [denial] = result["denials"]
        assert denial["native"][0]["function"] == "mkdir"

    def test_arguments_that_no_rule_allows(self, tmp_path: Path, workloads: Path) -> None:
        path = tmp_path / "p.json"
        profile = json.loads(profile_of(path, *(EVERY - {"socket"})).read_text())
        condition = {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}
        profile["syscalls"].append({"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [condition]})
        path.write_text(json.dumps(profile))
        program = "import socket; socket.socket(socket.AF_UNIX); socket.socket(socket.AF_INET)"
        status, result, _ = verify(path, sys.executable, "-c", program)
        [denied] = result["denied"]
        assert (status, denied["call"], denied["count"], denied["cause"]) == (2, "socket", 1, "arguments")
        assert "other arguments" in denied["remedy"]
        assert result["denials"][0]["arguments"][0] == 2

    @pytest.mark.parametrize("action", ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_LOG"])
    def test_rules_of_every_kind(self, tmp_path: Path, action: str) -> None:
        path = tmp_path / "p.json"
        rule = {"names": ["mkdir", "mkdirat"], "action": action}
        path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}))
        status, result, _ = verify(path, "sh", "-c", f"rmdir {tmp_path}/d 2>/dev/null; mkdir {tmp_path}/d")
        [denial] = result["denials"]
        assert (denial["action"], denial["comm"]) == (action, "mkdir")
        if action == "SCMP_ACT_LOG":
            assert (status, result["denied"]) == (0, [])
        else:
            assert (status, [each["cause"] for each in result["denied"]]) == (2, ["rule"])
            assert result["statuses"] == [159]

    def test_an_exec_that_is_refused(self, tmp_path: Path) -> None:
        status, result, _ = verify(profile_of(tmp_path / "p.json", *(EVERY - {"execve"})), "true")
        assert (status, result["statuses"], result["expected"]) == (2, [126], 0)
        assert [each["call"] for each in result["denied"]] == ["execve"]

    def test_a_32_bit_call_names_the_architecture(self, tmp_path: Path, workloads: Path) -> None:
        # libseccomp answers calls of an architecture that is not in the filter by killing.
        status, result, _ = verify(profile_of(tmp_path / "p.json", *EVERY), workloads / "compat")
        [denied] = result["denied"]
        assert (status, denied["cause"]) == (2, "architecture")
        assert "architecture of x86 calls" in denied["remedy"]

    def test_the_test_that_made_the_call(self, tmp_path: Path, workloads: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"syncfs", "times"}))
        _, result, _ = verify(profile, workloads / "contexts")
        assert ("times", "login") in {(denial["name"], denial["context"]) for denial in result["denials"]}

    def test_the_test_even_where_the_marker_is_refused(self, tmp_path: Path, workloads: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"syncfs", "times", "prctl"}))
        _, result, _ = verify(profile, workloads / "contexts")
        assert ("times", "login") in {(denial["name"], denial["context"]) for denial in result["denials"]}
        assert "prctl" not in {each["call"] for each in result["denied"]}

    def test_denials_of_several_processes_are_one(self, tmp_path: Path, workloads: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"getsid"}))
        program = f"for i in 1 2 3; do {workloads}/refused 0x7fff0000 plain 5; done"
        _, result, _ = verify(profile, "sh", "-c", program)
        [denied] = result["denied"]
        assert (denied["call"], denied["count"], denied["processes"]) == ("getsid", 15, 3)

    def test_what_is_printed_is_what_explain_reads(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"mkdir", "mkdirat"}))
        _, result, _ = verify(profile, "mkdir", tmp_path / "made")
        text = "\n".join(json.dumps(denial) for denial in result["denials"])
        [denial] = store.loads_denials(text, "it")
        assert (denial.name, denial.refused) == ("mkdir", True)

    def test_python_code_is_named(self, tmp_path: Path) -> None:
        program = tmp_path / "program.py"
        program.write_text(
            "import os\ndef inner():\n    os.getsid(0)\ndef outer():\n    inner()\n"
            "try:\n    outer()\nexcept OSError:\n    pass\n"
        )
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"getsid"}))
        done = run(*SECLUDE, "verify", "-p", profile, "--", sys.executable, program)
        assert done.returncode == 2
        assert f"python   {program}:3 inner" in done.stderr
        assert f"{program}:5 outer" in done.stderr

    def test_without_stacks_nothing_is_stopped(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"getsid"}))
        program = "import os\ntry: os.getsid(0)\nexcept OSError: pass"
        _, result, _ = verify(profile, sys.executable, "-c", program, options=("--no-stacks",))
        [denial] = result["denials"]
        assert "python" not in denial
        assert denial["native"][0]["module"].startswith("libc")

    def test_hostile_names(self, tmp_path: Path, workloads: Path) -> None:
        name = tmp_path / "\x1b[31m<b>$(id)\n::set-output"
        name.write_bytes((workloads / "refused").read_bytes())
        name.chmod(0o755)
        profile = profile_of(tmp_path / "p.json", *(EVERY - {"getsid"}))
        done = run(*SECLUDE, "verify", "-p", profile, "--", name, "0x7fff0000", "plain")
        assert done.returncode == 2
        assert "\x1b" not in done.stderr
        assert "\n::set-output" not in done.stderr


class TestBadInput:
    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (None, "cannot be read: No such file"),
            ("", "line 1"),
            ("{}", "defaultAction"),
            ('{"defaultAction": "SCMP_ACT_NONE"}', "SCMP_ACT_NONE"),
            ('{"defaultAction": "SCMP_ACT_NOTIFY"}', "SCMP_ACT_NOTIFY needs an agent"),
        ],
    )
    def test_profiles(self, tmp_path: Path, text: str | None, said: str) -> None:
        path = tmp_path / "p.json"
        if text is not None:
            path.write_text(text)
        done = run(*SECLUDE, "verify", "-p", path, "--", "true")
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr

    def test_calls_that_this_kernel_lacks_are_passed_over(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", *EVERY, "from_the_future", "riscv_flush_icache")
        status, result, _ = verify(profile, "true")
        assert (status, "from_the_future" in result["allowed"]) == (0, False)

    @pytest.mark.parametrize(
        ("command", "said"),
        [
            (("no-such-command-here",), "'no-such-command-here' is no command that can be run"),
            (("/etc/passwd",), "'/etc/passwd' is no command that can be run"),
            ((), "Missing argument"),
        ],
    )
    def test_commands(self, tmp_path: Path, command: tuple[str, ...], said: str) -> None:
        done = run(*SECLUDE, "verify", "-p", profile_of(tmp_path / "p.json", "read"), "--", *command)
        assert (done.returncode, said in done.stderr) == (1, True), done.stderr

    def test_repeats(self, tmp_path: Path) -> None:
        profile = profile_of(tmp_path / "p.json", "read")
        done = run(*SECLUDE, "verify", "-p", profile, "--repeat", "0", "--", "true")
        assert (done.returncode, "0 is not in the range" in done.stderr) == (1, True)

    def test_not_root(self, tmp_path: Path) -> None:
        profile = profile_of(Path("/tmp") / f"seclude-test-{os.getpid()}.json", *EVERY)
        try:
            before = ("setpriv", "--reuid=65534", "--clear-groups")
            done = run(*before, *SECLUDE, "verify", "--tracer", "ebpf", "-p", profile, "--", "true")
        finally:
            profile.unlink()
        assert done.returncode == 1
        assert "run as root" in done.stderr


def test_nothing_is_left(tmp_path: Path) -> None:
    profile = profile_of(tmp_path / "p.json", *(EVERY - {"getsid"}))
    before = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
    verify(profile, "sh", "-c", "true")
    after = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert after.count(str(profile)) == before.count(str(profile)) == 0
