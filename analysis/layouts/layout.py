"""Laying a comparison out as a table of texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from analysis.comparison import LOWER_IS_BETTER, Comparison
from analysis.conditions import NONE, differing, row_conditions
from analysis.evidence.marks import mark
from analysis.evidence.paired_test import LEVEL
from analysis.evidence.pairs import are_crossed, by_draw
from pipeline.results.protocols import PROTOCOLS, criterion_of
from pipeline.results.schema import EPOCH_COLUMNS

KNOWING = "†"
"""Marks a method that declares knowledge beyond images and given labels."""
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?(?= ±| \(|$)")


class Cell(NamedTuple):
    """Text of a cell, and whether it is marked: the best of its block, or not separable from it."""

    text: str
    best: bool = False


class Layout(NamedTuple):
    """A table ready to print."""

    header: list[str]
    blocks: list[list[list[Cell]]]
    """Rows of equal conditions, block by block."""
    caption: str

    @property
    def rows(self) -> list[list[Cell]]:
        """All rows, from top to bottom."""
        return [row for block in self.blocks for row in block]


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


def sort_key(text: str) -> str:
    """What a cell is sorted by: its leading number, if it tells one, otherwise the text."""
    found = _NUMBER.match(text)
    return found[0] if found else text.strip("–")


def lay_out(comparison: Comparison) -> Layout:
    """Arrange a comparison: a row per method, a column per data set and noise.

    Rows that differ in a condition (epochs, backbone, start, ...) have a column that says so; rows
    of equal conditions stand together, longest training first, best rows first within. Of these
    the best is marked in each column, and what is not separable from it.
    """
    cells, by = comparison.cells, comparison.by
    row_key, column_key = ("label", *by), ("dataset", "noise")
    columns = cells.select(column_key).unique(maintain_order=True).rows()
    shown = differing(cells, column_key)
    further = [name for name in shown if name not in by]
    conditions = row_conditions(cells, row_key, shown)
    found = {
        tuple(row[name] for name in (*row_key, *column_key)): row
        for row in cells.iter_rows(named=True)
    }
    knowing = set(cells.filter(pl.col("knows").list.len() > 0)["label"])

    def texts(row: tuple[Any, ...]) -> list[Cell]:
        name = f"{row[0]} {KNOWING}" if row[0] in knowing else row[0]
        said = dict(zip(shown, conditions[row], strict=True))
        return [Cell(str(text)) for text in (name, *row[1:], *(said[name] for name in further))]

    values = {
        column: comparison.values.filter(dataset=column[0], noise=column[1]) for column in columns
    }
    blocks, told, untold = [], 0, 0
    for rows in in_blocks(comparison, conditions):
        shown_columns = []
        for column in columns:
            own = [found.get((*row, *column)) for row in rows]
            marks = mark(
                by_draw(values[column], row_key, rows),
                [None if cell is None else cell["mean"] for cell in own],
                comparison.metric in LOWER_IS_BETTER,
            )
            told, untold = told + marks.told, untold + marks.untold
            shown_columns.append(_column(own, marks.marked, comparison.metric))
        blocks.append([[*texts(row), *own] for row, *own in zip(rows, *shown_columns, strict=True)])
    several = cells["dataset"].n_unique() > 1
    titles = [f"{dataset} {noise}" if several else noise for dataset, noise in columns]
    text = _caption(comparison, shown, told, untold)
    return Layout(["method", *by, *further, *titles], blocks, text)


def _column(
    found: Sequence[dict[str, Any] | None], marked: Sequence[bool], metric: str
) -> list[Cell]:
    """One column of a block."""
    return [
        Cell("")
        if row is None
        else Cell(f"{spread(row['mean'], row['std'], metric)} {_runs_behind(row)}", best)
        for row, best in zip(found, marked, strict=True)
    ]


def meaning(comparison: Comparison) -> str:
    """What the numbers of a comparison are, in words."""
    unit = " in percent" if _is_fraction(comparison.metric) else ""
    rule = PROTOCOLS[comparison.protocol]
    return f"{comparison.metric}{unit}; protocol {comparison.protocol}: {rule.meaning}"


def _caption(comparison: Comparison, shown: Sequence[str], told: int, untold: int) -> str:
    """What the numbers are, what is marked, what is not among them, which conditions differ."""
    cells, metric = comparison.cells, comparison.metric
    datasets = ", ".join(cells["dataset"].unique().sort())
    rule = PROTOCOLS[comparison.protocol]
    sentences = [
        f"{datasets}: {meaning(comparison)}",
        "Mean ± sample standard deviation over seeds (number of runs)",
        *on_crossed(comparison.values, ("dataset", "noise", "label", *comparison.by)),
        *on_marks(told, untold),
    ]
    if shown:
        sentences.append(
            f"Rows differ in {', '.join(shown)}: only rows alike in these stand in one block, and "
            "are compared"
        )
    sentences += _on_trials(cells)
    if cells["diverged"].sum():
        sentences.append("Diverged runs are counted, not averaged")
    if cells["not_found"].sum():
        sentences.append("Runs in which the rule finds no epoch (not found) are not averaged")
    if unrecorded := cells["unrecorded"].sum():
        missing = metric if rule.criterion == "epoch" else criterion_of(rule, metric)
        sentences.append(f"Finished runs left out because they recorded no {missing}: {unrecorded}")
    knowing = cells.select("label", pl.col("knows").list.join(", ")).filter(pl.col("knows") != "")
    for label, knows in knowing.unique().sort("label").iter_rows():
        sentences.append(f"{KNOWING} {label} knows: {knows}")
    return ". ".join(sentences) + "."


def on_crossed(values: pl.DataFrame, row: Sequence[str]) -> list[str]:
    """What tests and spreads do not see where runs share some of their draws, in words.

    Args:
        values: of a comparison.
        row: columns that name a row of a table in one place.
    """
    if not are_crossed(values, row):
        return []
    return [
        "Seeds are crossed: runs share draws, which tests and spreads take for independent; "
        "--components tells them apart"
    ]


def _on_trials(cells: pl.DataFrame) -> list[str]:
    """Which rows a search chose the settings of, and from how many trials."""
    told = cells.select("label", pl.col("n_trials").cast(pl.String).fill_null(NONE)).unique()
    tuned = told.filter(pl.col("n_trials") != NONE).sort("label", "n_trials").rows()
    rows = ", ".join(f"{label} ({n} trials)" for label, n in tuned)
    return [f"Settings chosen by a search, by noisy validation: {rows}"] if tuned else []


def on_marks(told: int, untold: int) -> list[str]:
    """What bold says, in words.

    Args:
        told: values that were tested against the best of their column.
        untold: values that could not be.
    """
    it_takes = "it takes two shared seeds, and differences that vary"
    if not told:
        only = f"Bold: the best mean only; what is not separable from it cannot be told: {it_takes}"
        return [only] if untold else []
    tested = (
        f"Bold: the best, and what is not separable from it at {100 * LEVEL:.0f} % (paired t-tests "
        "on label tables and seeds that rows share; Holm over all pairs of rows)"
    )
    not_tested = f"Values of which that cannot be told, not bold: {untold}; {it_takes}"
    return [tested, not_tested] if untold else [tested]


def in_blocks(
    comparison: Comparison, conditions: dict[tuple[Any, ...], tuple[str, ...]]
) -> list[list[tuple[Any, ...]]]:
    """Rows of equal conditions side by side.

    Args:
        comparison: its cells name the rows, by label and the columns of `by`.
        conditions: what each row says of them.

    Returns:
        Keys of the rows, block by block: the longest training first, then the largest block; in a
        block the fullest rows first, then the best on average.
    """
    row_key = ("label", *comparison.by)
    means = comparison.cells.group_by(row_key).agg(
        empty=-pl.col("mean").count().cast(pl.Int64),
        cost=pl.col("mean").mean() * (1 if comparison.metric in LOWER_IS_BETTER else -1),
        longest=pl.col("epochs").cast(pl.Int64, strict=False).max().fill_null(0),
    )
    blocks: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    epochs: dict[tuple[str, ...], int] = {}
    for *row, longest in (
        means.sort("empty", "cost", *row_key).select(*row_key, "longest").iter_rows()
    ):
        block = conditions[tuple(row)]
        blocks.setdefault(block, []).append(tuple(row))
        epochs[block] = max(longest, epochs.get(block, 0))
    order = sorted(blocks, key=lambda block: (-epochs[block], -len(blocks[block])))
    return [blocks[block] for block in order]


def _runs_behind(row: dict[str, Any]) -> str:
    """How many runs a cell averages, and how many it could not."""
    endings = ("not_found", "diverged", "failed", "stopped", "running")
    others = [f"{row[name]} {name.replace('_', ' ')}" for name in endings if row[name]]
    return f"({', '.join([str(row['n']), *others])})"
