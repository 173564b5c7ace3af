"""One repository of a registry: manifests and blobs in and out, each verified against its digest and size.

The OCI distribution specification 1.1, with its fallback for registries that do not know referrers.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import NamedTuple

from ..errors import RegistryError
from ..formats import jsontext
from . import manifests
from .manifests import Descriptor, Manifest
from .references import Reference, is_digest
from .transport import Answer, Transport

_NOT_FOUND = 404
_LARGEST_LIST = 256 * 1024
_SHOWN_TAGS = 8
_BLOB = "application/octet-stream"
_NEXT = re.compile(r'<([^<>\s]+)>\s*;\s*rel="?next"?')

MOST_PAGES = 20
"""Answers over which a list of referrers may be spread."""


class Fetched(NamedTuple):
    """A manifest with the descriptor of its very bytes."""

    manifest: Manifest
    descriptor: Descriptor


class Repository:
    """What can be done in the repository of `reference`; every method raises RegistryError."""

    def __init__(self, reference: Reference, transport: Transport) -> None:
        self.reference = reference
        self._transport = transport
        self._path = f"/v2/{reference.repository}"

    def manifest(self, identifier: str) -> Fetched:
        """The manifest or index under a tag or digest."""
        fetched = self.find(identifier)
        if fetched is None:
            digest = identifier.startswith(("sha256:", "sha512:"))
            what = f"{self.reference.name} has no {'manifest' if digest else 'tag'} {identifier}"
            raise RegistryError(what, hint="check the digest" if digest else self._tags())
        return fetched

    def find(self, identifier: str) -> Fetched | None:
        """The same, None where there is none."""
        accept = {"Accept": ", ".join(manifests.ACCEPTED)}
        answer = self._request("GET", f"/manifests/{identifier}", manifests.LARGEST, accept)
        if answer.status == _NOT_FOUND:
            return None
        source = self._named(identifier)
        promised = answer.headers.get("Docker-Content-Digest", "")
        for wanted in (identifier, promised):
            if wanted.startswith(("sha256:", "sha512:")):
                self._check(answer.body, wanted, f"the manifest {source}")
        manifest = manifests.loads(answer.body, source, answer.headers.get("Content-Type", ""))
        descriptor = Descriptor(
            media_type=manifest.media_type,
            digest=identifier if ":" in identifier else manifests.digest(answer.body),
            size=len(answer.body),
        )
        return Fetched(manifest, descriptor)

    def blob(self, descriptor: Descriptor, *, limit: int, what: str) -> bytes:
        """The bytes that the descriptor promises; an error for more than `limit`. `what` names them in errors."""
        source = f"{what} ({descriptor.digest}) of {self.reference.name}"
        if descriptor.size > limit:
            raise RegistryError(f"{source} has {descriptor.size} bytes; the limit is {limit}")
        answer = self._request("GET", f"/blobs/{descriptor.digest}", descriptor.size)
        if answer.status == _NOT_FOUND:
            raise RegistryError(
                f"{source} is not there, though the manifest names it", hint="push the profile again"
            )
        if len(answer.body) != descriptor.size:
            raise RegistryError(
                f"{source} is truncated: {len(answer.body)} of {descriptor.size} bytes came",
                hint="the registry has damaged it: who runs it must remove the blob; then push the profile again",
            )
        self._check(answer.body, descriptor.digest, source)
        return answer.body

    def put_blob(self, data: bytes) -> None:
        """Store the bytes, unless they are there already."""
        digest = manifests.digest(data)
        if self._request("HEAD", f"/blobs/{digest}", 0).status != _NOT_FOUND:
            return
        begun = self._stored(self._request("POST", "/blobs/uploads/", _LARGEST_LIST, {}, b""), "an upload")
        place = urllib.parse.urljoin(begun.url, begun.headers.get("Location", ""))
        if not begun.headers.get("Location"):
            raise RegistryError(f"{self.reference.registry} does not say where to upload")
        place += ("&" if urllib.parse.urlsplit(place).query else "?") + urllib.parse.urlencode(
            {"digest": digest}
        )
        headers = {"Content-Type": _BLOB}
        answer = self._transport.request("PUT", place, limit=_LARGEST_LIST, headers=headers, body=data)
        self._stored(answer, digest)

    def put_manifest(self, manifest: Manifest, identifier: str = "") -> tuple[Descriptor, bool]:
        """Store it, under its digest if nothing else is said: its descriptor, and whether the registry has listed it
        among the referrers of its subject.
        """
        data = manifest.dumps()
        descriptor = manifests.described(data, manifest.media_type, artifact_type=manifest.artifact_type)
        headers = {"Content-Type": manifest.media_type}
        place = f"/manifests/{identifier or descriptor.digest}"
        answer = self._stored(
            self._request("PUT", place, _LARGEST_LIST, headers, data), identifier or descriptor.digest
        )
        kept = answer.headers.get("Docker-Content-Digest", "")
        if kept and kept != descriptor.digest:
            raise RegistryError(
                f"{self.reference.registry} stored {kept[:140]}, but {descriptor.digest} was sent",
                hint="the registry changes what it stores: it cannot be used for this",
            )
        return descriptor, manifest.subject is not None and "OCI-Subject" in answer.headers

    def referrers(self, digest: str) -> tuple[Descriptor, ...]:
        """What refers to the manifest with this digest, in the registry's order, or in that of the fallback's list."""
        found: list[Descriptor] = []
        place = f"{self._path}/referrers/{digest}"
        for _ in range(MOST_PAGES):
            answer = self._transport.request(
                "GET", place, limit=manifests.LARGEST, headers={"Accept": manifests.INDEX}
            )
            kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
            if answer.status == _NOT_FOUND or kind != manifests.INDEX:
                break
            found += manifests.loads(answer.body, f"the referrers of {self._named(digest)}", kind).entries
            following = _NEXT.search(answer.headers.get("Link", ""))
            if following is None:
                return tuple(found)
            place = urllib.parse.urljoin(answer.url, following[1])
        if found:
            return tuple(found)
        listed = self.find(fallback_tag(digest))
        return listed.manifest.entries if listed is not None and listed.manifest.is_index else ()

    def list_referrer(self, subject: Descriptor, referrer: Descriptor) -> None:
        """Add the referrer to the list that stands under the fallback tag, for a registry that keeps none.

        Registries have no lock: of two who do this at the same moment one may be lost (distribution-spec, "Pushing
        Manifests with Subject").
        """
        tag = fallback_tag(subject.digest)
        listed = self.find(tag)
        if listed is not None and not listed.manifest.is_index:
            raise RegistryError(
                f"{self._named(tag)} is no list of referrers",
                hint="remove this tag, or push to another repository",
            )
        entries = listed.manifest.entries if listed is not None else ()
        if referrer.digest not in {entry.digest for entry in entries}:
            self.put_manifest(Manifest(media_type=manifests.INDEX, entries=(*entries, referrer)), tag)

    def _tags(self) -> str:
        """A hint that names the tags there are."""
        try:
            answer = self._request("GET", f"/tags/list?n={_SHOWN_TAGS + 1}", _LARGEST_LIST)
            text = answer.body.decode("utf-8", "replace") if answer.status != _NOT_FOUND else "{}"
            value = jsontext.decode(text, "", error=RegistryError)
        except RegistryError:
            return "check the tag"
        listed = value.get("tags") if isinstance(value, dict) else None
        tags = [str(tag)[:128] for tag in listed] if isinstance(listed, list) else []
        if not tags:
            return "there is no tag in this repository; check its name"
        more = " and others" if len(tags) > _SHOWN_TAGS else ""
        return f"there are {', '.join(tags[:_SHOWN_TAGS])}{more}"

    def _request(
        self,
        method: str,
        path: str,
        limit: int,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        return self._transport.request(method, self._path + path, limit=limit, headers=headers, body=body)

    def _stored(self, answer: Answer, what: str) -> Answer:
        if answer.status == _NOT_FOUND:
            raise RegistryError(
                f"{self.reference.registry} does not take {what} in {self.reference.repository}",
                hint="create the repository first, if this registry wants that",
            )
        return answer

    def _check(self, data: bytes, digest: str, source: str) -> None:
        found = manifests.digest(data, digest) if is_digest(digest) else "of an unknown kind"
        if found != digest:
            raise RegistryError(
                f"{source} is not what its digest says: {digest[:140]} was promised, {found} came",
                hint="the registry, or somebody on the way, has changed it: do not use it",
            )

    def _named(self, identifier: str) -> str:
        return f"{self.reference.name}{'@' if ':' in identifier else ':'}{identifier}"


def fallback_tag(digest: str) -> str:
    """Where the list of referrers is kept by old registries (distribution-spec, "Referrers Tag Schema")."""
    algorithm, _, digits = digest.partition(":")
    return f"{algorithm[:32]}-{digits[:64]}"
