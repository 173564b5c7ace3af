"""Images and root file systems in tar files: read without unpacking, whoever made them."""

from __future__ import annotations

import gc
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from seclude.cli.scan import command
from seclude.errors import SecludeError
from seclude.scanning.saved import is_archive, opened

Members = list[tuple[str, bytes | str | dict[str, Any]]]
"""(name, contents, or the target of a link, or fields of the header)."""


def tar(members: Members, **options: Any) -> bytes:
    """A tar file as somebody may have made it."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", **options) as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))
                continue
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            for field, value in content.items() if isinstance(content, dict) else ():
                setattr(info, field, value)
            file.addfile(info)
    return made.getvalue()


def docker(layers: list[bytes], settings: Mapping[str, Any], *, machine: str = "amd64") -> Members:
    """What `docker save` writes."""
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["x:1"], "Layers": names}]
    return [
        ("manifest.json", json.dumps(manifest).encode()),
        ("config.json", json.dumps({"architecture": machine, "config": settings}).encode()),
        *zip(names, layers, strict=True),
    ]


def oci(layers: list[bytes], settings: Mapping[str, Any]) -> Members:
    """What `podman save --format oci-archive` writes, with an index in the index and an image of another machine."""
    blobs: Members = []

    def blob(content: bytes, **more: object) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs.append((f"blobs/sha256/{digest}", content))
        return {"digest": f"sha256:{digest}", "size": len(content), **more}

    config = blob(json.dumps({"architecture": "amd64", "config": settings}).encode())
    manifest = {"config": config, "layers": [blob(layer) for layer in layers]}
    other = blob(b"{}", platform={"architecture": "arm64"})
    mine = blob(json.dumps(manifest).encode(), platform={"architecture": "amd64"})
    inner = blob(json.dumps({"manifests": [other, mine]}).encode())
    return [
        ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
        ("index.json", json.dumps({"manifests": [inner]}).encode()),
        *blobs,
    ]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A program that makes ptrace and exit."""
    place = tmp_path_factory.mktemp("program")
    (place / "p.c").write_text(
        "void _start(void) { __asm__ volatile("
        '"mov $101, %eax; syscall; mov $60, %eax; syscall"); __builtin_unreachable(); }'
    )
    wanted = ["gcc", "-nostdlib", "-static", "-O1", "-o", place / "p", place / "p.c"]
    subprocess.run(wanted, check=True, capture_output=True)
    return (place / "p").read_bytes()


def write(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return str(path)


def scanned(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(command, ["--no-cache", "--json", *arguments], standalone_mode=False)
    if done.exception:
        raise done.exception
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def contents(path: str, *names: str) -> list[bytes | str]:
    """What the files are, or the error."""
    found: list[bytes | str] = []
    with opened(path).tree as tree:
        for name in names:
            try:
                found.append(tree.read(name)[0])
            except OSError as error:
                found.append(str(error.strerror))
    return found


# What engines write


@pytest.mark.parametrize("packed", [False, True])
def test_a_root_file_system(tmp_path: Path, program: bytes, packed: bool) -> None:
    data = tar([("./bin", "usr/bin"), ("./usr/bin/app", program), ("./usr/bin/alias", "../../../bin/app")])
    path = write(tmp_path / "root.tar", gzip.compress(data) if packed else data)
    for entry in ("/usr/bin/app", "/bin/app", "/bin/alias"):
        found = scanned(path, "--entry", entry)
        assert (set(found["reachable"]), found["exact"]) == ({"exit", "ptrace"}, True)
        assert found["programs"] == {entry: "/usr/bin/app"}
    assert os.listdir(tmp_path) == ["root.tar"], "nothing is unpacked"
    with pytest.raises(SecludeError, match="does not say which programs run in it"):
        scanned(path)


@pytest.mark.parametrize("kind", [docker, oci])
@pytest.mark.parametrize(
    ("settings", "entries"),
    [
        ({"Entrypoint": ["/usr/bin/app", "-x"]}, {"/usr/bin/app"}),
        ({"Cmd": ["app"]}, {"/usr/bin/app"}),
        ({"Entrypoint": ["/start.sh"], "Cmd": ["app"], "Env": ["PATH=/opt:/bin"]}, {"/start.sh", "/bin/app"}),
        ({"Entrypoint": ["./app"], "WorkingDir": "/usr/bin"}, {"/usr/bin/./app"}),
        ({"Entrypoint": ["app"], "Cmd": ["app", "-x"]}, {"/usr/bin/app"}),
    ],
)
def test_an_image_says_what_it_runs(
    tmp_path: Path, program: bytes, kind: Any, settings: dict[str, Any], entries: set[str]
) -> None:
    layers = [
        tar([("usr/bin/app", program), ("start.sh", b"#!/usr/bin/app\n")]),
        gzip.compress(tar([("bin", "usr/bin")])),
    ]
    found = scanned(write(tmp_path / "image.tar", tar(kind(layers, settings))))
    assert set(found["programs"]) == entries
    assert set(found["programs"].values()) == {"/usr/bin/app"}
    assert set(found["reachable"]) == {"exit", "ptrace"}


def test_a_layer_removes_from_those_below_and_nothing_of_its_own(tmp_path: Path) -> None:
    layers = [
        tar([("a/one", b"1"), ("a/two", b"2"), ("b/one", b"3"), ("c", b"4"), ("d/e", b"5"), ("f", "d")]),
        tar(
            [
                ("a/new", b"6"),
                ("a/.wh..wh..opq", b""),
                ("b/.wh.one", b""),
                ("b/.wh..wh.x", b""),
                (".wh.c", b""),
            ]
        ),
        tar([("c/x", b"7"), ("f/y", b"8"), ("d", {"type": tarfile.DIRTYPE})]),
    ]
    path = write(tmp_path / "image.tar", tar(docker(layers, {})))
    names = ("a/one", "a/two", "a/new", "b/one", "c/x", "d/e", "d/y", "f/y")
    absent = "No such file or directory"
    assert contents(path, *names) == [absent, absent, b"6", absent, b"7", b"5", b"8", b"8"]


def test_hard_links(tmp_path: Path) -> None:
    link = {"type": tarfile.LNKTYPE, "linkname": "a/one"}
    out = {"type": tarfile.LNKTYPE, "linkname": "../../etc/passwd"}
    path = write(tmp_path / "x.tar", tar([("a/one", b"1"), ("b", link), ("c", out)]))
    assert contents(path, "b", "c") == [b"1", "No such file or directory"]


# What others write


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/../evil", "a/.."])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SecludeError, match="leads out of it"):
        opened(write(tmp_path / "x.tar", tar([(name, b"x")])))
    assert os.listdir(tmp_path) == ["x.tar"]


def test_links_lead_nowhere_but_into_the_archive(tmp_path: Path) -> None:
    members: Members = [
        ("etc/passwd", b"inside"),
        ("up", "../../../../etc/passwd"),
        ("absolute", "/etc/passwd"),
        ("dir", "../.."),
        ("round", "round"),
        ("one", "two/x"),
        ("two", "one"),
        ("out", "/proc/self/environ"),
        ("dir/written", b"through a link"),
        ("long", {"type": tarfile.SYMTYPE, "linkname": "a/" * 5000}),
    ]
    path = write(tmp_path / "x.tar", tar(members))
    names = ("up", "absolute", "dir/etc/passwd", "written", "round", "one", "out", "long")
    assert contents(path, *names) == [
        b"inside",
        b"inside",
        b"inside",
        b"through a link",
        "too many links",
        "too many links",
        "No such file or directory",
        "a link is too long",
    ]


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_devices_are_no_files(tmp_path: Path, kind: bytes) -> None:
    path = write(tmp_path / "x.tar", tar([("null", {"type": kind, "devmajor": 1, "devminor": 3})]))
    assert contents(path, "null", "nothing", "") == [
        "no regular file",
        "No such file or directory",
        "no regular file",
    ]


def test_bombs_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "x.tar.gz", gzip.compress(tar([("zeros", bytes(4_000_000))])))
    monkeypatch.setattr("seclude.scanning.archive.LARGEST_UNPACKED", 1_000_000)
    with pytest.raises(SecludeError, match="more than 1000000 bytes once it is decompressed"):
        opened(path)
    monkeypatch.undo()
    path = write(tmp_path / "many.tar", tar([(f"d{number}/f", b"") for number in range(60)]))
    monkeypatch.setattr("seclude.scanning.archive.MOST_MEMBERS", 50)
    with pytest.raises(SecludeError, match="more than 50 members"):
        opened(path)
    monkeypatch.undo()
    monkeypatch.setattr("seclude.scanning.tree.MOST_NODES", 100)
    with pytest.raises(SecludeError, match="more than 100 files and directories"):
        opened(path)
    monkeypatch.undo()
    round_about: Members = [("l0", "."), *((f"l{number}", f"l{number - 1}/l0") for number in range(1, 20))]
    path = write(
        tmp_path / "links.tar", tar([*round_about, *((f"l19/{number}", b"") for number in range(99))])
    )
    monkeypatch.setattr("seclude.scanning.tree.MOST_STEPS", 1000)
    with pytest.raises(SecludeError, match="more than 1000 steps"):
        opened(path)
    monkeypatch.undo()
    for name, message in (("a/" * 300 + "f", "256 names"), ("n" * 5000, "4096 letters")):
        with pytest.raises(SecludeError, match=message):
            opened(write(tmp_path / "deep.tar", tar([(name, b"")])))
    big = tar([("f", {"pax_headers": {"comment": "x" * 2_000_000}})], format=tarfile.PAX_FORMAT)
    with pytest.raises(SecludeError, match="a header in the archive is longer than"):
        opened(write(tmp_path / "header.tar", big))


def test_a_size_that_leads_back(tmp_path: Path) -> None:
    data = bytearray(tar([("a", b"1"), ("b", b"2")]))
    data[1024 + 124 : 1024 + 136] = (-2048).to_bytes(12, "big", signed=True)
    data[1024 + 148 : 1024 + 156] = b" " * 8
    data[1024 + 148 : 1024 + 156] = b"%06o\0 " % sum(data[1024 : 1024 + 512])
    with pytest.raises(SecludeError, match=r"leads back|cannot be read"):
        opened(write(tmp_path / "x.tar", bytes(data)))


@pytest.mark.parametrize("cut", [100, 700, 1500, 2500])
def test_what_is_cut_off(tmp_path: Path, cut: int) -> None:
    data = tar([("a", bytes(1000)), ("b", bytes(1000))])
    try:
        found = contents(write(tmp_path / "x.tar", data[:cut]), "a", "b")
    except SecludeError as error:
        assert "ends within" in error.message or "cannot be read as a tar file" in error.message
    else:
        assert cut == 1500 and found[0] == bytes(1000), found
    packed = gzip.compress(os.urandom(5000) + data)
    with pytest.raises(SecludeError, match="cannot be decompressed"):
        opened(write(tmp_path / "x.tar.gz", packed[: cut + 10]))


def test_nothing_is_left_open_and_nothing_else_is_raised(tmp_path: Path, program: bytes) -> None:
    """Damaged archives of every kind: they are read or refused."""
    draw = random.Random(11)
    layers = [tar([("usr/bin/app", program)]), gzip.compress(tar([("bin", "usr/bin")]))]
    whole = [tar(kind(layers, {"Cmd": ["app"]})) for kind in (docker, oci)]
    gc.collect()  # what earlier tests have left in cycles would be closed meanwhile, in place of what is ours
    before = len(os.listdir("/proc/self/fd"))
    for number in range(300):
        damaged = bytearray(whole[number % 2])
        for _ in range(draw.randint(1, 40)):
            damaged[draw.randrange(len(damaged))] = draw.randrange(256)
        try:
            with opened(write(tmp_path / "x.tar", bytes(damaged))).tree:
                pass
        except SecludeError:
            continue
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize(
    ("members", "message"),
    [
        (docker([], {}, machine="arm64"), "is an image for 'arm64', and only amd64"),
        ([("manifest.json", b"[{}, {}]")], "has 2 images"),
        ([("manifest.json", b"{")], "manifest.json"),
        ([("manifest.json", b"[[]]")], "no list of images"),
        ([("manifest.json", b'[{"Config": "c", "Layers": [1]}]')], "Layers is no list of texts"),
        ([("manifest.json", b'[{"Config": "c", "Layers": []}]')], "c cannot be read: No such file"),
        ([("manifest.json", b'[{"Config": "c", "Layers": ["l"]}]'), ("c", b"{}")], "layer 'l' is missing"),
        ([("oci-layout", b""), ("index.json", b'{"manifests": []}')], "has 0 images for amd64"),
        ([("oci-layout", b""), ("index.json", b'{"manifests": [{"digest": "../x"}]}')], "is no digest"),
        ([("oci-layout", b""), ("index.json", b"[]")], "has no layers"),
    ],
)
def test_what_is_no_image_for_this_machine(tmp_path: Path, members: Members, message: str) -> None:
    with pytest.raises(SecludeError, match=message):
        opened(write(tmp_path / "x.tar", tar(members)))


@pytest.mark.parametrize(
    ("start", "name"), [(b"\xfd7zXZ\0", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh", "bzip2")]
)
def test_other_compressions_are_named(tmp_path: Path, start: bytes, name: str) -> None:
    path = write(tmp_path / "x.tar", start + bytes(600))
    assert is_archive(path)
    with pytest.raises(SecludeError, match=f"compressed with {name}, and only gzip is read"):
        opened(path)


@pytest.mark.engine
def test_what_podman_saves(tmp_path: Path, program: bytes) -> None:
    """An engine's own archive, of both kinds."""
    if shutil.which("podman") is None or os.geteuid() != 0:
        pytest.skip("needs root and podman")
    write(tmp_path / "root.tar", tar([("bin/app", program)]))
    with tempfile.TemporaryDirectory(prefix="seclude-") as place:  # podman wants a short name

        def podman(*arguments: str) -> None:
            own = ("--root", f"{place}/root", "--runroot", f"{place}/run", "--storage-driver", "vfs")
            done = subprocess.run(["podman", *own, *arguments], capture_output=True, text=True, timeout=240)
            assert done.returncode == 0, done.stderr

        podman("import", "--change", 'ENTRYPOINT ["/bin/app"]', str(tmp_path / "root.tar"), "app")
        for kind in ("docker-archive", "oci-archive"):
            saved = str(tmp_path / f"{kind}.tar")
            podman("save", "--format", kind, "-o", saved, "app")
            assert set(scanned(saved)["reachable"]) == {"exit", "ptrace"}
