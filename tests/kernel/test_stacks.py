"""Stacks of real processes: what the kernel would say of them in, their functions, files and lines out."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from plain import call_of, state_of, wait_for

from seclude.model.denial import Frame, Place
from seclude.model.environment import NATIVE_ABIS
from seclude.model.frozen import replace
from seclude.registrations import start_of
from seclude.stacks.native import NativeStacks
from seclude.stacks.process import Process
from seclude.stacks.python import PythonStack, is_python, python_frames
from seclude.syscalls import number_of

pytestmark = pytest.mark.kernel

# Says where it is: the address after its call, then what it would return to.
SOURCE = """
#include <stdio.h>
#include <unistd.h>
#include <sys/mman.h>
static int twice(int x) { return 2 * x; }
__attribute__((noinline)) int inner(char **argv) {
    void **frame = __builtin_frame_address(0);
    void *here, *generated = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    __asm__ volatile("call 1f\\n1: pop %0" : "=r"(here));
    printf("%p %p %p %p %p\\n", here, frame[1], ((void **)frame[0])[1], (void *)&twice, generated);
    fflush(stdout);
    if (argv[1]) {
        getchar();
        execv(argv[1], argv + 1);
    }
    return pause();
}
__attribute__((noinline)) int outer(char **argv) { return inner(argv) + 1; }
int main(int argc, char **argv) { return outer(argv) + argc; }
"""


@dataclass(frozen=True)
class Program:
    """A program that waits, and the places of its stack: the call, inner's caller, outer's caller."""

    process: subprocess.Popen[bytes]
    places: list[Place]
    no_code: list[Place]

    @property
    def pid(self) -> int:
        return self.process.pid


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("program")
    (directory / "program.c").write_text(SOURCE)
    options = ["-O0", "-fno-omit-frame-pointer", "-fcf-protection=none"]
    subprocess.run(["gcc", *options, "-o", directory / "program", directory / "program.c"], check=True)
    return directory / "program"


def place_of(pid: int, address: int) -> Place:
    """What the kernel program says of an address."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        span, _, offset, _, inode, *path = line.split(None, 5)
        start, end = (int(bound, 16) for bound in span.split("-"))
        if start <= address < end:
            if inode == "0":
                return Place(address=address, offset=0, inode=0, module="")
            place = int(offset, 16) + address - start
            return Place(address=address, offset=place, inode=int(inode), module=Path(path[0]).name)
    raise AssertionError(f"{address:#x} is not mapped")


@contextmanager
def started(*command: str | Path) -> Iterator[Program]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        addresses = [int(word, 16) for word in process.stdout.readline().split()]
        places = [place_of(process.pid, address) for address in addresses]
        yield Program(process, places[:3], places[3:])
    finally:
        process.kill()
        process.communicate()


def names(frames: tuple[Frame, ...]) -> list[tuple[str, str]]:
    return [(frame.module, frame.function) for frame in frames]


EXPECTED = [("program", "inner"), ("program", "outer"), ("program", "main")]


def test_functions_of_a_living_process(program: Path) -> None:
    with started(program) as running:
        frames = NativeStacks().frames(running.pid, start_of(running.pid), running.places)
        assert names(frames) == EXPECTED
        assert [frame.offset for frame in frames] == [place.offset for place in running.places]
        os.kill(running.pid, signal.SIGSTOP)
        assert NativeStacks().frames(running.pid, start_of(running.pid), running.places) == frames


def test_what_is_no_code_is_left_out(program: Path) -> None:
    with started(program) as running:
        start = start_of(running.pid)
        innermost, *callers = running.places
        stack = Place(address=2**47 - 4096, offset=0, inode=0, module="")
        unmapped = replace(callers[0], address=0x1000)
        moved = replace(callers[0], offset=callers[0].offset + 4096)
        places = [innermost, stack, unmapped, moved, *running.no_code, *callers]
        assert names(NativeStacks().frames(running.pid, start, places)) == EXPECTED


def test_a_guess_must_follow_a_call(program: Path) -> None:
    with started(program) as running:
        stacks, start = NativeStacks(), start_of(running.pid)
        innermost, *callers = running.places
        good = replace(callers[0], guess=True)
        for places in ([innermost, good, callers[1]], [innermost, good, *callers]):
            assert names(stacks.frames(running.pid, start, places)) == EXPECTED
        bad = replace(callers[0], address=callers[0].address + 1, offset=callers[0].offset + 1, guess=True)
        assert names(stacks.frames(running.pid, start, [innermost, bad, *callers])) == EXPECTED


def test_code_that_no_file_holds_can_make_a_call(program: Path) -> None:
    with started(program) as running:
        places = [running.no_code[1], *running.places[1:]]
        frames = NativeStacks().frames(running.pid, start_of(running.pid), places)
        assert names(frames) == [("[anonymous]", ""), *EXPECTED[1:]]


def test_the_file_is_found_though_it_was_renamed_or_removed(program: Path, tmp_path: Path) -> None:
    for change in (lambda path: path.rename(tmp_path / "renamed"), Path.unlink):
        copy = tmp_path / "program"
        shutil.copy(program, copy)
        with started(copy) as running:
            change(copy)
            frames = NativeStacks().frames(running.pid, start_of(running.pid), running.places)
            assert names(frames) == EXPECTED


def test_an_ended_process_has_the_files_of_its_relatives(program: Path) -> None:
    with started(program) as relative:
        with started(program) as ended:
            start = start_of(ended.pid)
        stacks = NativeStacks()
        bare = tuple(Frame(module="program", offset=place.offset) for place in ended.places)
        assert stacks.frames(ended.pid, start, ended.places) == bare
        assert stacks.frames(ended.pid, 0, ended.places, relatives=[os.getpid(), ended.pid]) == bare
        for known in (start, 0):
            frames = stacks.frames(ended.pid, known, ended.places, relatives=[ended.pid, relative.pid])
            assert names(frames) == EXPECTED


def test_names_that_were_cut_short(program: Path, tmp_path: Path) -> None:
    copy = tmp_path / ("long" * 15)
    shutil.copy(program, copy)
    with started(copy) as running:
        places = [replace(place, module=place.module[:39]) for place in running.places]
        expected = [(copy.name, function) for _, function in EXPECTED]
        for start, relatives in ((start_of(running.pid), []), (0, [running.pid])):
            assert names(NativeStacks().frames(running.pid, start, places, relatives)) == expected


def test_on_an_overlay_the_inode_may_be_another(program: Path) -> None:
    with started(program) as running:
        places = [replace(place, inode=place.inode + 2**60) for place in running.places]
        assert names(NativeStacks().frames(running.pid, start_of(running.pid), places)) == EXPECTED


def test_a_reused_pid_is_another_process(program: Path) -> None:
    with started(program) as running:
        frames = NativeStacks().frames(running.pid, start_of(running.pid) - 1, running.places)
        assert {frame.function for frame in frames} == {""}


def test_a_process_that_runs_another_program_by_now(program: Path) -> None:
    with started(program, shutil.which("sleep") or "", "60") as running, started(program) as relative:
        start = start_of(running.pid)
        assert running.process.stdin is not None
        running.process.stdin.write(b"\n")
        running.process.stdin.flush()
        wait_for(lambda: os.readlink(f"/proc/{running.pid}/exe").endswith("sleep"))
        assert start_of(running.pid) == start
        stacks = NativeStacks()
        assert {frame.function for frame in stacks.frames(running.pid, start, running.places)} == {""}
        assert names(stacks.frames(running.pid, start, running.places, [relative.pid])) == EXPECTED


def test_a_device_is_not_opened() -> None:
    script = (
        "import mmap, os, time\n"
        "m = mmap.mmap(os.open('/dev/zero', os.O_RDWR), 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)\n"
        "print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            with Process(child.pid) as process:
                mapping = next(mapping for mapping in process.mappings() if mapping.name == "zero")
                with pytest.raises(OSError, match="'zero' is no regular file"):
                    process.open_file(mapping)
            place = Place(address=mapping.start, offset=0, inode=mapping.inode, module="zero")
            frames = NativeStacks().frames(child.pid, start_of(child.pid), [place, place])
            assert frames == (Frame(module="zero"), Frame(module="zero"))
        finally:
            child.kill()


@pytest.mark.skipif(not shutil.which("fuse-overlayfs"), reason="fuse-overlayfs is not installed")
def test_a_file_system_that_does_not_answer(program: Path, tmp_path: Path) -> None:
    """Such as a container may serve to itself; afterwards other files are still read."""
    mount = tmp_path / "mount"
    mount.mkdir()
    options = ["-f", "-o", f"lowerdir={program.parent},noacl", mount]
    with subprocess.Popen(["fuse-overlayfs", *options], stdout=subprocess.PIPE) as server:
        try:
            wait_for(lambda: (mount / "program").exists())
            with started(mount / "program") as running, started(program) as other:
                stacks = NativeStacks(seconds=100)
                start = start_of(running.pid)
                assert names(stacks.frames(running.pid, start, running.places)) == EXPECTED
                server.send_signal(signal.SIGSTOP)
                wait_for(lambda: state_of(server.pid) == "T")  # until then another of its threads may answer
                for seconds in (3, 100):  # it is not waited for twice
                    stacks._patience.seconds = seconds
                    before = time.monotonic()
                    frames = stacks.frames(running.pid, start, running.places)
                    assert names(frames) == [("program", "")] * 3
                    assert time.monotonic() - before < 60
                frames = stacks.frames(other.pid, start_of(other.pid), other.places)
                assert names(frames) == EXPECTED
                server.send_signal(signal.SIGCONT)  # an answer at last
                wait_for(lambda: names(stacks.frames(running.pid, start, running.places)) == EXPECTED)
        finally:
            server.send_signal(signal.SIGCONT)
            subprocess.run(["umount", mount], check=True)
            # It would go on where somebody has made a mount namespace meanwhile, which has the mount too.
            server.kill()
            server.wait(60)


PYTHON = """
import sys, threading, time

def inner():
    time.sleep(60)

def outer():
    inner()

def elsewhere():
    time.sleep(60)

if len(sys.argv) > 1:
    thread = threading.Thread(target=outer)
    thread.start()
    print(thread.native_id, flush=True)
    elsewhere()
print(flush=True)
outer()
"""


@contextmanager
def python(directory: Path, *arguments: str) -> Iterator[tuple[int, int, Path]]:
    """A Python program that waits: its pid, the tid of its second thread, its file."""
    path = directory / "program.py"
    path.write_text(PYTHON)
    child = subprocess.Popen([sys.executable, path, *arguments], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        tid = int(child.stdout.readline() or 0) if arguments else child.stdout.readline() and 0
        sleeping = number_of(NATIVE_ABIS[platform.machine()], "clock_nanosleep")
        wait_for(lambda: {call_of(child.pid), call_of(child.pid, tid)} == {sleeping})
        yield child.pid, tid, path
    finally:
        child.kill()
        child.communicate()


def line_of(text: str) -> int:
    return PYTHON.splitlines().index(text) + 1


def inner_and_outer(path: Path) -> list[Frame]:
    return [
        Frame(module=str(path), function="inner", line=line_of("def inner():") + 1),
        Frame(module=str(path), function="outer", line=line_of("def outer():") + 1),
    ]


@pytest.mark.parametrize("stopped", [True, False])
def test_python_functions(tmp_path: Path, stopped: bool) -> None:
    with python(tmp_path) as (pid, _, path):
        assert is_python(pid)
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        found = python_frames(pid)
        last = Frame(module=str(path), function="<module>", line=len(PYTHON.splitlines()))
        assert found == PythonStack(frames=(*inner_and_outer(path), last))
        assert python_frames(pid, pid) == found


def test_the_python_functions_of_one_thread(tmp_path: Path) -> None:
    with python(tmp_path, "threads") as (pid, tid, path):
        os.kill(pid, signal.SIGSTOP)
        assert list(python_frames(pid, tid).frames[:2]) == inner_and_outer(path)
        assert python_frames(pid, pid).frames[0].function == "elsewhere"


def test_no_python_functions_where_there_are_none(program: Path) -> None:
    with started(program) as running:
        assert not is_python(running.pid)
        found = python_frames(running.pid)
        assert found == PythonStack(reason="py-spy: Failed to find python version from target process")
    assert python_frames(running.pid) == PythonStack(
        reason=f"process {running.pid} has no thread {running.pid}"
    )
