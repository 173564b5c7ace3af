"""The sources beside this file in, compiled programs out; and which tracing programs of others the kernel runs."""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
import hatch_build  # noqa: E402

OBJECT, METER = "programs.bpf.o", "meter"
LINK_RAW_TRACEPOINT = 1  # include/uapi/linux/bpf.h, enum bpf_link_type
TRACEPOINTS = ("sys_enter", "sys_exit", "sched_switch")


class Unmeasurable(Exception):
    """Something that must be measured cannot be; the message says why."""


def compiled() -> Path:
    """The directory of the compiled programs, made once for these sources; raises Unmeasurable."""
    sources = (HERE / "programs.bpf.c", HERE / "meter.c")
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources) + os.uname().machine.encode())
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    cache = Path(base) / "seclude" / "bench"
    target = cache / digest.hexdigest()[:16]
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            for stale in cache.glob("[0-9a-f]*"):
                shutil.rmtree(stale)
            with tempfile.TemporaryDirectory(dir=cache, prefix=".build-") as build:
                _compile(Path(build) / "out")
                (Path(build) / "out").rename(target)
    return target


def _compile(out: Path) -> None:
    out.mkdir()
    try:
        clang = hatch_build.compiler()
        includes = [f"-I{path}" for path in hatch_build.include_directories(clang)]
    except hatch_build.BuildError as error:
        raise Unmeasurable(str(error)) from error
    bpf = [clang, "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", "-mcpu=v3", *includes, "-c"]
    compiler = shutil.which("cc") or shutil.which("gcc") or clang
    native = [compiler, "-O2", "-Wall", "-Werror", "-static"]
    for command, source, name in ((bpf, "programs.bpf.c", OBJECT), (native, "meter.c", METER)):
        done = subprocess.run([*command, HERE / source, "-o", out / name], capture_output=True, text=True)
        if done.returncode:
            raise Unmeasurable(f"{source} does not compile:\n{done.stderr}")


class Links:
    """Which links to the raw tracepoints that we measure exist on this machine, by id."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libbpf.so.1", use_errno=True)

    def now(self) -> frozenset[int]:
        """The ids of all links to TRACEPOINTS, whoever made them."""
        found = set()
        number = ctypes.c_uint32(0)
        while self._library.bpf_link_get_next_id(number.value, ctypes.byref(number)) == 0:
            descriptor = self._library.bpf_link_get_fd_by_id(number.value)
            if descriptor >= 0:
                if self._tracepoint(descriptor) in TRACEPOINTS:
                    found.add(number.value)
                os.close(descriptor)
        return frozenset(found)

    def _tracepoint(self, descriptor: int) -> str:
        # struct bpf_link_info: type, id, prog_id, then at 16 the address and at 24 the length for a name.
        name = ctypes.create_string_buffer(64)
        info = (ctypes.c_uint64 * 32)()
        info[2], info[3] = ctypes.addressof(name), len(name)
        length = ctypes.c_uint32(ctypes.sizeof(info))
        self._library.bpf_obj_get_info_by_fd(descriptor, ctypes.byref(info), ctypes.byref(length))
        return name.value.decode() if info[0] & 0xFFFFFFFF == LINK_RAW_TRACEPOINT else ""
