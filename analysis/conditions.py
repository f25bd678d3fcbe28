"""What rows of a table may differ in besides the method: budget, network, start, data, precision.

Rows that differ there are no equals. Tables show each condition that differs, keep rows that are
alike together, and mark a best value among these only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from pipeline.results.schema import RUN_COLUMNS

CONDITIONS = (
    "epochs", "batch_size", "n_train", "backbone", "start_from", "encoder", "recipe", "precision",
    "validation", "crop_padding", "flip", "transform", "n_networks", "n_trials",
)  # fmt: skip
"""Columns of the runs table, or common settings of a run."""
NONE = "–"
"""Stands for a condition that a run has not."""
_UNTOLD = {"n_networks": "1"}
"""What a condition was in runs that were stored before it was a column."""


def condition(name: str) -> pl.Expr:
    """A column of the runs table or a setting, as text; a dash where a run has none."""
    return _told(name, pl.col(name) if name in RUN_COLUMNS else setting(name))


def conditions(settings: pl.Expr) -> list[pl.Expr]:
    """All `CONDITIONS` as `condition` tells each, the settings among them read at once.

    Args:
        settings: struct of texts with the conditions that are settings; see `settings_as_texts`.
    """
    return [
        _told(name, pl.col(name) if name in RUN_COLUMNS else settings.struct.field(name))
        for name in CONDITIONS
    ]


def setting(name: str) -> pl.Expr:
    """One of the resolved settings of a run, as text; null where it has none."""
    return pl.col("settings").str.json_path_match(f"$.{name}").alias(name)


def settings_as_texts(*others: str) -> pl.Expr:
    """The conditions that are settings, and others, as a struct: `setting` of each, read once."""
    names = [*(name for name in CONDITIONS if name not in RUN_COLUMNS), *others]
    return pl.col("settings").str.json_decode(pl.Struct(dict.fromkeys(names, pl.String)))


def _told(name: str, own: pl.Expr) -> pl.Expr:
    return own.cast(pl.String).fill_null(_UNTOLD.get(name, NONE)).alias(name)


def differing(cells: pl.DataFrame, place: Sequence[str]) -> tuple[str, ...]:
    """The conditions in which rows differ that meet in one place of a table.

    Args:
        cells: columns of `place`, and `CONDITIONS`.
        place: columns that name a place, such as data set and noise.

    Returns:
        Their names, in the order of `CONDITIONS`.
    """
    names = [name for name in CONDITIONS if name not in place]
    met = cells.group_by(place).agg(pl.col(name).n_unique() for name in names)
    return tuple(name for name in names if (met[name] > 1).any())


def row_conditions(
    cells: pl.DataFrame, row_key: Sequence[str], names: Sequence[str]
) -> dict[tuple[Any, ...], tuple[str, ...]]:
    """What each row of a table says of its conditions.

    Args:
        cells: columns of `row_key`, and `CONDITIONS`.
        row_key: columns that name a row.
        names: of the conditions to show.

    Returns:
        Per row one text for each name; where places differ, their values joined.
    """
    return {
        key: tuple(", ".join(sorted(map(str, set(own[name])), key=_order)) for name in names)
        for key, own in cells.group_by(row_key, maintain_order=True)
    }


def _order(text: str) -> tuple[float, str]:
    return (float(text), "") if text.isdecimal() else (0.0, text)
