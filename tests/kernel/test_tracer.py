"""The recorder itself: private and pinned, several at once, argument values, and each reason why it cannot be used."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from catalogue import set_workload

from seclude.engines.process import Child
from seclude.errors import TraceError
from seclude.model.recording import NO_CONTEXT, Observation
from seclude.ports import Target
from seclude.trace import ebpf, layout
from seclude.trace.ebpf import EbpfTracer
from seclude.trace.libbpf import LibBpf
from seclude.trace.tables import Tables

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="loading the recorder takes root"),
]
SOURCES = str(Path(__file__).resolve().parents[2] / "src")
# What a runtime does: threads, then a filter for all of them, then the entrypoint's exec.
CONFINED = """
import ctypes, os, sys, threading
sys.path.insert(0, sys.argv[1])
from seclude.formats import libseccomp, oci
libc, event = ctypes.CDLL(None), threading.Event()
def late():
    event.wait()
    libc.sched_rr_get_interval(0, ctypes.create_string_buffer(16))
thread = threading.Thread(target=late); thread.start()
rule = '{"names": ["acct"], "action": "SCMP_ACT_ERRNO"}'
profile = oci.loads('{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [' + rule + ']}', "it")
filter_ = libseccomp.build(profile, capabilities=(), machine=os.uname().machine, kernel=os.uname().release)
print("ready", flush=True)
sys.stdin.readline()
os.sysconf("SC_PHYS_PAGES")
filter_.load(no_new_privileges=True)
event.set(); thread.join()
os.execv("/bin/sh", ["sh", "-c", "sleep 0.01; echo done"])
"""
EVERY = frozenset[str]().union(*(set_workload(number).native for number in range(50)))


def names(observed: Observation) -> set[str]:
    return {call.name for call in observed.calls if call.phase == "app"}


def watched(tracer: EbpfTracer, *command: str | Path, **fields: object) -> Observation:
    """What the tracer saw of a command, which must end with a status below 100."""
    words = [str(word) for word in command]
    with Child(words) as child:
        number = tracer.begin(Target(pid=child.pid, unconfined=True, **fields))  # type: ignore[arg-type]
        child.go()
        assert child.wait() < 100
        observed = tracer.observe(number)
        tracer.end(number)
    return observed


@pytest.fixture
def tracer() -> Iterator[EbpfTracer]:
    opened = EbpfTracer()
    yield opened
    opened.close()


class TestPrivate:
    def test_targets_are_told_apart(self, tracer: EbpfTracer, workloads: Path) -> None:
        commands = [set_workload(number).argv(str(workloads)) for number in (0, 20, 49)]
        children = [Child(command) for command in commands]
        numbers = [tracer.begin(Target(pid=child.pid, unconfined=True)) for child in children]
        assert len(set(numbers)) == 3
        for child in children:
            child.go()
        for child in children:
            child.wait()
        for number, each in zip(numbers, (0, 20, 49), strict=True):
            observed = tracer.observe(number)
            assert names(observed) & EVERY == set_workload(each).native
            assert observed.losses.calls == 0
            tracer.end(number)
        for child in children:
            child.__exit__()

    def test_two_tracers_do_not_see_each_others_targets(self, tracer: EbpfTracer, workloads: Path) -> None:
        other = EbpfTracer()
        try:
            one = watched(tracer, *set_workload(1).argv(str(workloads)))
            two = watched(other, *set_workload(2).argv(str(workloads)))
        finally:
            other.close()
        assert (names(one) & EVERY, names(two) & EVERY) == (set_workload(1).native, set_workload(2).native)

    def test_one_process_watched_by_two_tracers(self, tracer: EbpfTracer, workloads: Path) -> None:
        other = EbpfTracer()
        try:
            with Child(set_workload(5).argv(str(workloads))) as child:
                tracers = (tracer, other)
                numbers = [each.begin(Target(pid=child.pid, unconfined=True)) for each in tracers]
                child.go()
                child.wait()
                both = [each.observe(number) for each, number in zip(tracers, numbers, strict=True)]
        finally:
            other.close()
        assert names(both[0]) == names(both[1]) >= set_workload(5).native

    def test_a_process_outside_is_not_recorded(self, tracer: EbpfTracer, workloads: Path) -> None:
        with Child(set_workload(3, 200).argv(str(workloads))) as child:
            number = tracer.begin(Target(pid=child.pid, unconfined=True))
            child.go()
            for _ in range(10):
                subprocess.run(set_workload(46).argv(str(workloads)), stdout=subprocess.DEVNULL)
            child.wait()
            observed = tracer.observe(number)
        assert names(observed) & EVERY == set_workload(3).native
        assert {call.first.tid for call in observed.calls} == {child.pid}  # type: ignore[union-attr]

    def test_what_came_before_the_exec_is_not_recorded(self, tracer: EbpfTracer) -> None:
        with Child(("true",), lambda: os.sysconf("SC_PHYS_PAGES")) as child:  # sysinfo
            number = tracer.begin(Target(pid=child.pid, unconfined=True))
            child.go()
            child.wait()
            observed = tracer.observe(number)
        assert {call.name for call in observed.calls if call.phase == "runtime"} == {"execve"}
        assert "sysinfo" not in {call.name for call in observed.calls}

    def test_first_seen_facts(self, tracer: EbpfTracer) -> None:
        with Child(("sh", "-c", "exec sleep 0.05")) as child:
            number = tracer.begin(Target(pid=child.pid, unconfined=True))
            child.go()
            child.wait()
            observed = tracer.observe(number)
        first = {call.name: call.first for call in observed.calls if call.phase == "app"}
        nap = first["clock_nanosleep"]
        assert (nap.pid, nap.tid, nap.comm) == (child.pid, child.pid, "sleep")  # type: ignore[union-attr]
        assert nap.executable.endswith("/sleep")  # type: ignore[union-attr]
        assert first["brk"].executable.endswith("/sh")  # type: ignore[union-attr]
        assert nap.arguments[:2] == (0, 0)  # type: ignore[union-attr]
        times = [each.time for each in first.values()]  # type: ignore[union-attr]
        assert 0 <= min(times) <= max(times) <= observed.duration < 600
        assert first["clock_nanosleep"].time > first["brk"].time  # type: ignore[union-attr]
        assert [call.name for call in observed.calls if call.phase == "app"] == sorted(first)

    def test_after_the_end_nothing_is_known(self, tracer: EbpfTracer) -> None:
        with Child(("sleep", "0.1")) as child:
            number = tracer.begin(Target(pid=child.pid, unconfined=True, arguments={"brk": (0,)}))
            child.go()
            tracer.end(number)
            child.wait()
            with pytest.raises(TraceError, match=f"knows no target {number}"):
                tracer.observe(number)
        tables = Tables(tracer._library_(), tracer._map)
        for name in ("facts", "names", "argument_masks", "argument_values"):
            assert list(tables.of(name, number)) == [], name

    def test_a_process_that_has_ended(self, tracer: EbpfTracer) -> None:
        ended = subprocess.Popen(["true"])
        ended.wait()
        with pytest.raises(TraceError, match=f"process {ended.pid} has ended"):
            tracer.begin(Target(pid=ended.pid, unconfined=True))

    def test_threads_that_are_there_already_belong_to_the_target(self, tracer: EbpfTracer) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", CONFINED, SOURCES],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            number = tracer.begin(Target(pid=process.pid, unconfined=False, base_filters=_filters()))
            assert process.communicate("go\n")[0] == "done\n"
            observed = tracer.observe(number)
        seen = {call.name: call for call in observed.calls}
        # Not before the filter (sysinfo), but after it, by a thread that was there before.
        assert "sysinfo" not in seen
        assert seen["sched_rr_get_interval"].first.tid != process.pid  # type: ignore[union-attr]
        assert seen["sched_rr_get_interval"].phase == "runtime"
        assert seen["clock_nanosleep"].phase == "app"
        assert "seccomp" not in seen

    def test_the_exec_is_never_missed(self, tracer: EbpfTracer) -> None:
        for _ in range(60):
            with Child(("true",)) as child:
                number = tracer.begin(Target(pid=child.pid, unconfined=True))
                child.go()
                child.wait()
                observed = tracer.observe(number)
                tracer.end(number)
            assert [call.name for call in observed.calls if call.phase == "runtime"] == ["execve"]

    def test_an_observation_while_it_runs(self, tracer: EbpfTracer, workloads: Path) -> None:
        with Child(set_workload(9, 300).argv(str(workloads))) as child:
            number = tracer.begin(Target(pid=child.pid, unconfined=True))
            assert tracer.observe(number).calls == ()
            child.go()
            child.wait()
            one = tracer.observe(number)
            two = tracer.observe(number)
        assert one.calls == two.calls
        assert {call.context for call in one.calls} == {NO_CONTEXT}


def _filters() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("Seccomp_filters:"):
            return int(line.split()[1])
    return 0


class TestArguments:
    def test_the_values_are_kept(self, tracer: EbpfTracer, workloads: Path) -> None:
        command = (workloads / "arguments", "socket", "1", "2", "1", "16")
        observed = watched(tracer, *command, arguments={"socket": (0, 1), "personality": (0,)})
        [values] = observed.arguments
        assert (values.name, values.abi, values.indices, values.complete) == (
            "socket",
            "x86_64",
            (0, 1),
            True,
        )
        assert values.values == ((1, 2), (2, 2), (16, 2))

    def test_indices_in_any_order(self, tracer: EbpfTracer, workloads: Path) -> None:
        observed = watched(tracer, workloads / "arguments", "socket", "1", arguments={"socket": (1, 0, 1)})
        [values] = observed.arguments
        assert (values.indices, values.values) == ((0, 1), ((1, 2),))

    def test_nothing_is_kept_unless_asked(self, tracer: EbpfTracer, workloads: Path) -> None:
        assert watched(tracer, workloads / "arguments", "socket", "1").arguments == ()

    def test_64_bits(self, tracer: EbpfTracer, workloads: Path) -> None:
        wide = str(0xFEDCBA9876543210)
        observed = watched(tracer, workloads / "arguments", "prctl", wide, arguments={"prctl": (0, 4)})
        assert observed.arguments[0].values == ((int(wide), 0),)

    def test_too_many_values_are_not_complete(self, tracer: EbpfTracer, workloads: Path) -> None:
        many = [str(1000 + number) for number in range(1100)]
        observed = watched(tracer, workloads / "arguments", "prctl", *many, arguments={"prctl": (0,)})
        [values] = observed.arguments
        assert not values.complete
        assert len(values.values) == 1024  # bpf/recorder.h, TARGET_ARGUMENTS
        assert {value for (value,) in values.values} <= {1000 + number for number in range(1100)}
        assert observed.losses.calls == 0

    def test_exactly_as_many_as_there_is_room_for(self, tracer: EbpfTracer, workloads: Path) -> None:
        many = [str(1000 + number % 1024) for number in range(1100)]
        observed = watched(tracer, workloads / "arguments", "prctl", *many, arguments={"prctl": (0,)})
        assert observed.arguments[0].complete
        assert len(observed.arguments[0].values) == 1024

    def test_of_another_abi(self, tracer: EbpfTracer, workloads: Path) -> None:
        observed = watched(tracer, workloads / "compat", arguments={"write": (0,), "waitpid": (0,)})
        assert {(each.abi, each.name, each.values) for each in observed.arguments} == {
            ("x86", "write", ((1,),)),
            ("x86", "waitpid", ((0xFFFFFFFF,),)),
        }


class TestUnusable:
    def reason(self, tracer: EbpfTracer) -> str:
        reason = tracer.unusable()
        with pytest.raises(TraceError) as failure:
            tracer.begin(Target(pid=os.getpid(), unconfined=True))
        assert failure.value.message == reason
        return reason

    def test_usable(self) -> None:
        assert EbpfTracer().unusable() == ""

    def test_no_type_information(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(ebpf, "BTF", str(tmp_path / "vmlinux"))
        assert "CONFIG_DEBUG_INFO_BTF" in self.reason(EbpfTracer())

    def test_no_object(self, tmp_path: Path) -> None:
        assert "recorder.bpf.o is missing" in self.reason(
            EbpfTracer(object_path=str(tmp_path / "recorder.bpf.o"))
        )

    def test_no_bpffs(self, tmp_path: Path) -> None:
        reason = self.reason(EbpfTracer(bpffs=str(tmp_path)))
        assert reason == f"no BPF file system is mounted at {tmp_path}; run `mount -t bpf bpf {tmp_path}`"

    def test_no_libbpf(self) -> None:
        with pytest.raises(TraceError, match=r"libbpf\.so\.0\.none cannot be loaded") as failure:
            LibBpf("libbpf.so.0.none")
        assert "apt-get install libbpf1" in failure.value.hint

    def test_a_damaged_object(self, tmp_path: Path) -> None:
        damaged = tmp_path / "recorder.bpf.o"
        damaged.write_bytes(b"\x7fELF" + bytes(100))
        with pytest.raises(TraceError, match="the recorder cannot be loaded"):
            EbpfTracer(object_path=str(damaged)).begin(Target(pid=os.getpid(), unconfined=True))

    def test_not_root(self) -> None:
        pid = os.fork()
        if pid == 0:
            os.setuid(65534)
            try:
                EbpfTracer().begin(Target(pid=os.getpid(), unconfined=True))
            except TraceError as failure:
                os._exit(42 if "permission denied" in failure.message and "root" in failure.hint else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    """A BPF file system of its own."""
    place = tmp_path / "bpffs"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


class TestPinned:
    def test_begun_by_one_process_and_read_by_another(self, bpffs: Path, workloads: Path) -> None:
        first = EbpfTracer(bpffs=str(bpffs))
        assert not first.pinned()
        with Child(set_workload(8).argv(str(workloads))) as child:
            number = first.begin(Target(pid=child.pid, unconfined=True))
            first.close()
            child.go()
            child.wait()
        second = EbpfTracer(bpffs=str(bpffs))
        assert second.pinned()
        observed = second.observe(number)
        assert names(observed) & EVERY == set_workload(8).native
        second.end(number)
        second.close()

    def test_both_recordings_of_one_recorder(self, bpffs: Path, workloads: Path) -> None:
        seen = {}
        for each in (11, 22):
            tracer = EbpfTracer(bpffs=str(bpffs))
            seen[each] = watched(tracer, *set_workload(each).argv(str(workloads)), denials=each == 22)
            tracer.close()
        assert {each: names(observed) & EVERY for each, observed in seen.items()} == {
            each: set_workload(each).native for each in seen
        }

    def test_unpinned_leaves_nothing(self, bpffs: Path, workloads: Path) -> None:
        before = sorted(os.listdir(bpffs))
        tracer = EbpfTracer(bpffs=str(bpffs))
        watched(tracer, *set_workload(1).argv(str(workloads)), denials=True)
        assert "link_on_exit" in os.listdir(bpffs / "seclude")
        tracer.unpin()
        assert not tracer.pinned()
        assert sorted(os.listdir(bpffs)) == before
        tracer.unpin()  # once more does no harm
        tracer.close()

    def test_refused_calls_are_watched_only_where_asked(self, bpffs: Path, workloads: Path) -> None:
        tracer = EbpfTracer(bpffs=str(bpffs))
        watched(tracer, *set_workload(1).argv(str(workloads)))
        assert "link_on_exit" not in os.listdir(bpffs / "seclude")
        tracer.close()

    def test_another_version(self, bpffs: Path, workloads: Path) -> None:
        tracer = EbpfTracer(bpffs=str(bpffs))
        watched(tracer, *set_workload(1).argv(str(workloads)))
        tracer._put("meta", bytes(4), layout.META.pack(77, 5, 0))
        tracer.close()
        later = EbpfTracer(bpffs=str(bpffs))
        with pytest.raises(TraceError) as failure:
            later.begin(Target(pid=os.getpid(), unconfined=True))
        assert failure.value.message == (
            f"another version of the recorder is pinned in {bpffs}/seclude: "
            f"version 77, this seclude has {layout.RECORDER_VERSION}"
        )
        assert "seclude hook gc --all" in failure.value.hint
        assert later.pinned()  # it is not ours to take away
        later.unpin()
        fresh = EbpfTracer(bpffs=str(bpffs))
        watched(fresh, *set_workload(1).argv(str(workloads)))
        fresh.close()

    @pytest.mark.parametrize("missing", ["meta", "link_on_enter,meta", "targets,meta"])
    def test_half_a_recorder_is_loaded_anew(self, missing: str, bpffs: Path, workloads: Path) -> None:
        tracer = EbpfTracer(bpffs=str(bpffs))
        watched(tracer, *set_workload(1).argv(str(workloads)))
        tracer.close()
        for name in missing.split(","):
            (bpffs / "seclude" / name).unlink()
        again = EbpfTracer(bpffs=str(bpffs))
        observed = watched(again, *set_workload(2).argv(str(workloads)))
        assert names(observed) & EVERY == set_workload(2).native
        again.close()

    def test_a_load_that_fails_leaves_nothing(self, bpffs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        library = LibBpf()
        attach, attached = library.attach, []

        def failing(program: int) -> int:
            if len(attached) == 2:
                raise OSError(errno.EBUSY, "busy")
            attached.append(program)
            return attach(program)

        monkeypatch.setattr(library, "attach", failing)
        tracer = EbpfTracer(bpffs=str(bpffs), library=library)
        with pytest.raises(TraceError, match="the recorder cannot be loaded"):
            tracer.begin(Target(pid=os.getpid(), unconfined=True))
        assert not tracer.pinned()

    def test_the_pinned_tables_are_roots_alone(self, bpffs: Path, workloads: Path) -> None:
        tracer = EbpfTracer(bpffs=str(bpffs))
        watched(tracer, *set_workload(1).argv(str(workloads)))
        assert (bpffs / "seclude").stat().st_mode & 0o777 == 0o700
        tracer.close()
