"""The points of an accumulation curve in, the coordinates of its drawing out: nothing in it but numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..model.completeness import CurvePoint
from ..model.frozen import frozen

WIDTH, HEIGHT = 640, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 24, 16, 44
_MOST_TICKS = 6
_ROOM = 1.08
"""How much higher the picture is than the curve."""


@frozen
class Tick:
    """A mark on an axis: where it is, and its label."""

    place: float
    label: str


@frozen
class Drawing:
    """A curve in units of the picture. `line` is the mean and `band` its bounds, as paths of SVG."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int
    line: str
    band: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


def drawing(points: Sequence[CurvePoint]) -> Drawing:
    """The curve through at least one point, with axes from zero."""
    widest = max(1, *(point.units for point in points))
    highest = max(1.0, *(point.high for point in points)) * _ROOM
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM

    def across(units: float) -> float:
        return _LEFT + (right - _LEFT) * units / widest

    def up(calls: float) -> float:
        return bottom - (bottom - _TOP) * calls / highest

    def path(places: Iterable[tuple[float, float]]) -> str:
        return "L".join(f"{across(units):.1f} {up(calls):.1f}" for units, calls in places)

    around = [(point.units, point.high) for point in points]
    around += [(point.units, point.low) for point in reversed(points)]
    return Drawing(
        width=WIDTH,
        height=HEIGHT,
        left=_LEFT,
        right=right,
        top=_TOP,
        bottom=bottom,
        line=f"M{path((point.units, point.calls) for point in points)}",
        band=f"M{path(around)}Z",
        across=tuple(Tick(place=across(value), label=f"{value:,}") for value in _ticks(widest)),
        up=tuple(Tick(place=up(value), label=f"{value:,}") for value in _ticks(highest)),
    )


def _ticks(largest: float) -> range:
    """Some even steps from zero to at most `largest`: 1, 2 or 5 and zeros apart."""
    unit = 1
    while True:
        for factor in (1, 2, 5):
            if largest / (factor * unit) <= _MOST_TICKS:
                return range(0, int(largest) + 1, factor * unit)
        unit *= 10
