"""Comparing methods: mean and spread over seeds of one metric under one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from analysis.labels import FACTS, row_labels
from pipeline.errors import LabError, suggest
from pipeline.results.protocols import PROTOCOLS, Name, choose
from pipeline.results.schema import EPOCH_COLUMNS, RUN_COLUMNS
from pipeline.results.view import Results

METRICS = tuple(
    name
    for name, column in EPOCH_COLUMNS.items()
    if column.dtype.is_float() and not column.cost and name != "lr"
)
"""Columns of the epochs table that can be compared."""
LOWER_IS_BETTER = frozenset({"train_loss", "test_loss", "memorised"})


class Comparison(NamedTuple):
    """Numbers of a table of methods, and what they mean."""

    cells: pl.DataFrame
    """One row per place of the table: dataset, noise, label, the columns of `by`; mean and std
    (sample standard deviation, ddof 1; null for one run) of the metric over the n finished runs
    that recorded it; unrecorded, diverged, failed and running count the others; knows lists
    declared knowledge."""
    metric: str
    protocol: Name
    by: tuple[str, ...]


def compare(
    results: Results,
    protocol: Name = "last",
    metric: str = "test_accuracy",
    *,
    dataset: str | None = None,
    noise: Sequence[str] = (),
    by: Sequence[str] = (),
) -> Comparison:
    """Compare all methods, seeds averaged and different settings kept apart.

    Args:
        results: runs and epochs of a store or of views.
        protocol: name of the rule that picks the epoch.
        metric: column of the epochs table.
        dataset: one data set; None for all.
        noise: label tables; empty for all.
        by: further columns of the runs table that separate rows.

    Returns:
        The cells, sorted by data set, noise and label.

    Raises:
        LabError: for an unknown metric or column, or if no run matches.
    """
    if metric not in METRICS:
        raise LabError(f"metric {metric!r}", suggest(metric, METRICS))
    for column in by:
        if column not in RUN_COLUMNS:
            raise LabError(f"column {column!r}", suggest(column, RUN_COLUMNS))
    runs = _matching(results, dataset, noise, by)
    values = choose(results.epochs, PROTOCOLS[protocol], metric).select("key", "value").collect()
    status = pl.col("status")
    value = pl.when(status == "done").then(pl.col("value"))
    cells = (
        runs.join(row_labels(runs, by), on="group")
        .join(values, on="key", how="left")
        .group_by("dataset", "noise", "label", *by)
        .agg(
            mean=value.mean(),
            std=value.std(ddof=1),
            n=value.count(),
            unrecorded=((status == "done") & value.is_null()).sum(),
            diverged=(status == "diverged").sum(),
            failed=(status == "failed").sum(),
            running=(status == "running").sum(),
            knows=pl.col("knows").list.explode().drop_nulls().unique().sort(),
        )
        .sort("dataset", "noise", "label", *by)
    )
    return Comparison(cells, metric, protocol, tuple(by))


def _matching(
    results: Results, dataset: str | None, noise: Sequence[str], by: Sequence[str]
) -> pl.DataFrame:
    """Rows of the runs that are asked for, with the columns that a comparison needs."""
    needed = {"key", "seed", "status", "knows", *FACTS, *by}
    runs = results.runs.select(sorted(needed)).collect()
    if runs.is_empty():
        raise LabError("no runs yet", "results of at least one run", "uv run dvc repro")
    for column, wanted in (("dataset", [dataset] if dataset else []), ("noise", noise)):
        known = runs[column].unique().to_list()
        for name in wanted:
            if name not in known:
                raise LabError(f"no run with {column} {name!r}", suggest(name, known))
        if wanted:
            runs = runs.filter(pl.col(column).is_in(list(wanted)))
    return runs
