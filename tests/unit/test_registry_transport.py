"""A registry's answers over real sockets: redirects, bounds, codes, the API of referrers; what a hostile one may do."""

import contextlib
import http.server
import json
import threading

import pytest

from seclude.errors import RegistryError
from seclude.registry import manifests
from seclude.registry import transport as transports
from seclude.registry.client import MOST_PAGES, Repository, fallback_tag
from seclude.registry.credentials import Login
from seclude.registry.manifests import Descriptor, Manifest
from seclude.registry.references import parse
from seclude.registry.transport import Transport

LOGIN = Login(source="test", user="u", password="p")
BASIC = {"WWW-Authenticate": 'Basic realm="x"'}


@contextlib.contextmanager
def server(answer):
    """`answer(handler)` gives (status, headers, body) for each request; gives (host:port, the requests)."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def _any(self):
            length = int(self.headers.get("Content-Length") or 0)
            self.content = self.rfile.read(length)
            seen.append((self.command, self.path, dict(self.headers)))
            status, headers, body = answer(self)
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_HEAD = _any

        def log_message(self, *arguments):
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{running.server_address[1]}", seen
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def transport(host, login=None):
    return Transport(parse(f"{host}/a"), lambda: login, plain_http=True)


def repository(host, login=None):
    return Repository(parse(f"{host}/a"), transport(host, login))


def test_the_login_stays_with_the_registry():
    """It follows no redirect to another host, and it is only sent where it was asked for."""
    with server(lambda request: (200, {}, b"blob")) as (other, elsewhere):

        def registry(request):
            if "Authorization" not in request.headers:
                return 401, BASIC, b""
            return 307, {"Location": f"http://{other}/store"}, b""

        with server(registry) as (host, seen):
            assert transport(host, LOGIN).request("GET", "/v2/a/blobs/x", limit=10).body == b"blob"
    assert [headers.get("Authorization") for _, _, headers in seen] == [None, LOGIN.basic]
    assert [headers.get("Authorization") for _, _, headers in elsewhere] == [None]


def test_a_redirect_on_the_same_host_keeps_the_login():
    def registry(request):
        if "Authorization" not in request.headers:
            return 401, BASIC, b""
        return (307, {"Location": "/there"}, b"") if request.path != "/there" else (200, {}, b"x")

    with server(registry) as (host, _):
        assert transport(host, LOGIN).request("GET", "/here", limit=10).body == b"x"


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("file:///etc/passwd", "answers 307|not allowed|cannot"),
        ("ftp://127.0.0.1/x", "ftp|answers|cannot"),
        ("/", "answers 307"),
    ],
)
def test_redirects_that_lead_nowhere(location, why):
    with (
        server(lambda request: (307, {"Location": location}, b"")) as (host, seen),
        pytest.raises(RegistryError, match=why),
    ):
        transport(host).request("GET", "/", limit=10)
    assert len(seen) < 12


@pytest.mark.parametrize(
    ("status", "headers", "body", "why"),
    [
        (200, {}, b"x" * 11, "larger than 10 bytes"),
        (200, {"Content-Length": "9"}, b"x" * 5, "truncated: 5 of 9 bytes came"),
        (500, {}, b"<html>", "answers 500 Internal Server Error"),
        (
            503,
            {},
            b'{"errors":[{"code":"UNAVAILABLE","message":"later"}]}',
            r"answers 503 .*\(UNAVAILABLE: later\)",
        ),
        (429, {"Retry-After": "7"}, b"", "takes no more requests"),
        (403, {}, b'{"errors":[{"code":"DENIED"}]}', r"wants a login for a \(DENIED\)"),
        (401, {}, b"", "wants a login"),
        (400, {}, b'{"errors":[{"code":1}, 2]}', "answers 400"),
        (400, {}, b'{"errors":7}', "answers 400"),
    ],
)
def test_answers_that_are_errors(status, headers, body, why):
    with (
        server(lambda request: (status, headers, body)) as (host, _),
        pytest.raises(RegistryError, match=why),
    ):
        transport(host).request("GET", "/", limit=10)


@pytest.mark.parametrize(
    ("limit", "why"), [("SILENT_SECONDS", "says nothing for 0 s"), ("WHOLE_SECONDS", "takes more")]
)
def test_a_registry_that_takes_its_time(monkeypatch, limit, why):
    """One byte now and then, for ever."""
    monkeypatch.setattr(transports, limit, 0.3)
    stop = threading.Event()

    def slow(request):
        request.send_response(200)
        request.end_headers()
        with contextlib.suppress(OSError):
            while not stop.wait(0.1 if limit == "WHOLE_SECONDS" else 1):
                request.wfile.write(b"x")
        return 200, {}, b""

    with server(slow) as (host, _):
        try:
            with pytest.raises(RegistryError, match=why):
                transport(host).request("GET", "/", limit=10**6)
        finally:
            stop.set()


def test_a_login_is_not_tried_for_ever():
    with (
        server(lambda request: (401, BASIC, b"")) as (host, seen),
        pytest.raises(RegistryError, match="refuses the login of u from test"),
    ):
        transport(host, LOGIN).request("GET", "/", limit=10)
    assert len(seen) == 2


def test_token_servers():
    """A login goes to one over plain HTTP only if the registry itself is spoken to so; no token is an error."""
    for realm, why in (
        ("ftp://127.0.0.1/token", "which is not https"),
        ("/token", "which is not https"),
        ("http://{host}/token", "gave no token"),
    ):

        def registry(request, realm=realm):
            if request.path.startswith("/token"):
                return 200, {}, b'{"token":"a\\nb"}'
            here = realm.format(host=request.headers["Host"])
            return 401, {"WWW-Authenticate": f'Bearer realm="{here}"'}, b""

        with server(registry) as (host, _), pytest.raises(RegistryError, match=why):
            transport(host, LOGIN).request("GET", "/", limit=10)


def test_a_registry_without_tls_elsewhere_is_not_spoken_to():
    """Only on this machine is plain HTTP a matter of course."""
    with server(lambda request: (200, {}, b"")) as (host, seen):
        port = host.rpartition(":")[2]
        loopback = Transport(parse(f"localhost:{port}/a"), lambda: None)
        assert loopback.base == f"http://localhost:{port}"
        assert seen[0][1] == "/v2/" and "Authorization" not in seen[0][2]
    assert Transport(parse("registry.example/a"), lambda: None).base == "https://registry.example"


MANIFEST = Manifest(
    media_type=manifests.MANIFEST,
    config=Descriptor(media_type="a/b", digest=manifests.digest(b"{}"), size=2),
    entries=(),
    subject=Descriptor(media_type="a/b", digest=manifests.digest(b"image"), size=5),
)


def test_promises_of_a_registry_are_checked():
    """The digest that it announces, that which was asked for, and that of what it says it stored."""
    data = MANIFEST.dumps()
    wrong = manifests.digest(b"other")

    def registry(request):
        headers = {"Content-Type": manifests.MANIFEST}
        if request.command == "PUT":
            return 201, {"Docker-Content-Digest": wrong}, b""
        return 200, headers | ({"Docker-Content-Digest": wrong} if "false" in request.path else {}), data

    with server(registry) as (host, _):
        assert repository(host).manifest("1").descriptor.digest == manifests.digest(data)
        for identifier in ("false", wrong):
            with pytest.raises(RegistryError, match="is not what its digest says"):
                repository(host).manifest(identifier)
        with pytest.raises(RegistryError, match=f"stored {wrong}, but"):
            repository(host).put_manifest(MANIFEST, "1")


@pytest.mark.parametrize("knows_referrers", [True, False])
def test_referrers(knows_referrers):
    """Listed by the registry where it says so, else by us; a list that is there already is kept."""
    stored = {}

    def registry(request):
        name = request.path.rpartition("/")[2]
        if "/referrers/" in request.path:
            if not knows_referrers:
                return 404, {}, b""
            return 200, {"Content-Type": manifests.INDEX}, stored.get("listed", b"")
        if request.command == "PUT":
            stored[name] = request.content
            return 201, {"OCI-Subject": "x"} if knows_referrers else {}, b""
        if name not in stored:
            return 404, {}, b""
        return 200, {"Content-Type": json.loads(stored[name])["mediaType"]}, stored[name]

    subject = MANIFEST.subject.digest
    with server(registry) as (host, _):
        one = repository(host)
        descriptor, listed = one.put_manifest(MANIFEST)
        assert listed is knows_referrers
        if knows_referrers:
            stored["listed"] = Manifest(media_type=manifests.INDEX, entries=(descriptor,)).dumps()
        else:
            assert one.referrers(subject) == ()
            for _ in range(2):
                one.list_referrer(MANIFEST.subject, descriptor)
            assert fallback_tag(subject) == subject.replace(":", "-") and fallback_tag(subject) in stored
            stored["other"] = MANIFEST.dumps()
            one.list_referrer(
                MANIFEST.subject, Descriptor(media_type="a/b", digest=manifests.digest(b"2"), size=1)
            )
        assert one.referrers(subject)[0].digest == descriptor.digest
        assert len(one.referrers(subject)) == (1 if knows_referrers else 2)


def test_a_list_of_referrers_in_pages():
    """Followed to its end; a list without one ends by itself."""

    def registry(request, endless=False):
        number = len(request.path) + len(seen)
        entry = Descriptor(media_type="a/b", digest=manifests.digest(str(number).encode()), size=1)
        headers = {"Content-Type": manifests.INDEX}
        if not request.path.endswith("last") or endless:
            headers["Link"] = f'</v2/a/referrers/{"more" if endless else "last"}>; rel="next"'
        return 200, headers, Manifest(media_type=manifests.INDEX, entries=(entry,)).dumps()

    with server(registry) as (host, seen):
        assert len(repository(host).referrers(MANIFEST.subject.digest)) == 2
    with server(lambda request: registry(request, endless=True)) as (host, seen):
        assert len(repository(host).referrers(MANIFEST.subject.digest)) == MOST_PAGES


def test_an_upload_goes_where_the_registry_says():
    stored = {}

    def registry(request):
        if request.command == "HEAD":
            return 404, {}, b""
        if request.command == "POST":
            return 202, {"Location": "/upload/1?state=x"}, b""
        stored[request.path] = request.content
        return 201, {}, b""

    with server(registry) as (host, _):
        repository(host).put_blob(b"data")
    ((path, content),) = stored.items()
    assert path.startswith("/upload/1?state=x&digest=sha256%3A") and content == b"data"
