"""`seclude import`: a profile comes out, or an error that says where."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from seclude.cli import commands
from seclude.cli.import_ import command
from seclude.errors import OutputError, ProfileError
from seclude.formats import READERS, oci

from .format_samples import SAMPLE, same

GOLD = Path(__file__).parents[1] / "gold"


def import_(*arguments):
    return CliRunner().invoke(
        command, [str(each) for each in arguments], catch_exceptions=False, standalone_mode=False
    )


def test_the_keyword_is_a_command():
    result = CliRunner().invoke(commands.group, ["import", "--help"])
    assert result.exit_code == 0
    assert all(name in result.output for name in READERS)


def test_from_a_file(tmp_path):
    out = tmp_path / "app.json"
    result = import_(GOLD / "export-spo.yaml", "--from", "spo", "-o", out)
    assert result.return_value == 0
    assert same(SAMPLE, oci.loads(out.read_text(), "x")).empty
    assert "9 calls named in" in result.stderr
    assert import_(GOLD / "export-spo.yaml", "--from", "spo", "-o", "-").stdout == out.read_text()


def test_json(tmp_path):
    out = tmp_path / "app.json"
    told = json.loads(import_(GOLD / "export-systemd.conf", "--from", "systemd", "-o", out, "--json").stderr)
    assert told["format"] == "systemd" and "execve" in told["calls"] and told["losses"] == []


def test_losses_are_refused_or_printed(tmp_path):
    path = tmp_path / "off.yaml"
    path.write_text((GOLD / "export-spo.yaml").read_text() + "  state: Disabled\n")
    with pytest.raises(ProfileError, match="spo/disabled"):
        import_(path, "--from", "spo", "-o", "-")
    assert "loss: the profile is disabled" in import_(path, "--from", "spo", "-o", "-", "--lossy").stderr


@pytest.mark.parametrize("form", READERS)
def test_what_is_no_text_or_no_file(form, tmp_path):
    path = tmp_path / "bytes"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match="is not UTF-8 text"):
        import_(path, "--from", form, "-o", "-")
    with pytest.raises(ProfileError, match="cannot be read"):
        import_(tmp_path / "absent", "--from", form, "-o", "-")


def test_other_files_are_not_replaced(tmp_path):
    out = tmp_path / "notes.json"
    out.write_text("{}")
    with pytest.raises(OutputError):
        import_(GOLD / "export-spo.yaml", "--from", "spo", "-o", out)
