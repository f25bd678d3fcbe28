"""Laying a comparison out as a table of texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from analysis.comparison import LOWER_IS_BETTER, Comparison
from pipeline.results.protocols import PROTOCOLS, criterion_of
from pipeline.results.schema import EPOCH_COLUMNS

KNOWING = "†"
"""Marks a method that declares knowledge beyond images and given labels."""


class Cell(NamedTuple):
    """Text of a cell, and whether it is the best of its column."""

    text: str
    best: bool = False


class Layout(NamedTuple):
    """A table ready to print."""

    header: list[str]
    rows: list[list[Cell]]
    caption: str


def number(value: float, metric: str) -> str:
    """A value of a metric as tables show it: fractions in percent with one decimal."""
    return f"{100 * value:.1f}" if _is_fraction(metric) else f"{value:.3f}"


def _is_fraction(metric: str) -> bool:
    if metric in EPOCH_COLUMNS:
        return EPOCH_COLUMNS[metric].fraction
    return metric.endswith(("_accuracy", "_top5"))  # of further test splits, stored by name


def spread(mean: float | None, std: float | None, metric: str) -> str:
    """`mean ± std`; the mean alone if there is one run only, a dash without any."""
    if mean is None:
        return "–"
    return number(mean, metric) + (f" ± {number(std, metric)}" if std is not None else "")


def lay_out(comparison: Comparison) -> Layout:
    """Arrange a comparison: a row per method, a column per data set and noise, best rows first."""
    cells, metric = comparison.cells, comparison.metric
    row_key, column_key = ("label", *comparison.by), ("dataset", "noise")
    columns = cells.select(column_key).unique(maintain_order=True).rows()
    bests = {
        column: means["mean"].min() if metric in LOWER_IS_BETTER else means["mean"].max()
        for column, means in cells.group_by(column_key)
    }
    found = {
        tuple(row[name] for name in (*row_key, *column_key)): Cell(
            f"{spread(row['mean'], row['std'], metric)} {_runs_behind(row)}",
            best=row["mean"] is not None and row["mean"] == bests[row["dataset"], row["noise"]],
        )
        for row in cells.iter_rows(named=True)
    }
    knowing = set(cells.filter(pl.col("knows").list.len() > 0)["label"])
    several = cells["dataset"].n_unique() > 1
    return Layout(
        header=[
            "method",
            *comparison.by,
            *(f"{dataset} {noise}" if several else noise for dataset, noise in columns),
        ],
        rows=[
            [
                Cell(f"{row[0]} {KNOWING}" if row[0] in knowing else row[0]),
                *(Cell(str(value)) for value in row[1:]),
                *(found.get((*row, *column), Cell("")) for column in columns),
            ]
            for row in _ranked(comparison, row_key)
        ],
        caption=caption(comparison),
    )


def caption(comparison: Comparison) -> str:
    """What the numbers of a table are, and what is not among them."""
    cells, metric = comparison.cells, comparison.metric
    datasets = ", ".join(cells["dataset"].unique().sort())
    unit = " in percent" if _is_fraction(metric) else ""
    rule = PROTOCOLS[comparison.protocol]
    sentences = [
        f"{datasets}: {metric}{unit}; protocol {comparison.protocol}: {rule.meaning}",
        "Mean ± sample standard deviation over seeds (number of runs)",
    ]
    if cells["diverged"].sum():
        sentences.append("Diverged runs are counted, not averaged")
    if unrecorded := cells["unrecorded"].sum():
        missing = metric if rule.criterion == "epoch" else criterion_of(rule, metric)
        sentences.append(f"Finished runs left out because they recorded no {missing}: {unrecorded}")
    knowing = cells.select("label", pl.col("knows").list.join(", ")).filter(pl.col("knows") != "")
    for label, knows in knowing.unique().sort("label").iter_rows():
        sentences.append(f"{KNOWING} {label} knows: {knows}")
    return ". ".join(sentences) + "."


def _ranked(comparison: Comparison, row_key: Sequence[str]) -> list[tuple[Any, ...]]:
    """Keys of the rows: fullest first, then by the mean over the columns."""
    means = comparison.cells.group_by(row_key).agg(
        empty=-pl.col("mean").count().cast(pl.Int64),
        cost=pl.col("mean").mean() * (1 if comparison.metric in LOWER_IS_BETTER else -1),
    )
    return means.sort("empty", "cost", *row_key).select(row_key).rows()


def _runs_behind(row: dict[str, Any]) -> str:
    """How many runs a cell averages, and how many it could not."""
    others = [f"{row[what]} {what}" for what in ("diverged", "failed", "running") if row[what]]
    return f"({', '.join([str(row['n']), *others])})"
