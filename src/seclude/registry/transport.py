"""HTTP to one registry: a request in, a bounded answer out, with the login that the registry asks for.

Nothing secret leaves but over TLS, to this machine itself, or where the user said plain HTTP; a login goes to the
registry and to the token server that it names, never along a redirect to another host.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from http.client import HTTPMessage
from typing import IO, NamedTuple

from .. import __version__
from ..errors import RegistryError
from ..formats import jsontext
from .challenges import Challenge, challenges
from .credentials import Login
from .failures import LARGEST_REASON, UNAUTHORIZED, cause_of, refused, unreachable
from .references import Reference

SILENT_SECONDS = 30.0
"""How long a registry may say nothing."""

WHOLE_SECONDS = 300.0
"""How long one answer may take altogether."""

LARGEST_TOKEN = 256 * 1024
MOST_REDIRECTS = 5
_CHUNK = 64 * 1024
_NOT_FOUND = 404


class Answer(NamedTuple):
    """What came back: `status` is 2xx or 404."""

    status: int
    headers: Message
    body: bytes
    url: str


class Transport:
    """Requests to the registry of `reference`; `login` is asked at most once, and only if the registry wants one."""

    def __init__(
        self, reference: Reference, login: Callable[[], Login | None], *, plain_http: bool = False
    ) -> None:
        self._reference = reference
        self._ask = login
        self._login: Login | None = None
        self._asked = False
        self._plain = plain_http
        self._base = ""
        self._authorization = ""
        self._opener = _opener(proxies=not reference.loopback)

    @property
    def base(self) -> str:
        """http://HOST or https://HOST; raises RegistryError if the registry is on this machine and is down."""
        if not self._base:
            insecure = self._plain or (self._reference.loopback and self._speaks_plain_http())
            self._base = f"{'http' if insecure else 'https'}://{self._reference.api}"
        return self._base

    def request(
        self,
        method: str,
        path: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """The answer, of at most `limit` bytes; `path` is one of the API or an address that the registry gave.

        Raises RegistryError for every status but 2xx and 404, naming what the registry said and the next step.
        """
        url = urllib.parse.urljoin(self.base, path)
        if self.base.startswith("https:") and not url.startswith("https:"):
            raise RegistryError(
                f"{self._reference.registry} sends its users to {url[:200]}, which is not https"
            )
        ours = _origin(url) == _origin(self.base)
        again = ours
        while True:
            try:
                return self._once(
                    method, url, limit, headers or {}, body, self._authorization if ours else ""
                )
            except urllib.error.HTTPError as error:
                if error.code == _NOT_FOUND:
                    return Answer(_NOT_FOUND, error.headers, b"", url)
                if error.code != UNAUTHORIZED or not again or not self._authorize(error.headers):
                    raise refused(error, self._reference, self._login) from error
                again = False

    def _once(
        self,
        method: str,
        url: str,
        limit: int,
        headers: Mapping[str, str],
        body: bytes | None,
        authorization: str,
    ) -> Answer:
        request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310
        request.add_header("User-Agent", f"seclude/{__version__}")
        if authorization:
            # Unredirected: _Redirects decides whether the next host may see it.
            request.add_unredirected_header("Authorization", authorization)
        try:
            with self._opener.open(request, timeout=SILENT_SECONDS) as response:
                received = b"" if method == "HEAD" else _read(response, limit, url)
                return Answer(response.status, response.headers, received, url)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise unreachable(error, url, SILENT_SECONDS) from error

    def _speaks_plain_http(self) -> bool:
        """Asked without any login: Go's servers answer 400 over TLS's port, others break off."""
        try:
            self._once("GET", f"http://{self._reference.api}/v2/", LARGEST_REASON, {}, None, "")
        except urllib.error.HTTPError as error:
            return error.code == UNAUTHORIZED
        except RegistryError as error:
            if isinstance(cause_of(error.__cause__), ConnectionRefusedError | socket.gaierror | TimeoutError):
                raise
            return False
        return True

    def _authorize(self, headers: Message) -> bool:
        """Find out what to send as Authorization; False if nothing more can be sent than already was."""
        if not self._asked:
            self._login, self._asked = self._ask(), True
        before = self._authorization
        asked = challenges(headers.get_all("WWW-Authenticate") or ())
        for challenge in asked:
            if challenge.scheme == "bearer" and challenge.realm:
                self._authorization = f"Bearer {self._token(challenge)}"
                return True
        if self._login is not None and self._login.user and any(each.scheme == "basic" for each in asked):
            self._authorization = self._login.basic
        return self._authorization != before

    def _token(self, challenge: Challenge) -> str:
        """A token from the server that the registry names (distribution: "Token Authentication Specification")."""
        realm = urllib.parse.urlsplit(challenge.realm)
        if realm.scheme != "https" and not (realm.scheme == "http" and self.base.startswith("http://")):
            raise RegistryError(
                f"{self._reference.registry} sends its users for a token to {challenge.realm[:200]}, "
                "which is not https",
                hint="nothing was sent there",
            )
        asked = {
            key: value for key, value in (("service", challenge.service), ("scope", challenge.scope)) if value
        }
        login = self._login
        url, body, authorization = challenge.realm, None, ""
        if login is not None and login.token:
            form = {
                "grant_type": "refresh_token",
                "refresh_token": login.token,
                "client_id": "seclude",
                **asked,
            }
            body = urllib.parse.urlencode(form).encode("ascii")
        else:
            url += ("&" if realm.query else "?") + urllib.parse.urlencode(asked) if asked else ""
            authorization = login.basic if login is not None else ""
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        try:
            answer = self._once("POST" if body else "GET", url, LARGEST_TOKEN, headers, body, authorization)
        except urllib.error.HTTPError as error:
            raise refused(error, self._reference, self._login) from error
        value = jsontext.decode(answer.body.decode("utf-8", "replace"), url, error=RegistryError, quote=False)
        members = value if isinstance(value, dict) else {}
        token = members.get("token") or members.get("access_token")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise RegistryError(f"{url[:200]} gave no token for {self._reference.registry}")
        return token


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows downloads to where registries keep their blobs, without the login, and never away from TLS."""

    max_redirections = MOST_REDIRECTS

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if req.get_method() not in ("GET", "HEAD"):
            return None
        if _origin(req.full_url)[0] == "https" and _origin(newurl)[0] != "https":
            raise RegistryError(f"{req.host} redirects to {newurl[:200]}, which is not https")
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        if following is None:
            return None
        following.method = req.get_method()
        authorization = req.unredirected_hdrs.get("Authorization")
        if authorization and _origin(newurl) == _origin(req.full_url):
            following.add_unredirected_header("Authorization", authorization)
        return following


def _opener(*, proxies: bool) -> urllib.request.OpenerDirector:
    """HTTP and HTTPS alone: urllib's own opener would also follow to files."""
    opener = urllib.request.OpenerDirector()
    context = ssl.create_default_context()
    for handler in (
        urllib.request.ProxyHandler(None if proxies else {}),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        _Redirects(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _read(response: http.client.HTTPResponse, limit: int, url: str) -> bytes:
    """The body; raises RegistryError where it is larger than `limit`, or takes too long."""
    end = time.monotonic() + WHOLE_SECONDS
    body = bytearray()
    while chunk := response.read1(_CHUNK):
        body += chunk
        if len(body) > limit:
            raise RegistryError(
                f"the answer to {url[:300]} is larger than {limit} bytes",
                hint="this is not what was asked for",
            )
        if time.monotonic() > end:
            raise RegistryError(f"the answer to {url[:300]} takes more than {WHOLE_SECONDS:.0f} s")
    announced = response.headers.get("Content-Length", "")
    if announced.isdigit() and response.status != 204 and len(body) < int(announced):
        # read1() ends quietly where the connection does.
        raise http.client.IncompleteRead(bytes(body), int(announced) - len(body))
    return bytes(body)


def _origin(url: str) -> tuple[str, str, int | None]:
    split = urllib.parse.urlsplit(url)
    return split.scheme, split.hostname or "", split.port or {"http": 80, "https": 443}.get(split.scheme)
