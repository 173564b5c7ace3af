"""`seclude check`: what it answers, with which rule and line; its errors name the nearest; its exit status."""

import json

import pytest
from click.testing import CliRunner

from seclude.cli.check import command
from seclude.errors import SecludeError

PROFILE = """{
 "defaultAction": "SCMP_ACT_ERRNO",
 "defaultErrnoRet": 38,
 "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
 "syscalls": [
  {"names": ["read",
             "openat"], "action": "SCMP_ACT_ALLOW"},
  {"names": ["socket"], "action": "SCMP_ACT_ALLOW",
   "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}]},
  {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
  {"name": "chown", "action": "SCMP_ACT_ERRNO", "errnoRet": 1, "excludes": {"caps": ["CAP_CHOWN"]}},
  {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
  {"names": ["dup2"], "action": "SCMP_ACT_LOG", "args": [{"index": 0, "value": 5, "op": "SCMP_CMP_LT"}]},
  {"names": ["dup2"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 3, "op": "SCMP_CMP_EQ"}]}
 ]
}
"""


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(PROFILE)

    def run_(*arguments):
        given = ["--arch", "x86_64", "--kernel", "6.1", *arguments]
        result = CliRunner().invoke(command, [str(path), *given], standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result.return_value, result.output.replace(str(path), "p.json")

    return run_


def answer(run, *arguments):
    return json.loads(run("--json", "--syscall", *arguments)[1])


def test_the_rule_and_its_line(run):
    status, output = run("--syscall", "openat", "--arg", "2=O_RDWR|O_CLOEXEC")
    assert status == 0
    assert output == (
        "openat(0, 0, O_RDWR|O_CLOEXEC, 0o0) on x86_64: SCMP_ACT_ALLOW, allowed\n  by rule 1 (p.json:7): allowed\n"
    )


def test_a_refusal_by_default(run):
    _, output = run("--syscall", "bpf")
    assert "SCMP_ACT_ERRNO (ENOSYS), refused with ENOSYS" in output
    assert "No rule of the profile names bpf" in output


def test_conditions(run):
    assert answer(run, "socket", "--arg", "0=AF_UNIX")["made"] is True
    _, output = run("--syscall", "socket", "--arg", "0=AF_INET")
    assert "Rule 2 allows socket only where arg0 == 0x1; here arg0 is 0x2" in output
    assert "The kernel reads 32 bits of argument 0" in output
    assert answer(run, "socket", "--arg", "0=0x100000001")["made"] is False
    # libseccomp compares the lower half alone for a 32-bit program.
    assert answer(run, "socket", "--arg", "0=1", "--arch", "i386")["made"] is True


def test_rules_of_other_outcomes_that_are_asked_later(run):
    found = answer(run, "dup2", "--arg", "0=3")
    assert (found["action"], found["rule"]["number"]) == ("SCMP_ACT_ALLOW", 7)
    assert [rival["number"] for rival in found["rivals"]] == [6]
    assert "(asked later)" in run("--syscall", "dup2", "--arg", "0=3")[1]


@pytest.mark.parametrize(
    ("caps", "made"),
    [
        ([], False),
        (["CAP_SYS_ADMIN"], True),
        (["sys_admin"], True),
        (["default", "SYS_ADMIN"], True),
        (["all"], True),
        (["none"], False),
    ],
)
def test_capabilities(run, caps, made):
    options = [word for cap in caps for word in ("--cap", cap)]
    assert answer(run, "mount", *options)["made"] is made


def test_the_default_capabilities_are_those_of_docker(run):
    assert len(answer(run, "read")["capabilities"]) == 14
    assert answer(run, "chown")["errno_name"] == "ENOSYS"
    refused = answer(run, "chown", "--cap", "none")
    assert (refused["errno_name"], refused["rule"]["line"]) == ("EPERM", 11)


def test_kernels_and_numbers_of_calls(run):
    assert answer(run, "ptrace", "--kernel", "4.7")["made"] is False
    assert answer(run, "ptrace", "--kernel", "4.8.0-generic")["made"] is True
    assert answer(run, "0")["call"] == "read"


def test_negative_numbers(run):
    assert answer(run, "openat", "--arg", "0=-100")["arguments"][0] == "0xffffff9c"
    assert answer(run, "openat", "--arg", "0=AT_FDCWD")["arguments"][0] == "0xffffff9c"


def test_an_architecture_that_is_not_in_the_filter(run):
    found = answer(run, "read", "--arch", "x32")
    assert (found["action"], found["cause"]) == ("SCMP_ACT_KILL_THREAD", "architecture")


@pytest.mark.parametrize(
    ("expect", "status"),
    [
        ("SCMP_ACT_ERRNO", 0),
        ("errno", 0),
        ("ENOSYS", 0),
        ("enosys", 0),
        ("EPERM", 2),
        ("allow", 2),
        ("SCMP_ACT_KILL", 2),
    ],
)
def test_expectations(run, expect, status):
    assert run("--syscall", "bpf", "--expect", expect)[0] == status


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--syscall", "opnat"], "unknown call 'opnat'", "openat"),
        (["--syscall", "socketcall"], "x86_64 has no call socketcall", "x86"),
        (["--syscall", "99999"], "no call 99999", ""),
        (["--syscall", "read", "--arch", "x87"], "unknown architecture", "x86"),
        (["--syscall", "read", "--cap", "CAP_SYS_ADMN"], "unknown capability", "CAP_SYS_ADMIN"),
        (["--syscall", "read", "--cap", "none", "--cap", "all"], "given with others", ""),
        (["--syscall", "read", "--kernel", "new"], "no kernel version", ""),
        (["--syscall", "read", "--arg", "3=1"], "read has 3 arguments", ""),
        (["--syscall", "read", "--arg", "x"], "not INDEX=VALUE", ""),
        (["--syscall", "read", "--arg", "0=1", "--arg", "0=2"], "given twice", ""),
        (["--syscall", "openat", "--arg", "2=O_RDW"], "did you mean O_RDWR", ""),
        (["--syscall", "openat", "--arg", "0=-99999999999"], "out of range", ""),
        (["--syscall", "read", "--expect", "EPREM"], "unknown action", "EPERM"),
    ],
)
def test_errors(run, arguments, message, hint):
    with pytest.raises(SecludeError) as caught:
        run(*arguments)
    assert message in caught.value.message
    assert hint in caught.value.hint
