"""A report with everything in it, one with nothing, and hostile text: what the tests of all formats share."""

from hypothesis import strategies as st

from seclude.model.change import Change, Danger, Difference, Maker, Step
from seclude.model.finding import Finding
from seclude.model.report import Report

FULL = Report(
    headline="seccomp.json: 2 added, 1 removed, 1 changed",
    profile="seccomp.json",
    difference=Difference(
        changes=(
            Change(
                call="ptrace",
                kind="added",
                before="refused with EPERM",
                after="allowed",
                category="tracing",
                danger=Danger(tier="critical", reason="it controls other processes of the container"),
                makers=(
                    Maker(comm="gdb", executable="/usr/bin/gdb", context="tests/test_debug.py::test_attach"),
                    Maker(comm="python3", executable="/usr/bin/python3.11", context=""),
                ),
                loosened=True,
            ),
            Change(
                call="reboot",
                kind="removed",
                before="allowed",
                after="refused with EPERM",
                category="system",
                danger=Danger(tier="high", reason="it restarts the machine"),
            ),
            Change(
                call="socket",
                kind="changed",
                before="allowed if arg0 == AF_UNIX; otherwise refused with EPERM",
                after="allowed",
                category="network",
                danger=Danger(tier="medium", reason="it opens a way to the network"),
                makers=(Maker(comm="curl", executable="/usr/bin/curl", context="test_get"),),
                loosened=True,
            ),
            Change(
                call="openat",
                kind="added",
                before="refused with EPERM",
                after="allowed if arg2 & O_WRONLY|O_RDWR == 0x0; otherwise refused with EPERM",
                category="file",
                danger=Danger(tier="low", reason="it works on files that are open or within reach already"),
                loosened=True,
            ),
        ),
        others=("architectures on x86_64: SCMP_ARCH_X86 added",),
    ),
    findings=(
        Finding(
            rule="gate/deny",
            severity="error",
            message="ptrace is allowed now (critical: it controls other processes), and the gate denies it",
            call="ptrace",
            path="seccomp.json",
            line=12,
            hint="find out why it is made; only gate.allow in the configuration lets it in",
            details=("refused with EPERM -> allowed", "made by gdb in tests/test_debug.py::test_attach"),
        ),
        Finding(
            rule="gate/coverage",
            severity="error",
            message="the tests ran 62.5 % of the lines, min-coverage is 80 %",
            details=("app/routes.py: 4 of 6 lines",),
        ),
        Finding(
            rule="gate/setting", severity="warning", message="one more architecture", path="seccomp.json"
        ),
        Finding(rule="note", severity="note", message="kept: uname", path="seccomp.json"),
    ),
    steps=(
        Step(name="build", seconds=12.34, outcome="ok"),
        Step(name="record", seconds=3.0, outcome="failed", detail="test 'unit' ended with status 1"),
        Step(name="verify", seconds=0.0, outcome="skipped"),
    ),
    unused=("times", "uname"),
    allowed=87,
    denied=("mincore",),
    wrote=False,
)

EMPTY = Report(
    headline="seccomp.json: nothing changed", profile="seccomp.json", difference=Difference(changes=())
)

PAYLOADS = (
    "<script>alert(1)</script>",
    "<!-- seclude -->",
    "--> <img src=x onerror=alert(1)>",
    "[click](javascript:alert(1))",
    "![x](https://evil.example/pixel.png)",
    "https://evil.example www.evil.example someone@evil.example",
    "@octocat @org/team #123 GH-123 a94a8fe5ccb19ba61c4c0873d391e987982fbbd3",
    "a | b | c",
    "a \\| b \\\\| c",
    "`code` ``more`` ```fence",
    "`",
    "\n\n# Heading\n\n- item\n",
    "\r\n::error::owned\r::set-output name=a::b",
    "::set-output name=x::y",
    "##[error]owned ##[set-env name=x]y",
    "%0A::error::owned",
    "title,file=x::y",
    "\u202egnp.exe \u200b\u2066\u3164\ufe0f",
    "\x1b[31mred\x1b]8;;https://evil.example\x07link",
    "</details></table>",
    "$(touch owned) `touch owned` ${{ secrets.TOKEN }}",
    "**bold** _em_ ~~no~~ :tada: &lt;b&gt; &#64;octocat",
    "1. one",
    "| --- | --- |",
    "{0} [a](1)",
    " ",
    "\ud800",
    "x" * 100_000,
)

HOSTILE = st.one_of(
    st.sampled_from(PAYLOADS),
    st.text(alphabet="`|\\<>[]()!@#&:%*_~-+.=\n\r\t {}$'\"/a1\u202e\u200b", max_size=30),
    st.text(max_size=30),
)


def hostile(text: str, number: int = 1) -> Report:
    """A report in which everything that is text is this text."""
    change = Change(
        call=text,
        kind="added",
        before=text,
        after=text,
        category=text,
        danger=Danger(tier="critical", reason=text),
        makers=(Maker(comm=text, executable=text, context=text),) * 3,
        loosened=True,
    )
    findings = tuple(
        Finding(
            rule=text,
            severity=severity,
            message=text,
            call=text,
            path=text,
            line=3,
            hint=text,
            details=(text,) * 2,
        )
        for severity in ("error", "warning", "note")
    )
    return Report(
        headline=text,
        profile=text,
        difference=Difference(changes=(change,) * number, others=(text,) * number),
        findings=findings * number,
        steps=(Step(name=text, seconds=1.0, outcome=text, detail=text),) * number,
        unused=(text,) * number,
        allowed=1,
        denied=(text,) * number,
        wrote=True,
    )
