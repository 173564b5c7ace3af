"""`seclude explain`: what denials and texts come to with profiles, recordings, containers; hostile input is text."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from seclude import store
from seclude.analyse.explain import Known, explain_denials, neighbours
from seclude.analyse.guess import explain_message
from seclude.analyse.messages import read_message
from seclude.cli import explain
from seclude.cli.confinement import Answer, confinement
from seclude.cli.explain import of_container, plain, read_denials, values
from seclude.errors import EngineError, ProfileError, RecordingError
from seclude.formats import oci
from seclude.model.denial import Denial
from seclude.model.environment import Environment
from seclude.model.frozen import replace
from seclude.model.recording import Call, Dropped, Losses, Recording

GOLD = Path(__file__).parents[1] / "gold"
HOSTILE = "\x1b[31m\n[bold]\u202e\x07"
CAPS = ("CAP_CHOWN", "CAP_KILL")

PROFILE = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["read", "openat", "clone", "newfstatat", "exit_group"], "action": "SCMP_ACT_ALLOW"},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}],
        },
        {"names": ["ptrace"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
    ],
}


def profile(**fields):
    return oci.loads(json.dumps(PROFILE | fields), "p.json")


def known(recordings=(), **fields):
    return Known(
        environment=Environment(machine="x86_64", kernel="6.18.44", capabilities=CAPS),
        profile=profile(**fields),
        source="p.json",
        recordings=tuple(recordings),
    )


def denial(name, number, arguments=(), abi="x86_64", errno=1, **fields):
    values = {
        "action": "SCMP_ACT_ERRNO",
        "data": errno,
        "pid": 100,
        "tid": 100,
        "comm": "app",
        "executable": "/usr/bin/app",
        "count": 1,
        "first": 1.0,
        "last": 2.0,
    }
    padded = (*arguments, *(0,) * (6 - len(arguments)))
    return Denial(abi=abi, number=number, name=name, arguments=padded, **(values | fields))


def recording(*calls, **fields):
    return Recording(
        created="2026-01-02T03:04:05Z",
        duration=1.0,
        seclude="0.1.0",
        tracer="ebpf",
        kernel="6.18.44",
        machine="x86_64",
        engine="podman",
        calls=tuple(
            Call(abi=abi, phase=phase, context=context, number=1, name=name, first=Dropped())
            for name, phase, context, abi in calls
        ),
        **fields,
    )


def made(name, context="", phase="app", abi="x86_64"):
    return name, phase, context, abi


def one(given, **fields):
    (found,) = explain_denials([given], known(**fields)).explanations
    return found


# Why


def test_no_rule():
    found = one(denial("mkdir", 83, (0x7F00, 0o755)))
    assert found.shown == "mkdir(0x7f00, 0o755)"
    assert found.summary == "refused once (EPERM), to app"
    assert found.why == ("No rule of the profile names mkdir, so the default action decides: EPERM.",)
    assert json.loads(found.add[0].exact) == {"names": ["mkdir"], "action": "SCMP_ACT_ALLOW"}
    assert found.add[-1].exact == "seclude record --from p.json --output p.json -- COMMAND"
    assert (found.traps, found.danger, found.guess, found.refused) == ((), "", False, True)


def test_other_arguments():
    found = one(denial("socket", 41, (2, 0x80001, 6)))
    assert found.why[0] == "Rule 2 allows socket only where arg0 == 0x1; here arg0 is 0x2."
    assert json.loads(found.add[0].exact) == {
        "names": ["socket"],
        "action": "SCMP_ACT_ALLOW",
        "args": [{"index": 0, "value": 0xFFFF_FFFF, "valueTwo": 2, "op": "SCMP_CMP_MASKED_EQ"}],
    }


def test_an_upper_half_that_the_kernel_ignores():
    found = one(denial("socket", 41, (0x1_0000_0001, 1, 0)))
    assert "here arg0 is 0x100000001 (the kernel reads the lower half alone" in found.why[0]


def test_a_rule_that_refuses():
    found = one(denial("ptrace", 101, errno=13))
    assert found.why == ("Rule 3 refuses it: EACCES.",)
    assert found.add[0].text.startswith("Take ptrace out of rule 3")
    assert found.danger


def test_a_rule_that_is_not_in_force():
    found = one(denial("mount", 165))
    assert "Rule 4 would allow it, but is not in force here: it holds only with CAP_SYS_ADMIN." in found.why


def test_another_architecture():
    found = one(denial("mkdir", 39, abi="x86", action="SCMP_ACT_KILL_THREAD", data=0))
    assert "SCMP_ARCH_X86 is not among the profile's architectures (SCMP_ARCH_X86_64)" in found.why[0]
    assert found.add[0].exact == '"architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]'
    assert any("libseccomp kills the thread" in trap for trap in found.traps)
    mapped = {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}
    found = one(
        denial("mkdir", 39, abi="x86", action="SCMP_ACT_KILL_THREAD", data=0),
        architectures=[],
        archMap=[mapped],
    )
    assert json.loads(found.add[0].exact)["subArchitectures"] == ["SCMP_ARCH_X86"]


def test_a_call_that_the_profile_allows():
    found = one(denial("openat", 257))
    assert found.why[0].startswith("Rule 1 of this profile allows it.")
    assert found.add == ()


def test_answers_that_are_not_the_profile_s():
    assert "runc answers so" in one(denial("fchmodat2", 452, errno=38)).why[-1]
    assert "The caller got another answer, EACCES" in one(denial("mkdir", 83, errno=13)).why[-1]


def test_a_fallback_that_is_refused_too():
    assert one(denial("clone3", 435)).traps[-1].endswith("or allow clone3.")
    assert one(denial("faccessat2", 439)).traps[-1].startswith("The profile does not allow faccessat either")
    enosys = one(denial("clone3", 435)).add[1]
    assert json.loads(enosys.exact) == {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}


def test_a_number_without_a_name():
    assert one(denial("#575", 575)).add[0].text.startswith("No profile can allow it")


def test_a_denial_from_another_machine():
    arm = {"archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []}], "architectures": []}
    found = one(denial("openat", 56, abi="aarch64"), **arm)
    assert found.why[0].startswith("Rule 1 of this profile allows it.")


def test_without_a_profile():
    bare = replace(known(), profile=None, source="")
    account = explain_denials([denial("clone3", 435)], bare)
    assert account.notes[0].startswith("Without the profile")
    (found,) = account.explanations
    assert found.why == ()
    assert found.traps


# Recordings


def test_what_recordings_say():
    def why(*calls, **fields):
        (found,) = explain_denials([denial("mkdir", 83)], known([recording(*calls, **fields)])).explanations
        return found.why[1:]

    assert why() == ("The recording never made it: no test reached the code that does.",)
    assert why(made("mkdir", "t1"), made("mkdir", "t2"))[0].startswith("The recording made it in t1, t2: ")
    assert why(made("mkdir", phase="runtime"))[0].startswith("In the recording only the OCI runtime made it")
    assert why(made("mkdir", abi="x86"))[0] == "In the recording it was made as an x86 call only."
    assert why(made("mkdir", phase="denied"))[0].startswith("In the recording it was refused too")
    assert why(losses=Losses(calls=3))[1].startswith("3 calls were lost while recording")


def test_neighbours():
    found = neighbours(
        "openat2",
        [
            recording(made("openat", "b"), made("openat", "a"), made("open", phase="runtime"), made("read")),
            recording(made("openat", "a"), made("openat"), made("open", phase="denied")),
        ],
    )
    assert [(each.name, each.phase, each.contexts) for each in found] == [
        ("openat", "app", ("b", "a", "")),
        ("open", "runtime", ("",)),
    ]
    assert neighbours("getrandom", [recording(made("read"))]) == ()


def test_lines_of_one_process_are_added_up_once():
    account = explain_denials(
        [
            denial("mkdir", 83, count=1),
            denial("mkdir", 83, count=7),
            denial("mkdir", 83, count=2, pid=101, comm="other", context="t1"),
            denial("chmod", 90, count=1),
        ],
        known(),
    )
    assert [found.call for found in account.explanations] == ["mkdir", "chmod"]
    assert account.explanations[0].summary == "refused 9 times (EPERM), to app, other, in t1"


def test_calls_with_arguments_that_decide_are_told_apart():
    account = explain_denials(
        [denial("socket", 41, (2, 1, 0)), denial("socket", 41, (10, 1, 0)), denial("socket", 41, (2, 2, 0))],
        known(),
    )
    assert [found.summary.split(" (")[0] for found in account.explanations] == [
        "refused once",
        "refused once",
    ]


def test_nothing_to_explain():
    assert explain_denials([], known()).notes == ("There is no denial to explain.",)


# Text


@pytest.mark.parametrize(
    ("text", "calls", "certain", "program", "path", "error"),
    [
        ("mkdir", "mkdir", True, "", "", ""),
        (" io_uring_setup()\n", "io_uring_setup", True, "", "", ""),
        ("ls: /: Operation not permitted", "newfstatat getdents64 openat", False, "ls", "/", "EPERM"),
        ("/bin/ls: /x: Function not implemented", "newfstatat", False, "ls", "/x", "ENOSYS"),
        ("EPERM: operation not permitted, mkdir '/x'", "mkdir mkdirat", True, "", "/x", "EPERM"),
        ("Error: EPERM: operation not permitted, scandir '/x'",
         "openat getdents64 newfstatat", True, "", "/x", "EPERM"),
        ("mkdir /x: operation not permitted", "mkdir mkdirat", True, "", "/x", "EPERM"),
        ("fork/exec /bin/ls: operation not permitted", "clone3 execve clone", True, "", "/bin/ls", "EPERM"),
        ("dial tcp 1.2.3.4:80: socket: operation not permitted", "socket", True, "", "", "EPERM"),
        ("listen tcp :80: bind: permission denied", "bind", True, "", "", "EACCES"),
        ("socket: Operation not permitted", "socket socketpair", True, "", "", "EPERM"),
        ("OSError: [Errno 1] Operation not permitted: '/x'", "", False, "", "/x", "EPERM"),
        ("OSError: [Errno 38] Function not implemented", "", False, "", "", "ENOSYS"),
        (
            "Traceback (most recent call last):\n  File \"a.py\", line 1\n    os.mkdir('/x')\n"
            "PermissionError: [Errno 1] Operation not permitted: '/x'",
            "mkdir",
            True,
            "",
            "/x",
            "EPERM",
        ),
        ('java.io.IOException: Cannot run program "ls": error=1, Operation not permitted',
         "clone3", False, "", "", "EPERM"),
        ("RuntimeError: can't start new thread", "clone3 clone vfork fork execve", False, "", "", ""),
        ("tar: x: Cannot change mode to rwxr-xr-x: Operation not permitted", "chmod", False, "tar", "", "EPERM"),
        ("date: cannot set date: Operation not permitted", "clock_settime", False, "date", "", "EPERM"),
        ("mkdir: cannot create directory \u2018/x\u2019: Operation not permitted",
         "mkdir", False, "mkdir", "/x", "EPERM"),
        ("clock_gettime(CLOCK_MONOTONIC, _) failed: Operation not permitted (1)",
         "clock_gettime", True, "", "", "EPERM"),
        ("runc create failed: error during container init: openat2 fsmount: operation not permitted",
         "openat2", True, "", "", "EPERM"),
        ("Bad system call (core dumped)", "", False, "", "", "SIGSYS"),
        ("exited with code 159", "", False, "", "", "SIGSYS"),
        ("hello", "", False, "", "", ""),
        ("", "", False, "", "", ""),
    ],
)  # fmt: skip
def test_what_a_text_tells(text, calls, certain, program, path, error):
    found = read_message(text)
    assert found.calls[: len(calls.split())] == tuple(calls.split())
    assert (bool(found.calls), found.certain) == (bool(calls), certain)
    assert (found.program, found.path, found.error) == (program, path, error)


@given(st.text(max_size=300) | st.text("abcd: '/()\nE_1", max_size=300))
def test_any_text_is_read(text):
    explain_message(read_message(text), known())


def test_hostile_lengths_take_no_time():
    for text in (
        "a" * 10**6,
        "mkdir " * 10**5,
        ": " * 10**5,
        "a.b/" * 10**5 + ": x",
        "E" * 10**5,
        "os.a(" * 10**5,
    ):
        read_message(text)


def guessed(text, container="", **fields):
    return explain_message(read_message(text), known(**fields), container=container)


def test_calls_that_pass_are_not_it():
    account = guessed("ls: /: Operation not permitted")
    names = [found.call for found in account.explanations]
    assert "openat" not in names
    assert names[0] == "getdents64"
    assert all(found.guess and found.refused for found in account.explanations)
    assert "The profile lets these pass, so they are not it: newfstatat, openat." in account.notes
    assert account.notes[-1].startswith("This is a guess from text. To know: `seclude watch --container NAME")


def test_all_that_is_named_passes():
    account = guessed("Error: EPERM: operation not permitted, read", container="a b")
    assert [found.call for found in account.explanations] == ["readv", "pread64", "preadv", "preadv2"]
    account = guessed("clone: Operation not permitted", defaultAction="SCMP_ACT_ALLOW")
    assert account.explanations == ()
    assert "Then it is not seccomp that refused" in account.notes[0]
    assert "--container 'a b' --json" in guessed("EPERM", container="a b").notes[-1]


def test_the_error_must_fit_the_profile():
    account = guessed("cat: /x: Permission denied")
    assert account.explanations == ()
    assert account.notes[0].startswith('"Permission denied" is EACCES, and this profile answers EPERM')
    assert [found.call for found in guessed("ptrace: Permission denied").explanations] == []
    assert [found.call for found in guessed("Error: EACCES: permission denied, ptrace").explanations] == [
        "ptrace"
    ]
    account = guessed("Bad system call")
    assert account.explanations == ()
    assert "this profile answers EPERM, except to calls of an architecture" in account.notes[0]
    account = guessed("Bad system call", defaultAction="SCMP_ACT_KILL_PROCESS")
    assert [found.call for found in account.explanations] == ["clone3", "faccessat2", "fchmodat2"]
    assert "which runc also answers" in guessed("mkdir: Function not implemented").notes[0]


def test_nothing_named():
    account = guessed("OSError: [Errno 1] Operation not permitted", recordings=[recording(made("fstat"))])
    assert [found.call for found in account.explanations][:2] == ["statx", "stat"]
    assert "usual suspects" in account.notes[0]
    assert guessed("hello").notes == (
        "Nothing in the text names a call or an error that seccomp gives (EPERM, ENOSYS, SIGSYS).",
    )


def test_a_bare_name():
    account = guessed("clone3")
    assert account.notes == ()
    assert account.explanations[0].summary == "asked for by name; the profile's answer: EPERM"
    (found,) = guessed("socket").explanations
    assert found.why[0] == "Rule 2 allows socket only where arg0 == 0x1."
    assert "whatever its arguments" in found.add[0].text
    (found,) = guessed("openat").explanations
    assert not found.refused
    (found,) = guessed("socketcall").explanations
    assert (found.abi, found.shown) == ("x86", "socketcall (x86)")


# Input


LINES = "".join(
    store.dumps_denial(each)
    for each in (
        denial("clone3", 435, (0x7F00, 88), comm="curl", context="tests/test_net.py::test_get", count=3),
        denial("socket", 41, (2, 0x80001, 6), comm=HOSTILE, context=HOSTILE),
        denial("openat2", 437, (0xFFFF_FF9C, 1, 2, 24), comm="runc:[2:INIT]"),
    )
)


def test_lines_and_objects():
    lines = read_denials(LINES, "x")
    assert [each.name for each in lines] == ["clone3", "socket", "openat2"]
    verified = {"clean": False, "denials": [json.loads(line) for line in LINES.splitlines()]}
    assert read_denials(json.dumps(verified), "x") == lines
    assert read_denials(json.dumps(verified, indent=1), "x") == lines
    assert read_denials("\n" + LINES + "\n" + json.dumps(verified), "x") == lines * 2
    assert read_denials(f"Traceback\n{json.dumps(verified)}\n", "x") == lines
    assert read_denials("", "x") == ()
    assert read_denials('{"denials": []}', "x") == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "x, line 1"),
        ("[]", "x, line 1 is no denial"),
        ('{"format": "seclude-recording"}', "x, line 1 is no denial"),
        (LINES + "{}", "x, line 4 is no denial"),
        ('{"denials": [1]}', "x, denials, line 1 is no denial"),
    ],
)
def test_what_is_no_denial(text, message):
    with pytest.raises(RecordingError, match=message):
        read_denials(text, "x")


def run(*arguments, **options):
    return CliRunner().invoke(explain.command, list(arguments), standalone_mode=False, **options)


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("p.json").write_text(json.dumps(PROFILE))
    Path("d.jsonl").write_text(LINES)
    seen = recording(made("clone", "tests/test_jobs.py::test_fork"), made("openat"), made("openat", HOSTILE))
    Path("r.json").write_text(store.dumps(seen))


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("denials", ["--denials", "d.jsonl"]),
        ("text", ["ls:", "/:", "Operation not permitted"]),
        ("name", ["clone3"]),
    ],
)
def test_gold(name, arguments):
    result = run("--profile", "p.json", "--recording", "r.json", *arguments)
    assert result.return_value == 0, result.output
    assert result.output == (GOLD / f"explain-{name}.txt").read_text()
    assert max(len(line) for line in result.output.splitlines() if '"action"' not in line) <= 100


@pytest.mark.usefixtures("files")
def test_standard_input_and_json():
    shown = run("-p", "p.json", "--denials", "d.jsonl", "--json").output
    assert run("-p", "p.json", "--denials", "-", "--json", input=LINES).output == shown
    assert run("-p", "p.json", "-", "--json", input=LINES).output == shown
    found = json.loads(shown)
    assert [each["call"] for each in found["explanations"]] == ["clone3", "socket", "openat2"]
    assert found["explanations"][0]["decoded"] == "clone3(0x7f00, 88)"
    assert json.loads(found["explanations"][0]["add"][0]["exact"])["names"] == ["clone3"]
    text = run("-p", "p.json", "-", "--json", input="EPERM: operation not permitted, mkdir '/x'")
    assert json.loads(text.output)["explanations"][0]["call"] == "mkdir"


@pytest.mark.usefixtures("files")
def test_nothing_of_a_container_reaches_the_terminal():
    output = run("--profile", "p.json", "--recording", "r.json", "--denials", "d.jsonl").output
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "\\x1b[31m" in output


@pytest.mark.parametrize(
    "arguments", [[], ["--denials", "d", "mkdir"], ["-p", "p", "--container", "c", "mkdir"]]
)
def test_usage(arguments):
    assert "give either" in str(run(*arguments).exception)


def test_a_long_name_is_cut():
    account = explain_denials([denial("mkdir", 83, comm="x" * 100_000)], known())
    assert len(plain(account)) < 5000
    assert json.dumps(values(account))


# Containers


class Engine:
    """Answers like podman, or docker, with one container."""

    def __init__(self, name, found=None, error="no such container"):
        self.name, self.found, self.error = name, found, error
        self.asked = []

    def __call__(self, command):
        self.asked.append(list(command))
        if command[0] != self.name:
            return None
        if self.found is None:
            return Answer(status=125, out="[]\n", err=f"Error: {self.error}\n")
        return Answer(status=0, out=json.dumps([self.found]), err="")


def inspected(*options, **fields):
    return {"Id": "0123abc", "Name": "web", "HostConfig": {"SecurityOpt": list(options)}} | fields


def test_podman_names_the_file(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(PROFILE))
    engine = Engine("podman", inspected("no-new-privileges", f"seccomp={path}", BoundingCaps=["CAP_KILL"]))
    found = confinement("web", engine)
    assert engine.asked == [["podman", "container", "inspect", "--", "web"]]
    assert (found.profile, found.source) == (profile(), str(path))
    assert (found.capabilities, found.ids) == (("CAP_KILL",), ("0123abc", "web"))


def test_docker_has_the_text():
    engine = Engine("docker", inspected(f"seccomp={json.dumps(PROFILE)}", Name="/web"))
    found = confinement("web", engine)
    assert [command[0] for command in engine.asked] == ["podman", "docker"]
    assert (found.profile, found.source, found.ids[1]) == (profile(), "", "web")


def test_a_default_profile_is_in_config_json(tmp_path):
    spec = tmp_path / "config.json"
    caps = {"capabilities": {"bounding": ["CAP_CHOWN"]}}
    spec.write_text(json.dumps({"linux": {"seccomp": PROFILE}, "process": caps}))
    for options in ((), (f"seccomp={tmp_path}/gone.json",)):
        found = confinement("web", Engine("podman", inspected(*options, OCIConfigPath=str(spec))))
        assert (found.profile, found.source, found.capabilities) == (profile(), "", ("CAP_CHOWN",))
    with pytest.raises(EngineError, match="only while it runs"):
        confinement("web", Engine("podman", inspected()))
    with pytest.raises(ProfileError, match="gone"):
        confinement("web", Engine("podman", inspected(f"seccomp={tmp_path}/gone.json")))


def test_unconfined():
    with pytest.raises(EngineError, match="the container web runs without a seccomp profile"):
        confinement("web", Engine("podman", inspected("seccomp=unconfined")))
    with pytest.raises(EngineError, match="without a seccomp profile"):
        confinement("web", Engine("podman", {"HostConfig": {"Privileged": True}}))


def test_no_such_container():
    with pytest.raises(
        EngineError, match="there is no container 'nope' \\(podman: Error: no such container\\)"
    ):
        confinement("nope", Engine("podman"))
    with pytest.raises(EngineError, match="neither podman nor docker is installed"):
        confinement("nope", Engine("other"))
    with pytest.raises(EngineError, match="in no JSON"):
        confinement("web", lambda command: Answer(status=0, out="<html>", err=""))


@pytest.mark.usefixtures("files")
def test_denials_of_one_container(monkeypatch):
    engine = Engine("podman", inspected(f"seccomp={Path('p.json').absolute()}"))
    confined = confinement("web", engine)
    given = [denial("mkdir", 83, container=name) for name in ("", "0123", "web", "other")]
    assert [each.container for each in of_container(given, confined)] == ["", "0123", "web"]
    assert len(of_container(given, None)) == 4
    monkeypatch.setattr(explain, "ask", engine)
    result = run("--container", "web", "clone3")
    assert result.return_value == 0
    assert "the profile's answer: EPERM" in result.output
