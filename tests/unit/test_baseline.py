"""Baselines: the shipped data are sound, and a runtime's version and no-new-privileges choose among them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seclude import baseline
from seclude.baseline import automatic, baselines, calls_of, dumps, looks_like_baselines, ordered_version
from seclude.errors import SecludeError
from seclude.model.baseline import CONDITIONS, Baseline, More, NotMeasured
from seclude.model.frozen import replace
from seclude.model.recording import Call, Dropped, FirstSeen, Recording
from seclude.syscalls import number_of

EVERY = baselines()
SOURCES = str(Path(__file__).resolve().parents[2] / "src")


def recording(**fields):
    values = {"runtime": "crun", "engine": "podman", "calls": ()} | fields
    return Recording(
        created="", duration=1, seclude="0", tracer="ebpf", kernel="6.1", machine="x86_64", **values
    )


def made(name, *arguments, phase="app", tid=7):
    first = FirstSeen(time=0, pid=7, tid=tid, comm="", executable="", arguments=arguments)
    return Call(abi="x86_64", phase=phase, context="", number=0, name=name, first=first)


def entry(runtime="runc", version="1.1.5", nnp=False, always="execve", varying="", **more):
    fields = {
        "conditions": tuple(More(condition=name, calls=tuple(calls.split())) for name, calls in more.items()),
        "unknown": (),
        "machine": "x86_64",
        "obtained": "made up",
    }
    return Baseline(
        runtime=runtime,
        version=version,
        no_new_privileges=nnp,
        always=tuple(always.split()),
        varying=tuple(varying.split()),
        **fields,
    )


SOME = (
    entry("runc", "1.1.5", False, "execve", "futex", plain="", user="old"),
    entry("runc", "1.3.0", False, "execve openat2", "futex"),
    entry("runc", "1.10.0", False, "execve newest", "futex"),
    entry("runc", "1.1.5", True),
    entry("crun", "1.8.1", False, "capset execve"),
    entry("crun", "1.8.1", True),
)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Data of three versions of runc, instead of those shipped."""
    path = tmp_path / "baselines.json"
    path.write_text(dumps(SOME))
    reading = baseline.baselines
    monkeypatch.setattr(baseline, "baselines", lambda given=str(path): reading(given))


class TestShipped:
    def test_each_runtime_with_and_without_new_privileges(self):
        assert {(item.runtime, item.no_new_privileges) for item in EVERY} >= {
            (runtime, nnp) for runtime in ("runc", "crun") for nnp in (False, True)
        }

    @pytest.mark.parametrize(
        "item", EVERY, ids=lambda item: f"{item.runtime}-{item.version}-{item.no_new_privileges}"
    )
    def test_sound(self, item):
        assert "execve" in item.calls
        assert list(item.calls) == sorted(set(item.calls))
        assert set(item.varying) <= set(item.calls)
        assert all(number_of("x86_64", name) is not None for name in item.calls)
        assert not set(item.calls) & {"mount", "pivot_root", "umount2", "sethostname", "seccomp"}
        assert item.obtained

    def test_no_new_privileges_leaves_less(self):
        for item in EVERY:
            if item.no_new_privileges:
                (without,) = (
                    other
                    for other in EVERY
                    if (other.runtime, other.version) == (item.runtime, item.version)
                    and not other.no_new_privileges
                )
                assert set(item.calls) < set(without.calls)

    def test_sorted_and_each_once(self):
        order = [(item.runtime, ordered_version(item.version), item.no_new_privileges) for item in EVERY]
        assert order == sorted(set(order))
        assert dumps(EVERY) == Path(baseline.DATA).read_text()

    @pytest.mark.parametrize(
        ("version", "needed"),
        [
            ("1.2.7", False),
            ("1.2.8", True),
            ("1.3.2", False),
            ("1.3.3", True),
            ("1.4.0", True),
            ("1.5.1", True),
        ],
    )
    def test_security_releases_of_runc_need_more(self, version, needed):
        """CVE-2025-31133, -52565, -52881: procfs is opened through openat2 and its mount looked at by statx."""
        for nnp in (False, True):
            calls = set(calls_of(["runc"], no_new_privileges=nnp, version=version))
            assert ({"openat2", "statx"} <= calls) == needed

    def test_conditions_are_kept_apart(self):
        """A process that enters a container of crun is treated differently from its first."""
        for item in EVERY:
            if item.runtime == "crun" and not item.no_new_privileges:
                assert set(item.under("exec")) - set(item.under("plain")) >= {"setgroups"}


class TestFile:
    def test_round_trip(self, tmp_path):
        item = entry("youki", "0.5.0", True, "execve", "futex", plain="", terminal="ioctl")
        item = replace(item, unknown=(NotMeasured(condition="init", reason="no static init was found"),))
        path = tmp_path / "b.json"
        path.write_text(dumps([item]))
        assert baselines(str(path)) == (item,)
        assert looks_like_baselines(path.read_text())

    def test_under_conditions(self):
        item = entry("runc", "1.1.5", False, "execve", "futex", plain="", terminal="ioctl", user="fchown")
        assert item.under("plain") == ("execve", "futex")
        assert item.under("terminal") == ("execve", "futex", "ioctl")
        assert item.calls == ("execve", "fchown", "futex", "ioctl")

    def test_unknown_conditions(self):
        with pytest.raises(SecludeError, match="'moon' is no condition") as failure:
            entry(moon="")
        assert failure.value.hint == f"known: {', '.join(CONDITIONS)}"
        with pytest.raises(SecludeError, match="is given twice"):
            Baseline(
                **{name: getattr(SOME[0], name) for name in Baseline.__fields__}
                | {"unknown": (NotMeasured(condition="plain", reason="-"),)}
            )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("[]", "holds no baselines"),
            ("{}", "holds no baselines"),
            ('{"version": 1, "baselines": []}', "holds no baselines"),
            ('{"format": "seclude-baselines", "version": 1, "baselines": []}', "is not of version 2"),
            ('{"format": "seclude-baselines", "version": 2}', "must have format, version and baselines"),
            ('{"format": "seclude-baselines", "version": 2, "baselines": [], "x": 1}', "and nothing else"),
            ('{"format": "seclude-baselines", "version": 2, "baselines": [1]}', r"baselines\[0\] must have"),
            ("{", "line 1"),
        ],
    )
    def test_refused(self, text, said, tmp_path):
        (tmp_path / "b.json").write_text(text)
        with pytest.raises(SecludeError, match=said):
            baselines(str(tmp_path / "b.json"))

    @pytest.mark.parametrize(
        ("field", "value", "said"),
        [
            ("runtime", 1, "runtime is no str"),
            ("no_new_privileges", "no", "no_new_privileges is no bool"),
            ("always", ["read write"], "always is no list of names"),
            ("always", [1], "always is no list of names"),
            ("varying", "read", "varying is no list"),
            ("conditions", {"plain": "read"}, "conditions.plain is no list of names"),
            ("conditions", {"moon": []}, "'moon' is no condition"),
            ("unknown", {"plain": "-"}, "is given twice"),
        ],
    )
    def test_refused_members(self, field, value, said, tmp_path):
        text = json.loads(dumps(SOME[:1]))
        text["baselines"][0][field] = value
        (tmp_path / "b.json").write_text(json.dumps(text))
        with pytest.raises(SecludeError, match=said):
            baselines(str(tmp_path / "b.json"))


@pytest.mark.usefixtures("data")
class TestChoice:
    @pytest.mark.parametrize(
        ("version", "call"),
        [
            ("1.1.5", "old"),
            ("1.1.5+ds1", "old"),
            ("1.2.9", "old"),
            ("1.3.0", "openat2"),
            ("1.9.9-rc.1", "openat2"),
            ("1.10", "openat2"),
            ("1.10.0", "newest"),
            ("2.0", "newest"),
            ("", "newest"),
            ("1.0.0", "old"),
            ("garbage", "old"),
        ],
    )
    def test_the_newest_that_is_not_newer(self, version, call):
        assert calls_of(["runc"], no_new_privileges=False, version=version) == tuple(
            sorted(["execve", "futex", call])
        )

    def test_a_file_instead_of_a_name(self, tmp_path):
        path = tmp_path / "own.json"
        path.write_text(
            dumps([entry("youki", "0.5.0", False, "execve mine"), entry("youki", "0.4", False, "older")])
        )
        assert calls_of([str(path)], no_new_privileges=False) == ("execve", "mine", "older")
        assert calls_of([str(path), "crun"], no_new_privileges=False) == ("capset", "execve", "mine", "older")
        with pytest.raises(SecludeError, match="has no baseline with no-new-privileges"):
            calls_of([str(path)], no_new_privileges=True)
        with pytest.raises(SecludeError, match="cannot be read"):
            calls_of(["./nowhere.json"], no_new_privileges=True)

    def test_of_several_runtimes(self):
        assert calls_of(["runc", "crun"], no_new_privileges=False) == ("capset", "execve", "futex", "newest")
        assert calls_of(["crun"], no_new_privileges=True) == ("execve",)
        assert calls_of([], no_new_privileges=True) == ()

    def test_unknown(self):
        with pytest.raises(SecludeError, match="no baseline for the runtime 'youki'") as failure:
            calls_of(["youki"], no_new_privileges=False)
        assert failure.value.hint == "known: crun, runc, or none"

    def test_a_plain_process_needs_nothing(self):
        assert automatic(recording(engine="process", runtime="")) == ()

    def test_a_confined_container_needs_what_varies(self):
        assert automatic(recording(runtime="runc", confined=True, runtime_version="1.1.5")) == ("futex",)
        assert automatic(recording(confined=True)) == ()

    def test_an_unconfined_container_needs_all(self):
        assert automatic(recording(runtime="runc", runtime_version="1.3.1")) == ("execve", "futex", "openat2")
        assert automatic(recording(no_new_privileges=True)) == ("execve",)

    @pytest.mark.parametrize(
        "call",
        [
            made("clone3", 1 << 40, 88),
            made("clone", 0x3D0F00),
            made("read", 0, tid=8),
            replace(made("clone"), first=Dropped()),
        ],
    )
    def test_threads_may_end(self, call):
        """A process that ends before its threads do spares them their exit; refused, they would spin."""
        assert automatic(recording(engine="process", runtime="", calls=(call,))) == ("exit",)
        assert automatic(recording(confined=True, calls=(call,))) == ("exit",)

    @pytest.mark.parametrize(
        "call",
        [
            made("clone", 0x1200011),
            made("clone"),
            made("clone3", phase="runtime"),
            made("clone3", phase="denied"),
            replace(made("read"), first=Dropped()),
        ],
    )
    def test_processes_without_threads_end_as_they_did(self, call):
        assert automatic(recording(engine="process", runtime="", calls=(call,))) == ()

    @pytest.mark.parametrize("name", ["nanosleep", "clock_nanosleep", "poll"])
    def test_stopped_processes_go_on(self, name):
        assert automatic(recording(engine="process", calls=(made(name),))) == ("restart_syscall",)
        assert automatic(recording(engine="process", calls=(made(name, phase="runtime"),))) == ()
        assert automatic(recording(engine="process", calls=(made(name, phase="denied"),))) == ()

    def test_threads_that_wait_for_one_another(self):
        assert automatic(recording(engine="process", calls=(made("futex"),))) == ()
        calls = (made("futex"), made("clone3"))
        assert automatic(recording(engine="process", calls=calls)) == ("exit", "restart_syscall")

    @pytest.mark.parametrize("name", ["ppoll", "select", "epoll_wait", "read", "rt_sigtimedwait"])
    def test_other_calls_are_begun_again_or_end(self, name):
        assert automatic(recording(engine="process", calls=(made(name),))) == ()

    def test_an_unknown_runtime_may_be_any(self):
        assert automatic(recording(runtime="youki")) == ("capset", "execve", "futex", "newest")
        assert automatic(recording(runtime="", confined=True)) == ("futex",)


class TestCommand:
    def seclude(self, *arguments):
        start = f"import sys; sys.path.insert(0, {SOURCES!r}); from seclude.cli import main; sys.exit(main())"
        command = [sys.executable, "-c", start, "baseline", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def test_list(self):
        done = self.seclude("list")
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == len(EVERY)
        assert "runc 1.1.5+ds1, no-new-privileges: " in done.stdout
        assert set(self.seclude("list", "--runtime", "crun").stdout.splitlines()) < set(
            done.stdout.splitlines()
        )

    def test_list_as_json_is_a_file_of_baselines(self, tmp_path):
        (tmp_path / "b.json").write_text(self.seclude("list", "--json").stdout)
        assert baselines(str(tmp_path / "b.json")) == EVERY
        (tmp_path / "mine.json").write_text(dumps(SOME[:1]))
        shown = self.seclude("list", "--calls", tmp_path / "mine.json").stdout
        assert "  now and then: futex\n" in shown
        assert "another user and group, with supplementary groups (--user): old\n" in shown

    def test_hostile_text_is_escaped(self, tmp_path):
        text = json.loads(dumps(SOME[:1]))
        text["baselines"][0] |= {"obtained": "\033[2J", "runtime": "r\nunc", "version": "\033"}
        (tmp_path / "b.json").write_text(json.dumps(text))
        for more in ((), ("--calls",)):
            assert self.seclude("list", *more, tmp_path / "b.json").stdout.replace("\n", "").isprintable()

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ("list", "--runtime", "rnuc"),
                "no baseline of the runtime 'rnuc'\nseclude: hint: did you mean runc?",
            ),
            (("list", "/nowhere.json"), "/nowhere.json cannot be read"),
            (("record", "--runtime", "/nowhere/runc"), "there is no program '/nowhere/runc'"),
            (("record", "--runtime", "/etc/passwd"), "'/etc/passwd' cannot be executed"),
            (("record", "--runtime", sys.executable), "--version says 'Python"),
            (("record", "--runtime", "runc", "-o", "/nowhere/x/y.json"), "there is no directory /nowhere"),
        ],
    )
    def test_refused(self, arguments, said, tmp_path):
        if arguments[0] == "record" and os.geteuid() != 0:
            pytest.skip("needs root")
        done = self.seclude(*arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
        assert "Traceback" not in done.stderr
