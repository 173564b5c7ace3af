"""Manifests and indices of the OCI image specification: bytes in, checked values out, and back.

What a registry sends is hostile: bounded, every digest and size of the right form, and never both an image and an index
(GHSA-77vh-xpmg-72qh). Fields that we do not know are passed over, as the specification wants.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import RegistryError
from ..formats import jsontext
from ..model.frozen import frozen
from .references import is_digest

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
ACCEPTED = (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX)
INDICES = (INDEX, DOCKER_INDEX)

EMPTY = "application/vnd.oci.empty.v1+json"
EMPTY_BLOB = b"{}"

LARGEST = 4 * 1024 * 1024
"""Bytes of a manifest: more than registries must take (distribution-spec, "Pushing Manifests")."""

MOST_ENTRIES = 10_000
"""Entries of one manifest or index."""

LARGEST_SIZE = 1 << 62


@frozen
class Platform:
    """As GOOS and GOARCH name them: linux, arm64, v8."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


@frozen
class Descriptor:
    """What points to a blob or a manifest; `annotations` as (key, value) pairs. No `platform`: for any."""

    media_type: str
    digest: str
    size: int
    artifact_type: str = ""
    platform: Platform | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    def annotation(self, key: str) -> str:
        """The value, empty where there is none."""
        return dict(self.annotations).get(key, "")

    def value(self) -> dict[str, Any]:
        """As JSON has it."""
        told: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            told["artifactType"] = self.artifact_type
        if self.platform is not None:
            platform = {"architecture": self.platform.architecture, "os": self.platform.os}
            told["platform"] = (
                platform | {"variant": self.platform.variant} if self.platform.variant else platform
            )
        if self.annotations:
            told["annotations"] = dict(self.annotations)
        return told


@frozen
class Manifest:
    """One manifest (`config` and `entries`: its layers) or index (no `config`; `entries`: its manifests)."""

    media_type: str
    entries: tuple[Descriptor, ...]
    config: Descriptor | None = None
    artifact_type: str = ""
    subject: Descriptor | None = None
    annotations: tuple[tuple[str, str], ...] = ()

    @property
    def is_index(self) -> bool:
        return self.media_type in INDICES

    def annotation(self, key: str) -> str:
        """The value, empty where there is none."""
        return dict(self.annotations).get(key, "")

    def dumps(self) -> bytes:
        """The bytes, of which the digest is taken."""
        told: dict[str, Any] = {"schemaVersion": 2, "mediaType": self.media_type}
        if self.artifact_type:
            told["artifactType"] = self.artifact_type
        if self.config is not None:
            told["config"] = self.config.value()
        told["manifests" if self.is_index else "layers"] = [entry.value() for entry in self.entries]
        if self.subject is not None:
            told["subject"] = self.subject.value()
        if self.annotations:
            told["annotations"] = dict(self.annotations)
        return json.dumps(told, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def digest(data: bytes, like: str = "sha256:") -> str:
    """The digest, by the algorithm of another one."""
    algorithm = like.partition(":")[0]
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def described(data: bytes, media_type: str, **fields: Any) -> Descriptor:
    """A descriptor of these bytes."""
    return Descriptor(media_type=media_type, digest=digest(data), size=len(data), **fields)


def loads(data: bytes, source: str, content_type: str = "") -> Manifest:
    """The manifest or index; `content_type` as the registry announced it. Raises RegistryError naming `source`."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RegistryError(f"{source} is no manifest: byte {error.start} is not UTF-8") from None
    value = jsontext.decode(text, source, error=RegistryError, largest=LARGEST, quote=False)
    return _Reader(source).manifest(value, content_type.partition(";")[0].strip())


class _Reader:
    def __init__(self, source: str) -> None:
        self._source = source

    def manifest(self, value: object, announced: str) -> Manifest:
        members = self._object(value, "it")
        media_type = self._text(members, "mediaType") or announced
        if members.get("schemaVersion") != 2:
            self._refuse("it has not schemaVersion 2", "it was made by a very old program; push it again")
        if media_type not in ACCEPTED:
            self._refuse(f"its media type is {media_type[:100]!r}", f"{MANIFEST} or {INDEX} is expected")
        if announced in ACCEPTED and announced != media_type:
            self._refuse(f"it says {media_type}, its registry {announced}")
        index = media_type in INDICES
        has_layers, has_manifests = ("layers" in members or "config" in members), "manifests" in members
        if has_layers == has_manifests or has_manifests != index:
            self._refuse("it cannot be told whether it is a manifest or an index")
        key = "manifests" if index else "layers"
        entries = members.get(key)
        if not isinstance(entries, list) or len(entries) > MOST_ENTRIES:
            self._refuse(f"{key} must be a list of at most {MOST_ENTRIES}")
        subject = members.get("subject")
        return Manifest(
            media_type=media_type,
            entries=tuple(
                self._descriptor(entry, f"{key}[{number}]") for number, entry in enumerate(entries)
            ),
            config=None if index else self._descriptor(members.get("config"), "config"),
            artifact_type=self._text(members, "artifactType"),
            subject=None if subject is None else self._descriptor(subject, "subject"),
            annotations=self._annotations(members, "annotations"),
        )

    def _descriptor(self, value: object, where: str) -> Descriptor:
        members = self._object(value, where)
        found, size = self._text(members, "digest"), members.get("size")
        if not is_digest(found):
            self._refuse(f"{where}: {found[:80]!r} is no digest")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= LARGEST_SIZE:
            self._refuse(f"{where}: its size is no number of bytes")
        return Descriptor(
            media_type=self._text(members, "mediaType"),
            digest=found,
            size=size,
            artifact_type=self._text(members, "artifactType"),
            platform=self._platform(members.get("platform"), where),
            annotations=self._annotations(members, f"{where}.annotations"),
        )

    def _platform(self, value: object, where: str) -> Platform | None:
        if value is None:
            return None
        members = self._object(value, f"{where}.platform")
        return Platform(
            os=self._text(members, "os"),
            architecture=self._text(members, "architecture"),
            variant=self._text(members, "variant"),
        )

    def _annotations(self, members: Mapping[str, Any], where: str) -> tuple[tuple[str, str], ...]:
        value = members.get("annotations")
        if value is None:
            return ()
        found = self._object(value, where)
        if not all(isinstance(each, str) for each in found.values()):
            self._refuse(f"{where} must be strings")
        return tuple(found.items())

    def _object(self, value: object, where: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(f"{where} must be an object")
        return value

    def _text(self, members: Mapping[str, Any], key: str) -> str:
        value = members.get(key)
        if value is not None and not isinstance(value, str):
            self._refuse(f"{key} must be a string")
        return value or ""

    def _refuse(self, why: str, hint: str = "") -> NoReturn:
        raise RegistryError(f"{self._source} is no sound manifest: {why}", hint=hint)
