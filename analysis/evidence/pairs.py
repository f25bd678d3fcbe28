"""What is compared with what: runs on the same images and draw of labels, of the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from pipeline.results.schema import SEED_COLUMNS

STREAMS = tuple(name for name in SEED_COLUMNS if name != "seed_noise")
"""Columns with the seeds of single random streams; that of the labels shows in their digest."""
PAIRED_ON = ("data_digest", "labels_digest", "seed", *STREAMS)
"""Columns of the runs table that two runs of a pair share: images and their order, label table,
root seed, seeds of single streams. A label table drawn anew has another digest, whatever its
name."""


def by_draw(
    values: pl.DataFrame, row_key: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> NDArray[np.float64]:
    """Values of rows side by side, so that those of a column belong together.

    Args:
        values: of one place; columns of `row_key`, `PAIRED_ON` and value.
        row_key: columns that name a row.
        rows: names of the R rows.

    Returns:
        Values [R, D] over the D draws of labels and seeds, NaN where a row has no run.
    """
    draws = values.select(PAIRED_ON).unique().sort(PAIRED_ON).rows()
    row_at = {row: number for number, row in enumerate(rows)}
    draw_at = {draw: number for number, draw in enumerate(draws)}
    found = np.full((len(rows), len(draws)), np.nan)
    for value in values.iter_rows(named=True):
        row, draw = (tuple(value[name] for name in names) for names in (row_key, PAIRED_ON))
        if row in row_at:
            found[row_at[row], draw_at[draw]] = value["value"]
    return found


def distinct_places(values: pl.DataFrame, place: Sequence[str]) -> pl.DataFrame:
    """Places of a table, so that one label table under two names counts once.

    Args:
        values: columns of `place` and `PAIRED_ON`.
        place: columns that name a place; beyond data set and noise they tell places apart even
            where the labels are the same.

    Returns:
        Columns of `place`, in order; of places of one content the first.
    """
    content = pl.struct("data_digest", "labels_digest").unique().sort().alias("content")
    found = values.group_by(place).agg(content).sort(place)
    return found.unique(["content", *place[2:]], keep="first", maintain_order=True).select(place)


def are_crossed(values: pl.DataFrame, row: Sequence[str]) -> bool:
    """Whether runs of one row share some of their draws: a stream, or the labels, and not all.

    Args:
        values: columns of `row` and `PAIRED_ON`.
        row: columns that name a row of a table in one place.
    """
    if values.select(pl.any_horizontal(pl.col(STREAMS).is_not_null().any())).item():
        return True
    draws = values.group_by(*row, "data_digest").agg(pl.col("labels_digest").n_unique())
    return bool((draws["labels_digest"] > 1).any())
