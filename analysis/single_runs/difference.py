"""Two runs side by side: what they differ in, and what each reached."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.layouts.layout import Cell, Layout
from analysis.single_runs.figures import NOTHING, figures_of, percent
from pipeline.results.keys import title
from pipeline.results.schema import RUN_COLUMNS

NOT_COMPARED = frozenset({"key", "group", "settings", "noise_card", "confusion", "class_names"})
"""Names, and columns that others stand for."""
_SHORT = 9
"""Letters of a key in the head of a column; the caption has all of them."""
_OF_ONE_SITTING = frozenset({"started_at", "finished_at", "seconds_tracking", "command"})


def difference(
    first: Mapping[str, Any], second: Mapping[str, Any], epochs: Mapping[str, pl.DataFrame]
) -> Layout:
    """Lay two runs out side by side.

    Args:
        first: its row of the runs table.
        second: that of the other one.
        epochs: of both, by key and in order.

    Returns:
        A block of settings, of other columns, of how they were carried out, as far as they differ,
        and one of what they reached.
    """
    settings = [json.loads(row["settings"]) for row in (first, second)]
    # Seeds of single streams are columns.
    names = sorted({*settings[0], *settings[1]} - {"seeds"})
    columns = [name for name in RUN_COLUMNS if name not in NOT_COMPARED | set(names)]
    blocks = [
        _differing(names, *settings),
        _differing([name for name in columns if not RUN_COLUMNS[name].cost], first, second),
        _differing(
            [name for name in columns if RUN_COLUMNS[name].cost and name not in _OF_ONE_SITTING],
            first, second,
        ),
        _reached(*(figures_of(epochs[row["key"]]) for row in (first, second))),
    ]  # fmt: skip
    n_alike = sum(settings[0].get(name) == settings[1].get(name) for name in names)
    caption = (
        f"{first['key']}: {title(first)}. {second['key']}: {title(second)}. "
        f"Alike: {n_alike} of {len(names)} settings{_seed_only(first, second)}."
    )
    header = ["", *(row["key"][:_SHORT] for row in (first, second)), "first less second"]
    return Layout(header, [block for block in blocks if block], caption)


def _seed_only(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    same = first["group"] == second["group"]
    return "; the two are seeds of one group, which tables average" if same else ""


def _differing(
    names: list[str], first: Mapping[str, Any], second: Mapping[str, Any]
) -> list[list[Cell]]:
    return [
        [Cell(name), Cell(told(first.get(name))), Cell(told(second.get(name))), Cell("")]
        for name in names
        if first.get(name) != second.get(name)
    ]


def told(value: Any) -> str:
    """A setting or a column of a run as text."""
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _reached(first: Mapping[str, float], second: Mapping[str, float]) -> list[list[Cell]]:
    rows = []
    for name in dict.fromkeys((*first, *second)):
        one, other = first.get(name), second.get(name)
        less = "" if one is None or other is None else f"{100 * (one - other):+.1f}"
        rows.append([Cell(name), Cell(percent(one)), Cell(percent(other)), Cell(less)])
    return rows
