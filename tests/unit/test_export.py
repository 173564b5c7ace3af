"""`seclude export`: formats by name, losses only on request, files that are replaced and those that are not."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from seclude.cli.export import command, load
from seclude.errors import OutputError, ProfileError, SecludeError
from seclude.formats import READERS, WRITERS, oci

from .format_samples import SAMPLE, SETTINGS

GOLD = Path(__file__).parents[1] / "gold"
PLAIN = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "syscalls": [{"names": ["read", "execve"], "action": "SCMP_ACT_ALLOW"}],
}


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "app.json"
    path.write_text(json.dumps(PLAIN))
    return path


def export(*arguments):
    return CliRunner().invoke(
        command, [str(each) for each in arguments], catch_exceptions=False, standalone_mode=False
    )


@pytest.mark.parametrize("place", sorted({*WRITERS.values(), *READERS.values()}))
def test_registries_lead_somewhere(place):
    assert load(place).name


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_by_name(form, profile, tmp_path):
    out = tmp_path / "out"
    assert export(profile, "--to", form, "--lossy", "-o", out).return_value == 0
    text = out.read_text()
    assert "read" in text and text.endswith("\n")
    # What we wrote may be written again.
    assert export(profile, "--to", form, "--lossy", "-o", out).return_value == 0
    assert out.read_text() == text


def test_other_files_are_not_replaced(profile, tmp_path):
    out = tmp_path / "deployment.yaml"
    out.write_text("kind: Deployment\n")
    with pytest.raises(OutputError, match="deployment"):
        export(profile, "--to", "spo", "-o", out)
    assert out.read_text() == "kind: Deployment\n"


def test_standard_output_is_the_text_alone(profile):
    result = export(profile, "--to", "oci")
    assert oci.loads(result.stdout, "stdout").rules
    assert "wrote oci to standard output" in result.stderr


def test_losses_are_refused_or_printed(tmp_path):
    path = tmp_path / "app.json"
    path.write_text(oci.dumps(SAMPLE))
    with pytest.raises(ProfileError, match="podman/min-kernel"):
        export(path, "--to", "podman")
    result = export(path, "--to", "podman", "--lossy", "--kernel", "6.1.0", "--json")
    told = json.loads(result.stderr)
    assert [loss["id"] for loss in told["losses"]] == ["podman/min-kernel"]
    assert "loss: podman knows no minKernel" in export(path, "--to", "podman", "--lossy").stderr


def test_place_of_use(tmp_path):
    path = tmp_path / "app.json"
    path.write_text(oci.dumps(SAMPLE))
    result = export(
        path,
        "--to",
        "oci",
        "--arch",
        "aarch64",
        "--kernel",
        "4.4",
        "--cap",
        "sys_admin",
        "--cap",
        "CAP_CHOWN",
    )
    names = {name for rule in oci.loads(result.stdout, "x").rules for name in rule.names}
    assert {"mount", "chown", "arm_fadvise64_64"} <= names and "ptrace" not in names
    assert "note: resolved for aarch64, kernel 4.4, CAP_SYS_ADMIN, CAP_CHOWN" in result.stderr


def test_kubernetes_manifest(profile, tmp_path):
    manifest = tmp_path / "app.yaml"
    shutil.copy(GOLD / "export-kubernetes-before.yaml", manifest)
    out = tmp_path / "app.out.json"
    result = export(
        profile,
        "--to",
        "kubernetes",
        "-o",
        out,
        "--manifest",
        manifest,
        "--localhost-path",
        "profiles/app.json",
    )
    assert result.stdout == (GOLD / "export-kubernetes-after.yaml").read_text()
    assert manifest.read_text() == (GOLD / "export-kubernetes-before.yaml").read_text()
    assert oci.loads(out.read_text(), "x").rules[0].names == ("execve", "read")
    assert "copy the profile to /var/lib/kubelet/seccomp/profiles/app.json on every node" in result.stderr
    assert "is privileged" in result.stderr
    export(
        profile, "--to", "kubernetes", "-o", out, "--manifest", manifest, "--in-place", "--container", "web"
    )
    assert "localhostProfile: profiles/app.out.json" in manifest.read_text()


def test_a_manifest_keeps_its_mode_and_its_link(profile, tmp_path):
    there = tmp_path / "there"
    there.mkdir()
    manifest = there / "app.yaml"
    manifest.write_bytes(b"kind: Pod\r\nspec:\r\n  hostname: h\r\n")
    manifest.chmod(0o600)
    link = tmp_path / "link.yaml"
    link.symlink_to(manifest)
    export(profile, "--to", "kubernetes", "-o", tmp_path / "o.json", "--manifest", link, "--in-place")
    assert link.is_symlink() and manifest.stat().st_mode & 0o777 == 0o600
    found = manifest.read_bytes()
    assert b"localhostProfile: profiles/o.json\r\n" in found and found.count(b"\r\n") == found.count(b"\n")
    assert [path.name for path in there.iterdir()] == ["app.yaml"]


def test_options_that_do_not_fit(profile, tmp_path):
    with pytest.raises(SecludeError, match="are for --to kubernetes"):
        export(profile, "--to", "spo", "--container", "web")
    manifest = tmp_path / "app.yaml"
    shutil.copy(GOLD / "export-kubernetes-before.yaml", manifest)
    with pytest.raises(OutputError, match="both go to standard output"):
        export(profile, "--to", "kubernetes", "--manifest", manifest)
    with pytest.raises(SecludeError, match="there is no manifest"):
        export(profile, "--to", "kubernetes", "--in-place")


def test_documentation():
    """Every format and option is described; the example is what is printed."""
    text = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
    assert all(f"`{form}`" in text for form in [*WRITERS, *READERS])
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert not [option for option in sorted(options - {"--to", "--output"}) if f"`{option}" not in text]
    with pytest.raises(ProfileError) as caught:
        load(WRITERS["systemd"])(SETTINGS).dumps(SAMPLE)
    shown = "".join(
        text.split("    $ seclude export")[1]
        .split("seclude: error: ")[1]
        .split("    seclude: hint")[0]
        .split()
    )
    assert shown == "".join(caught.value.message.split())
