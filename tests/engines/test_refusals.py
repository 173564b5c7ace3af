"""Bad input: the container's start fails with the reason, nothing is written, and no old file is harmed."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from recording import TRACE, Recorder

pytestmark = pytest.mark.engine

OLD = '{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}\n'


def refused(recorder: Recorder, value: str, says: str, runtime: str = "runc") -> None:
    """The container does not start, and podman's error has the hook's words."""
    result = recorder.bed.run("true", runtime=runtime, annotations={TRACE: value})
    assert result.status != 0, result
    assert "seclude: " in result.err, result
    assert says in result.err, result


def snapshot(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir() if path.is_file()}


@pytest.mark.parametrize("detached", [(), ("--detach",)], ids=["attached", "detached"])
def test_both_runtimes_refuse_and_the_reason_is_kept(
    recorder: Recorder, runtime: str, detached: tuple[str, ...]
) -> None:
    """runc passes the hook's words on; crun throws them away, so the hook sees to it; `hook status` has them too."""
    result = recorder.bed.run(
        "true", runtime=runtime, annotations={TRACE: f"of:{runtime}.json"}, options=detached
    )
    assert result.status != 0
    assert f"seclude: annotation {TRACE}: of:'{runtime}.json' is no absolute path" in result.err, str(result)
    assert f"'{runtime}.json' is no absolute path" in recorder.status()["last_error"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("of:relative.json", "no absolute path"),
        ("of:{dir}/a.json;of:{dir}/b.json", "given twice"),
        ("if:{dir}/old.json", "names no output"),
        ("", "names no output"),
        ("to:{dir}/a.json", "neither of: nor if:"),
        ("{dir}/a.json", "neither of: nor if:"),
        ("of:{dir}/a.json;if:{dir}/missing.json", "missing.json cannot be read"),
        ("of:{dir}/a.json;if:{dir}/broken.json", "broken.json: line 1"),
        ("of:{dir}/a.json;if:{dir}/list.json", "list.json"),
        ("of:{dir}/a.json;if:{dir}/unknown.json", "surprise"),
        ("of:{dir}/none/a.json", "there is no directory"),
        ("of:{dir}/link/a.json", "is a symbolic link"),
        ("of:{dir}/linked.json", "a symbolic link"),
        ("of:/dev/null", "no regular file"),
        ("of:{dir}/notes.txt", "is no seccomp profile"),
        ("of:{dir}/other.json", "is no seccomp profile"),
        ("of:/etc/passwd", "is no seccomp profile"),
        ("of:{dir}/", "names a directory"),
        ("of:{dir}/../a.json", "is not a plain path"),
    ],
)
def test_bad_annotation(recorder: Recorder, tmp_path: Path, value: str, says: str) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "linked.json").symlink_to("old.json")
    for name, text in {
        "old.json": OLD,
        "broken.json": '{"defaultAction": ',
        "list.json": "[]",
        "unknown.json": '{"defaultAction":"SCMP_ACT_ERRNO","surprise":1}',
        "notes.txt": "keep me\n",
        "other.json": '{"some": "thing"}',
    }.items():
        (tmp_path / name).write_text(text)
    before = snapshot(tmp_path)
    passwords = Path("/etc/passwd").read_bytes()
    refused(recorder, value.replace("{dir}", str(tmp_path)), says)
    assert snapshot(tmp_path) == before
    assert Path("/etc/passwd").read_bytes() == passwords
    assert not list((tmp_path / "real").iterdir())


def test_the_input_is_not_quoted(recorder: Recorder, tmp_path: Path) -> None:
    """Whoever may start a container may not be allowed to read the file."""
    (tmp_path / "secret").write_text("hunter2 is the password\n")
    result = recorder.bed.run("true", annotations={TRACE: f"of:{tmp_path}/a.json;if:{tmp_path}/secret"})
    assert result.status != 0
    assert "hunter2" not in result.err


def test_old_profile_survives_a_refused_start(recorder: Recorder, tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(OLD)
    refused(recorder, f"of:{old};if:{tmp_path}/missing.json", "cannot be read")
    assert old.read_text() == OLD


@pytest.fixture
def small(recorder: Recorder) -> Iterator[Path]:
    """A file system of 64 kB that is full, seen by the hook."""
    directory = recorder.bed.directory / "small"
    directory.mkdir()
    mount = recorder.bed.command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", directory)
    subprocess.run(mount, check=True)
    try:
        yield directory
    finally:
        subprocess.run(recorder.bed.command("umount", directory), check=True)
        directory.rmdir()


def test_full_disk(recorder: Recorder, small: Path) -> None:
    refused(recorder, f"of:{small}/a.json", "are needed")
    recorder.bed.host("sh", "-c", f"head -c 100000 /dev/zero >{small}/fill; true")
    refused(recorder, f"of:{small}/a.json", "seclude: ")
    assert recorder.bed.host("ls", small).lines == ["fill"]


def test_read_only_directory(recorder: Recorder, small: Path) -> None:
    recorder.bed.host("mount", "-o", "remount,ro", small).succeeded()
    refused(recorder, f"of:{small}/a.json", "Read-only file system")


def test_policy(recorder: Recorder, tmp_path: Path) -> None:
    """An administrator's policy file restricts where the hook writes."""
    policy = tmp_path / "policy.toml"
    policy.write_text(f'output-directories = ["{tmp_path}/allowed"]\n')
    (tmp_path / "allowed").mkdir()
    recorder.seclude("hook", "install", "--hooks-dir", recorder.bed.hooks_dir, "--policy", policy).succeeded()
    try:
        refused(recorder, f"of:{tmp_path}/a.json", "the policy allows only paths in")
        value = f"of:{tmp_path}/allowed/a.json"
        recorder.bed.run("true", annotations={TRACE: value}).succeeded()
        assert json.loads((tmp_path / "allowed" / "a.json").read_text())["syscalls"]
    finally:
        recorder.install()


def test_no_bpffs(recorder: Recorder, tmp_path: Path) -> None:
    environment = {"SECLUDE_BPFFS": str(tmp_path)}
    arguments = ("hook", "install", "--hooks-dir", recorder.bed.hooks_dir)
    result = recorder.seclude(*arguments, env=environment)
    assert result.status == 1
    assert f"no BPF file system is mounted at {tmp_path}" in result.err
    recorder.install()


def test_no_type_information(recorder: Recorder, tmp_path: Path) -> None:
    """A kernel without BTF, played by an empty directory over /sys/kernel/btf in the hook's mount namespace."""
    bed = recorder.bed
    bed.host("mount", "-t", "tmpfs", "tmpfs", "/sys/kernel/btf").succeeded()
    try:
        refused(recorder, f"of:{tmp_path}/a.json", "no type information")
    finally:
        bed.host("umount", "/sys/kernel/btf").succeeded()
    assert not list(tmp_path.iterdir())


def test_no_libbpf(recorder: Recorder, tmp_path: Path) -> None:
    bed = recorder.bed
    found = bed.host("sh", "-c", "ldconfig -p | sed -n 's/.*libbpf.so.1 .*=> //p'").lines[0]
    library = os.path.realpath(found)
    empty = tmp_path / "empty"
    empty.touch()
    bed.host("mount", "--bind", empty, library).succeeded()
    try:
        refused(recorder, f"of:{tmp_path}/a.json", "libbpf1")
    finally:
        bed.host("umount", library).succeeded()
    assert not (tmp_path / "a.json").exists()


def test_not_root(recorder: Recorder, tmp_path: Path) -> None:
    """The hook and `seclude record` of an ordinary user."""
    tmp_path.chmod(0o777)
    state = json.dumps(
        {
            "id": "c1",
            "status": "creating",
            "pid": os.getpid(),
            "annotations": {TRACE: f"of:{tmp_path}/a.json"},
        }
    )
    hook = json.loads((recorder.bed.hooks_dir / "seclude.json").read_text())["hook"]
    nobody = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    result = recorder.bed.host(*nobody, hook["path"], *hook["args"][1:], stdin=state.encode())
    if "Permission denied" in result.err and not result.err.startswith("seclude"):
        pytest.skip("the interpreter is in a directory that only root can enter")
    assert result.status == 1
    assert "root" in result.err
    assert not (tmp_path / "a.json").exists()


def test_another_version_is_pinned(recorder: Recorder, tmp_path: Path) -> None:
    """A recorder that an older or newer seclude left loaded is not touched, and its maps are not misread."""
    from seclude.trace import layout
    from seclude.trace.ebpf import EbpfTracer

    bed = recorder.bed
    container, _ = recorder.start("sleep", "600")
    tracer = EbpfTracer(bpffs=str(bed.bpffs))
    number = tracer._new_number()
    try:
        tracer._put("meta", bytes(4), layout.META.pack(layout.RECORDER_VERSION + 1, number, 0))
        refused(recorder, f"of:{tmp_path}/a.json", "another version of the recorder is pinned")
    finally:
        tracer._put("meta", bytes(4), layout.META.pack(layout.RECORDER_VERSION, number + 1, 0))
        tracer.close()
        bed.podman("rm", "--force", "--time", "0", container).succeeded()
    assert not (tmp_path / "a.json").exists()
