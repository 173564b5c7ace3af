"""Logins that podman and docker have stored: a registry and repository in, who we are there out.

Read in podman's order (containers-auth.json(5)), then docker's: $REGISTRY_AUTH_FILE alone if it is set, else
$XDG_RUNTIME_DIR/containers/auth.json, /run/containers/UID/auth.json, $XDG_CONFIG_HOME/containers/auth.json,
$DOCKER_CONFIG/config.json; their credential helpers included.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

from ..errors import RegistryError
from ..formats import jsontext
from ..inputs import read_text
from ..model.frozen import frozen
from .references import DOCKER_API, Reference

LARGEST = 1024 * 1024
"""Bytes of a file of logins, and of what a credential helper says."""

HELPER_SECONDS = 60
TOKEN_USER = "<token>"  # how helpers say that the secret is an identity token
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_LEGACY = ("https://index.docker.io/v1/", "index.docker.io")
"""Under which names docker keeps the login of docker.io."""


class Secret(str):
    """A text that no traceback shows."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Secret()"


@frozen
class Login:
    """`user` and `password`; or an identity `token`, which is exchanged for others. `source`: where it was found."""

    source: str
    user: str = ""
    password: str = ""
    token: str = ""

    @property
    def basic(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


def files(environment: Mapping[str, str], user: int) -> tuple[str, ...]:
    """The files to be looked at, the first that has a login for the registry counts; `user` is the user's id."""
    alone = environment.get("REGISTRY_AUTH_FILE", "")
    if alone:
        return (alone,)
    home = environment.get("HOME", "") or os.path.expanduser("~")
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    config = environment.get("XDG_CONFIG_HOME", "") or os.path.join(home, ".config")
    docker = environment.get("DOCKER_CONFIG", "") or os.path.join(home, ".docker")
    found = [os.path.join(runtime, "containers", "auth.json")] if runtime else []
    found += [f"/run/containers/{user}/auth.json", os.path.join(config, "containers", "auth.json")]
    return (*found, os.path.join(docker, "config.json"))


def find(reference: Reference, paths: tuple[str, ...]) -> Login | None:
    """The login for the reference in the first of the files that has one; raises RegistryError for an unsound file."""
    for path in paths:
        if not os.path.exists(path):
            continue
        login = _in_file(reference, path)
        if login is not None:
            return login
    return None


def _in_file(reference: Reference, path: str) -> Login | None:
    text = read_text(path, limit=LARGEST, error=RegistryError)
    value = jsontext.decode(text, path, error=RegistryError, quote=False)
    if not isinstance(value, dict):
        raise RegistryError(
            f"{path} is no file of logins", hint="`podman login` or `docker login` writes one"
        )
    auths = _table(value, "auths", path)
    helpers = _table(value, "credHelpers", path)
    for name in _names(reference):
        if helpers.get(name):
            return _helped(str(helpers[name]), name, path)
    for name in _names(reference):
        login = _entry(auths.get(name), name, path)
        if login is not None:
            return login
    store = value.get("credsStore")
    if store:
        return next(filter(None, (_helped(str(store), name, path) for name in _hosts(reference))), None)
    return None


def _hosts(reference: Reference) -> tuple[str, ...]:
    return (*_LEGACY, "docker.io") if reference.api == DOCKER_API else (reference.registry,)


def _names(reference: Reference) -> Iterator[str]:
    """Under what names a login can be kept, the most particular first: also a namespace may have its own."""
    parts = reference.repository.split("/")
    for length in range(len(parts), 0, -1):
        yield "/".join((reference.registry, *parts[:length]))
    for host in _hosts(reference):
        yield host
        if not host.startswith("https://"):
            yield f"https://{host}"


def _table(value: dict[str, Any], key: str, path: str) -> dict[str, object]:
    table = value.get(key) or {}
    if not isinstance(table, dict):
        raise RegistryError(f"{path}: {key} must be an object", hint="log in again, or correct the file")
    return table


def _entry(entry: object, name: str, path: str) -> Login | None:
    """The login in one entry of `auths`; None for an empty one, which says that a helper has it."""
    if not isinstance(entry, dict):
        return None
    token = entry.get("identitytoken")
    if isinstance(token, str) and token:
        return Login(source=path, token=Secret(token))
    if isinstance(entry.get("auth"), str) and entry["auth"]:
        try:
            user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
        except ValueError:
            colon = ""
        if not colon:
            raise RegistryError(
                f"{path}: the login for {name} is not base64 of USER:PASSWORD", hint=f"`podman login {name}`"
            )
        return Login(source=path, user=user, password=Secret(password.rstrip("\0")))
    who, secret = entry.get("username"), entry.get("password")
    if isinstance(who, str) and isinstance(secret, str) and who:
        return Login(source=path, user=who, password=Secret(secret))
    return None


def _helped(helper: str, server: str, path: str) -> Login | None:
    """What a credential helper has for the server; None where it has nothing."""
    if not _HELPER.fullmatch(helper):
        raise RegistryError(f"{path}: {helper[:80]!r} is no name of a credential helper")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=server.encode(), capture_output=True, timeout=HELPER_SECONDS
        )
    except FileNotFoundError as error:
        raise RegistryError(
            f"{program}, which {path} names, is not there", hint="install it, or log in without it"
        ) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RegistryError(f"{program} could not be asked for the login: {error}") from error
    said = done.stdout[:LARGEST].decode("utf-8", "replace")
    if done.returncode:
        if "not found" in (said + done.stderr.decode("utf-8", "replace")):
            return None
        raise RegistryError(f"{program} failed for {server}: {(said or 'it says nothing').strip()[:200]}")
    value = jsontext.decode(said, program, error=RegistryError, quote=False)
    user = value.get("Username") if isinstance(value, dict) else None
    secret = value.get("Secret") if isinstance(value, dict) else None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise RegistryError(f"{program} gave no Username and Secret for {server}")
    if user == TOKEN_USER:
        return Login(source=program, token=Secret(secret))
    return Login(source=program, user=user, password=Secret(secret))
