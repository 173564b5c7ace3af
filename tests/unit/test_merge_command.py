"""`seclude merge`: files, directories and lists of them in, one profile out."""

import json

import pytest
from click.testing import CliRunner

from seclude import store
from seclude.cli.merge import command
from seclude.errors import OutputError, ProfileError
from seclude.formats import oci
from seclude.model.profile import Profile, Rule
from seclude.model.recording import Recording


def written(path, *names):
    rules = (Rule(names=names, action="SCMP_ACT_ALLOW"),)
    path.write_text(oci.dumps(Profile(default_action="SCMP_ACT_ERRNO", rules=rules)))
    return str(path)


def run(*arguments, stdin=""):
    result = CliRunner().invoke(
        command, [str(each) for each in arguments], input=stdin, standalone_mode=False
    )
    if result.exception:
        raise result.exception
    return result


def names(text):
    return [name for rule in json.loads(text)["syscalls"] for name in rule["names"]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], ["read", "socket", "write"]),
        (["--union"], ["read", "socket", "write"]),
        (["--intersection"], ["read"]),
        (["--subtract"], ["write"]),
    ],
)
def test_the_operations(tmp_path, options, expected):
    one, two = written(tmp_path / "1.json", "read", "write"), written(tmp_path / "2.json", "read", "socket")
    out = tmp_path / "out.json"
    result = run(*options, one, two, "-o", out)
    assert names(out.read_text()) == expected
    assert result.return_value == 0
    assert f"{(options or ['--union'])[0][2:]} of 2 profiles: 1 rules; wrote {out}" in result.stderr


def test_directories_lists_and_standard_streams(tmp_path):
    folder = tmp_path / "profiles"
    folder.mkdir()
    written(folder / "a.json", "read")
    written(folder / "b.json", "write")
    (folder / "notes.txt").write_text("nothing")
    other = written(tmp_path / "c.json", "socket")
    listed = tmp_path / "list"
    listed.write_text(f"{folder}\n\n{other}\n")
    assert names(run(folder, "-o", "-").stdout) == ["read", "write"]
    assert names(run("--from-file", listed, "-o", "-").stdout) == ["read", "socket", "write"]
    result = run("--from-file", "-", "--json", folder, "-o", "-", stdin=f"{other}\n")
    assert names(result.stdout) == ["read", "socket", "write"]
    assert json.loads(result.stderr)["profiles"] == 3


def test_what_is_refused(tmp_path):
    one, out = written(tmp_path / "1.json", "read"), tmp_path / "out.json"
    (tmp_path / "empty").mkdir()
    recording = Recording(
        created="", duration=0.0, seclude="", tracer="", kernel="", machine="x86_64", engine="", calls=()
    )
    (tmp_path / "app.rec").write_text(store.dumps(recording))
    (tmp_path / "bad.json").write_text('{"defaultAction":"SCMP_ACT_ERRNO","syscals":[]}')
    for arguments, error, message in (
        ([], ProfileError, "no profile to merge"),
        ([tmp_path / "empty"], ProfileError, r"holds no \*.json"),
        ([tmp_path / "missing.json"], ProfileError, "cannot be read"),
        ([one, tmp_path / "app.rec"], ProfileError, "is a recording.*seclude generate"),
        ([one, tmp_path / "bad.json"], ProfileError, "bad.json: line 1, column 35: unknown field 'syscals'"),
    ):
        with pytest.raises(error, match=message):
            run(*arguments, "-o", out)
        assert not out.exists()
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match="is not replaced"):
        run(one, "-o", tmp_path / "notes")
