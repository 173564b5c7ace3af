"""`seclude push` and `pull` before anything is sent: what is missing, contradicts itself, or is no profile."""

import json

import pytest
from click.testing import CliRunner

from seclude.cli.pull import command as pull
from seclude.cli.push import command as push
from seclude.errors import OutputError, ProfileError, RegistryError

PLACE = "oci://registry.invalid/acme/app:1"


@pytest.fixture
def profile(tmp_path):
    path = tmp_path / "app.json"
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}))
    return path


def run(command, *arguments, env=None):
    result = CliRunner().invoke(command, [str(each) for each in arguments], env=env, standalone_mode=False)
    if result.exception:
        raise result.exception
    return result


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["{profile}"], "profiles and one place for them are needed"),
        ([PLACE], "profiles and one place for them are needed"),
        (["{profile}", PLACE, PLACE], "profiles and one place for them are needed"),
        (["{profile}", PLACE + "@sha256:" + "a" * 64], "has a digest, which comes from what is stored"),
        (["{profile}", "oci://Registry/x y"], "is no reference to a registry"),
        (["{profile}", PLACE, "--annotation", "novalue"], "'novalue' is no annotation"),
        (["{profile}", "--for", "app:1"], "does not name the registry"),
        (["{profile}", "{profile}", PLACE], "is not for one machine"),
        (["linux/AMD64={profile}", PLACE], "is no platform"),
        (["linux/amd64={profile}", "linux/amd64={profile}", PLACE], "second profile for linux/amd64"),
    ],
)
def test_pushes_that_cannot_be(profile, arguments, why):
    with pytest.raises(RegistryError, match=why) as caught:
        run(push, *(each.format(profile=profile) for each in arguments))
    assert caught.value.hint


def test_only_profiles_are_pushed(tmp_path):
    (tmp_path / "notes").write_text("{}")
    with pytest.raises(ProfileError, match="is no seccomp profile: it has no defaultAction"):
        run(push, tmp_path / "notes", PLACE)


def test_a_time_that_is_none(profile):
    with pytest.raises(RegistryError, match="SOURCE_DATE_EPOCH='soon' is no number"):
        run(push, profile, PLACE, env={"SOURCE_DATE_EPOCH": "soon"})


@pytest.mark.parametrize(
    ("arguments", "error", "why"),
    [
        ([], RegistryError, "there is nothing to be fetched"),
        ([PLACE, "--platform", "amd64"], RegistryError, "is no platform"),
        ([PLACE, "--for", "registry.invalid/a"], RegistryError, "names one profile, and --for looks for one"),
        (["registry.invalid/a:b:c"], RegistryError, "is no tag"),
        ([PLACE, "-o", "{directory}/none/app.json"], OutputError, "there is no directory"),
        ([PLACE, "-o", "{directory}/notes"], OutputError, "is not replaced"),
    ],
)
def test_pulls_that_cannot_be(tmp_path, arguments, error, why):
    (tmp_path / "notes").write_text("mine")
    given = ["-o", str(tmp_path / "out.json"), *(each.format(directory=tmp_path) for each in arguments)]
    with pytest.raises(error, match=why):
        run(pull, *given)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    assert (tmp_path / "notes").read_text() == "mine"
