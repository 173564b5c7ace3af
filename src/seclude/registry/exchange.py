"""Profiles to a repository and back: packed profiles in, digests out; a reference or an image's digest in, profile out.

What is public comes last: blobs, then manifests, then the index, then what names it. A push that fails leaves nothing
that can be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from ..errors import RegistryError
from ..model.frozen import replace
from . import artefact, manifests, platforms
from .artefact import Packed, Unpacked
from .client import Fetched, Repository
from .manifests import Descriptor, Manifest, Platform


class Pulled(NamedTuple):
    """`top`: what the reference names, which is what is signed; `manifest` that the profile was in, with its
    `descriptor`: the same, or one of an index; `others`: how many more profiles there were.
    """

    unpacked: Unpacked
    top: Descriptor
    descriptor: Descriptor
    manifest: Manifest
    others: int = 0


def push(
    repository: Repository,
    packed: Sequence[Packed],
    *,
    tag: str,
    annotations: tuple[tuple[str, str], ...],
    subject: Fetched | None = None,
) -> Descriptor:
    """Store one manifest, or an index of several: the descriptor of what the tag names. Raises RegistryError.

    `subject`: the image that they are for. Of an image for several platforms, each profile is for its own, too.
    """
    repository.put_blob(manifests.EMPTY_BLOB)
    for data in {data for each in packed for _, data in each.layers}:
        repository.put_blob(data)
    whole = subject.descriptor if subject is not None else None
    if len(packed) == 1:
        return _put(repository, packed[0].manifest(annotations, whole), tag)
    entries = []
    for each in packed:
        own = _part(subject, each.platform)
        manifest = each.manifest(_retold(annotations, own), own)
        entries.append(replace(_put(repository, manifest, ""), annotations=(), platform=each.platform))
    index = Manifest(
        media_type=manifests.INDEX,
        artifact_type=artefact.ARTIFACT,
        entries=tuple(entries),
        subject=whole,
        annotations=annotations,
    )
    return _put(repository, index, tag)


def _retold(
    annotations: tuple[tuple[str, str], ...], subject: Descriptor | None
) -> tuple[tuple[str, str], ...]:
    """With the digest of the one platform's image."""
    told = dict(annotations)
    if subject is not None and artefact.IMAGE_DIGEST in told:
        told[artefact.IMAGE_DIGEST] = subject.digest
    return tuple(told.items())


def _put(repository: Repository, manifest: Manifest, tag: str) -> Descriptor:
    descriptor, listed = repository.put_manifest(manifest, tag)
    referrer = replace(descriptor, annotations=manifest.annotations)
    if manifest.subject is not None and not listed:
        repository.list_referrer(manifest.subject, referrer)
    return referrer


def _part(subject: Fetched | None, platform: Platform | None) -> Descriptor | None:
    """The image of one platform, as a subject; the index itself is not one of it."""
    if subject is None or platform is None or not subject.manifest.is_index:
        return None
    found = platforms.chosen(
        [entry for entry in subject.manifest.entries if entry.platform is not None], platform
    )
    return replace(found, annotations=(), platform=None, artifact_type="") if found is not None else None


def pull(repository: Repository, identifier: str, platform: Platform, *, kernel: str) -> Pulled:
    """The profile under a tag or digest; raises RegistryError, and ProfileError for one that is not sound."""
    return _read(repository, repository.manifest(identifier), platform, kernel)


def pull_for(
    repository: Repository,
    digest: str,
    image: Callable[[], Fetched | None],
    platform: Platform,
    *,
    kernel: str,
) -> Pulled:
    """The newest profile that refers to the image with this digest, or to its part for the platform.

    `image` is only asked for where nothing refers to the digest itself: it may not be there any more.
    """
    for each in _asked(digest, image, platform):
        found = [entry for entry in repository.referrers(each) if entry.artifact_type == artefact.ARTIFACT]
        if not found:
            continue
        newest = max(found, key=_created)
        fetched = repository.manifest(newest.digest)
        subject = fetched.manifest.subject
        if subject is None or subject.digest != each:
            raise RegistryError(
                f"{newest.digest} is listed as a profile for {each}, but does not say so itself",
                hint="the list is wrong: push the profile again",
            )
        return _read(repository, fetched, platform, kernel)._replace(others=len(found) - 1)
    raise RegistryError(
        f"{repository.reference.name} has no profile for {digest}",
        hint=f"`seclude push PROFILE --for {repository.reference.name}@DIGEST` stores one",
    )


def _asked(digest: str, image: Callable[[], Fetched | None], platform: Platform) -> Iterator[str]:
    yield digest
    fetched = image()
    if fetched is not None and fetched.manifest.is_index:
        part = platforms.chosen(fetched.manifest.entries, platform)
        if part is not None:
            yield part.digest


def _created(entry: Descriptor) -> tuple[datetime, str]:
    """When it says that it was made; what does not say so is the oldest."""
    try:
        moment = datetime.fromisoformat(entry.annotation(artefact.CREATED))
    except ValueError:
        moment = datetime.min
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)), entry.digest


def _read(repository: Repository, fetched: Fetched, platform: Platform, kernel: str) -> Pulled:
    manifest, descriptor = fetched
    top = descriptor
    source = f"{repository.reference.name}@{descriptor.digest}"
    if manifest.is_index:
        entry = platforms.chosen(manifest.entries, platform)
        if entry is None:
            offered = ", ".join(str(each.platform) for each in manifest.entries)
            raise RegistryError(
                f"{source} has nothing for {platform}",
                hint=f"--platform chooses another; there are {offered[:400] or 'none'}",
            )
        manifest, descriptor = repository.manifest(entry.digest)
        source = f"{repository.reference.name}@{descriptor.digest}"
        if manifest.is_index:
            raise RegistryError(f"{source} is an index within an index", hint="this is no profile")
    layer = artefact.layer_of(manifest, platform, source)
    what = layer.annotation(artefact.TITLE) or "the profile"
    data = repository.blob(layer, limit=artefact.largest(layer), what=what)
    unpacked = artefact.unpack(data, layer, platform, f"{what} of {source}", kernel)
    return Pulled(unpacked, top, descriptor, manifest)
