"""Measured figures in, tables with each ratio's limit beside it out."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Ratio:
    """A figure over another, one ratio for each run; `limit` is what its median may be, 0 where there is none."""

    of: str
    values: tuple[float, ...]
    limit: float = 0

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def verdict(self) -> str:
        if not self.limit:
            return ""
        return "OK" if self.median <= self.limit else "OVER"


@dataclass(frozen=True)
class Figure:
    """One row: what was measured, one value for each run, and how it compares with other rows."""

    name: str
    values: tuple[float, ...]
    ratios: tuple[Ratio, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.values)


@dataclass(frozen=True)
class Table:
    """Rows of one unit, with what could not be measured and other remarks below them."""

    title: str
    unit: str
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()
    failures: tuple[str, ...] = field(default=())

    def lines(self) -> list[str]:
        """The table as text, a line for each ratio."""
        rows = [("", self.unit, "ratio", "to", "limit", "", "ratio in each run")]
        for figure in self.figures:
            value = f"{figure.median:,.0f}" if figure.median >= 10 else f"{figure.median:.1f}"
            rows += [
                (
                    figure.name if first else "",
                    value if first else "",
                    f"{ratio.median:.3f}" if ratio.median < 100 else f"{ratio.median:,.0f}",
                    ratio.of,
                    f"{ratio.limit:.2f}" if ratio.limit else "",
                    ratio.verdict,
                    " ".join(f"{value:.2f}" for value in ratio.values),
                )
                for first, ratio in zip([True] + [False] * len(figure.ratios), figure.ratios, strict=False)
            ] or [(figure.name, value, "", "", "", "", "")]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        right = (1, 2, 4)
        lines = [
            "  ".join(
                cell.rjust(width) if column in right else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return [self.title, *("  " + line for line in lines), *("  " + note for note in self.notes)]


def compared(
    name: str, samples: dict[str, list[float]], *against: tuple[str, float] | tuple[str, float, str]
) -> Figure:
    """The figure `name` of `samples` (name -> one value for each run), with its ratios to others run by run.

    `against`: (other figure's name, limit or 0), or with the label to print for it as a third.
    """
    ratios = tuple(
        Ratio(
            of=rest[0] if rest else other,
            values=tuple(a / b for a, b in zip(samples[name], samples[other], strict=True)),
            limit=limit,
        )
        for other, limit, *rest in against
    )
    return Figure(name, tuple(samples[name]), ratios)


def encode(tables: Sequence[Table], conditions: dict[str, str]) -> str:
    """All tables as JSON, with the medians and verdicts."""
    listed = []
    for table in tables:
        value = asdict(table)
        for figure, plain in zip(table.figures, value["figures"], strict=True):
            plain["median"] = figure.median
            for ratio, one in zip(figure.ratios, plain["ratios"], strict=True):
                one |= {"median": ratio.median, "verdict": ratio.verdict}
        listed.append(value)
    return json.dumps({"version": 1, "conditions": conditions, "tables": listed}, indent=2) + "\n"
