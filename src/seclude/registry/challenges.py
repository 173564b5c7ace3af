"""WWW-Authenticate headers in, what each asks for out (RFC 9110, section 11.6.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..model.frozen import frozen

LONGEST = 8 * 1024
"""Characters of a header that are read."""

_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PART = re.compile(rf'({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|({_TOKEN})(?=\s|$|,)')


@frozen
class Challenge:
    """`scheme` in lower case: basic, bearer, or one we do not know."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


def challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """All challenges of all headers; what is not one is passed over."""
    found: list[tuple[str, dict[str, str]]] = []
    for header in headers:
        for key, quoted, plain, scheme in _PART.findall(header[:LONGEST]):
            if scheme:
                found.append((scheme.lower(), {}))
            elif found:
                found[-1][1].setdefault(key.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain)
    return tuple(
        Challenge(
            scheme=scheme,
            realm=fields.get("realm", ""),
            service=fields.get("service", ""),
            scope=fields.get("scope", ""),
        )
        for scheme, fields in found
    )
