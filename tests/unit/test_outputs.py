"""Outputs: each refusal with its reason, the old file untouched by all of them, and the policy file."""

import errno
import os
import socket
import stat
import subprocess
import tempfile

import pytest

from seclude import outputs
from seclude.errors import OutputError
from seclude.formats import oci
from seclude.outputs import DIRECTORY, Output, Policy, read_policy

OLD = '{"defaultAction":"SCMP_ACT_ALLOW"}'
NEW = '{"defaultAction":"SCMP_ACT_ERRNO"}\n'
root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")


def output(path):
    return Output(str(path), "seccomp profile", oci.looks_like_profile)


def refused(path, directories=None):
    """The message with which both `check` and `write` refuse; nothing is left beside."""
    with pytest.raises(OutputError) as checked:
        output(path).check(Policy(directories=directories))
    with pytest.raises(OutputError) as written:
        output(path).write(NEW)
    assert checked.value.message == written.value.message
    return checked.value.message


class TestWriting:
    def test_a_new_file(self, tmp_path):
        path = tmp_path / "profile.json"
        output(path).check()
        assert list(tmp_path.iterdir()) == []
        output(path).write(NEW)
        assert path.read_text() == NEW
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert list(tmp_path.iterdir()) == [path]

    def test_a_profile_is_replaced_at_once(self, tmp_path):
        path = tmp_path / "profile.json"
        path.write_text(OLD)
        with open(path) as still_open:
            output(path).check()
            output(path).write(NEW)
            assert still_open.read() == OLD  # another file: nobody sees half of the new one
        assert path.read_text() == NEW

    def test_an_empty_file_is_replaced(self, tmp_path):
        path = tmp_path / "profile.json"
        path.touch()
        output(path).write(NEW)
        assert path.read_text() == NEW

    @pytest.mark.parametrize("length", [1, 200, 255])
    @pytest.mark.parametrize("letter", ["a", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
    def test_names_of_any_length(self, length, letter, tmp_path):
        path = tmp_path / (letter * (length // len(letter.encode()) or 1))
        output(path).write(NEW)
        assert path.read_text() == NEW

    def test_doubled_slashes(self, tmp_path):
        output(f"/{tmp_path}//profile.json").write(NEW)
        assert (tmp_path / "profile.json").read_text() == NEW

    def test_another_name_of_the_old_file_keeps_it(self, tmp_path):
        path, other = tmp_path / "profile.json", tmp_path / "other"
        path.write_text(OLD)
        os.link(path, other)
        output(path).write(NEW)
        assert (path.read_text(), other.read_text()) == (NEW, OLD)


class TestRefusals:
    def test_a_relative_path(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert refused("profile.json") == "'profile.json' is a relative path"
        assert refused("") == "'' is a relative path"

    @pytest.mark.parametrize("part", ["..", "."])
    def test_dots(self, part, tmp_path):
        assert "is not a plain path" in refused(f"{tmp_path}/{part}/profile.json")
        assert "is not a plain path" in refused(f"{tmp_path}/{part}")

    @pytest.mark.parametrize("character", ["\n", "\x1b", "\0", "\u202e", "\udcff"])
    def test_control_characters(self, character, tmp_path):
        message = refused(f"{tmp_path}/a{character}b")
        assert "is not a plain path" in message
        assert message.isprintable()

    def test_a_directory(self, tmp_path):
        assert refused(f"{tmp_path}/") == f"'{tmp_path}/' names a directory"
        assert refused(tmp_path) == f"{tmp_path} exists and is no regular file"

    def test_no_directory(self, tmp_path):
        path = tmp_path / "none" / "profile.json"
        assert refused(path) == f"{path}: there is no directory {tmp_path}/none"

    def test_a_file_for_a_directory(self, tmp_path):
        (tmp_path / "file").write_text(OLD)
        assert refused(tmp_path / "file" / "profile.json").endswith("Not a directory")

    @pytest.mark.parametrize("depth", [1, 2])
    def test_a_link_on_the_way(self, depth, tmp_path):
        (tmp_path / "real" / "deep").mkdir(parents=True)
        (tmp_path / "link").symlink_to("real")
        below = ("", "deep/")[depth - 1]
        path = f"{tmp_path}/link/{below}profile.json"
        assert refused(path) == f"{path}: {tmp_path}/link is a symbolic link"
        assert list((tmp_path / "real" / "deep").iterdir()) == []

    @pytest.mark.parametrize("target", ["profile", "none", "/etc/passwd"])
    def test_a_link(self, target, tmp_path):
        (tmp_path / "profile").write_text(OLD)
        link = tmp_path / "link"
        link.symlink_to(target)
        assert refused(link) == f"{link} is a symbolic link"
        assert link.is_symlink()
        assert (tmp_path / "profile").read_text() == OLD

    def test_a_fifo(self, tmp_path):
        os.mkfifo(tmp_path / "fifo")
        assert refused(tmp_path / "fifo").endswith("is no regular file")

    def test_a_socket(self, tmp_path):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "socket"))
            assert refused(tmp_path / "socket").endswith("is no regular file")

    @pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
    def test_a_device(self, device):
        # Where directories cannot be written to, that is said first by neither.
        assert refused(device) == f"{device} exists and is no regular file"

    @pytest.mark.parametrize(
        "text",
        ["root:x:0:0:root:/root:/bin/bash\n", "{}", "[]", '{"defaultAction": 3}', "\0", " ", "{" * 9999],
    )
    def test_a_file_of_another_kind(self, text, tmp_path):
        path = tmp_path / "precious"
        path.write_text(text)
        assert refused(path) == f"{path} exists and is no seccomp profile; it is not replaced"
        assert path.read_text() == text
        assert list(tmp_path.iterdir()) == [path]

    def test_a_file_that_is_no_text(self, tmp_path):
        path = tmp_path / "precious"
        path.write_bytes(b"\xff\xfe\x00\x01" * 1000)
        assert "is no seccomp profile" in refused(path)

    def test_a_file_that_is_too_large_to_look_at(self, tmp_path, monkeypatch):
        monkeypatch.setattr(outputs, "LARGEST_REPLACED", len(OLD) - 1)
        path = tmp_path / "profile"
        path.write_text(OLD)
        assert "is no seccomp profile" in refused(path)

    def test_too_long_a_name(self, tmp_path):
        assert refused(tmp_path / ("a" * 256)).endswith("File name too long")

    @root
    @pytest.mark.parametrize("mode", [0o500, 0o100, 0o000])
    def test_a_directory_without_rights(self, mode):
        # Not in pytest's own directory: an ordinary user cannot reach that.
        with tempfile.TemporaryDirectory() as directory:
            os.chown(directory, 65534, 65534)
            os.chmod(directory, mode)
            pid = os.fork()
            if pid == 0:
                code = 1
                try:
                    os.setuid(65534)
                    message = refused(f"{directory}/profile")
                    code = (
                        0 if message.startswith(f"{directory}/profile") and message.endswith("denied") else 2
                    )
                finally:
                    os._exit(code)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.fixture
def tiny(tmp_path):
    """A file system of 64 kB."""
    place = tmp_path / "tiny"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", place], check=True)
    yield place
    subprocess.run(["umount", "-l", place], check=True)


class TestFullDisk:
    @root
    def test_check_wants_room(self, tiny):
        with pytest.raises(OutputError, match="65536 bytes are free, 1048576 are needed") as failure:
            output(tiny / "profile").check()
        assert "make room" in failure.value.hint
        assert list(tiny.iterdir()) == []

    @root
    def test_the_old_file_stays_when_there_is_no_room_for_the_new(self, tiny):
        path = tiny / "profile"
        path.write_text(OLD)
        with pytest.raises(OutputError, match="No space left on device") as failure:
            output(path).write(NEW + " " * 100_000)
        assert "make room" in failure.value.hint
        assert path.read_text() == OLD
        assert list(tiny.iterdir()) == [path]

    @pytest.mark.parametrize("call", ["write", "fchmod", "fsync", "rename"])
    def test_whatever_fails_leaves_the_old_file(self, call, tmp_path, monkeypatch):
        def failing(*arguments, **options):
            raise OSError(errno.EIO, "failed")

        path = tmp_path / "profile"
        path.write_text(OLD)
        monkeypatch.setattr(os, call, failing)
        with pytest.raises(OutputError, match="Input/output error"):
            output(path).write(NEW)
        assert path.read_text() == OLD
        assert list(tmp_path.iterdir()) == [path]

    def test_an_interrupt_leaves_the_old_file(self, tmp_path, monkeypatch):
        def interrupted(*arguments, **options):
            raise KeyboardInterrupt

        path = tmp_path / "profile"
        path.write_text(OLD)
        monkeypatch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            output(path).write(NEW)
        assert path.read_text() == OLD
        assert list(tmp_path.iterdir()) == [path]


class TestRemoving:
    def test_what_is_of_the_kind(self, tmp_path):
        path = tmp_path / "profile"
        assert not output(path).remove()
        path.write_text(OLD)
        assert output(path).remove()
        assert not path.exists()

    def test_nothing_else(self, tmp_path):
        path = tmp_path / "precious"
        path.write_text("precious")
        with pytest.raises(OutputError, match="is no seccomp profile"):
            output(path).remove()
        assert path.read_text() == "precious"


class TestPolicy:
    def policy(self, path, text, mode=0o644):
        path.write_text(text)
        path.chmod(mode)
        return str(path)

    def test_none(self, tmp_path):
        assert read_policy(str(tmp_path / "policy.toml")) == Policy()

    def test_none_where_not_root_chose_the_paths(self, tmp_path):
        policy = read_policy(str(tmp_path / "policy.toml"), trusted=False)
        assert policy == Policy(directories=(DIRECTORY,), owners=(0,))
        with pytest.raises(OutputError, match=f"the policy allows only paths in {DIRECTORY}"):
            output(tmp_path / "profile").check(policy)

    def test_owners(self, tmp_path):
        path = self.policy(tmp_path / "p", 'output-directories = ["/srv"]\ndirectory-owners = ["root", 1000]')
        for trusted in (True, False):
            assert read_policy(path, trusted=trusted) == Policy(directories=("/srv",), owners=(0, 1000))

    @pytest.mark.parametrize("owners", [(), (65533, 65534)])
    def test_a_directory_of_another_user(self, owners, tmp_path):
        policy = Policy(directories=(str(tmp_path),), owners=owners)
        with pytest.raises(OutputError, match=f"belongs to the user {os.geteuid()}"):
            output(tmp_path / "profile").check(policy)
        output(tmp_path / "profile").check(Policy(directories=(str(tmp_path),), owners=(os.geteuid(),)))

    def test_directories(self, tmp_path):
        path = self.policy(tmp_path / "p", 'output-directories = ["/srv/a", "/srv/b/"]\n')
        assert read_policy(path) == Policy(directories=("/srv/a", "/srv/b/"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "must be a list of absolute paths"),
            ('output-directories = "/srv"', "must be a list of absolute paths"),
            ('output-directories = ["srv"]', "must be a list of absolute paths"),
            ("output-directories = [3]", "must be a list of absolute paths"),
            ('output-directories = ["/a"]\nother = 1', "unknown key 'other'"),
            ('output-directories = ["/a"]\ndirectory-owners = "root"', "directory-owners must be a list"),
            ('output-directories = ["/a"]\ndirectory-owners = ["no such"]', "there is no user 'no such'"),
            ('output-directories = ["/a"]\ndirectory-owners = [-1]', "there is no user '-1'"),
            ("output-directories = [", "Invalid value|Unclosed"),
            ("\xff", "codec|Invalid"),
        ],
    )
    def test_a_policy_that_is_not_sound_is_no_policy(self, text, message, tmp_path):
        path = tmp_path / "p"
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(OutputError, match=message):
            read_policy(str(path))

    @pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
    def test_a_policy_that_others_can_change(self, mode, tmp_path):
        path = self.policy(tmp_path / "p", "output-directories = []", mode)
        with pytest.raises(OutputError, match="can be changed by others") as failure:
            read_policy(path)
        assert "chmod 644" in failure.value.hint

    @root
    def test_a_policy_of_another_user(self, tmp_path):
        path = self.policy(tmp_path / "p", "output-directories = []")
        os.chown(path, 65534, 65534)
        with pytest.raises(OutputError, match="can be changed by others"):
            read_policy(path)

    def test_a_directory_for_a_policy(self, tmp_path):
        with pytest.raises(OutputError, match="cannot be read"):
            read_policy(str(tmp_path))

    @pytest.mark.parametrize("directory", ["{}", "{}/"])
    def test_within(self, directory, tmp_path):
        output(tmp_path / "profile").check(Policy(directories=(directory.format(tmp_path),)))

    @pytest.mark.parametrize("allowed", [(), ("/srv",), ("{}-not",), ("{}/profile",)])
    def test_outside(self, allowed, tmp_path):
        directories = tuple(each.format(tmp_path) for each in allowed)
        with pytest.raises(OutputError, match="the policy allows only paths in"):
            output(tmp_path / "profile").check(Policy(directories=directories))

    def test_no_way_round_by_dots_or_links(self, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "link").symlink_to(tmp_path)
        for path in ("in/../profile", "in/link/profile"):
            with pytest.raises(OutputError):
                output(tmp_path / path).check(Policy(directories=(f"{tmp_path}/in",)))
