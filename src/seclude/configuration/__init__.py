"""What `seclude ci` is told: a file, environment variables and options in, one checked Configuration out.

An option wins over a variable, a variable over the file. docs/configuration.md documents every key.
"""

from __future__ import annotations

from ..model.configuration import DENIED, Configuration, ConfigurationError, Gate
from ..model.frozen import frozen
from ..model.profile import LARGEST_ERRNO, errno_value, nearest
from . import keys, values
from .place import Place, find, inner_path, read, repository_of
from .source import Source, Spot, dotted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Spots = dict[tuple[str, ...], Spot]

__all__ = ["Loaded", "load", "repository_of"]

_LONGEST_TIMEOUT = 86_400 * 7
_MOST_RUNS = 1000
_MANY = 1_000_000


@frozen
class Loaded:
    """A configuration and where it was found: `path` of the file (empty: there is none), the `directory`, absolute,
    that its paths are relative to, and the `root` of the repository (`directory` where there is none).

    `notes`: what is odd about it without being wrong, a sentence each.
    """

    configuration: Configuration
    path: str
    directory: str
    root: str
    notes: tuple[str, ...] = ()


def load(
    path: str = "",
    *,
    directory: str = ".",
    environment: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] | None = None,
) -> Loaded:
    """The configuration in the file `path`, or in the one that is found from `directory`.

    `overrides` have the shape of the file: {"image": ..., "gate": {"max-added": 3}}; a text there is read as in a
    variable, None stands for an option that was not given. Without a file, `image` (for the engine `process` none) and
    `test` from elsewhere are enough. Raises ConfigurationError.
    """
    environment = {} if environment is None else environment
    place = read(path) if path else find(directory)
    if path and not place.path:
        raise ConfigurationError(f"{path} has no [tool.seclude]", hint="`seclude init` writes a seclude.toml")
    spots = _from_tables(place.tables, place.source)
    spots |= _from_variables(environment)
    spots |= _from_overrides(overrides or {})
    if not place.path and not {(name,) for name in _needed(spots)} <= set(spots):
        raise ConfigurationError(
            f"no configuration: neither seclude.toml nor [tool.seclude] in pyproject.toml in {place.directory}",
            hint="`seclude init` writes one",
        )
    gate, notes = _gate(spots)
    return Loaded(
        configuration=_configuration(spots, gate, place),
        path=place.path,
        directory=place.directory,
        root=repository_of(place.directory) or place.directory,
        notes=(*_odd_variables(environment), *notes),
    )


def _from_tables(tables: Mapping[str, Any], source: Source) -> Spots:
    """Key -> its value, of a file or of what has its shape; an unknown key is an error."""
    spots: Spots = {}
    for name, value in tables.items():
        if name != "gate":
            spots[_known((name,), source)] = Spot(value, source, (name,))
            continue
        if not isinstance(value, dict):
            raise source.error(("gate",), "gate must be a table", "write [gate] above its keys")
        for inner, each in value.items():
            path = _known(("gate", inner), source)
            spots[path] = Spot(each, source, path)
    return spots


def _known(path: tuple[str, ...], source: Source) -> tuple[str, ...]:
    """`path`, if there is such a key."""
    here = [key for key in keys.KEYS if key.path[:-1] == path[:-1]]
    name = path[-1]
    if any(key.path == path for key in here):
        return path
    elsewhere = [key for key in keys.KEYS if key.name == name]
    if elsewhere:
        hint = f"it belongs {'in [gate]' if elsewhere[0].table else 'above all tables, not in [gate]'}"
    else:
        # An underscore is what one who knows the other form writes.
        choice = [key.name for key in here] + ([] if path[:-1] else ["gate"])
        hint = nearest(name.replace("_", "-"), choice)
    raise source.error(path, f"unknown key {dotted(path)[:100]!r}", hint, at_key=True)


def _from_variables(environment: Mapping[str, str]) -> Spots:
    """Key -> the text of its variable; one that is empty is not set, as when a workflow passes an empty input on."""
    return {
        key.path: Spot(environment[key.variable], Source(key.variable), key.path)
        for key in keys.KEYS
        if environment.get(key.variable, "").strip()
    }


def _odd_variables(environment: Mapping[str, str]) -> list[str]:
    known = [key.variable for key in keys.KEYS if key.variable] + list(keys.OTHER_VARIABLES)
    return [
        f"the variable {name[:80]} means nothing ({nearest(name, known)})"
        for name in sorted(environment)
        if name.startswith(keys.PREFIX) and name not in known
    ]


def _from_overrides(overrides: Mapping[str, object]) -> Spots:
    given: dict[str, Any] = {name: value for name, value in overrides.items() if value is not None}
    if isinstance(given.get("gate"), dict):
        given["gate"] = {name: value for name, value in given["gate"].items() if value is not None}
    spots = _from_tables(given, Source("the options"))
    return {path: Spot(spot.value, Source(f"--{path[-1]}"), path) for path, spot in spots.items()}


def _configuration(spots: Spots, gate: Gate, place: Place) -> Configuration:
    """All keys read, defaults filled in."""
    fields: dict[str, Any] = {}
    containers = not _without_containers(spots)
    for key in keys.TOP:
        spot = spots.get(key.path)
        if spot is None:
            continue
        if not containers and key.name in keys.CONTAINERS_ONLY:
            _refuse_containers_key(spot)
            continue
        fields[key.field] = _value(key, spot, place.directory)
    for name, example in _needed(spots).items():
        if not fields.get(name):
            source = spots[(name,)].source if (name,) in spots else place.source
            raise source.error(
                (name,) if (name,) in spots else (), f"no {name} is given", f'{name} = "{example}"'
            )
    return Configuration(image=fields.pop("image", ""), tests=fields.pop("test"), gate=gate, **fields)


def _without_containers(spots: Spots) -> bool:
    """Whether the tests are plain processes."""
    spot = spots.get(("engine",))
    return spot is not None and spot.value == "process"


def _needed(spots: Spots) -> dict[str, str]:
    """The keys that have no default, each with an example."""
    image = {} if _without_containers(spots) else {"image": "localhost/app"}
    return image | {"test": "./test.sh"}


def _refuse_containers_key(spot: Spot) -> None:
    """Raises ConfigurationError unless a key that only containers have is empty."""
    if spot.value not in ("", []):
        raise spot.error(
            f"{spot.name} is given, but the engine is process, which starts no container",
            f'leave {spot.name} out, or set engine = "podman" or "docker"',
        )


def _value(key: keys.Key, spot: Spot, directory: str) -> object:
    """The value of a key outside of all tables."""
    if key.kind == "path":
        return inner_path(spot, values.text(spot), directory)
    if key.kind == "command":
        return values.command(spot)
    if key.kind == "words":
        return values.words(spot)
    if key.kind == "tests":
        return values.tests(spot)
    return _NAMED[key.name](spot)


def _image(spot: Spot) -> str:
    image = values.printable(spot, keys.LONGEST_TEXT)
    # It is a word of the engine's command line, where a leading dash would make an option of it.
    if image.startswith("-") or any(character.isspace() for character in image):
        raise spot.error(f"{image[:80]!r} is no name of an image", "such as localhost/app or app:1.2")
    return image


def _baseline(spot: Spot) -> str:
    baseline = values.printable(spot)
    if not all(name.strip().replace("-", "").isalnum() for name in baseline.split(",")):
        raise spot.error(f"{baseline[:80]!r} is no baseline", "auto, none, or runtimes such as runc,crun")
    return baseline


def _errno(spot: Spot) -> str:
    name = values.printable(spot)
    if not 0 < (errno_value(name) or 0) <= LARGEST_ERRNO:
        raise spot.error(f"unknown errno {name[:80]!r}", "a name such as EPERM or ENOSYS")
    return name


_NAMED: dict[str, Callable[[Spot], object]] = {
    "image": _image,
    "engine": lambda spot: values.chosen(spot, keys.ENGINES, "engine"),
    "baseline": _baseline,
    "errno": _errno,
    "timeout": lambda spot: values.number(spot, 1, _LONGEST_TIMEOUT),
    "repeat": lambda spot: values.whole(spot, 1, _MOST_RUNS),
    "keep-for": lambda spot: values.whole(spot, -1, _MANY),
}


def _gate(spots: Spots) -> tuple[Gate, list[str]]:
    """What may come in, with a note for each call that `allow` needs not name."""
    given = {path[-1]: spot for path, spot in spots.items() if path[:-1] == ("gate",)}
    fields: dict[str, Any] = {}
    notes = []
    denied = list(DENIED.split())
    if "deny" in given:
        denied += [name for name in values.names(given["deny"]) if name not in denied]
    if "allow" in given:
        spot = given["allow"]
        asked = values.names(given["deny"]) if "deny" in given else ()
        for index, name in enumerate(values.names(spot)):
            if name in asked:
                raise spot.inner(None, index).error(f"{name} is both in gate.deny and in gate.allow")
            if name in denied:
                denied.remove(name)
            else:
                notes.append(f"gate.allow: {name} is not denied anyway")
    fields["deny"] = tuple(denied)
    if "review" in given:
        fields["review"] = values.names(given["review"], also=keys.TIERS)
    if "max-added" in given:
        fields["max_added"] = values.whole(given["max-added"], -1, _MANY)
    if "min-coverage" in given:
        fields["min_coverage"] = values.number(given["min-coverage"], 0, 100)
    if "max-risk" in given:
        fields["max_risk"] = values.number(given["max-risk"], 0, 1)
    if "acknowledged" in given:
        fields["acknowledged"] = values.acknowledgements(given["acknowledged"])
    return Gate(**fields), notes
