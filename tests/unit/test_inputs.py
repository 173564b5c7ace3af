"""Inputs: text of bounded size from regular files only, and a message that names the limit."""

import os

import pytest

from seclude.errors import ProfileError, RecordingError
from seclude.inputs import read_text


def refusal(path, limit=100, error=ProfileError):
    with pytest.raises(error) as failure:
        read_text(str(path), limit=limit, error=error)
    assert type(failure.value) is error
    assert failure.value.message.isprintable()
    return failure.value


def test_text(tmp_path):
    path = tmp_path / "file"
    path.write_text("h\N{LATIN SMALL LETTER E WITH ACUTE}llo\n")
    assert read_text(str(path), limit=7, error=ProfileError) == path.read_text()


def test_a_link_is_followed(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert read_text(str(tmp_path / "link"), limit=9, error=ProfileError) == "text"


def test_too_large(tmp_path):
    path = tmp_path / "file"
    path.write_text("12345678")
    assert refusal(path, limit=7).message == f"{path} is larger than 7 bytes"
    assert refusal("/proc/self/environ", limit=1).message == "/proc/self/environ is larger than 1 bytes"


def test_missing(tmp_path):
    failure = refusal(tmp_path / "none", error=RecordingError)
    assert failure.message == f"{tmp_path}/none cannot be read: No such file or directory"
    assert failure.hint == "check the path"


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path, tmp_path / "fifo", "/dev/zero"):
        assert refusal(path).message == f"{path} is no regular file"


def test_no_path():
    assert "is no path" in refusal("a\0b").message


def test_no_text(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc\xff")
    assert refusal(path).message == f"{path} is not UTF-8 text: byte 3"


def test_a_path_with_control_characters_is_not_repeated_raw(tmp_path):
    assert "\\x1b[31m" in refusal(tmp_path / "\x1b[31m").message
