"""A container registry apart from any other, for tests: Debian's docker-registry, on a port of the loopback device.

With no login, with one for `USER`, with tokens from a server that this module runs, or over TLS.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

PROGRAM = "docker-registry"
USER, PASSWORD = "ci", "correct horse"
# htpasswd -Bbn ci 'correct horse': bcrypt is the one kind that the registry reads.
HTPASSWD = "ci:$2y$05$ZbIdWdgzE5c1keW/lmIaAOfEFDsHtPCY3AA2XpkUEbh80qGwCnpSa\n"
SERVICE, ISSUER = "registry.test", "tokens.test"
START_SECONDS = 60


def missing() -> str:
    """Why there can be no registry here; empty if there can."""
    for program in (PROGRAM, "openssl"):
        if not shutil.which(program):
            return f"{program} is not installed"
    return ""


def free_port() -> int:
    """A port of the loopback device that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Registry:
    """A running registry; `host` is what references name, `storage` where its blobs are."""

    def __init__(
        self, directory: Path, *, port: int, auth: str = "", tls: tuple[Path, Path] | None = None
    ) -> None:
        self.directory = directory
        self.storage = directory / "storage"
        self.host = f"localhost:{port}"
        self._log = directory / "log"
        self._scheme = "https" if tls else "http"
        config = directory / "config.yml"
        # No cache of sizes: what is done to a blob's file must be seen.
        config.write_text(
            "version: 0.1\n"
            "log: {level: warn, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: '{self.storage}'}}}}\n"
            f"http:\n  addr: 'localhost:{port}'\n"
            + (f"  tls: {{certificate: '{tls[0]}', key: '{tls[1]}'}}\n" if tls else "")
            + (f"auth: {auth}\n" if auth else "")
        )
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it answers; raises AssertionError with its log if it does not."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen([PROGRAM, "serve", self._config], stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        port = int(self.host.rpartition(":")[2])
        while time.monotonic() < end and self._process.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(f"{PROGRAM} does not start: {self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """Nothing of it runs any more."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=START_SECONDS)
            self._process = None

    def blob(self, digest: str) -> Path:
        """The file in which it keeps a blob or a manifest."""
        algorithm, _, digits = digest.partition(":")
        return self.storage / "docker/registry/v2/blobs" / algorithm / digits[:2] / digits / "data"

    def raw(self, repository: str, identifier: str, accept: str) -> bytes:
        """A manifest, asked for without seclude."""
        request = urllib.request.Request(
            f"{self._scheme}://{self.host}/v2/{repository}/manifests/{identifier}", headers={"Accept": accept}
        )
        with urllib.request.urlopen(request, timeout=START_SECONDS) as response:
            content: bytes = response.read()
            return content

    def put(self, repository: str, tag: str, manifest: bytes, media_type: str) -> None:
        """Store a manifest whose blobs are there."""
        request = urllib.request.Request(
            f"http://{self.host}/v2/{repository}/manifests/{tag}",
            data=manifest,
            headers={"Content-Type": media_type},
            method="PUT",
        )
        urllib.request.urlopen(request, timeout=START_SECONDS).close()


@contextmanager
def running(directory: Path, *, auth: str = "", tls: tuple[Path, Path] | None = None) -> Iterator[Registry]:
    """A registry that runs during the block."""
    directory.mkdir(parents=True, exist_ok=True)
    registry = Registry(directory, port=free_port(), auth=auth, tls=tls)
    try:
        registry.start()
        yield registry
    finally:
        registry.stop()


def with_htpasswd(directory: Path) -> str:
    """The configuration of a login for USER with PASSWORD."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "htpasswd").write_text(HTPASSWD)
    return f"{{htpasswd: {{realm: test, path: '{directory}/htpasswd'}}}}"


def certificate(directory: Path, name: str = "localhost") -> tuple[Path, Path]:
    """(certificate, key) for a name, signed by itself."""
    directory.mkdir(parents=True, exist_ok=True)
    crt, key = directory / f"{name}.crt", directory / f"{name}.key"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={name} -addext subjectAltName=DNS:{name} "
        f"-keyout {key} -out {crt}",
        shell=True,
        check=True,
        capture_output=True,
    )
    return crt, key


class TokenServer:
    """Gives tokens as Docker Hub does: to USER for all that is asked, to nobody else for anything but pulling `open/`.

    `asked`: the query or form of each request.
    """

    def __init__(self, directory: Path) -> None:
        self._crt, self._key = certificate(directory, "tokens")
        self.asked: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                given = base64.b64decode(
                    self.headers.get("Authorization", "").removeprefix("Basic ")
                ).decode()
                self._answer(query, given == f"{USER}:{PASSWORD}", bool(given))

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                form = dict(urllib.parse.parse_qsl(self.rfile.read(length).decode()))
                self._answer(form, form.get("refresh_token") == "identity", True)

            def _answer(self, asked: dict[str, str], known: bool, tried: bool) -> None:
                outer.asked.append(asked)
                body = json.dumps({"token": outer.token(asked.get("scope", ""), known)}).encode()
                self.send_response(401 if tried and not known else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> TokenServer:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def auth(self) -> str:
        """The registry's configuration."""
        realm = f"http://localhost:{self._server.server_address[1]}/token"
        return (
            f"{{token: {{realm: '{realm}', service: {SERVICE}, issuer: {ISSUER}, "
            f"rootcertbundle: '{self._crt}'}}}}"
        )

    def token(self, scope: str, known: bool) -> str:
        """A JSON Web Token, signed with the key whose certificate the registry trusts."""
        kind, _, rest = scope.partition(":")
        name, _, actions = rest.rpartition(":")
        allowed = actions.split(",") if known else ["pull"] if name.startswith("open/") else []
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "sub": USER if known else "",
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 10,
            "iat": now,
            "jti": os.urandom(8).hex(),
            "access": [{"type": kind, "name": name, "actions": allowed}] if allowed else [],
        }
        der = subprocess.run(
            ["openssl", "x509", "-in", self._crt, "-outform", "DER"], check=True, capture_output=True
        ).stdout
        header = {"typ": "JWT", "alg": "RS256", "x5c": [base64.b64encode(der).decode()]}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        signature = subprocess.run(
            ["openssl", "dgst", "-sha256", "-sign", self._key],
            input=signed.encode(),
            check=True,
            capture_output=True,
        ).stdout
        return f"{signed}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
