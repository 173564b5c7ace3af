"""The objects of deploy/kubernetes: the API's schemas accept them, and they agree with the code and one another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from seclude.enginefiles.containerd import ANNOTATIONS, ContainerdFile
from seclude.formats.kubernetes import KUBELET, placement
from seclude.formats.spo import SpoFormat
from seclude.hook import request_of
from seclude.launcher import Launcher
from seclude.model.export import Settings
from seclude.outputs import DIRECTORY
from seclude.pods import own_annotations
from seclude.runtime_setup import NAME

from .format_samples import HERE

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy" / "kubernetes"
SPO = json.loads((Path(__file__).parent / "spo-v1.schema.json").read_text())
FILES = sorted(path.name for path in DEPLOY.glob("*.yaml"))
VERSIONS = ("1.30", "1.34")


def objects(name: str) -> list[dict[str, Any]]:
    values = YAML(typ="safe", pure=True).load_all((DEPLOY / name).read_text())
    return json.loads(json.dumps(list(values)))


def of_kind(kind: str) -> list[dict[str, Any]]:
    return [value for name in FILES for value in objects(name) if value["kind"] == kind]


def pod_specs() -> dict[str, dict[str, Any]]:
    found = {}
    for kind in ("Pod", "DaemonSet", "Job"):
        for value in of_kind(kind):
            spec = value["spec"]
            found[value["metadata"]["name"]] = spec["template"]["spec"] if kind != "Pod" else spec
    return found


def containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", FILES)
def test_schemas_accept_them(name: str, version: str) -> None:
    for value in objects(name):
        if value["kind"] == "SeccompProfile":
            jsonschema.validate(value, SPO)
        else:
            kubernetes_validate.validate(value, version, strict=True)


def test_the_files_are_those_that_the_docs_name() -> None:
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    for path in DEPLOY.iterdir():
        assert path.name in text, path.name


def test_the_class_leads_to_what_install_writes() -> None:
    [found] = of_kind("RuntimeClass")
    assert found["handler"] == NAME
    for name, spec in pod_specs().items():
        assert spec.get("runtimeClassName") in (None, found["metadata"]["name"]), name


def test_nodes_that_pods_of_the_class_go_to_have_the_daemonset() -> None:
    [(label, value)] = of_kind("RuntimeClass")[0]["scheduling"]["nodeSelector"].items()
    affinity = pod_specs()["seclude-runtime"]["affinity"]["nodeAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert term["matchExpressions"] == [{"key": label, "operator": "Exists"}]
    assert value == "ready"


def test_recorded_pods_ask_for_what_the_hook_understands() -> None:
    [pod] = [pod for pod in of_kind("Pod") if pod["spec"].get("runtimeClassName")]
    annotations = pod["metadata"]["annotations"]
    outputs = []
    for container in containers(pod["spec"]):
        own = own_annotations(
            annotations
            | {
                "io.kubernetes.cri.container-type": "container",
                "io.kubernetes.cri.container-name": container["name"],
            }
        )
        request = request_of(own)
        assert request is not None, container["name"]
        outputs += [path for path in (request.profile, request.recording) if path]
    assert len(set(outputs)) == len(outputs) == len(annotations)
    assert {str(Path(path).parent) for path in outputs} == {DIRECTORY}


def test_localhost_profiles_are_where_something_places_them() -> None:
    mounts = {volume.get("hostPath", {}).get("path") for volume in pod_specs()["seclude-profiles"]["volumes"]}
    assert KUBELET in mounts
    found = set()
    for spec in pod_specs().values():
        for each in [spec, *containers(spec)]:
            profile = each.get("securityContext", {}).get("seccompProfile", {})
            if profile.get("type") == "Localhost":
                placement(profile["localhostProfile"])
                found.add(profile["localhostProfile"])
    [operated] = of_kind("SeccompProfile")
    assert found == {
        "profiles/web.json",
        "profiles/log.json",
        f"operator/{operated['metadata']['name']}.json",
    }


def test_the_operators_profile_reads_as_one_of_ours() -> None:
    text = (DEPLOY / "spo.yaml").read_text().split("\n---\n")[0]
    profile = SpoFormat(Settings(environment=HERE)).loads(text, "spo.yaml")
    assert profile.default_action == "SCMP_ACT_ERRNO"
    assert {"getdents64", "execve"} <= {name for rule in profile.rules for name in rule.names}


@pytest.mark.parametrize("name", sorted(pod_specs()))
def test_mounts_have_volumes_and_volumes_are_mounted(name: str) -> None:
    spec = pod_specs()[name]
    mounted = {mount["name"] for each in containers(spec) for mount in each.get("volumeMounts", [])}
    assert mounted == {volume["name"] for volume in spec.get("volumes", [])}


@pytest.mark.parametrize("daemon_set", of_kind("DaemonSet"), ids=lambda value: value["metadata"]["name"])
def test_daemon_sets_have_no_more_than_they_need(daemon_set: dict[str, Any]) -> None:
    spec = daemon_set["spec"]["template"]["spec"]
    assert daemon_set["metadata"]["namespace"] == of_kind("Namespace")[0]["metadata"]["name"]
    assert spec["automountServiceAccountToken"] is False
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in containers(spec):
        context = each["securityContext"]
        assert not context.get("privileged")
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"]
        assert set(context["capabilities"].get("add", [])) <= {"SYS_CHROOT"}
    paths = {volume["hostPath"]["path"] for volume in spec["volumes"] if "hostPath" in volume}
    read_only = {
        volume["hostPath"]["path"]
        for volume in spec["volumes"]
        for each in containers(spec)
        for mount in each["volumeMounts"]
        if mount["name"] == volume["name"] and mount.get("readOnly") and "hostPath" in volume
    }
    written = {"/etc/containerd", "/opt/seclude", DIRECTORY, KUBELET}
    assert paths - read_only <= written
    assert "/" not in paths


def test_the_installed_handler_hands_on_annotations_of_containers() -> None:
    """Go's path.Match: * stops at a slash, so that KEY/CONTAINER needs a pattern of its own."""
    text = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]\nruntime_type = "x.runc.v2"\n'
    target = Launcher(engine="containerd", runtime="/usr/sbin/runc", bpffs="/b", state="/s", policy="/p")
    after = ContainerdFile().added(text, NAME, "/opt/seclude/seclude-runtime", target, "config.toml")
    assert 'BinaryName = "/opt/seclude/seclude-runtime"' in after
    for pattern in (
        "io.containers.trace-syscall",
        "io.containers.trace-syscall/*",
        "io.seclude.*",
        "io.seclude.*/*",
    ):
        assert pattern in ANNOTATIONS
        assert f'"{pattern}"' in after
