"""The test bed itself: podman runs in it on every runtime, takes profiles and hooks, leaves nothing behind."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from catalogue import MEMORY, PROCESSES, SLEEPER, WORKLOADS, Workload, set_workload
from podman_bed import WORKLOADS_DIR, Bed, open_bed
from podman_config import IMAGES, cache_dir, import_images

pytestmark = pytest.mark.engine

# Everything allowed, on both of the processor's ABIs, but what a test refuses.
PERMISSIVE = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]}


def _refusing(path: Path, *names: str) -> Path:
    rule = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}
    path.write_text(json.dumps(PERMISSIVE | {"syscalls": [rule]}))
    return path


def test_ls_runs(bed: Bed, runtime: str) -> None:
    result = bed.run("ls", "/", image="debian", runtime=runtime).succeeded()
    assert {"bin", "etc", "proc", "usr"} <= set(result.lines)


def test_image_has_what_the_tests_use(bed: Bed) -> None:
    command = "import os; os.execvp('bash', ['bash', '-c', 'unshare --version && command -v setpriv'])"
    bed.run("python3", "-c", command, image="debian").succeeded()
    bed.run("sh", "-c", "ls / | grep -q workloads && test -w /tmp").succeeded()


@pytest.mark.parametrize("workload", PROCESSES, ids=lambda workload: workload.name)
def test_workload_keeps_its_status(bed: Bed, runtime: str, workload: Workload) -> None:
    result = bed.run(*workload.argv(WORKLOADS_DIR), runtime=runtime)
    assert (result.status, result.lines[-1]) == (workload.status, workload.line), str(result)


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_workload_fails_without_its_calls(bed: Bed, tmp_path: Path, workload: Workload) -> None:
    allowed = bed.run(*workload.argv(WORKLOADS_DIR), seccomp=_refusing(tmp_path / "none.json", "mkdir"))
    # Nothing of x32 passes a filter without its architecture.
    assert workload.x32 or allowed.status == workload.status, str(allowed)
    for call in sorted(workload.native | workload.x86):
        refused = bed.run(*workload.argv(WORKLOADS_DIR), seccomp=_refusing(tmp_path / "profile.json", call))
        assert refused.status not in (0, workload.status), f"{call} refused: {refused}"


def test_profile_refuses_mkdir(bed: Bed, runtime: str, tmp_path: Path) -> None:
    bed.run("mkdir", "/tmp/new", runtime=runtime, seccomp="unconfined").succeeded()
    profile = _refusing(tmp_path / "profile.json", "mkdir", "mkdirat")
    result = bed.run("mkdir", "/tmp/new", runtime=runtime, seccomp=profile)
    assert result.status == 1
    assert "Operation not permitted" in result.err


def test_written_profile_is_read_back(bed: Bed, tmp_path: Path) -> None:
    path = bed.write_profile(tmp_path / "profile.json", ["write", "read"])
    assert bed.allowed(path) == {"read", "write"}
    assert bed.profile(path)["syscalls"][0]["names"] == ["read", "write"]


def test_output_and_status_pass_through(bed: Bed, runtime: str) -> None:
    result = bed.run(
        "sh", "-c", "cat; echo warning >&2; exit 3", runtime=runtime, options=["-i"], stdin=b"in\n"
    )
    assert (result.status, result.out, result.err) == (3, "in\n", "warning\n")


def test_hooks_run_and_have_ended(bed: Bed, runtime: str, tmp_path: Path) -> None:
    trail = tmp_path / "trail"
    hook = {
        "version": "1.0.0",
        "hook": {
            "path": "/bin/sh",
            "args": ["sh", "-c", f"cat >/dev/null; sleep 0.2; echo $STAGE >>{trail}"],
        },
        "when": {"annotations": {"^test\\.seclude$": ".*"}},
        "stages": ["createRuntime", "poststop"],
    }
    file = bed.hooks_dir / "test-trail.json"
    file.write_text(json.dumps(hook))
    try:
        bed.run("true", runtime=runtime).succeeded()
        assert not trail.exists()
        bed.run("true", runtime=runtime, annotations={"test.seclude": "1"}).succeeded()
        assert len(trail.read_text().splitlines()) == 2
    finally:
        file.unlink()


def test_sleeper_answers_a_kill(bed: Bed, runtime: str) -> None:
    container = bed.start(*SLEEPER.argv(WORKLOADS_DIR), runtime=runtime)
    bed.wait_for_line(container, SLEEPER.line)
    bed.podman("exec", container, "true").succeeded()
    bed.podman("kill", "--signal", "TERM", container).succeeded()
    assert bed.podman("wait", container).lines == [str(SLEEPER.status)]
    bed.podman("rm", container).succeeded()


def test_memory_is_killed_at_its_limit(bed: Bed, runtime: str) -> None:
    result = bed.run(
        *MEMORY.argv(WORKLOADS_DIR), runtime=runtime, options=["--memory", "32m", "--memory-swap", "32m"]
    )
    assert (result.status, result.lines) == (MEMORY.status, [MEMORY.line]), str(result)


def test_containers_run_side_by_side(bed: Bed) -> None:
    sets = [set_workload(number, milliseconds=300) for number in range(12)]
    with ThreadPoolExecutor(len(sets)) as pool:
        results = list(pool.map(lambda workload: bed.run(*workload.argv(WORKLOADS_DIR)), sets))
    assert [(result.status, result.out.strip()) for result in results] == [(w.status, w.line) for w in sets]


def test_bpffs_is_the_same_inside_and_outside(bed: Bed) -> None:
    pins = bed.bpffs / "test-pins"
    pins.mkdir()
    try:
        assert "test-pins" in bed.host("ls", bed.bpffs).succeeded().lines
        assert f"pinned {pins}" in bed.remains()
    finally:
        pins.rmdir()


def test_commands_on_the_host_use_the_bed(bed: Bed, tmp_path: Path) -> None:
    store = bed.host("podman", "info", "--format", "{{.Store.GraphRoot}}").succeeded()
    assert store.lines == [str(bed.directory / "root")]
    assert bed.host("pwd", cwd=tmp_path).lines == [str(tmp_path)]
    assert bed.host("sh", "-c", "exit 4").status == 4


def test_second_import_does_nothing(bed: Bed) -> None:
    written = [cache_dir() / name for name in ("store.json", *(f"{image}.tar" for image in IMAGES))]
    before = [path.stat() for path in written]
    assert import_images(cache_dir()).items() <= bed.images.items()
    assert [(each.st_ino, each.st_mtime_ns) for each in before] == [
        (path.stat().st_ino, path.stat().st_mtime_ns) for path in written
    ]


def test_bed_leaves_nothing_behind(bed: Bed) -> None:
    with open_bed() as other:
        directory = other.directory
        assert other.directory != bed.directory
        container = other.start(*SLEEPER.argv(WORKLOADS_DIR))
        other.wait_for_line(container, SLEEPER.line)
        assert [line.split()[0] for line in other.remains()].count("container") == 1
        assert any(container in path for path in _cgroups())
        assert str(directory / "root") not in Path("/proc/self/mountinfo").read_text()
    assert not directory.exists()
    assert str(directory) not in Path("/proc/self/mountinfo").read_text()
    assert not any(container in path for path in _cgroups())
    assert not [path for path in ("/run/runc", "/run/crun") if (Path(path) / container).exists()]


def test_forgotten_pin_is_reported(bed: Bed) -> None:
    with pytest.raises(AssertionError, match=r"left behind: pinned .*/bpf/forgotten"), open_bed() as other:
        (other.bpffs / "forgotten").mkdir()
    assert not other.directory.exists()


def _cgroups() -> list[str]:
    return [path for path, _, _ in os.walk("/sys/fs/cgroup")]
