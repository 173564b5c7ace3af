"""Podman's own resolution of a profile, as it hands it to the runtime, against ours: for every call the same."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest
from podman_bed import Bed

from seclude import syscalls
from seclude.analyse.diff import difference
from seclude.formats import oci
from seclude.model.environment import Environment
from seclude.model.profile import Profile

pytestmark = pytest.mark.engine
DEFAULT = Path("/usr/share/containers/seccomp.json")
TOLD = {"mount", "chroot", "ptrace", "kcmp", "arch_prctl", "sync_file_range2", "socket"}
GUARDED = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}],
    "syscalls": [
        {"names": sorted(syscalls.names("x86_64") - TOLD), "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
        {
            "names": ["chroot"],
            "action": "SCMP_ACT_ERRNO",
            "errno": "EACCES",
            "excludes": {"caps": ["CAP_SYS_CHROOT"]},
        },
        {"names": ["ptrace"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
        {"names": ["kcmp"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
        {"names": ["arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["sync_file_range2"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["ppc64le"]}},
        {
            "names": ["socket"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": 40, "op": "SCMP_CMP_NE"}],
            "excludes": {"caps": ["CAP_SYS_ADMIN"]},
        },
    ],
}


def resolved(bed: Bed, profile: Path, options: tuple[str, ...]) -> tuple[Profile, tuple[str, ...]]:
    """(what podman hands to the runtime, the container's bounding set)"""
    words = bed.run_arguments("true", seccomp=profile, options=options, remove=False)
    words[words.index("run")] = "create"
    identity = bed.host(*words).succeeded().out.strip()
    try:
        bed.podman("init", identity).succeeded()
        path = bed.podman("inspect", "--format", "{{.OCIConfigPath}}", identity).succeeded().out.strip()
        config = json.loads(bed.host("cat", path).succeeded().out)
    finally:
        bed.podman("rm", "--force", "--time", "0", identity).succeeded()
    text = json.dumps(config["linux"]["seccomp"])
    return oci.loads(text, "config.json"), tuple(config["process"]["capabilities"].get("bounding", ()))


@pytest.mark.parametrize(
    "options",
    [(), ("--cap-add", "SYS_ADMIN"), ("--cap-drop", "ALL"), ("--cap-add", "ALL", "--cap-drop", "SYS_CHROOT")],
    ids=" ".join,
)
@pytest.mark.parametrize("kind", ["default", "guarded"])
def test_the_same_decision_for_every_call(
    bed: Bed, tmp_path: Path, kind: str, options: tuple[str, ...]
) -> None:
    if kind == "default" and not DEFAULT.exists():
        pytest.skip(f"{DEFAULT} is not installed")
    path = DEFAULT if kind == "default" else tmp_path / "profile.json"
    if kind == "guarded":
        path.write_text(json.dumps(GUARDED))
    theirs, capabilities = resolved(bed, path, options)
    ours = oci.loads(path.read_text(), str(path))
    here = Environment(machine=platform.machine(), kernel=platform.release(), capabilities=capabilities)
    changes = difference(ours, theirs, environments=[here]).changes
    # containers-common knows no minKernel (pkg/seccomp/types.go, Filter): podman takes in what Docker leaves out.
    known = {"kcmp"} if kind == "guarded" else set()
    assert {each.call for each in changes} == known, [
        (each.call, each.before, each.after) for each in changes
    ]
