"""`seclude push`: profiles in, an artefact in a container registry out."""

from __future__ import annotations

import os
import platform as system
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from .. import __version__
from ..errors import RegistryError
from ..registry import artefact, exchange, platforms
from ..registry.artefact import Context, Packed
from ..registry.client import Fetched
from ..registry.manifests import Platform
from ..registry.references import LATEST, SCHEME, Reference, parse
from .console import Console
from .options import output_options, read_profile
from .repositories import connected, registry_options


@click.command(
    epilog="Examples: seclude push app.json oci://ghcr.io/acme/app-seccomp:1.2 ;  "
    "seclude push app.json --for ghcr.io/acme/app@sha256:... ;  "
    "seclude push linux/amd64=amd64.json linux/arm64=arm64.json oci://ghcr.io/acme/app-seccomp:1.2"
)
@click.option(
    "--for",
    "image",
    metavar="IMAGE",
    default="",
    help="The image that they are for, REGISTRY/REPOSITORY@DIGEST: `seclude pull --for` finds them by it. Without "
    "oci://, they are stored beside it.",
)
@click.option("--name", default="", help="Of the profile [default: the last part of the repository's name].")
@click.option(
    "--annotation", "annotations", metavar="KEY=VALUE", multiple=True, help="Add this. May be repeated."
)
@click.option(
    "--lossy",
    is_flag=True,
    help="Store the Security Profiles Operator's variant even if it cannot say all of the profile.",
)
@click.option(
    "--kernel",
    metavar="RELEASE",
    default="",
    help="For that variant: the nodes' kernel [default: this one's].",
)
@click.option(
    "--cap",
    "capabilities",
    metavar="CAP",
    multiple=True,
    help="For that variant: a capability containers have.",
)
@registry_options
@output_options
@click.argument(
    "arguments", metavar="[PLATFORM=]PROFILE... [oci://REGISTRY/REPO:TAG]", nargs=-1, required=True
)
def command(
    image: str,
    name: str,
    annotations: tuple[str, ...],
    lossy: bool,
    kernel: str,
    capabilities: tuple[str, ...],
    plain_http: bool,
    quiet: bool,
    as_json: bool,
    arguments: tuple[str, ...],
) -> int:
    """Store profiles in a container registry, under a tag, for an image, or both.

    Of several profiles an index is made, with one manifest for each platform: that of the architectures which the
    profile names, unless PLATFORM= says otherwise.
    """
    console = Console(quiet=quiet, as_json=as_json)
    paths, target = _sorted(arguments, image)
    context = Context(
        name=artefact.object_name(name or target.repository),
        kernel=kernel or system.release(),
        capabilities=tuple(f"CAP_{each.upper().removeprefix('CAP_')}" for each in capabilities),
        lossy=lossy,
    )
    packed = _packed(paths, context)
    repository = connected(target, plain_http=plain_http)
    told = {
        artefact.TITLE: name or target.repository.rpartition("/")[2],
        artefact.CREATED: _now(),
        artefact.SECLUDE: __version__,
    }
    if target.tag.removeprefix("v")[:1].isdigit():
        told[artefact.VERSION] = target.tag
    subject: Fetched | None = None
    if image:
        subject, of_image = _image(image, plain_http=plain_http)
        told |= of_image
    told |= _given(annotations)
    stored = exchange.push(
        repository, packed, tag=target.tag, annotations=tuple(told.items()), subject=subject
    )
    for note in dict.fromkeys(note for each in packed for note in each.notes):
        console.say(f"note: {note}")
    place = f"{target.name}@{stored.digest}"
    console.result(
        f"stored {len(packed)} profile{'s' * (len(packed) > 1)} as {place}"
        + (f", tag {target.tag}" if target.tag else "")
        + (f", for {told[artefact.IMAGE_DIGEST]}" if subject is not None else ""),
        {
            "reference": place,
            "digest": stored.digest,
            "tag": target.tag,
            "platforms": [str(each.platform) if each.platform else "" for each in packed],
            "image": told.get(artefact.IMAGE_DIGEST, ""),
            "annotations": told,
        },
    )
    return 0


def _sorted(arguments: Sequence[str], image: str) -> tuple[list[str], Reference]:
    """The profiles, and where they go: the reference, or the image's own repository."""
    targets = [each for each in arguments if each.startswith(SCHEME)]
    paths = [each for each in arguments if not each.startswith(SCHEME)]
    if len(targets) > 1 or not paths or not (targets or image):
        raise RegistryError(
            "profiles and one place for them are needed",
            hint="seclude push PROFILE... oci://REGISTRY/REPOSITORY:TAG, or --for IMAGE",
        )
    if targets:
        target = parse(targets[0])
        if target.digest:
            raise RegistryError(f"{target} has a digest, which comes from what is stored", hint="give a tag")
        if not target.tag and not image:
            target = parse(f"{target.name}:{LATEST}")
        return paths, target
    return paths, parse(parse(image).name)


def _packed(paths: Sequence[str], context: Context) -> list[Packed]:
    found: dict[Platform | None, Packed] = {}
    for path in paths:
        before, equals, after = path.partition("=")
        named = platforms.parse(before) if equals and "/" in before and not os.path.exists(path) else None
        profile = read_profile(after if named is not None else path)
        platform = named or (platforms.of_profile(profile) if len(paths) > 1 else None)
        if platform is None and len(paths) > 1:
            raise RegistryError(
                f"{path} is not for one machine, so it cannot be told from the others",
                hint="PLATFORM=PROFILE says for which it is, such as linux/amd64=app.json",
            )
        if platform in found:
            raise RegistryError(
                f"{path} is the second profile for {platform}", hint="merge them with `seclude merge`"
            )
        found[platform] = artefact.pack(profile, platform, context)
    return list(found.values())


def _image(text: str, *, plain_http: bool) -> tuple[Fetched, dict[str, str]]:
    """The image's own manifest, and the annotations that name it."""
    reference = parse(text)
    image = connected(reference, plain_http=plain_http).manifest(reference.identifier)
    return image, {artefact.IMAGE_NAME: reference.name, artefact.IMAGE_DIGEST: image.descriptor.digest}


def _given(annotations: Sequence[str]) -> dict[str, str]:
    told = {}
    for each in annotations:
        key, equals, value = each.partition("=")
        if not equals or not key.isprintable() or not key.strip():
            raise RegistryError(f"{each[:80]!r} is no annotation", hint="KEY=VALUE")
        told[key] = value
    return told


def _now() -> str:
    """The time; or SOURCE_DATE_EPOCH (reproducible-builds.org), with which the digest is the same again."""
    given = os.environ.get("SOURCE_DATE_EPOCH", "")
    try:
        moment = datetime.fromtimestamp(int(given), UTC) if given else datetime.now(UTC)
    except (ValueError, OverflowError, OSError) as error:
        raise RegistryError(f"SOURCE_DATE_EPOCH={given[:40]!r} is no number of seconds") from error
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")
