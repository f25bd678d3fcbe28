"""Figures of the page: which chart shows which rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.curves import PANELS, SPREAD

_MOST_POINTS = 60
"""Points of a curve at most: a chart is not much wider in points."""
_MOST_CELLS, _LEAST = 400, 0.005
"""Cells of a matrix that are kept, and what they hold at least: up to 20 classes all cells that
would not read 0 %."""
_SHORT = 2
"""Letters of names that stand side by side; longer ones are turned."""
_MOST_NUMBERED = 12
"""Columns up to which cells carry their number."""
ROW, _NARROW_ROW, _MOST_WIDE = 20, 4, 40
"""Height of a row of a heat map, in pixels, and where there are more rows than the last number."""

Rows = Sequence[Mapping[str, Any]]


class Figure(NamedTuple):
    """A chart and what it shows."""

    chart: str
    """Name among `charts.charts`."""
    rows: Rows
    params: dict[str, Any]
    """Values of parameters of the chart."""
    step: int | None = None
    """Height of a row in pixels; None for a chart of a height of its own."""


def curve_panels(curves: pl.DataFrame, numbers: Mapping[str, int]) -> dict[str, Figure]:
    """A figure for each of `PANELS` that has values, by what stands above it.

    Args:
        curves: rows of `mean_curves` of one data set and noise.
        numbers: of the methods by name.
    """
    panels = {}
    for name, title in PANELS.items():
        known = curves.filter(pl.col(name).is_not_null())
        lines = {label: own for (label,), own in known.group_by("method", maintain_order=True)}
        if lines:
            rows = [_line(own, name, numbers[label], label) for label, own in lines.items()]
            panels[title] = Figure("curves", rows, {})
    return panels


def _line(own: pl.DataFrame, name: str, number: int, label: str) -> dict[str, Any]:
    kept = thinned(len(own))
    means, spreads = own[name].gather(kept), own[name + SPREAD].gather(kept)
    return {
        "m": number,
        "method": label,
        "epoch": own["epoch"].gather(kept).to_list(),
        "mean": means.round(4).to_list(),
        "std": spreads.round(4).to_list(),
    }


def thinned(n: int) -> list[int]:
    """Positions of at most `_MOST_POINTS` of n points, evenly spread, first and last among them."""
    if n <= _MOST_POINTS:
        return list(range(n))
    return sorted({round(at) for at in np.linspace(0, n - 1, _MOST_POINTS)})


def heat_map(
    chart: str, rows: Rows, row_names: Sequence[str], column_names: Sequence[str]
) -> Figure:
    """Shares in rows and columns, which the chart has by number.

    Args:
        chart: its name.
        rows: as `cells` makes them.
        row_names: names of the rows.
        column_names: names of the columns.
    """
    params = {
        "row_names": list(row_names),
        "column_names": list(column_names),
        "texts": len(column_names) <= _MOST_NUMBERED,
        "upright": max(map(len, column_names)) <= _SHORT,
    }
    return Figure(chart, rows, params, ROW if len(row_names) <= _MOST_WIDE else _NARROW_ROW)


def cells(shares: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Rows of a heat map.

    Args:
        shares: a matrix [R, C], NaN where there is nothing.

    Returns:
        The largest of its cells, those of half a percent and more.
    """
    shown = np.nan_to_num(shares)
    order = np.argsort(-shown, axis=None, kind="stable")[:_MOST_CELLS]
    is_kept = np.zeros(shown.size, dtype=bool)
    is_kept[order] = True
    is_kept = is_kept.reshape(shown.shape) & (shown >= _LEAST)
    return [
        {
            "row": row,
            "column": np.flatnonzero(kept).tolist(),
            "share": shown[row][kept].round(3).tolist(),
        }
        for row, kept in enumerate(is_kept)
    ]
