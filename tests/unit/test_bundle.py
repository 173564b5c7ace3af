"""Bundles: what a config.json says of its container, however little it says, and the runtime's version."""

import json
import os

import pytest

from seclude.bundle import read_container, runtime_version
from seclude.errors import SecludeError

CONFIG = {
    "process": {
        "args": ["ls", "/"],
        "env": ["PATH=/bin", "container=podman"],
        "noNewPrivileges": True,
        "capabilities": {"bounding": ["CAP_KILL", "CAP_CHOWN"], "effective": ["CAP_SYS_ADMIN"]},
    },
    "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO"}},
    "annotations": {"io.kubernetes.cri-o.ImageName": "debian:12"},
}


def container(directory, config, name="0123"):
    (directory / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))
    return read_container(str(directory), name, os.getpid())


def test_all_there_is(tmp_path):
    known = container(tmp_path, CONFIG)
    assert known.command == ("ls", "/")
    assert known.engine == "podman"
    assert known.image == "debian:12"
    assert known.container == "0123"
    assert known.capabilities == ("CAP_CHOWN", "CAP_KILL")
    assert (known.confined, known.no_new_privileges) == (True, True)
    assert os.path.isabs(known.runtime_path)
    assert known.runtime == os.path.basename(known.runtime_path)
    assert known.created.endswith("Z")


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"process": None, "linux": None, "annotations": None},
        {"process": [], "linux": "x", "annotations": 3},
        {
            "process": {"args": "ls", "env": {}, "capabilities": [], "noNewPrivileges": 1},
            "linux": {"seccomp": None},
        },
    ],
)
def test_next_to_nothing(config, tmp_path):
    known = container(tmp_path, config)
    assert (known.command, known.engine, known.image, known.capabilities) == ((), "oci", "", ())
    assert (known.confined, known.no_new_privileges) == (False, False)


def test_only_texts_count(tmp_path):
    known = container(
        tmp_path, {"process": {"args": ["ls", 3, None], "capabilities": {"bounding": ["CAP_KILL", {}]}}}
    )
    assert (known.command, known.capabilities) == (("ls",), ("CAP_KILL",))


def test_the_image_in_podmans_storage(tmp_path):
    bundle = tmp_path / "overlay-containers" / "0123" / "userdata"
    bundle.mkdir(parents=True)
    listing = [
        {"id": "other", "metadata": "{}"},
        {"id": "0123", "metadata": json.dumps({"image-name": "busybox"})},
    ]
    (tmp_path / "overlay-containers" / "containers.json").write_text(json.dumps(listing))
    assert container(bundle, {}).image == "busybox"
    assert container(bundle, {}, name="third").image == ""


@pytest.mark.parametrize(
    "listing", ["", "{}", "[3]", '[{"id": "0123"}]', '[{"id": "0123", "metadata": "["}]']
)
def test_a_storage_that_cannot_be_understood(listing, tmp_path):
    bundle = tmp_path / "overlay-containers" / "0123" / "userdata"
    bundle.mkdir(parents=True)
    (tmp_path / "overlay-containers" / "containers.json").write_text(listing)
    assert container(bundle, {}).image == ""


@pytest.mark.parametrize("text", ["", "{", "\0"])
def test_a_config_that_is_no_json(text, tmp_path):
    with pytest.raises(SecludeError, match=r"config\.json: line 1"):
        container(tmp_path, text)


def test_no_config(tmp_path):
    with pytest.raises(SecludeError, match=r"config\.json cannot be read"):
        read_container(str(tmp_path), "0123", os.getpid())


def test_a_runtime_that_has_ended(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    known = read_container(str(tmp_path), "0123", 2**22)
    assert (known.runtime, known.runtime_path) == ("", "")


@pytest.mark.parametrize(
    ("says", "version"),
    [
        ("runc version 1.1.5+ds1\ncommit: 1.1.5\n", "1.1.5+ds1"),
        ("crun version 1.8.1\n", "1.8.1"),
        ("usage: x\n", ""),
        ("", ""),
        ("x" * 1000, ""),
    ],
)
def test_versions(says, version, tmp_path):
    runtime = tmp_path / "runtime"
    (tmp_path / "says").write_text(says)
    runtime.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec /bin/cat {tmp_path}/says\n')
    runtime.chmod(0o755)
    assert runtime_version(str(runtime)) == version


@pytest.mark.parametrize("path", ["", "runc", "/none", "/etc/passwd"])
def test_runtimes_that_cannot_be_asked(path):
    assert runtime_version(path) == ""
