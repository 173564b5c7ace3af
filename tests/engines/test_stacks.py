"""Stacks in containers: their processes have other numbers, other roots and files on overlays."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import wait_for
from podman_bed import Bed

from seclude.model.denial import Frame, Place
from seclude.model.environment import NATIVE_ABIS
from seclude.registrations import start_of
from seclude.stacks.native import NativeStacks
from seclude.stacks.process import Process
from seclude.stacks.python import is_python, python_frames
from seclude.syscalls import number_of

pytestmark = pytest.mark.engine

PROGRAM = """
import os, threading, time

def inner():
    time.sleep(600)

def outer():
    inner()

def elsewhere():
    print("ready", os.getpid(), flush=True)
    time.sleep(600)

threading.Thread(target=outer).start()
elsewhere()
"""


@pytest.fixture(scope="module", params=["runc", "crun"])
def container(bed: Bed, request: pytest.FixtureRequest) -> Iterator[int]:
    """The pid, on the host, of a Python program with two threads in a container."""
    container = bed.start("python3", "-c", PROGRAM, image="debian", runtime=request.param)
    bed.wait_for_line(container, "ready 1")
    pid = int(bed.podman("inspect", "--format", "{{.State.Pid}}", container).succeeded().out)
    sleeping = str(number_of(NATIVE_ABIS[platform.machine()], "clock_nanosleep"))
    threads = sorted(Path(f"/proc/{pid}/task").iterdir())
    wait_for(lambda: {(each / "syscall").read_text().split()[0] for each in threads} == {sleeping})
    yield pid
    bed.podman("rm", "--force", "--time", "0", container).succeeded()


def test_python_functions_of_each_thread(container: int) -> None:
    assert is_python(container)
    first, second = sorted(map(int, os.listdir(f"/proc/{container}/task")))
    assert first == container
    assert python_frames(first).frames == python_frames(first, first).frames
    assert [frame.function for frame in python_frames(first).frames] == ["elsewhere", "<module>"]
    frames = python_frames(container, second).frames
    assert frames[:2] == (
        Frame(module="<string>", function="inner", line=5),
        Frame(module="<string>", function="outer", line=8),
    )
    assert frames[2].module.endswith("/threading.py")


def test_a_thread_number_of_the_container_is_none_of_ours(container: int) -> None:
    assert python_frames(container, 1).reason == f"process {container} has no thread 1"


def test_native_functions_of_files_on_an_overlay(container: int) -> None:
    here = symbols_beside(container)
    stacks = NativeStacks()
    frames = stacks.frames(container, start_of(container), here)
    assert [(frame.module, frame.function) for frame in frames] == [("libc.so.6", "getppid")]
    # A process of the container that has ended by now had the same files.
    assert stacks.frames(4_194_305, 0, here, relatives=[container]) == frames


def symbols_beside(pid: int) -> list[Place]:
    """A place in getppid of the container's C library."""
    from elftools.elf.elffile import ELFFile
    from elftools.elf.sections import SymbolTableSection

    with Process(pid) as process:
        libc = next(mapping for mapping in process.mappings() if mapping.name == "libc.so.6")
        with open(process.open_file(libc), "rb") as file:
            library = ELFFile(file)
            table = library.get_section_by_name(".dynsym")
            assert isinstance(table, SymbolTableSection)
            symbols = table.get_symbol_by_name("getppid")
            assert symbols
            offset = next(iter(library.address_offsets(symbols[0]["st_value"]))) + 7
    address = libc.start + offset - libc.offset
    return [Place(address=address, offset=offset, inode=libc.inode, module="libc.so.6")]
