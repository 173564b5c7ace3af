"""`seclude pull`: a reference, or the digest of an image, in; the profile that is stored for it out."""

from __future__ import annotations

import platform as system

import click

from ..errors import RegistryError
from ..formats import oci
from ..model.export import lossless
from ..outputs import Output
from ..registry import artefact, exchange, platforms
from ..registry.exchange import Pulled
from ..registry.manifests import Platform
from ..registry.references import Reference, parse
from .console import Console
from .options import absolute, output_options
from .repositories import connected, registry_options


@click.command(
    epilog="Examples: seclude pull oci://ghcr.io/acme/app-seccomp:1.2 -o app.json ;  "
    "seclude pull --for ghcr.io/acme/app@sha256:... -o app.json"
)
@click.option(
    "--output", "-o", metavar="PROFILE", required=True, help="Write the profile here; - is standard output."
)
@click.option(
    "--for",
    "image",
    metavar="IMAGE",
    default="",
    help="Find the profile of this image, REGISTRY/REPOSITORY@DIGEST, beside it or in the repository of oci://.",
)
@click.option(
    "--platform",
    "platform_name",
    metavar="OS/ARCH",
    default="",
    help="Of several profiles take that for this platform [default: this machine's].",
)
@click.option(
    "--lossy",
    is_flag=True,
    help="Accept what a profile cannot say of a Security Profiles Operator's object; each loss is printed.",
)
@registry_options
@output_options
@click.argument("reference", metavar="[oci://REGISTRY/REPO:TAG]", default="")
def command(
    output: str,
    image: str,
    platform_name: str,
    lossy: bool,
    plain_http: bool,
    quiet: bool,
    as_json: bool,
    reference: str,
) -> int:
    """Fetch a profile from a container registry, verified against its digest and read strictly.

    What `spoc push` of the Security Profiles Operator has stored is converted.
    """
    console = Console(quiet=quiet, as_json=as_json)
    if not reference and not image:
        raise RegistryError(
            "there is nothing to be fetched",
            hint="seclude pull oci://REGISTRY/REPOSITORY:TAG, or --for IMAGE",
        )
    writer = None
    if output != "-":
        # Before anything is fetched: a place where we may not write is known at once.
        writer = Output(absolute(output), "seccomp profile", oci.looks_like_profile)
        writer.check()
    platform = platforms.parse(platform_name) if platform_name else platforms.of_machine(system.machine())
    place = parse(reference or parse(image).name)
    pulled = _pulled(place, image, platform, plain_http)
    profile, losses, foreign = pulled.unpacked
    if not lossy:
        lossless(losses, "a profile")
    text = oci.dumps(profile)
    if writer is None:
        click.echo(text, nl=False)
    else:
        writer.write(text)
    for loss in losses:
        console.say(f"loss: {loss.text} [{loss.id}]")
    if foreign:
        console.say("note: converted from a SeccompProfile of the Security Profiles Operator")
    if pulled.others:
        console.say(f"note: there are {pulled.others} older profiles for this image")
    source = f"{place.name}@{pulled.top.digest}"
    console.result(
        f"wrote {'standard output' if output == '-' else output} from {source}",
        {
            "profile": output,
            "reference": source,
            "digest": pulled.top.digest,
            "manifest": pulled.descriptor.digest,
            "image": pulled.manifest.annotation(artefact.IMAGE_DIGEST),
            "created": pulled.manifest.annotation(artefact.CREATED),
            "converted": foreign,
            "older": pulled.others,
            "losses": [{"id": loss.id, "text": loss.text} for loss in losses],
        },
    )
    return 0


def _pulled(place: Reference, image: str, platform: Platform, plain_http: bool) -> Pulled:
    repository = connected(place, plain_http=plain_http)
    kernel = system.release()
    if not image:
        return exchange.pull(repository, place.identifier, platform, kernel=kernel)
    if place.tag or place.digest:
        raise RegistryError(
            f"{place} names one profile, and --for looks for one",
            hint="leave the tag and the digest out, or --for",
        )
    named = parse(image)
    beside = named.name == place.name
    images = repository if beside else connected(named, plain_http=plain_http)
    if named.digest:
        return exchange.pull_for(
            repository, named.digest, lambda: images.find(named.digest), platform, kernel=kernel
        )
    found = images.manifest(named.identifier)
    return exchange.pull_for(repository, found.descriptor.digest, lambda: found, platform, kernel=kernel)
