"""Guards of rules (includes, excludes) in; the places that they tell apart, and guards for any set of them, out.

A place stands for all environments that the guards treat alike: it has some of the capabilities that are mentioned, is
one of the architectures that are mentioned or another one, and lies between two of the kernels that are mentioned.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from itertools import product
from typing import NamedTuple

from ..model.profile import Filter, kernel_version
from .merge_inputs import Guard

MOST_PLACES = 4096
"""Twelve capabilities on one call; moby's own profile has two."""

Place = tuple[int, int, int]
"""Bits of capabilities; number of the architecture, 0 for another; number of the kernel, 0 for an older one."""


class TooManyPlaces(Exception):
    """The guards mention more than can be looked at one by one."""


class _Cube(NamedTuple):
    """The places that have and lack certain capabilities, on some architectures, within two kernels."""

    having: int
    lacking: int
    arches: frozenset[int]
    oldest: int
    newest: int

    def has(self, place: Place) -> bool:
        caps, arch, kernel = place
        return (
            caps & self.having == self.having
            and not caps & self.lacking
            and arch in self.arches
            and self.oldest <= kernel <= self.newest
        )


class Places:
    """What some guards tell apart; raises TooManyPlaces."""

    def __init__(self, guards: Iterable[Guard]) -> None:
        filters = {filter_ for guard in guards for filter_ in guard}
        self._caps = sorted({cap for each in filters for cap in each.caps})
        self._arches = sorted({arch for each in filters for arch in each.arches})
        kernels = {each.min_kernel for each in filters if each.min_kernel}
        self._kernels = sorted(kernels, key=lambda text: kernel_version(text) or (0, 0))
        if len(self._caps) > 16 or self._number() > MOST_PLACES:
            raise TooManyPlaces
        self._where: dict[Guard, frozenset[Place]] = {}
        ranges = (1 << len(self._caps), len(self._arches) + 1, len(self._kernels) + 1)
        self.all: tuple[Place, ...] = tuple(product(range(ranges[0]), range(ranges[1]), range(ranges[2])))
        self._everything = _Cube(0, 0, frozenset(range(ranges[1])), 0, len(self._kernels))

    def _number(self) -> int:
        return (1 << len(self._caps)) * (len(self._arches) + 1) * (len(self._kernels) + 1)

    def on(self, arch: str) -> tuple[Place, ...]:
        """The places on one architecture, by Go's name."""
        number = self._arches.index(arch) + 1 if arch in self._arches else 0
        return tuple(place for place in self.all if place[1] == number)

    def where(self, guard: Guard) -> frozenset[Place]:
        """The places that a guard lets in."""
        if guard not in self._where:
            cube = self._cube(guard)
            self._where[guard] = frozenset(place for place in self.all if cube.has(place))
        return self._where[guard]

    def _cube(self, guard: Guard) -> _Cube:
        includes, excludes = guard
        arches = {self._arches.index(name) + 1 for name in includes.arches} or self._everything.arches
        without = {self._arches.index(name) + 1 for name in excludes.arches}
        oldest = self._kernels.index(includes.min_kernel) + 1 if includes.min_kernel else 0
        newest = self._kernels.index(excludes.min_kernel) if excludes.min_kernel else len(self._kernels)
        return _Cube(
            self._bits(includes.caps), self._bits(excludes.caps), frozenset(arches) - without, oldest, newest
        )

    def _bits(self, caps: Iterable[str]) -> int:
        return sum(1 << self._caps.index(cap) for cap in set(caps))

    def guards(self, needed: Set[Place], possible: Set[Place]) -> tuple[Guard, ...]:
        """Guards that together let in all that is `needed` and nothing but what is `possible`; few, and each wide."""
        left = set(needed)
        cubes: list[_Cube] = []
        for place in self.all:
            if place in left:
                cube = self._widened(place, possible)
                left = {each for each in left if not cube.has(each)}
                cubes.append(cube)
        for cube in tuple(cubes):
            others = [each for each in cubes if each is not cube]
            if all(any(each.has(place) for each in others) for place in needed):
                cubes = others
        return tuple(sorted(map(self._guard, cubes), key=repr))

    def _widened(self, place: Place, possible: Set[Place]) -> _Cube:
        caps, arch, kernel = place
        every = (1 << len(self._caps)) - 1
        cube = _Cube(caps, every & ~caps, frozenset((arch,)), kernel, kernel)
        for wider in self._wider(cube):
            # Each step is taken from what has been reached, not from the first cube.
            candidate = wider(cube)
            if all(each in possible for each in self.all if candidate.has(each)):
                cube = candidate
        return cube

    def _wider(self, cube: _Cube) -> Iterator[_Step]:
        """Steps that leave something out of a cube, the simplest results first."""
        yield _Step(arches=self._everything.arches)
        yield _Step(oldest=0)
        yield _Step(newest=len(self._kernels))
        for number in range(len(self._caps)):
            yield _Step(caps=1 << number)
        for number in sorted(self._everything.arches, reverse=True):
            yield _Step(arches=frozenset((number,)))
        for number in range(len(self._kernels), -1, -1):
            yield _Step(oldest=number)
            yield _Step(newest=len(self._kernels) - number)

    def _guard(self, cube: _Cube) -> Guard:
        every = self._everything.arches
        beside = [name for number, name in enumerate(self._arches, 1) if number not in cube.arches]
        among = [name for number, name in enumerate(self._arches, 1) if number in cube.arches]
        other = 0 in cube.arches
        includes = Filter(
            arches=() if other or cube.arches == every else tuple(among),
            caps=self._names(cube.having),
            min_kernel=self._kernels[cube.oldest - 1] if cube.oldest else "",
        )
        excludes = Filter(
            arches=tuple(beside) if other else (),
            caps=self._names(cube.lacking),
            min_kernel=self._kernels[cube.newest] if cube.newest < len(self._kernels) else "",
        )
        return includes, excludes

    def _names(self, bits: int) -> tuple[str, ...]:
        return tuple(name for number, name in enumerate(self._caps) if bits >> number & 1)


class _Step(NamedTuple):
    """What to add to a cube: architectures, a kernel, or the choice of a capability."""

    arches: frozenset[int] = frozenset()
    oldest: int | None = None
    newest: int | None = None
    caps: int = 0

    def __call__(self, cube: _Cube) -> _Cube:
        oldest = cube.oldest if self.oldest is None else min(cube.oldest, self.oldest)
        newest = cube.newest if self.newest is None else max(cube.newest, self.newest)
        having, lacking = cube.having & ~self.caps, cube.lacking & ~self.caps
        return _Cube(having, lacking, cube.arches | self.arches, oldest, newest)
