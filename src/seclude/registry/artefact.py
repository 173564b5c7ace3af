"""What a profile is in a registry: a Profile in, blobs and a manifest out; and a manifest's profile back.

Two layers say the same: the profile as engines read it, under a media type of its own; and, where that can say it, the
SeccompProfile of the Kubernetes Security Profiles Operator, named and typed as `spoc push` does (its
internal/pkg/artifact: PackManifest 1.1, the media type that oras-go gives files, profile[-OS-ARCH[-VARIANT]].yaml).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import ProfileError, RegistryError
from ..formats import oci
from ..formats.spo import SpoFormat
from ..model.environment import Environment
from ..model.export import Loss, Settings, extended
from ..model.frozen import frozen
from ..model.profile import Profile
from ..yamltext import LARGEST as LARGEST_YAML
from . import manifests, platforms
from .manifests import Descriptor, Manifest, Platform

ARTIFACT = "application/vnd.seclude.seccomp.profile.v1"
PROFILE = "application/vnd.seclude.seccomp.profile.v1+json"
SPO = "application/vnd.oci.image.layer.v1.tar"
"""What oras-go calls a file of which nothing is said (content/file: defaultBlobMediaType), and so spoc."""

TITLE = "org.opencontainers.image.title"
CREATED = "org.opencontainers.image.created"
VERSION = "org.opencontainers.image.version"
IMAGE_NAME = "io.seclude.image.name"
IMAGE_DIGEST = "io.seclude.image.digest"
SECLUDE = "io.seclude.version"

_IMAGE_CONFIGS = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)
_SPO_NAME = re.compile(r"profile(?:-[A-Za-z0-9._-]+)?\.yaml")
_NO_NAME = re.compile(r"[^a-z0-9.-]+")


@frozen
class Context:
    """How the operator's variant is made: its object's `name`; the `kernel` and `capabilities` where it will be used.

    `lossy`: also where it cannot say all of the profile.
    """

    name: str
    kernel: str
    capabilities: tuple[str, ...] = ()
    lossy: bool = False


class Packed(NamedTuple):
    """The layers, each with its bytes, of one profile; `notes`: what its reader should know."""

    platform: Platform | None
    layers: tuple[tuple[Descriptor, bytes], ...]
    notes: tuple[str, ...]

    def manifest(
        self, annotations: tuple[tuple[str, str], ...], subject: Descriptor | None = None
    ) -> Manifest:
        """The manifest, without its blobs."""
        return Manifest(
            media_type=manifests.MANIFEST,
            artifact_type=ARTIFACT,
            config=manifests.described(manifests.EMPTY_BLOB, manifests.EMPTY),
            entries=tuple(descriptor for descriptor, _ in self.layers),
            subject=subject,
            annotations=annotations,
        )


class Unpacked(NamedTuple):
    """The profile; what it could not say of the operator's object; whether it came from one."""

    profile: Profile
    losses: tuple[Loss, ...] = ()
    foreign: bool = False


def object_name(repository: str) -> str:
    """A name for the operator's object, from that of a repository."""
    return _NO_NAME.sub("-", repository.rpartition("/")[2]).strip("-.") or "seclude"


def pack(profile: Profile, platform: Platform | None, context: Context) -> Packed:
    """The profile for one platform, or for any; raises ProfileError for what the operator's format must not leave
    unsaid.
    """
    stem = "-".join(
        filter(
            None, ("profile", *((platform.os, platform.architecture, platform.variant) if platform else ()))
        )
    )
    text = oci.dumps(profile).encode("utf-8")
    layers = [(_layer(text, PROFILE, f"{stem}.json", platform), text)]
    variant, notes = _variant(profile, platform, context)
    if variant:
        layers.append((_layer(variant, SPO, f"{stem}.yaml", platform), variant))
    return Packed(platform, tuple(layers), notes)


def _layer(data: bytes, media_type: str, title: str, platform: Platform | None) -> Descriptor:
    return manifests.described(data, media_type, platform=platform, annotations=((TITLE, title),))


def _variant(profile: Profile, platform: Platform | None, context: Context) -> tuple[bytes, tuple[str, ...]]:
    """The operator's YAML, empty where it is left out, and notes."""
    without = "left out what the Security Profiles Operator reads: "
    if platform is None and extended(profile):
        return b"", (f"{without}the profile depends on the machine; PLATFORM=PROFILE says for which it is",)
    machine = platforms.machine_of(platform) if platform is not None else ""
    environment = Environment(machine=machine, kernel=context.kernel, capabilities=context.capabilities)
    written = SpoFormat(Settings(environment=environment, name=context.name)).written(profile)
    told = tuple(f"{loss.text} [{loss.id}]" for loss in written.losses)
    if told and not context.lossy:
        return b"", (f"{without}{'; '.join(told)}; --lossy accepts this",)
    resolved = tuple(note for note in written.notes if note.startswith("resolved "))
    text = written.text.encode("utf-8")
    if len(text) > LARGEST_YAML:
        return b"", (f"{without}it would have {len(text)} bytes; the limit is {LARGEST_YAML}",)
    return text, (*(f"for the Security Profiles Operator: {each}" for each in (*told, *resolved)),)


def layer_of(manifest: Manifest, platform: Platform, source: str) -> Descriptor:
    """The layer to be read; raises RegistryError that says what the manifest is instead of a profile's."""
    config = manifest.config
    for layer in manifest.entries:
        if layer.media_type == PROFILE and platforms.fits(layer.platform, platform):
            return layer
    named = {layer.annotation(TITLE): layer for layer in manifest.entries}
    own = "-".join(filter(None, ("profile", platform.os, platform.architecture, platform.variant)))
    for title in (f"{own}.yaml", "profile.yaml"):
        if title in named:
            return named[title]
    others = [title for title in named if _SPO_NAME.fullmatch(title)]
    others += [str(layer.platform) for layer in manifest.entries if layer.media_type == PROFILE]
    if others:
        raise RegistryError(
            f"{source} has no profile for {platform}",
            hint=f"--platform chooses another; there are {', '.join(others)[:400]}",
        )
    if config is not None and config.media_type in _IMAGE_CONFIGS:
        raise RegistryError(
            f"{source} is a container image, no profile",
            hint=f"`seclude pull --for {source}` looks for the profile of this image",
        )
    kind = manifest.artifact_type or (config.media_type if config is not None else "")
    raise RegistryError(
        f"{source} is no seccomp profile, but of type {kind[:100] or 'unknown'}",
        hint=f"one of {ARTIFACT}, or what `spoc push` stores, is expected",
    )


def unpack(data: bytes, layer: Descriptor, platform: Platform, source: str, kernel: str) -> Unpacked:
    """The profile in a layer's bytes, read strictly; raises ProfileError with line and column."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProfileError(f"{source} is not UTF-8 text: byte {error.start}") from None
    if layer.media_type == PROFILE:
        return Unpacked(oci.loads(text, source))
    machine = platforms.machine_of(platform)
    settings = Settings(environment=Environment(machine=machine, kernel=kernel, capabilities=()))
    read = SpoFormat(settings).read(text, source)
    return Unpacked(read.profile, read.losses, foreign=True)


def largest(layer: Descriptor) -> int:
    """Bytes up to which the layer is fetched."""
    return oci.LARGEST if layer.media_type == PROFILE else LARGEST_YAML
