"""Reads what an engine saved, or a root file system in a tar file: a path in, the files and the image's command out.

It knows the archives of `docker save` and `podman save` (manifest.json), OCI archives (index.json), and takes anything
else for a root file system.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from ..errors import SecludeError
from ..formats import jsontext
from ..model.frozen import frozen
from .archive import Unpacker
from .tree import Held, Tree

LARGEST_MANIFEST = 4 * 1024 * 1024
MOST_LAYERS = 500
MOST_INDICES = 4
MACHINE = "amd64"
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAR = b"ustar"


@frozen
class Saved:
    """`tree`: the files, to be closed; `programs`: what the image runs, empty for a root file system."""

    tree: Tree
    programs: tuple[str, ...]


def is_archive(path: str) -> bool:
    """Whether a file looks like a tar file, or like one that is compressed."""
    try:
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            start = file.read(262)
    except OSError:
        return False
    compressed = (b"\x1f\x8b", b"\xfd7zXZ\0", b"BZh", b"\x28\xb5\x2f\xfd")
    return start[257:262] == _TAR or start.startswith(compressed)


def opened(path: str) -> Saved:
    """The files of an archive. Raises SecludeError where it cannot be read, or is for another machine."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise SecludeError(f"{path} cannot be read: {os.strerror(error.errno or 0)}") from error
    outer = Tree()
    outer.held.append(descriptor)
    try:
        found = _found(outer, descriptor, path)
    except BaseException:
        outer.close()
        raise
    if found.tree is not outer:
        found.tree.held += outer.held  # the layers lie in the outer file
    return found


def _found(outer: Tree, descriptor: int, path: str) -> Saved:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise SecludeError(f"{path} is no regular file")
    Unpacker(outer, path).layer(Held(descriptor=descriptor, offset=0, size=status.st_size))
    if outer.exists("manifest.json"):
        return _docker(outer, path)
    if outer.exists("index.json") and outer.exists("oci-layout"):
        return _oci(outer, path)
    return Saved(tree=outer, programs=())


def _json(outer: Tree, name: str, source: str) -> Any:
    try:
        raw, _ = outer.read(name, LARGEST_MANIFEST)
    except OSError as error:
        raise SecludeError(f"{source}: {name[:200]} cannot be read: {error.strerror}") from error
    return jsontext.decode(raw.decode("utf-8", "replace"), f"{source}: {name[:200]}", error=SecludeError)


def _docker(outer: Tree, source: str) -> Saved:
    manifests = _json(outer, "manifest.json", source)
    if not isinstance(manifests, list) or not all(isinstance(each, dict) for each in manifests):
        raise SecludeError(f"{source}: manifest.json is no list of images")
    if len(manifests) != 1:
        raise SecludeError(f"{source} has {len(manifests)} images", hint="save one image in a file")
    manifest = manifests[0]
    return _image(
        outer, _text(manifest, "Config", source), _texts(manifest.get("Layers"), "Layers", source), source
    )


def _oci(outer: Tree, source: str) -> Saved:
    value = _json(outer, "index.json", source)
    for _ in range(MOST_INDICES):
        entries = value.get("manifests") if isinstance(value, dict) else None
        if not isinstance(entries, list):
            break
        found = [entry for entry in entries if isinstance(entry, dict) and _ours(entry.get("platform"))]
        if len(found) != 1:
            raise SecludeError(
                f"{source} has {len(found)} images for {MACHINE}",
                hint="save one image, for x86_64, in a file",
            )
        value = _json(outer, _blob(found[0], source), source)
    if not isinstance(value, dict) or not isinstance(value.get("layers"), list):
        raise SecludeError(f"{source}: its manifest has no layers")
    layers = [_blob(entry, source) for entry in value["layers"]]
    return _image(outer, _blob(value.get("config"), source), layers, source)


def _ours(platform: object) -> bool:
    """Whether a manifest is for this kind of machine, as far as it says."""
    return not isinstance(platform, dict) or platform.get("architecture", MACHINE) == MACHINE


def _blob(entry: object, source: str) -> str:
    """The path of what a descriptor means. Its hash is not checked: nobody vouches for the index either."""
    digest = entry.get("digest") if isinstance(entry, dict) else None
    method, _, value = digest.partition(":") if isinstance(digest, str) else ("", "", "")
    if not (method.isalnum() and value.isalnum()):
        raise SecludeError(f"{source}: {digest!r} is no digest")
    return f"blobs/{method}/{value}"


def _image(outer: Tree, config: str, layers: list[str], source: str) -> Saved:
    value = _json(outer, config, source)
    if not isinstance(value, dict):
        raise SecludeError(f"{source}: {config[:200]} is no configuration of an image")
    machine = value.get("architecture", MACHINE)
    if machine != MACHINE:
        raise SecludeError(f"{source} is an image for {machine!r}, and only {MACHINE} (x86_64) is read")
    if len(layers) > MOST_LAYERS:
        raise SecludeError(f"{source} has {len(layers)} layers, more than {MOST_LAYERS}")
    tree = Tree()
    try:
        unpacker = Unpacker(tree, source)
        for name in layers:
            try:
                held, _ = outer.place(name)
            except OSError as error:
                raise SecludeError(
                    f"{source}: layer {name[:200]!r} is missing", hint="save it again"
                ) from error
            unpacker.layer(held)
        settings = value.get("config")
        programs = _programs(tree, settings if isinstance(settings, dict) else {}, source)
    except BaseException:
        tree.close()
        raise
    return Saved(tree=tree, programs=programs)


def _programs(tree: Tree, settings: dict[str, Any], source: str) -> tuple[str, ...]:
    """What the image runs: its entry point, and what it hands to that, if this is a program too."""
    words = [_texts(settings.get(name) or [], name, source) for name in ("Entrypoint", "Cmd")]
    variables = dict(text.partition("=")[::2] for text in _texts(settings.get("Env") or [], "Env", source))
    directory = settings.get("WorkingDir")
    directory = directory if isinstance(directory, str) and directory else "/"
    found: list[str] = []
    for parts in words:
        if not parts or not parts[0]:
            continue
        path = _program(tree, parts[0], variables.get("PATH") or DEFAULT_PATH, directory)
        if path or not found:
            # The first is named even where it is missing: then it is among the files that were not read.
            found.append(path or parts[0])
    return tuple(dict.fromkeys(found))


def _program(tree: Tree, word: str, search: str, directory: str) -> str:
    """The path that a word of the command means, empty where there is no such file."""
    if "/" in word:
        places = [word if word.startswith("/") else f"{directory}/{word}"]
    else:
        places = [f"{place}/{word}" for place in search.split(":") if place.startswith("/")]
    return next((place for place in places if tree.exists(place)), "")


def _text(value: dict[str, Any], name: str, source: str) -> str:
    found = value.get(name)
    if not isinstance(found, str):
        raise SecludeError(f"{source}: {name} is no text")
    return found


def _texts(value: object, name: str, source: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise SecludeError(f"{source}: {name} is no list of texts")
    return value
