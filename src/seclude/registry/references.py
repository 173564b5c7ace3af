"""Names of things in registries: a text such as oci://ghcr.io/acme/app:1.2 in, registry, repository and tag out."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import NoReturn

from ..errors import RegistryError
from ..model.frozen import frozen

SCHEME = "oci://"
LATEST = "latest"
_DOCKER = ("docker.io", "index.docker.io", "registry-1.docker.io")
DOCKER_API = "registry-1.docker.io"
_LONGEST_NAME = 255

# distribution-spec, "Pulling manifests"; the registry's own name as in distribution/reference.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::([0-9]{{1,5}}))?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LAST_PORT = 65535


@frozen
class Reference:
    """`registry` is HOST or HOST:PORT. `tag` and `digest` may be empty; the digest counts where both are given."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def identifier(self) -> str:
        """What a manifest is asked for by."""
        return self.digest or self.tag or LATEST

    @property
    def api(self) -> str:
        """HOST[:PORT] of the registry's API."""
        return DOCKER_API if self.registry in _DOCKER else self.registry

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine, and nobody can listen in between."""
        host = self.registry.rpartition(":")[0] if ":" in self.registry else self.registry
        host = self.registry if self.registry.endswith("]") else host
        if host == "localhost":
            return True
        try:
            return ip_address(host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def name(self) -> str:
        """REGISTRY/REPOSITORY."""
        return f"{self.registry}/{self.repository}"

    def __str__(self) -> str:
        return self.name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def is_digest(text: str) -> bool:
    """Whether it is a digest of a kind that we can verify: sha256 or sha512."""
    return _DIGEST.fullmatch(text) is not None


def parse(text: str) -> Reference:
    """The reference in REGISTRY/REPOSITORY[:TAG][@DIGEST], with or without oci:// before it; raises RegistryError."""
    rest, at, digest = text.removeprefix(SCHEME).partition("@")
    if at and not is_digest(digest):
        _refuse(text, f"{digest[:80]!r} is no digest", "sha256: and 64 hexadecimal digits in lower case")
    registry, slash, path = rest.partition("/")
    if not slash or not (set(".:") & set(registry) or registry == "localhost"):
        _refuse(text, "it does not name the registry", "such as oci://ghcr.io/acme/app:1.2")
    found = _HOST.fullmatch(registry)
    if found is None or int(found[1] or 0) > _LAST_PORT:
        _refuse(text, f"{registry[:80]!r} is no HOST or HOST:PORT", "such as ghcr.io or localhost:5000")
    repository, colon, tag = path.partition(":")
    if colon and not _TAG.fullmatch(tag):
        _refuse(text, f"{tag[:80]!r} is no tag", "at most 128 letters, digits, '_', '.' and '-'")
    if len(rest) > _LONGEST_NAME + 129 or len(f"{registry}/{repository}") > _LONGEST_NAME:
        _refuse(text, f"its name is longer than {_LONGEST_NAME} characters", "shorten the repository's name")
    if not _REPOSITORY.fullmatch(repository):
        hint = "lower-case letters and digits, with '.', '_', '-' between them, and '/' between the parts"
        _refuse(text, f"{repository[:80]!r} is no repository", hint)
    if registry in _DOCKER and "/" not in repository:
        repository = f"library/{repository}"
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def _refuse(text: str, why: str, hint: str) -> NoReturn:
    raise RegistryError(f"{text[:200]!r} is no reference to a registry: {why}", hint=hint)
