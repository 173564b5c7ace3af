"""What went wrong between us and a registry: an error or a status in, a message with the next step out."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.parse
from collections.abc import Sequence

from ..errors import RegistryError, SecludeError
from ..formats import jsontext
from .credentials import Login
from .references import Reference

LARGEST_REASON = 64 * 1024
"""Bytes of an answer that says why."""

UNAUTHORIZED = 401
_FORBIDDEN, _TOO_MANY, _SERVER = 403, 429, 500


def refused(error: urllib.error.HTTPError, reference: Reference, login: Login | None) -> RegistryError:
    """The registry, or its token server, answered with a status; `login` is what was tried."""
    host = reference.registry
    said = _reason(error)
    told = f" ({said})" if said else ""
    if error.code in (UNAUTHORIZED, _FORBIDDEN):
        again = f"`podman login {host}` or `docker login {host}`"
        if login is None:
            return RegistryError(f"{host} wants a login for {reference.repository}{told}", hint=again)
        who = login.user[:80] or "the identity token"
        if error.code == UNAUTHORIZED:
            return RegistryError(f"{host} refuses the login of {who} from {login.source}{told}", hint=again)
        return RegistryError(
            f"{host} does not let {who} do this in {reference.repository}{told}",
            hint=f"ask for the right, or log in as somebody else: {again}",
        )
    if error.code == _TOO_MANY:
        wait = (error.headers.get("Retry-After") or "")[:40]
        return RegistryError(
            f"{host} takes no more requests for now{told}",
            hint=f"try again in {wait} s" if wait.isdigit() else "try again later",
        )
    what = f"{host} answers {error.code} {str(error.reason)[:80]} to {error.url[:300]}{told}"
    return RegistryError(
        what, hint="try again later; if it stays, ask who runs it" if error.code >= _SERVER else ""
    )


def unreachable(error: Exception, url: str, silent_seconds: float) -> RegistryError:
    """There was no whole answer; `silent_seconds`: how long it was waited for."""
    host = urllib.parse.urlsplit(url).netloc
    cause = cause_of(error)
    if isinstance(cause, http.client.IncompleteRead):
        came, whole = len(cause.partial), len(cause.partial) + (cause.expected or 0)
        return RegistryError(
            f"the answer to {url[:300]} is truncated: {came} of {whole} bytes came",
            hint="try again; if it stays, the registry has damaged what it stores: ask who runs it",
        )
    if isinstance(cause, ssl.SSLCertVerificationError):
        return RegistryError(
            f"{host}: its certificate is not trusted: {cause.verify_message}",
            hint="SSL_CERT_FILE=FILE names the certificates to trust",
        )
    if isinstance(cause, ssl.SSLError):
        return RegistryError(
            f"{host} does not speak TLS: {cause.reason or cause}",
            hint="--plain-http if it is meant to be without",
        )
    if isinstance(cause, TimeoutError):
        reason = f"it says nothing for {silent_seconds:.0f} s"
    elif isinstance(cause, OSError):
        reason = cause.strerror or str(cause)
    else:
        reason = f"{type(cause).__name__} {cause}"
    return RegistryError(
        f"{host} cannot be reached: {reason[:200]}",
        hint="is the name right, the registry up, and the network there?",
    )


def _reason(error: urllib.error.HTTPError) -> str:
    """What the registry says of itself (distribution-spec, "Error Codes"), cut short."""
    try:
        value = jsontext.decode(error.read(LARGEST_REASON).decode("utf-8", "replace"), "", deepest=8)
        entries = value.get("errors") if isinstance(value, dict) else None
    except (SecludeError, OSError, http.client.HTTPException):
        return ""
    found = entries[0] if isinstance(entries, Sequence) and entries else None
    if not isinstance(found, dict):
        return ""
    return ": ".join(str(found[key])[:200] for key in ("code", "message") if isinstance(found.get(key), str))


def cause_of(error: BaseException | None) -> BaseException | None:
    """What is inside urllib's error."""
    while isinstance(error, urllib.error.URLError) and isinstance(error.reason, BaseException):
        error = error.reason
    return error
