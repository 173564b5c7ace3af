"""Profiles in the engines' own formats: podman, runc and crun take them, and they are in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from podman_bed import Bed

from seclude.formats.engines import LABEL, DockerFormat, LabelFormat, OciFormat, PodmanFormat
from seclude.model.environment import Environment
from seclude.model.export import Settings
from seclude.model.profile import Filter, Profile, Rule, SubArchitectures
from seclude.syscalls import all_names

pytestmark = [pytest.mark.engine]

SETTINGS = Settings(environment=Environment(machine="x86_64", kernel="6.1", capabilities=()))
REFUSED = {"mkdir", "mkdirat", "chown", "lchown", "fchownat"}
PROFILE = Profile(
    default_action="SCMP_ACT_ERRNO",
    default_errno="EPERM",
    arch_map=(
        SubArchitectures(architecture="SCMP_ARCH_X86_64", sub_architectures=("SCMP_ARCH_X86",)),
        SubArchitectures(architecture="SCMP_ARCH_AARCH64", sub_architectures=("SCMP_ARCH_ARM",)),
    ),
    rules=(
        Rule(names=tuple(sorted(all_names() - REFUSED)), action="SCMP_ACT_ALLOW", comment="the rest"),
        Rule(names=("mkdir", "mkdirat"), action="SCMP_ACT_ERRNO", errno="EXDEV"),
        Rule(
            names=("chown", "lchown", "fchownat"),
            action="SCMP_ACT_ALLOW",
            includes=Filter(caps=("CAP_NET_ADMIN",)),
        ),
    ),
)
"""A whole profile: archMap, an errno by name, a rule for those that have a capability."""

SCRIPT = "mkdir /tmp/there; chown 1 /tmp; echo done"


@pytest.mark.parametrize("form", [OciFormat, DockerFormat, PodmanFormat])
def test_containers_start_under_it(bed: Bed, runtime: str, form, tmp_path: Path):
    path = tmp_path / "profile.json"
    path.write_text(form(SETTINGS).dumps(PROFILE))
    done = bed.run("sh", "-c", SCRIPT, image="debian", runtime=runtime, seccomp=path).succeeded()
    assert done.lines == ["done"]
    # EXDEV is what the rule says, and EPERM the default: neither comes from the file system.
    assert "cross-device link" in done.err.lower() and "not permitted" in done.err, done.err


def test_capabilities_are_podmans_to_decide(bed: Bed, tmp_path: Path):
    """Resolved for a place without the capability, the call stays refused; podman's own form asks for it."""
    for form, permitted in ((OciFormat, False), (PodmanFormat, True)):
        path = tmp_path / "profile.json"
        path.write_text(form(SETTINGS).dumps(PROFILE))
        options = ["--cap-add", "CAP_NET_ADMIN"]
        done = bed.run("sh", "-c", "chown 1 /tmp", image="debian", seccomp=path, options=options)
        assert (done.status == 0) is permitted, done


def test_an_image_brings_its_profile(bed: Bed, tmp_path: Path):
    """As docs/formats.md says: podman build --label, then --seccomp-policy=image."""
    label = LabelFormat(SETTINGS).dumps(PROFILE).rstrip("\n")
    (tmp_path / "Containerfile").write_text(f"FROM {bed.images.named('debian')}\n")
    name = "localhost/seclude-label"
    bed.podman("build", "--quiet", "--label", label, "--tag", name, tmp_path).succeeded()
    try:
        shown = bed.podman("image", "inspect", "--format", "{{json .Config.Labels}}", name).succeeded()
        assert json.loads(shown.out)[LABEL] == label.partition("=")[2]
        for policy, refused in (("image", True), ("default", False)):
            done = bed.run("sh", "-c", SCRIPT, image=name, options=[f"--seccomp-policy={policy}"]).succeeded()
            assert ("cross-device link" in done.err.lower()) is refused, done
    finally:
        bed.podman("rmi", name)
