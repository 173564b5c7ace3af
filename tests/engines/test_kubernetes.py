"""deploy/kubernetes on a node: what the image holds runs anywhere, and its containers may do what they must.

The containers of the manifests are started by podman with the mounts and the security context that stand there.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from containerd_bed import missing
from containerd_recorder import open_containerd_recorder
from daemons import wait_for
from podman_bed import Bed, Result
from recording import SOURCES
from ruamel.yaml import YAML

from seclude import __version__
from seclude.launcher import read_launcher

pytestmark = [pytest.mark.engine, pytest.mark.slow]

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "kubernetes"
PYTHON = Path("/usr/bin/python3")
_SCRIPT = ("/usr/local/sbin/seclude-node",)
PLACE = Path("/opt/seclude") / __version__
NEEDED = ("click", "elftools")
"""What `pip install --target` would fetch, as far as these commands import it."""


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What assemble.sh makes for PLACE, of this tree's package and the system's Python."""
    if not PYTHON.exists():
        pytest.skip(f"there is no {PYTHON}")
    version = subprocess.run([PYTHON, "--version"], check=True, capture_output=True, text=True).stdout
    if [int(part) for part in re.findall(r"\d+", version)[:2]] < [3, 11]:
        pytest.skip(f"{PYTHON} is {version.strip()}")
    directory = tmp_path_factory.mktemp("node")
    packages = directory / "packages"
    shutil.copytree(SOURCES / "seclude", packages / "seclude")
    for name in NEEDED:
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None
        shutil.copytree(Path(found.origin).parent, packages / name)
    made = directory / "made"
    line = ["bash", DEPLOY / "assemble.sh", packages, made, PLACE]
    subprocess.run(line, check=True, stdin=subprocess.DEVNULL)
    return made


def moved(assembled: Path, place: Path) -> Path:
    """A copy that runs from another place."""
    shutil.copytree(assembled, place, symlinks=True)
    for script in (place / "bin").iterdir():
        script.write_text(script.read_text().replace(str(PLACE), str(place)))
    return place


class Node:
    """A node's directories below one of ours, and a container of a manifest with them."""

    def __init__(self, bed: Bed, directory: Path, assembled: Path) -> None:
        self.directory = directory
        self._bed = bed
        self._image = {
            "/opt/seclude": directory / "image",
            "/usr/local/sbin/seclude-node": DEPLOY / "node.sh",
        }
        (directory / "image").mkdir()
        moved_to = directory / "image" / __version__
        shutil.copytree(assembled, moved_to, symlinks=True)

    def path(self, path: str) -> Path:
        return Path(f"{self.directory}/node{path}")

    def run(self, file: str, container: str, arguments: list[str] | None = None, **given: Path) -> Result:
        """Runs a container to its end; `given` are directories for volumes that are not the node's."""
        options, words = self._line(file, container, given)
        return self._bed.run(*_SCRIPT, *(arguments or words), image="debian", options=options)

    def start(self, file: str, container: str, **given: Path) -> str:
        """Starts one that stays; its id."""
        options, words = self._line(file, container, given)
        return self._bed.start(*_SCRIPT, *words, image="debian", options=options)

    def _line(self, file: str, container: str, given: Mapping[str, Path]) -> tuple[list[str], list[str]]:
        """Options of `podman run`, and the arguments, as they stand in the manifest."""
        [value] = YAML(typ="safe", pure=True).load_all((DEPLOY / file).read_text())
        spec = value["spec"]["template"]["spec"]
        [found] = [
            each for each in [*spec["initContainers"], *spec["containers"]] if each["name"] == container
        ]
        options = [*self._privileges(found["securityContext"]), "--entrypoint", "/bin/sh"]
        for place, source in self._image.items():
            options += ["--volume", f"{source}:{place}:ro"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        # A mount point inside of another mount comes after it.
        for mount in sorted(found["volumeMounts"], key=lambda each: each["mountPath"]):
            source = given.get(mount["name"]) or self._source(volumes[mount["name"]])
            mode = "ro" if mount.get("readOnly") else "rw"
            options += ["--volume", f"{source}:{mount['mountPath']}:{mode}"]
        for variable in found.get("env", []):
            options += ["--env", f"{variable['name']}={variable['value']}"]
        return options, found["args"]

    @staticmethod
    def _privileges(context: dict[str, Any]) -> list[str]:
        capabilities = context["capabilities"]
        return [
            "--read-only",
            "--read-only-tmpfs=false",
            "--security-opt=no-new-privileges",
            *(f"--cap-drop={name}" for name in capabilities["drop"]),
            *(f"--cap-add={name}" for name in capabilities.get("add", [])),
            f"--user={context['runAsUser']}",
        ]

    def _source(self, volume: dict[str, Any]) -> Path:
        # The node's programs are this machine's, and so is the one kind of file system that cannot be made up.
        shared = {"/usr": Path("/usr"), "/sys/fs/bpf": self._bed.bpffs}
        path = volume.get("hostPath", {}).get("path", "/emptied")
        if path in shared:
            return shared[path]
        self.path(path).mkdir(parents=True, exist_ok=True)
        return self.path(path)


@pytest.fixture
def node(bed: Bed, assembled: Path, tmp_path: Path) -> Iterator[Node]:
    yield Node(bed, tmp_path, assembled)


def test_it_runs_where_there_is_nothing(bed: Bed, assembled: Path) -> None:
    """In an image with no Python and no library at all."""
    options = ["--volume", f"{assembled}:{PLACE}:ro"]
    shown = bed.run(PLACE / "bin" / "seclude", "--version", options=options).succeeded()
    assert shown.out == f"seclude {__version__}\n"
    script = 'import sys, ctypes, ssl; ctypes.CDLL("libbpf.so.1"); print(sys.executable)'
    shown = bed.run(PLACE / "bin" / "python3", "-I", "-S", "-c", script, options=options).succeeded()
    assert shown.out == f"{PLACE}/bin/python3\n"


def test_it_records(assembled: Path, tmp_path: Path) -> None:
    """The runtime that it installs, under containerd."""
    if reason := missing():
        pytest.skip(reason)
    place = moved(assembled, tmp_path / "place")
    with open_containerd_recorder([place / "bin" / "seclude"]) as recorder:
        assert str(place / "bin" / "python3") in recorder.launcher.read_text()
        recorded = recorder.record("ls", "/")
        recorded.result.succeeded()
        assert "getdents64" in recorded.names("app")
        options = ("--seccomp", "--seccomp-profile", recorded.profile)
        recorder.bed.run("ls", "/", options=options).succeeded()
        assert recorder.bed.run("mkdir", "/tmp/new", options=options).status == 1


class TestInstall:
    def test_a_node(self, node: Node) -> None:
        config = node.path("/etc/containerd/config.toml")
        config.parent.mkdir(parents=True)
        before = (
            'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\n'
            "SystemdCgroup = true # as kubelet's\n"
        )
        config.write_text(before)
        done = node.run("daemonset.yaml", "install").succeeded()
        assert "systemctl restart containerd" in done.out + done.err
        after = config.read_text()
        assert after.startswith(before)
        assert 'BinaryName = "/opt/seclude/seclude-runtime"' in after
        assert after.count("SystemdCgroup = true") == 2
        launcher = read_launcher(str(node.path("/opt/seclude/seclude-runtime")))
        assert launcher is not None
        assert (launcher.engine, launcher.runtime) == ("containerd", "/usr/sbin/runc")
        text = node.path("/opt/seclude/seclude-runtime").read_text()
        assert f"{PLACE}/bin/python3" in text
        # What the script leads to is there.
        for path in (f"{PLACE}/bin/python3", f"{PLACE}/lib/seclude/seclude/runtime.py"):
            assert node.path(path).exists()

        # The next start of the pod, and one after the image has changed, find it done.
        node.run("daemonset.yaml", "install").succeeded()
        assert config.read_text() == after
        node.run("daemonset.yaml", "install", ["uninstall"]).succeeded()
        assert config.read_text() == before
        assert not node.path("/opt/seclude/seclude-runtime").exists()

    def test_a_node_without_that_runtime(self, node: Node, tmp_path: Path) -> None:
        (tmp_path / "usr" / "bin").mkdir(parents=True)
        done = node.run("daemonset.yaml", "install", usr=tmp_path / "usr")
        assert done.status == 1
        assert "there is no runtime /usr/sbin/runc on this node: set RUNTIME to its path" in done.err
        assert not node.path("/etc/containerd/config.toml").exists()


def test_profiles_are_placed(node: Node, tmp_path: Path) -> None:
    """As a ConfigMap's volume has them: links into a directory that is exchanged."""
    profiles = tmp_path / "profiles"
    (profiles / "..data").mkdir(parents=True)
    (profiles / "..data" / "web.json").write_text('{"defaultAction": "SCMP_ACT_ERRNO"}')
    (profiles / "web.json").symlink_to("..data/web.json")
    done = node.run("profiles.yaml", "first", profiles=profiles).succeeded()
    assert done.out == "seclude: placed profiles/web.json\n"
    placed = node.path("/var/lib/kubelet/seccomp/profiles/web.json")
    assert placed.read_text() == '{"defaultAction": "SCMP_ACT_ERRNO"}'
    assert placed.stat().st_mode & 0o777 == 0o644
    assert node.run("profiles.yaml", "first", profiles=profiles).succeeded().out == ""
    (profiles / "..data" / "web.json").write_text('{"defaultAction": "SCMP_ACT_LOG"}')
    node.run("profiles.yaml", "first", profiles=profiles).succeeded()
    assert placed.read_text() == '{"defaultAction": "SCMP_ACT_LOG"}'
    assert [path.name for path in placed.parent.iterdir()] == ["web.json"]


class TestWhatStays:
    def test_it_ends_when_it_is_told_to(self, node: Node, bed: Bed) -> None:
        container = node.start("daemonset.yaml", "recordings")
        assert bed.podman("exec", container, "id", "-u").succeeded().out.strip() == "65534"
        # What it waits for is its first child, which comes after its trap.
        pid = bed.podman("inspect", "--format", "{{.State.Pid}}", container).succeeded().out.strip()
        wait_for(lambda: Path(f"/proc/{pid}/task/{pid}/children").read_text())
        bed.podman("stop", "--time", "30", container).succeeded()
        assert bed.podman("inspect", "--format", "{{.State.ExitCode}}", container).out.strip() == "0"
        bed.podman("rm", container)

    def test_it_reads_recordings_and_writes_none(self, node: Node, bed: Bed) -> None:
        container = node.start("daemonset.yaml", "recordings")
        node.path("/var/lib/seclude/web.json").write_text("{}")
        read = bed.podman("exec", container, "cat", "/var/lib/seclude/web.json").succeeded()
        assert read.out == "{}"
        written = bed.podman("exec", container, "sh", "-c", "echo >/var/lib/seclude/new.json")
        assert (written.status != 0, "Read-only file system" in written.err) == (True, True), written
        bed.podman("rm", "--force", "--time", "0", container).succeeded()

    def test_profiles_that_come_later(self, node: Node, bed: Bed, tmp_path: Path) -> None:
        profiles = tmp_path / "profiles"
        profiles.mkdir()
        (profiles / "web.json").write_text("{}")
        container = node.start("profiles.yaml", "profiles", profiles=profiles)
        bed.wait_for_line(container, "seclude: placed profiles/web.json")
        (profiles / "log.json").write_text("{}")
        bed.wait_for_line(container, "seclude: placed profiles/log.json", 60)
        bed.podman("stop", "--time", "30", container).succeeded()
        assert bed.podman("inspect", "--format", "{{.State.ExitCode}}", container).out.strip() == "0"
        bed.podman("rm", container)
