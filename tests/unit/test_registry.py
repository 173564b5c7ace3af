"""Names, logins, challenges, manifests and platforms of registries: what is read, and what is refused and how."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seclude.errors import RegistryError
from seclude.formats import oci
from seclude.model.profile import Profile, Rule
from seclude.registry import artefact, challenges, credentials, manifests, platforms, references
from seclude.registry.artefact import Context
from seclude.registry.manifests import Descriptor, Manifest, Platform

DIGEST = "sha256:" + "a" * 64
BLOB = Descriptor(media_type="text/plain", digest=DIGEST, size=3)


def test_references():
    for text, expected in (
        ("oci://ghcr.io/acme/app:1.2", ("ghcr.io", "acme/app", "1.2", "", "1.2")),
        ("localhost/app", ("localhost", "app", "", "", "latest")),
        (f"localhost:5000/a/b_c/d--e:v1@{DIGEST}", ("localhost:5000", "a/b_c/d--e", "v1", DIGEST, DIGEST)),
        ("oci://[::1]:5000/app", ("[::1]:5000", "app", "", "", "latest")),
        ("docker.io/nginx:1", ("docker.io", "library/nginx", "1", "", "1")),
    ):
        got = references.parse(text)
        assert (got.registry, got.repository, got.tag, got.digest, got.identifier) == expected
        assert references.parse(str(got)) == got
    assert references.parse("docker.io/a/b").api == "registry-1.docker.io"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("app:1", "does not name the registry"),
        ("acme/app:1", "does not name the registry"),
        ("", "does not name the registry"),
        ("oci:///app", "does not name the registry"),
        ("ghcr.io/", "'' is no repository"),
        ("ghcr.io/Acme/app", "'Acme/app' is no repository"),
        ("ghcr.io/a//b", "is no repository"),
        ("ghcr.io/a/../b", "is no repository"),
        ("ghcr.io/a?b", "is no repository"),
        ("ghcr.io/a:b:c", "'b:c' is no tag"),
        ("ghcr.io/a:", "'' is no tag"),
        ("ghcr.io/a:" + "x" * 129, "is no tag"),
        ("ghcr.io/a@sha256:12", "'sha256:12' is no digest"),
        ("ghcr.io/a@md5:" + "a" * 32, "is no digest"),
        ("localhost:99999/a", "is no HOST or HOST:PORT"),
        ("user@host.io/a", "is no digest"),
        ("a.io:80:80/b", "is no HOST"),
        ("a.io\n/b", "is no HOST"),
        ("ghcr.io/" + "a" * 260, "longer than 255"),
    ],
)
def test_malformed_references(text, why):
    with pytest.raises(RegistryError, match="is no reference to a registry") as caught:
        references.parse(text)
    assert why in str(caught.value) and caught.value.hint


@given(st.text())
def test_any_text_is_a_reference_or_refused(text):
    try:
        got = references.parse(text)
    except RegistryError:
        return
    assert "\n" not in str(got) and " " not in str(got)


@pytest.mark.parametrize(
    ("registry", "loopback"),
    [
        ("localhost", True),
        ("localhost:5000", True),
        ("127.0.0.1:5000", True),
        ("127.8.0.1", True),
        ("[::1]:5000", True),
        ("[::1]", True),
        ("localhost.example.org:80", False),
        ("127.0.0.1.example.org", False),
        ("10.0.0.1", False),
        ("[fe80::1]:80", False),
    ],
)
def test_what_is_on_this_machine(registry, loopback):
    assert references.Reference(registry=registry, repository="a").loopback is loopback


def test_challenges():
    header = 'Bearer realm="https://a/t",service="s, \\"x\\"",scope="repository:a:pull,push", Basic realm=r'
    first, second = challenges.challenges([header])
    assert (first.scheme, first.realm, first.service) == ("bearer", "https://a/t", 's, "x"')
    assert first.scope == "repository:a:pull,push"
    assert (second.scheme, second.realm) == ("basic", "r")
    assert (
        challenges.challenges(["", "realm=x", "Negotiate", "Bearer " + "=" * 10000])[0].scheme == "negotiate"
    )


def entry(user="u", password="p"):
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def found(tmp_path, content, reference="ghcr.io/acme/app"):
    path = tmp_path / "auth.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return credentials.find(references.parse(reference), (str(tmp_path / "none"), str(path)))


def test_logins(tmp_path):
    for auths, expected in (
        ({"ghcr.io": entry("host")}, "host"),
        ({"ghcr.io": entry("host"), "ghcr.io/acme": entry("space"), "ghcr.io/acm": entry("no")}, "space"),
        ({"ghcr.io/acme/app": entry("app"), "ghcr.io/acme": entry("space")}, "app"),
        ({"https://ghcr.io": entry("url")}, "url"),
        ({"ghcr.io": {"username": "plain", "password": "p"}}, "plain"),
        ({"quay.io": entry()}, None),
        ({"ghcr.io": {}}, None),
    ):
        login = found(tmp_path, {"auths": auths})
        assert (login.user if login else None) == expected
    login = found(tmp_path, {"auths": {"ghcr.io": entry("u", "p:with:colons")}})
    assert (login.password, login.basic) == ("p:with:colons", "Basic " + entry("u", "p:with:colons")["auth"])
    assert "colons" not in repr(login)
    assert found(tmp_path, {"auths": {"ghcr.io": {"identitytoken": "t"}}}).token == "t"
    legacy = {"auths": {"https://index.docker.io/v1/": entry("hub")}}
    assert found(tmp_path, legacy, "docker.io/nginx").user == "hub"
    assert found(tmp_path, {}) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("[]", "is no file of logins"),
        ('{"auths": []', "auth.json"),
        ('{"auths": {"ghcr.io": {"auth": "secret!"}}}', "is not base64 of USER:PASSWORD"),
        ('{"auths": [1]}', "auths must be an object"),
        ('{"credHelpers": {"ghcr.io": "../x"}}', "is no name of a credential helper"),
        ('{"credHelpers": {"ghcr.io": "there-is-none"}}', "docker-credential-there-is-none.* is not there"),
    ],
)
def test_unsound_logins(tmp_path, content, why):
    """An error that names the file and never the secret."""
    with pytest.raises(RegistryError, match=why) as caught:
        found(tmp_path, content)
    assert "secret" not in str(caught.value)


def test_where_logins_are():
    environment = {"HOME": "/h", "XDG_RUNTIME_DIR": "/r", "DOCKER_CONFIG": "/d"}
    assert credentials.files(environment, 7) == (
        "/r/containers/auth.json",
        "/run/containers/7/auth.json",
        "/h/.config/containers/auth.json",
        "/d/config.json",
    )
    assert credentials.files({**environment, "REGISTRY_AUTH_FILE": "/a"}, 7) == ("/a",)


def test_manifests_are_read_as_written():
    manifest = Manifest(
        media_type=manifests.MANIFEST,
        artifact_type="application/x",
        config=BLOB,
        entries=(Descriptor(media_type="a/b", digest=DIGEST, size=0, annotations=(("k", "ü\n"),)),),
        subject=BLOB,
        annotations=(("created", "now"),),
    )
    assert manifests.loads(manifest.dumps(), "x") == manifest
    part = Descriptor(
        media_type="a/b", digest=DIGEST, size=1, platform=Platform(os="linux", architecture="arm")
    )
    index = Manifest(media_type=manifests.INDEX, entries=(part,))
    assert manifests.loads(index.dumps(), "x", f"{manifests.INDEX}; charset=utf-8") == index


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"schemaVersion": 1}, "has not schemaVersion 2"),
        ({"mediaType": "text/html"}, "its media type is 'text/html'"),
        ({"manifests": []}, "cannot be told whether"),
        ({"mediaType": manifests.INDEX}, "cannot be told whether|its registry"),
        ({"layers": {}}, "layers must be a list"),
        ({"config": None}, "config must be an object"),
        ({"layers": [{"digest": "sha256:x", "size": 1}]}, r"layers\[0\]: 'sha256:x' is no digest"),
        ({"layers": [{"digest": DIGEST, "size": -1}]}, "its size is no number"),
        ({"layers": [{"digest": DIGEST, "size": True}]}, "its size is no number"),
        ({"annotations": {"a": 1}}, "annotations must be strings"),
        ({"artifactType": 1}, "artifactType must be a string"),
    ],
)
def test_unsound_manifests(change, why):
    value = json.loads(Manifest(media_type=manifests.MANIFEST, config=BLOB, entries=()).dumps()) | change
    with pytest.raises(RegistryError, match=why) as caught:
        manifests.loads(json.dumps(value).encode(), "ghcr.io/a:1", manifests.MANIFEST)
    assert "ghcr.io/a:1" in str(caught.value)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(
                    "schemaVersion mediaType layers manifests config digest size platform".split()
                ),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_bytes_are_a_manifest_or_refused(data):
    try:
        manifests.loads(data, "x", manifests.MANIFEST)
    except RegistryError:
        pass


def profile(*architectures, **fields):
    rules = (Rule(names=("read",), action="SCMP_ACT_ALLOW"),)
    named = tuple(f"SCMP_ARCH_{name}" for name in architectures)
    return Profile(default_action="SCMP_ACT_ERRNO", architectures=named, rules=rules, **fields)


def test_platforms():
    for names, expected in (
        (["X86_64", "X86", "X32"], "linux/amd64"),
        (["X86"], "linux/386"),
        (["AARCH64", "ARM"], "linux/arm64"),
        (["ARM"], "linux/arm/v7"),
        (["X86_64", "AARCH64"], "None"),
        ([], "None"),
        (["X32"], "None"),
    ):
        assert str(platforms.of_profile(profile(*names))) == expected
    amd, arm, old = map(platforms.parse, ("linux/amd64", "linux/arm64/v8", "linux/arm/v6"))
    assert platforms.fits(platforms.parse("linux/arm64"), arm) and platforms.fits(None, arm)
    assert not platforms.fits(amd, arm) and not platforms.fits(old, platforms.parse("linux/arm"))
    entries = [
        Descriptor(media_type="", digest=DIGEST, size=n, platform=p) for n, p in enumerate((None, arm))
    ]
    assert platforms.chosen(entries, arm).size == 1
    assert platforms.chosen(entries, amd).size == 0
    assert platforms.chosen(entries[1:], amd) is None
    for text in ("amd64", "linux/", "Linux/amd64", "linux/amd64/v1/x", "a/b\n"):
        with pytest.raises(RegistryError, match="is no platform"):
            platforms.parse(text)


def test_packing_is_undone():
    """Both layers of a packed profile mean what it does."""
    for platform in (None, platforms.parse("linux/amd64")):
        packed = artefact.pack(profile("X86_64"), platform, Context(name="app", kernel="6.1"))
        assert [layer.platform for layer, _ in packed.layers] == [platform] * 2 and not packed.notes
        manifest = packed.manifest(())
        chosen = artefact.layer_of(manifest, platforms.parse("linux/amd64"), "x")
        assert chosen.media_type == artefact.PROFILE
        for layer, data in packed.layers:
            assert (layer.digest, layer.size) == (manifests.digest(data), len(data))
            got = artefact.unpack(data, layer, platforms.parse("linux/amd64"), "x", "6.1")
            assert got.profile == profile("X86_64") and got.foreign is (layer.media_type == artefact.SPO)
    assert oci.loads(packed.layers[0][1].decode(), "x") == profile("X86_64")


@pytest.mark.parametrize(
    ("repository", "name"), [("acme/my_app.x", "my-app.x"), ("a/__", "seclude"), ("web", "web")]
)
def test_names_of_the_operators_objects(repository, name):
    assert artefact.object_name(repository) == name
