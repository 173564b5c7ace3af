"""`seclude push` and `pull` against a real registry: round trips, images' profiles, logins, and what must fail."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from podman_config import podman_environment
from registry_bed import (
    PASSWORD,
    USER,
    Registry,
    TokenServer,
    certificate,
    missing,
    running,
    with_htpasswd,
)

from seclude.cli.pull import command as pull_command
from seclude.cli.push import command as push_command
from seclude.errors import OutputError, ProfileError, RegistryError
from seclude.formats import oci
from seclude.formats.spo import SpoFormat
from seclude.model.environment import Environment
from seclude.model.export import Settings
from seclude.model.profile import Profile, Rule
from seclude.registry import artefact, manifests
from seclude.registry.client import fallback_tag

pytestmark = [pytest.mark.engine]

HERE = Environment(machine="x86_64", kernel="6.1", capabilities=())
OLD, NEW = {"SOURCE_DATE_EPOCH": "1700000000"}, {"SOURCE_DATE_EPOCH": "1800000000"}


def profile(*names: str, arch: str = "X86_64") -> Profile:
    return Profile(
        default_action="SCMP_ACT_ERRNO",
        architectures=(f"SCMP_ARCH_{arch}",),
        rules=(Rule(names=names, action="SCMP_ACT_ALLOW"),),
    )


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    if reason := missing():
        pytest.skip(reason)
    with running(tmp_path_factory.mktemp("registry")) as opened:
        yield opened


class Client:
    """seclude, with logins of its own, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logins = directory / "auth.json"
        self.environment: dict[str, str] = {}

    def _run(self, command, arguments, env):
        environment = {"REGISTRY_AUTH_FILE": str(self.logins), **self.environment, **(env or {})}
        result = CliRunner().invoke(
            command, [str(each) for each in arguments], env=environment, standalone_mode=False
        )
        if result.exception:
            raise result.exception
        assert result.return_value == 0
        return result

    def push(self, *arguments, env=None):
        """What it says as JSON."""
        return json.loads(self._run(push_command, [*arguments, "--json"], env).stderr)

    def pull(self, *arguments, env=None):
        return json.loads(self._run(pull_command, [*arguments, "--json"], env).stderr)

    def said(self, *arguments, env=None):
        return self._run(push_command, arguments, env).stderr

    def file(self, name: str, content: Profile) -> Path:
        path = self.directory / name
        path.write_text(oci.dumps(content))
        return path

    def login(self, host: str, **entry: str) -> None:
        entry = entry or {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
        self.logins.write_text(json.dumps({"auths": {host: entry}}))


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path)


def test_round_trip(registry: Registry, client: Client):
    """What comes back is what went in, byte for byte; the digest is that of the manifest as the registry has it."""
    source, out = client.file("app.json", profile("read", "write")), client.directory / "out.json"
    place = f"oci://{registry.host}/acme/app:1.0"
    stored = client.push(source, place, "--annotation", "org.opencontainers.image.vendor=Acme", env=OLD)
    got = client.pull(place, "-o", out)
    assert out.read_bytes() == source.read_bytes()
    assert got["digest"] == stored["digest"] and got["created"] == "2023-11-14T22:13:20Z"
    raw = registry.raw("acme/app", "1.0", manifests.MANIFEST)
    assert f"sha256:{hashlib.sha256(raw).hexdigest()}" == stored["digest"]
    manifest = json.loads(raw)
    assert manifest["artifactType"] == artefact.ARTIFACT
    assert manifest["annotations"]["org.opencontainers.image.vendor"] == "Acme"
    assert manifest["annotations"]["org.opencontainers.image.version"] == "1.0"
    # By its digest, and with the same time again: the same digest, and nothing new.
    client.pull(f"oci://{stored['reference']}", "-o", out)
    again = client.push(source, place, "--annotation", "org.opencontainers.image.vendor=Acme", env=OLD)
    assert again["digest"] == stored["digest"]


def test_the_operators_layer(registry: Registry, client: Client):
    """What `spoc pull` looks for: profile-OS-ARCH.yaml, then profile.yaml, among the layers' titles, of this kind."""
    source = client.file("app.json", profile("read"))
    client.push(source, f"oci://{registry.host}/acme/spo:1")
    client.push(f"linux/arm64={source}", f"oci://{registry.host}/acme/spo:2")
    for tag, title in (("1", "profile.yaml"), ("2", "profile-linux-arm64.yaml")):
        manifest = json.loads(registry.raw("acme/spo", tag, manifests.MANIFEST))
        (layer,) = [each for each in manifest["layers"] if each["annotations"][artefact.TITLE] == title]
        assert layer["mediaType"] == "application/vnd.oci.image.layer.v1.tar"
        text = registry.blob(layer["digest"]).read_text()
        read = SpoFormat(Settings(environment=HERE)).loads(text, title)
        assert read == profile("read") and "name: spo" in text


def test_what_the_operator_cannot_say(registry: Registry, client: Client):
    """Its variant is left out with a note, or stored with --lossy; ours has all of it."""
    whole = Profile(
        default_action="SCMP_ACT_ERRNO",
        default_errno_ret=38,
        rules=(Rule(names=("read",), action="SCMP_ACT_ALLOW"),),
    )
    source, out = client.file("app.json", whole), client.directory / "out.json"
    place = f"oci://{registry.host}/acme/lossy:1"
    for options, layers, told in (
        ([], 1, "--lossy accepts this"),
        (["--lossy"], 2, "refused calls return EPERM"),
    ):
        said = client.said(source, place, *options)
        assert "[spo/default-errno]" in said and told in said
        assert len(json.loads(registry.raw("acme/lossy", "1", manifests.MANIFEST))["layers"]) == layers
        client.pull(place, "-o", out)
        assert out.read_bytes() == source.read_bytes()


def test_what_spoc_pushes(registry: Registry, client: Client):
    """An artefact laid out as by spoc's internal/pkg/artifact: one manifest, a layer for each platform, only YAML."""
    source = client.file("any.json", profile("read"))
    client.push(source, f"oci://{registry.host}/acme/spoc:ours")
    ours = json.loads(registry.raw("acme/spoc", "ours", manifests.MANIFEST))
    (layer,) = [each for each in ours["layers"] if each["annotations"][artefact.TITLE] == "profile.yaml"]
    spoc = {
        "schemaVersion": 2,
        "mediaType": manifests.MANIFEST,
        "artifactType": "application/vnd.unknown.config.v1+json",
        "config": ours["config"] | {"data": "e30="},
        "layers": [
            layer
            | {
                "annotations": {artefact.TITLE: f"profile-linux-{arch}.yaml"},
                "platform": {"architecture": arch, "os": "linux"},
            }
            for arch in ("amd64", "arm64")
        ],
        "annotations": {artefact.CREATED: "2026-01-01T00:00:00Z"},
    }
    registry.put("acme/spoc", "theirs", json.dumps(spoc).encode(), manifests.MANIFEST)
    out = client.directory / "out.json"
    got = client.pull(f"oci://{registry.host}/acme/spoc:theirs", "-o", out, "--platform", "linux/arm64")
    assert got["converted"] is True
    assert oci.loads(out.read_text(), "out") == profile("read")
    with pytest.raises(RegistryError, match="has no profile for linux/s390x") as caught:
        client.pull(f"oci://{registry.host}/acme/spoc:theirs", "-o", out, "--platform", "linux/s390x")
    assert "profile-linux-amd64.yaml" in caught.value.hint


def test_several_architectures(registry: Registry, client: Client):
    """An index with one manifest a platform, of which the right one is taken."""
    amd = client.file("amd.json", profile("read", "arch_prctl"))
    arm = client.file("arm.json", profile("read", arch="AARCH64"))
    place, out = f"oci://{registry.host}/acme/multi:2", client.directory / "out.json"
    stored = client.push(amd, arm, place)
    index = json.loads(registry.raw("acme/multi", "2", manifests.INDEX))
    assert index["mediaType"] == manifests.INDEX
    assert [entry["platform"] for entry in index["manifests"]] == [
        {"architecture": "amd64", "os": "linux"},
        {"architecture": "arm64", "os": "linux"},
    ]
    for name, source in (("linux/amd64", amd), ("linux/arm64/v8", arm)):
        got = client.pull(place, "-o", out, "--platform", name)
        assert out.read_bytes() == source.read_bytes()
        assert got["digest"] == stored["digest"] != got["manifest"]
    # oras-go's file store, with which spoc pulls, refuses two layers of one name and follows an index to all of them.
    titles = [
        layer["annotations"][artefact.TITLE]
        for entry in index["manifests"]
        for layer in json.loads(registry.raw("acme/multi", entry["digest"], manifests.MANIFEST))["layers"]
    ]
    assert len(set(titles)) == len(titles) == 4
    with pytest.raises(RegistryError, match="has nothing for linux/riscv64") as caught:
        client.pull(place, "-o", out, "--platform", "linux/riscv64")
    assert "linux/amd64, linux/arm64" in caught.value.hint
    with pytest.raises(RegistryError, match="second profile for linux/amd64"):
        client.push(amd, f"linux/amd64={arm}", place)


class Podman:
    """A podman of its own, that stores images in the registry."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir()
        self._environment = podman_environment(directory, directory / "graph")

    def run(self, *arguments: str, stdin: str = "") -> str:
        done = subprocess.run(
            ["podman", *arguments], env=self._environment, input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def push_image(self, place: str, content: str) -> str:
        """An image with one file, pushed; its digest in the registry."""
        (self._directory / "file").write_text(content)
        with tarfile.open(self._directory / "root.tar", "w") as archive:
            archive.add(self._directory / "file", "file")
        image = self.run("import", "--quiet", str(self._directory / "root.tar"))
        note = self._directory / "digest"
        self.run(
            "push", "--quiet", "--tls-verify=false", "--digestfile", str(note), image, f"docker://{place}"
        )
        return note.read_text().strip()


@pytest.fixture
def podman(tmp_path: Path) -> Podman:
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    return Podman(tmp_path / "podman")


def test_the_profile_of_an_image(registry: Registry, client: Client, podman: Podman):
    """Found by the image's digest, beside it or in another repository; the newest of several; by the tag, too."""
    place = f"{registry.host}/acme/web"
    digest = podman.push_image(f"{place}:1", "one")
    image, out = f"{place}@{digest}", client.directory / "out.json"
    with pytest.raises(RegistryError, match=f"has no profile for {digest}"):
        client.pull("--for", image, "-o", out)
    first = client.file("first.json", profile("read"))
    second = client.file("second.json", profile("read", "write"))
    client.push(second, "--for", image, env=NEW)
    stored = client.push(first, "--for", image, env=OLD)
    assert stored["image"] == digest and stored["tag"] == ""
    got = client.pull("--for", image, "-o", out)
    assert out.read_bytes() == second.read_bytes()
    assert (got["image"], got["older"]) == (digest, 1)
    assert client.pull("--for", f"{place}:1", "-o", out)["digest"] == got["digest"]
    # This registry keeps no referrers, so the list stands under the tag that the specification names.
    listed = json.loads(registry.raw("acme/web", fallback_tag(digest), manifests.INDEX))
    assert [entry["artifactType"] for entry in listed["manifests"]] == [artefact.ARTIFACT] * 2
    manifest = json.loads(registry.raw("acme/web", stored["digest"], manifests.MANIFEST))
    assert manifest["subject"]["digest"] == digest
    # Elsewhere, with a tag.
    other = f"oci://{registry.host}/acme/profiles"
    client.push(first, "--for", image, f"{other}:web-1")
    client.pull("--for", image, other, "-o", out)
    assert out.read_bytes() == first.read_bytes()
    with pytest.raises(RegistryError, match="names one profile, and --for looks for one"):
        client.pull("--for", image, f"{other}:web-1", "-o", out)


def test_the_profiles_of_an_image_for_several_platforms(registry: Registry, client: Client, podman: Podman):
    """Found by the digest of the image's index and by that of one platform's manifest."""
    place, out = f"{registry.host}/acme/both", client.directory / "out.json"
    parts = {arch: podman.push_image(f"{place}:{arch}", arch) for arch in ("amd64", "arm64")}
    index = {
        "schemaVersion": 2,
        "mediaType": manifests.INDEX,
        "manifests": [
            {
                "mediaType": manifests.MANIFEST,
                "digest": digest,
                "size": registry.blob(digest).stat().st_size,
                "platform": {"architecture": arch, "os": "linux"},
            }
            for arch, digest in parts.items()
        ],
    }
    registry.put("acme/both", "1", json.dumps(index).encode(), manifests.INDEX)
    amd, arm = client.file("a.json", profile("read")), client.file("b.json", profile("read", arch="AARCH64"))
    stored = client.push(amd, arm, "--for", f"{place}:1")
    for name, source in (("amd64", amd), ("arm64", arm)):
        for digest in (stored["image"], parts[name]):
            client.pull("--for", f"{place}@{digest}", "-o", out, "--platform", f"linux/{name}")
            assert out.read_bytes() == source.read_bytes()


def refused(client: Client, out: Path, match: str, *arguments, hint: str = "", error=RegistryError, env=None):
    """The pull fails so, and the profile that lay there is what it was."""
    before = out.read_bytes()
    with pytest.raises(error, match=match) as caught:
        client.pull(*arguments, "-o", out, env=env)
    assert hint in caught.value.hint, caught.value
    assert out.read_bytes() == before
    assert sorted(path.name for path in out.parent.iterdir() if path.name.startswith(".seclude")) == []


@pytest.fixture
def nobody() -> Iterator[str]:
    """A host and port that refuse connections: the port is taken, so that nobody else gets it, and not listened on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{holder.getsockname()[1]}"


@pytest.fixture
def out(client: Client) -> Path:
    """A profile that is there before."""
    return client.file("out.json", profile("before"))


def test_wrong_kinds(registry: Registry, client: Client, podman: Podman, out: Path):
    place = f"{registry.host}/acme/image"
    podman.push_image(f"{place}:1", "an image")
    refused(client, out, "is a container image, no profile", f"oci://{place}:1", hint="--for")
    raw = json.loads(registry.raw("acme/image", "1", manifests.MANIFEST))
    raw["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    registry.put("acme/image", "chart", json.dumps(raw).encode(), manifests.MANIFEST)
    refused(client, out, "of type application/vnd.cncf.helm", f"oci://{place}:chart", hint="spoc push")
    refused(client, out, "has no tag 7", f"oci://{place}:7", hint="there are ")
    refused(
        client, out, "has no tag latest", f"oci://{registry.host}/nobody", hint="no tag in this repository"
    )
    refused(
        client, out, "has no manifest sha256:00", f"oci://{place}@sha256:{'0' * 64}", hint="check the digest"
    )


def test_damaged_blobs(registry: Registry, client: Client, out: Path):
    """A blob's file cut, changed or gone in the registry's storage; and the manifest's."""
    place = f"oci://{registry.host}/acme/damaged:1"
    stored = client.push(client.file("app.json", profile("read", "write")), place)
    manifest = json.loads(registry.raw("acme/damaged", "1", manifests.MANIFEST))
    (layer,) = [each for each in manifest["layers"] if each["mediaType"] == artefact.PROFILE]
    blob = registry.blob(layer["digest"])
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-10])
    refused(client, out, f"truncated: {len(whole) - 10} of {len(whole)} bytes", place, hint="remove the blob")
    blob.write_bytes(whole.replace(b"write", b"mount"))
    refused(client, out, "is not what its digest says", place, hint="do not use it")
    blob.write_bytes(whole + b" " * 100)
    refused(client, out, "larger than|truncated", place)
    blob.unlink()
    refused(client, out, "is not there, though the manifest names it", place, hint="push the profile again")
    blob.write_bytes(whole)
    kept = registry.blob(stored["digest"])
    kept.write_bytes(kept.read_bytes().replace(b"1970", b"1971").replace(b"acme", b"evil") + b" ")
    refused(client, out, "manifest|answers 500|digest", f"oci://{stored['reference']}")


def test_what_is_no_profile(registry: Registry, client: Client, out: Path):
    """A layer that says it is a profile and is none: the strict parser names line and column; larger than the limit."""
    place = f"oci://{registry.host}/acme/false:1"
    client.push(client.file("app.json", profile("read")), place)
    manifest = json.loads(registry.raw("acme/false", "1", manifests.MANIFEST))
    (layer,) = [each for each in manifest["layers"] if each["mediaType"] == artefact.PROFILE]
    other = json.loads(registry.raw("acme/false", "1", manifests.MANIFEST))["layers"][1]
    manifest["layers"] = [layer | {"digest": other["digest"], "size": other["size"]}]
    registry.put("acme/false", "yaml", json.dumps(manifest).encode(), manifests.MANIFEST)
    refused(client, out, "line 1, column 1", f"oci://{registry.host}/acme/false:yaml", error=ProfileError)
    manifest["layers"] = [layer | {"size": 1 << 40}]
    registry.put("acme/false", "large", json.dumps(manifest).encode(), manifests.MANIFEST)
    refused(client, out, "has 1099511627776 bytes; the limit is", f"oci://{registry.host}/acme/false:large")


def test_registries_that_are_down_or_none(client: Client, out: Path, nobody: str):
    refused(
        client,
        out,
        "cannot be reached: Connection refused",
        f"oci://{nobody}/a:1",
        hint="registry up",
    )
    refused(client, out, "cannot be reached", "oci://registry.invalid/a:1", hint="name right")
    with pytest.raises(RegistryError, match="cannot be reached"):
        client.push(out, f"oci://{nobody}/a:1")


def test_files_that_are_not_replaced(client: Client, nobody: str):
    """Said before anything is fetched."""
    (client.directory / "notes").write_text("mine")
    with pytest.raises(OutputError, match="is no seccomp profile; it is not replaced"):
        client.pull(f"oci://{nobody}/a:1", "-o", client.directory / "notes")
    assert (client.directory / "notes").read_text() == "mine"


def test_logins(client: Client, out: Path, tmp_path: Path):
    """None, a wrong one, the right one, from a credential helper, and the one that podman itself stores."""
    if reason := missing():
        pytest.skip(reason)
    with running(tmp_path / "closed", auth=with_htpasswd(tmp_path / "closed")) as closed:
        place, source = f"oci://{closed.host}/acme/app:1", client.file("app.json", profile("read"))
        with pytest.raises(RegistryError, match="wants a login for acme/app") as caught:
            client.push(source, place)
        assert f"podman login {closed.host}" in caught.value.hint
        client.login(closed.host, auth=base64.b64encode(b"ci:wrong").decode())
        with pytest.raises(RegistryError, match=f"refuses the login of ci from {client.logins}") as caught:
            client.push(source, place)
        assert "wrong" not in str(caught.value)
        client.login(closed.host)
        client.push(source, place)
        client.pull(place, "-o", out)
        assert out.read_bytes() == source.read_bytes()
        helper = tmp_path / "bin" / "docker-credential-test"
        helper.parent.mkdir()
        helper.write_text(
            '#!/bin/sh\nread -r server\n[ "$server" = "' + closed.host + '" ] || exit 1\n'
            f'echo \'{{"Username":"{USER}","Secret":"{PASSWORD}"}}\'\n'
        )
        helper.chmod(0o755)
        client.logins.write_text(json.dumps({"credHelpers": {closed.host: "test"}}))
        client.pull(place, "-o", out, env={"PATH": f"{helper.parent}:/usr/bin:/bin"})
        client.logins.unlink()
        refused(client, out, "wants a login", place)
        if shutil.which("podman"):
            own = Podman(tmp_path / "own")
            own.run(
                "login", "--tls-verify=false", "--authfile", str(client.logins), "-u", USER, "--password-stdin",
                closed.host, stdin=PASSWORD,
            )  # fmt: skip
            client.pull(place, "-o", out)


def test_tokens(client: Client, out: Path, tmp_path: Path):
    """As Docker Hub and GHCR want them: an anonymous one for what is open, one for a login, one for an identity."""
    if reason := missing():
        pytest.skip(reason)
    with TokenServer(tmp_path) as tokens, running(tmp_path / "tokens", auth=tokens.auth) as registry:
        source = client.file("app.json", profile("read"))
        open_, closed = f"oci://{registry.host}/open/app:1", f"oci://{registry.host}/closed/app:1"
        with pytest.raises(RegistryError, match="wants a login for open/app"):
            client.push(source, open_)
        client.login(registry.host)
        client.push(source, open_)
        client.push(source, closed)
        assert {"repository:open/app:pull,push"} <= {each.get("scope") for each in tokens.asked}
        client.logins.unlink()
        client.pull(open_, "-o", out)
        refused(client, out, "wants a login for closed/app", closed)
        client.login(registry.host, identitytoken="identity")
        client.pull(closed, "-o", out)
        assert tokens.asked[-1]["grant_type"] == "refresh_token"
        client.login(registry.host, auth=base64.b64encode(b"ci:wrong").decode())
        refused(client, out, "refuses the login of ci", closed)


def test_tls(client: Client, out: Path, tmp_path: Path):
    """A certificate that nobody vouches for is refused; one that is named is trusted."""
    if reason := missing():
        pytest.skip(reason)
    tls = certificate(tmp_path / "tls")
    with running(tmp_path / "secure", tls=tls) as registry:
        place, source = f"oci://{registry.host}/acme/app:1", client.file("app.json", profile("read"))
        with pytest.raises(RegistryError, match="certificate is not trusted") as caught:
            client.push(source, place)
        assert "SSL_CERT_FILE" in caught.value.hint
        trusted = {"SSL_CERT_FILE": str(tls[0])}
        client.push(source, place, env=trusted)
        client.pull(place, "-o", out, env=trusted)
        assert out.read_bytes() == source.read_bytes()
        refused(client, out, "answers 400", place, "--plain-http")


def test_this_machines_platform_is_the_default(registry: Registry, client: Client, out: Path):
    if platform.machine() != "x86_64":
        pytest.skip("the profile of this test is for x86_64")
    amd, arm = client.file("a.json", profile("read")), client.file("b.json", profile("write", arch="AARCH64"))
    client.push(arm, amd, f"oci://{registry.host}/acme/default")
    client.pull(f"oci://{registry.host}/acme/default", "-o", out)
    assert out.read_bytes() == amd.read_bytes()
