"""`seclude doctor` on the machine it runs on: what it says is what the programs and the kernel say."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from plain import SECLUDE

from seclude import bpffs
from seclude.doctor import libraries
from seclude.syscalls import names

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="what the doctor tries takes root"),
]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SECLUDE, "doctor", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
    )


def values(*arguments: str, **environment: str) -> dict[str, dict[str, str]]:
    """The checks by name."""
    done = doctor("--json", *arguments, **environment)
    assert done.stderr == ""
    shown = json.loads(done.stdout)
    assert (done.returncode == 0) == shown["able"]
    assert shown["able"] == all(check["state"] != "missing" for check in shown["checks"])
    return {check["name"]: check for check in shown["checks"]}


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A BPF file system of our own."""
    directory = tmp_path / "bpf"
    directory.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


def test_this_machine_can_record() -> None:
    done = doctor()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("this machine can record")
    assert done.stdout.replace("\n", "").isprintable()
    states = {line.split()[0] for line in done.stdout.splitlines()[:-2]}
    assert states <= {"ok", "degraded", "next:"}


def test_what_is_not_well_has_a_next_step() -> None:
    for check in values().values():
        assert check["state"] in ("ok", "degraded")
        assert bool(check["next_step"]) == (check["state"] != "ok")


@pytest.mark.parametrize("program", ["podman", "runc", "crun"])
def test_versions_are_those_that_the_programs_say(program: str) -> None:
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    said = subprocess.run(
        [path, "--version"], capture_output=True, text=True, timeout=60
    ).stdout.splitlines()[0]
    assert values()[program]["found"].startswith(said.split()[2] + " (")


def test_no_container_engine() -> None:
    checks = values(PATH="/nonexistent")
    assert checks["podman"]["state"] == "degraded"
    assert checks["podman"]["found"].startswith("not installed")
    assert checks["recorder"]["state"] == "ok"


def test_a_path_of_nobody_s(tmp_path: Path) -> None:
    fake = tmp_path / "podman"
    fake.write_text("#!/bin/sh\necho owned >> owned; echo podman version 9.9\n")
    fake.chmod(0o755)
    done = subprocess.run(
        [*SECLUDE, "doctor", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PATH": ".::/nonexistent"},
    )
    assert "9.9" not in done.stdout
    assert not (tmp_path / "owned").exists()


def test_the_kernel_takes_the_recorder_and_keeps_nothing_of_it(mounted: Path) -> None:
    check = values("--bpffs", str(mounted))["recorder"]
    assert check["state"] == "ok"
    assert check["found"].endswith("which the kernel takes")
    assert not (mounted / "seclude").exists()


def test_a_file_that_is_no_recorder(tmp_path: Path) -> None:
    (tmp_path / "recorder.o").write_bytes(b"\x7fELF and no more")
    assert libraries.recorder(str(tmp_path / "recorder.o")).state == "missing"


def test_bpffs(mounted: Path, tmp_path: Path) -> None:
    assert values("--bpffs", str(mounted))["bpffs"]["state"] == "ok"
    done = doctor("--bpffs", str(tmp_path))
    assert done.returncode == 1
    assert f"mount -t bpf bpf {tmp_path}" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("nothing can be recorded here yet: 1 missing")
    assert not bpffs.is_bpffs(str(tmp_path))


def test_the_unnamed_calls_are_those_that_libseccomp_does_not_know() -> None:
    library = libraries.ctypes.CDLL(libraries.LIBRARY)
    abi = os.uname().machine
    unnamed = [name for name in names(abi) if library.seccomp_syscall_resolve_name(name.encode()) == -1]
    found = values()["libseccomp"]["found"]
    assert (f"cannot name {len(unnamed)} calls" in found) == bool(unnamed)
    assert set(sorted(unnamed)[: libraries.SHOWN]) <= set(found.replace(";", "").split())


def test_another_version_that_is_pinned(mounted: Path, tmp_path: Path) -> None:
    from seclude.trace import layout
    from seclude.trace.libbpf import LibBpf

    library = LibBpf()
    loaded = library.open_object(libraries.OBJECT)
    (mounted / "seclude").mkdir()
    library.update(loaded.map("meta"), bytes(4), layout.META.pack(layout.RECORDER_VERSION + 1, 1, 0))
    library.pin(loaded.map("meta"), str(mounted / "seclude/meta"))
    check = libraries.pinned(str(mounted), str(tmp_path))
    assert (check.state, f"version {layout.RECORDER_VERSION + 1}" in check.found) == ("degraded", True)
    library.update(loaded.map("meta"), bytes(4), layout.META.pack(layout.RECORDER_VERSION, 1, 0))
    check = libraries.pinned(str(mounted), str(tmp_path))
    assert (check.state, check.next_step) == ("degraded", "run `seclude hook gc`")
    loaded.close()
    (mounted / "seclude/meta").unlink()


class TestWithoutRights:
    def as_nobody(self, *before: str) -> dict[str, dict[str, str]]:
        done = subprocess.run(
            [*before, *SECLUDE, "doctor", "--json"], capture_output=True, text=True, cwd="/", timeout=60
        )
        if "ModuleNotFoundError" in done.stderr or "Permission denied" in done.stderr:
            pytest.skip("nobody cannot read this checkout")
        assert (done.returncode, done.stderr) == (1, "")
        return {check["name"]: check for check in json.loads(done.stdout)["checks"]}

    def test_as_an_ordinary_user(self) -> None:
        checks = self.as_nobody("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        assert checks["capabilities"]["state"] == "missing"
        assert "sudo" in checks["capabilities"]["next_step"]
        assert "not tried" in checks["recorder"]["found"]
        assert checks["rootless"]["state"] == "degraded"

    def test_in_a_user_namespace(self) -> None:
        checks = self.as_nobody("unshare", "--user", "--map-root-user")
        assert checks["capabilities"]["state"] == "missing"
        assert "user namespace" in checks["capabilities"]["found"]


class TestTerminal:
    def on_a_terminal(self, **environment: str) -> str:
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            [*SECLUDE, "doctor"], stdout=follower, stderr=follower, env=os.environ | environment
        )
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
        os.close(leader)
        assert process.wait(60) == 0
        return shown.decode()

    def test_colour(self) -> None:
        assert "\x1b[32mok" in self.on_a_terminal(NO_COLOR="")

    def test_no_colour(self) -> None:
        assert "\x1b" not in self.on_a_terminal(NO_COLOR="1")
