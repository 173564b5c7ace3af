"""The accumulation curve in, lines of block characters for a terminal or a self-contained SVG out."""

from __future__ import annotations

from html import escape

from .text import visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model.completeness import CurvePoint

ROWS = 8
_EIGHTHS = " ▁▂▃▄▅▆▇█"
_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 20, 48

_STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #24292f; }
    .axis { stroke: #57606a; fill: none; }
    .grid { stroke: #d0d7de; }
    .band { fill: #0969da; fill-opacity: 0.18; }
    .mean { stroke: #0969da; stroke-width: 2; fill: none; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; }
      .axis { stroke: #8b949e; }
      .grid { stroke: #30363d; }
      .band { fill: #58a6ff; }
      .mean { stroke: #58a6ff; }
    }
"""


def in_blocks(points: Sequence[CurvePoint], *, width: int, floor: int = 0) -> list[str]:
    """The mean as a line of columns, at most `width` characters with the scale at the left, which begins at `floor`.

    Nothing where there is no rise to show.
    """
    if len(points) < 2 or points[-1].calls <= floor:
        return []
    top = points[-1].calls
    scale = len(f"{top:.0f}")
    columns = max(2, min(60, width - scale - 4))
    last = points[-1].units
    heights = [
        (_at(points, 1 + (last - 1) * column / (columns - 1)) - floor) / (top - floor) * ROWS * 8
        for column in range(columns)
    ]
    lines = []
    for row in range(ROWS, 0, -1):
        cells = (_EIGHTHS[max(0, min(8, round(height) - (row - 1) * 8))] for height in heights)
        label = f"{top:.0f}" if row == ROWS else f"{(top + floor) / 2:.0f}" if row == ROWS // 2 else ""
        lines.append(f"  {label:>{scale}} ┤{''.join(cells)}".rstrip())
    lines.append(f"  {floor:>{scale}} └{'─' * columns}")
    lines.append(f"  {'':>{scale}}  {1:<{columns - len(str(last))}}{last}")
    return lines


def as_svg(points: Sequence[CurvePoint], *, title: str, description: str, floor: int = 0) -> str:
    """A picture with the mean and its bounds that says in words what it shows; all text is escaped.

    The scale begins at `floor`, the calls that are made in no test.
    """
    title, description = escape(visible(title)), escape(visible(description, longest=2000))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        'aria-labelledby="curve-title curve-description">',
        f'  <title id="curve-title">{title}</title>',
        f'  <desc id="curve-description">{description}</desc>',
        f"  <style>{_STYLE}  </style>",
    ]
    span = _round_up(max((point.calls for point in points), default=1.0) - floor)
    last = max((point.units for point in points), default=1)

    def place(units: float, calls: float) -> str:
        across = (units - 1) / (last - 1) if last > 1 else 0.5
        x = _LEFT + across * (_WIDTH - _LEFT - _RIGHT)
        y = _HEIGHT - _BOTTOM - (calls - floor) / span * (_HEIGHT - _TOP - _BOTTOM)
        return f"{x:.1f},{y:.1f}"

    for quarter in range(5):
        level = floor + span * quarter / 4
        y = place(1, level).partition(",")[2]
        parts.append(f'  <line class="grid" x1="{_LEFT}" y1="{y}" x2="{_WIDTH - _RIGHT}" y2="{y}"/>')
        parts.append(f'  <text x="{_LEFT - 8}" y="{y}" dy="4" text-anchor="end">{level:g}</text>')
    if points:
        low = [place(point.units, point.low) for point in reversed(points)]
        high = [place(point.units, point.high) for point in points]
        mean = [place(point.units, point.calls) for point in points]
        parts.append(f'  <polygon class="band" points="{" ".join(high + low)}"/>')
        parts.append(f'  <polyline class="mean" points="{" ".join(mean)}"/>')
    floor = _HEIGHT - _BOTTOM
    parts += [
        f'  <path class="axis" d="M{_LEFT},{_TOP}V{floor}H{_WIDTH - _RIGHT}"/>',
        f'  <text x="{_LEFT}" y="{floor + 18}" text-anchor="middle">1</text>',
        f'  <text x="{_WIDTH - _RIGHT}" y="{floor + 18}" text-anchor="end">{last}</text>',
        f'  <text x="{(_LEFT + _WIDTH - _RIGHT) / 2:g}" y="{_HEIGHT - 10}" text-anchor="middle">tests</text>',
        f'  <text x="16" y="{_HEIGHT / 2:g}" transform="rotate(-90 16 {_HEIGHT / 2:g})" '
        'text-anchor="middle">calls</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _at(points: Sequence[CurvePoint], units: float) -> float:
    """The mean at a number of units, straight between the points beside it."""
    before = points[0]
    for after in points:
        if after.units >= units:
            if after.units == before.units:
                return after.calls
            share = (units - before.units) / (after.units - before.units)
            return before.calls + share * (after.calls - before.calls)
        before = after
    return before.calls


def _round_up(value: float) -> float:
    """The next number that four even steps divide well."""
    step = 4.0
    while step < value:
        for factor in (2, 2.5, 2):
            step *= factor
            if step >= value:
                break
    return step
