"""Recordings for the tests of the page: a small one with everything in it, a hostile one, a large one."""

from seclude.model.bracket import Beyond, Bracket, Outside, Place
from seclude.model.change import Change, Danger, Difference, Maker
from seclude.model.denial import Denial, Frame
from seclude.model.program import Site
from seclude.model.recording import Call, Dropped, FirstSeen, Losses, Recording
from seclude.syscalls import name_of, number_of

TEST = "tests/test_app.py::test_upload"
CALLS = (
    ("runtime", "", "capset runc:[2:INIT] /usr/bin/runc"),
    ("runtime", "", "execve runc:[2:INIT] /usr/bin/runc"),
    ("app", "", "brk python3 /usr/bin/python3.11"),
    ("app", "", "mmap python3 /usr/bin/python3.11"),
    ("app", "", "#999 python3 /usr/bin/python3.11"),
    *(
        ("app", f"tests/test_app.py::test_{test}|{step}", f"{call} {maker}")
        for test, step, calls, maker in (
            ("read", "setup", "openat", "python3 /usr/bin/python3.11"),
            ("read", "call", "openat read close", "python3 /usr/bin/python3.11"),
            ("write", "call", "openat read close write fsync", "python3 /usr/bin/python3.11"),
            ("again", "call", "openat read close", "python3 /usr/bin/python3.11"),
            ("upload", "call", "openat read close socket connect", "python3 /usr/bin/python3.11"),
            ("upload", "teardown", "kill", "python3 /usr/bin/python3.11"),
            ("debug", "call", "read close ptrace mount", "gdb /opt/secret/bin/gdb"),
        )
        for call in calls.split()
    ),
)


def made(phase: str, context: str, name: str, comm: str, executable: str, time: float) -> Call:
    number = int(name[1:]) if name.startswith("#") else number_of("x86_64", name)
    first = FirstSeen(
        time=time,
        pid=4200 + len(comm),
        tid=4200 + len(comm),
        comm=comm,
        executable=executable,
        arguments=(0xFFFFFF9C, 0xDEADBEEF, 0x80000, 0, 0, 0),
        result=-1 if phase == "denied" else 0,
    )
    return Call(abi="x86_64", phase=phase, context=context, number=number or 0, name=name, first=first)


def small() -> Recording:
    calls = [
        made(phase, context, *text.split(), time=0.01 * index)
        for index, (phase, context, text) in enumerate(CALLS)
    ]
    calls.append(
        Call(abi="x86", phase="app", context=TEST, number=192, name="mmap2", first=Dropped(reason="too many"))
    )
    calls.append(made("denied", f"{TEST}|call", "unshare", "python3", "/usr/bin/python3.11", 0.9))
    return Recording(
        created="2026-01-02T03:04:05+00:00",
        duration=12.5,
        seclude="VERSION",
        tracer="ebpf",
        kernel="6.18.0",
        machine="x86_64",
        engine="podman",
        runtime="runc",
        runtime_version="1.1.5",
        image="registry.example/shop/app:1.2",
        command=("/srv/secret/run.sh", "--token", "hunter2"),
        confined=True,
        calls=tuple(calls),
        losses=Losses(calls=0, facts=1),
        denials=(denial("mkdir", TEST),),
    )


def denial(name: str, test: str) -> Denial:
    return Denial(
        action="SCMP_ACT_ERRNO",
        data=1,
        abi="x86_64",
        number=number_of("x86_64", name) or 0,
        name=name,
        arguments=(0x7F0012345678, 0o777, 0, 0, 0, 0),
        pid=4301,
        tid=4302,
        comm="python3",
        executable="/usr/bin/python3.11",
        count=3,
        first=1.0,
        last=2.0,
        context=f"{test}|call",
        python=(Frame(module="/srv/secret/app.py", function="upload", line=31),),
        native=(Frame(module="/usr/lib/libc.so.6", function="mkdir", offset=0xF7F37),),
    )


def difference(text: str | None = None) -> Difference:
    return Difference(
        changes=(
            Change(
                call="ptrace" if text is None else text,
                kind="added" if text is None else text,
                before="refused with EPERM" if text is None else text,
                after="allowed" if text is None else text,
                category="tracing" if text is None else text,
                danger=Danger(
                    tier="critical" if text is None else text,
                    reason="it controls other processes" if text is None else text,
                ),
                makers=(
                    Maker(
                        comm="gdb" if text is None else text,
                        executable="/opt/secret/bin/gdb" if text is None else text,
                        context="tests/test_app.py::test_debug" if text is None else text,
                    ),
                ),
                loosened=True,
            ),
        ),
        others=("architectures on x86_64: SCMP_ARCH_X86 added" if text is None else text,),
    )


def reachable(text: str | None = None) -> Bracket:
    """A bracket with everything in it; every text in it is `text`, if given."""

    def say(usual: str) -> str:
        return usual if text is None else text

    return Bracket(
        recorded=("close", "openat", "read"),
        reachable=tuple(sorted({"close", "openat", "read", say("bpf"), "openat2"})),
        beyond=(
            Beyond(
                name=say("bpf"),
                tier=say("critical"),
                reason=say("it loads programs into the kernel"),
                category=say("kernel"),
                siblings=(),
                place=Place(program=say("libc.so.6"), function=say("syscall")),
            ),
            Beyond(
                name="openat2",
                tier="low",
                reason="it opens files",
                category="file",
                siblings=(say("openat"),),
                place=Place(program="libc.so.6", function="openat2"),
            ),
        ),
        outside=(
            Outside(
                name=say("mmap2 (x86)"),
                executable=say("/opt/secret/bin/gdb"),
                reason=say("/opt/secret/x was not scanned"),
            ),
            Outside(name="ptrace", executable="/usr/bin/python3.11", reason=""),
        ),
        known=385,
        programs=(say("/usr/bin/python3.11"),),
        sites=(
            (say("libcap.so.2"), Site(address=0x4A10, function=say("cap_set"), reason=say("from memory"))),
        ),
        opening=(say("python3.11"),),
        unread=((say("/opt/secret/libx.so"), say("needed by /opt/secret/app, not found")),),
    )


def hostile(text: str) -> Recording:
    """A recording in which everything that a container or a file can choose is this text."""
    first = FirstSeen(time=0.5, pid=7, tid=8, comm=text, executable=text, arguments=(1, 2, 3, 4, 5, 6))
    calls = tuple(
        Call(abi="x86_64", phase=phase, context=context, number=5, name=f"{text}{more}", first=detail)
        for phase in ("runtime", "app", "denied")
        for context in (f"{text}one", f"{text}two|call")
        for more, detail in (("a", first), ("b", Dropped(reason=text)))
    )
    frames = (Frame(module=text, function=text, line=3), Frame(module=text, function=text, offset=9))
    refused = Denial(
        action="SCMP_ACT_ERRNO",
        data=1,
        abi="x86_64",
        number=83,
        name=text,
        arguments=(1, 2, 3, 4, 5, 6),
        pid=9,
        tid=10,
        comm=text,
        executable=text,
        count=2,
        first=1.0,
        last=1.0,
        context=text,
        container=text,
        python=frames,
        native=frames,
    )
    return Recording(
        created=f"a{text}",
        duration=1.0,
        seclude=f"a{text}",
        tracer=text,
        kernel=text,
        machine="x86_64",
        engine=f"a{text}",
        runtime=text,
        runtime_version=text,
        image=f"a{text}",
        container=text,
        command=(f"a{text}", text),
        calls=calls,
        denials=(refused,),
    )


def large(tests: int, each: int) -> Recording:
    """A suite in which every test makes `each` calls, no two the same ones."""
    names = [name_of("x86_64", number) for number in range(each + 12)]
    facts = [
        FirstSeen(
            time=float(index),
            pid=1000 + index,
            tid=1000 + index,
            comm="python3",
            executable="/usr/bin/python3.11",
            arguments=(index,) * 6,
        )
        for index in range(len(names))
    ]
    contexts = [
        f"tests/integration/test_module_{test % 97}.py::TestCase::test_number_{test}|call"
        for test in range(tests)
    ]
    # Which calls a test leaves out is its number in a system of subsets, so that hardly two tests are alike.
    left = [
        {(test * step + test // 97 * step**2) % len(names) for step in range(1, 13)} for test in range(tests)
    ]
    calls = [
        Call(abi="x86_64", phase="app", context=contexts[test], number=number, name=name, first=facts[number])
        for number, name in enumerate(names)
        for test in range(tests)
        if number not in left[test]
    ]
    return Recording(
        created="2026-01-02T03:04:05+00:00",
        duration=900.0,
        seclude="VERSION",
        tracer="ebpf",
        kernel="6.18.0",
        machine="x86_64",
        engine="podman",
        image="app",
        command=("pytest",),
        calls=tuple(calls),
    )
