"""Laying two rows of a leaderboard out against each other: its `--compare`."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.comparison import LOWER_IS_BETTER, Comparison
from analysis.conditions import differing, row_conditions
from analysis.evidence.two_rows import TwoRows, compare_rows
from analysis.layouts.layout import KNOWING, Layout, meaning, on_crossed
from analysis.layouts.paired import lay_out_pairs, pairs_csv


def two_rows(comparison: Comparison, printed: Sequence[str]) -> TwoRows:
    """Compare two rows of a table on the runs that belong together.

    Args:
        comparison: of all methods.
        printed: labels of the two rows, as the table prints them.

    Returns:
        Their comparison, in each data set, noise and value of the columns of `by`.

    Raises:
        LabError: for a label that no row has, the same label twice, and rows that share no seed.
    """
    first, second = (label.removesuffix(f" {KNOWING}") for label in printed)
    return compare_rows(comparison.values, _place(comparison), first, second)


def lay_out_two_rows(comparison: Comparison, rows: TwoRows) -> Layout:
    """Arrange the comparison of two rows: a line per place, and one over all of them.

    Args:
        comparison: that the rows are of.
        rows: `two_rows` of it.

    Returns:
        The table; nothing in it is marked as best.
    """
    metric = comparison.metric
    several = rows.places["dataset"].n_unique() > 1
    headings = {name: name for name in _place(comparison)} | {"dataset": "data set"}
    if not several:
        del headings["dataset"]
    datasets = ", ".join(rows.places["dataset"].unique().sort())
    better = ", lower is better" if metric in LOWER_IS_BETTER else ""
    what = [
        f"{datasets}: {rows.first} less {rows.second}, {meaning(comparison)}{better}",
        *on_crossed(_values_of(comparison, rows), (*_place(comparison), "label")),
        *_differences(comparison, rows),
    ]
    return lay_out_pairs(rows, headings, metric, what, _left_out(comparison, rows))


def two_rows_csv(comparison: Comparison, rows: TwoRows) -> str:
    """The places one a line, fractions as stored, and a last line without a place over all."""
    return pairs_csv(
        rows, _place(comparison), protocol=comparison.protocol, metric=comparison.metric
    )


def _place(comparison: Comparison) -> tuple[str, ...]:
    return ("dataset", "noise", *comparison.by)


def _values_of(comparison: Comparison, rows: TwoRows) -> pl.DataFrame:
    return comparison.values.filter(pl.col("label").is_in([rows.first, rows.second]))


def _differences(comparison: Comparison, rows: TwoRows) -> list[str]:
    """In what the two rows are no equals."""
    cells = comparison.cells.filter(pl.col("label").is_in([rows.first, rows.second]))
    shown = differing(cells, _place(comparison))
    said = row_conditions(cells, ["label"], shown)
    both = zip(shown, said[rows.first,], said[rows.second,], strict=True)
    texts = [f"{name} ({one} and {other})" for name, one, other in both]
    return [f"The two differ in {', '.join(texts)}"] if texts else []


def _left_out(comparison: Comparison, rows: TwoRows) -> list[str]:
    """What is no part of the comparison."""
    diverged = {
        label: comparison.cells.filter(label=label)["diverged"].sum()
        for label in (rows.first, rows.second)
    }
    apart = f"Places in which only one of the two has a number: {rows.n_apart}"
    return [
        *(f"Left out, diverged: {n} runs of {label}" for label, n in diverged.items() if n),
        *([apart] if rows.n_apart else []),
    ]
