"""Leaderboard: method x noise, mean and spread over seeds, under a named protocol.

    uv run python analysis/leaderboard.py --grid digits --protocol last10
    uv run python analysis/leaderboard.py --dataset cifar10 --epochs 150 --where backbone=resnet34
    uv run python analysis/leaderboard.py --format latex > table.tex
    uv run python analysis/leaderboard.py --compare dal ce
    uv run python analysis/leaderboard.py --components

Tables show percent with one decimal; `--format csv` gives fractions as stored, in full.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

import polars as pl

from analysis.comparison import Comparison, Models, compare
from analysis.layouts.components import components_csv, lay_out_components, row_components
from analysis.layouts.layout import Layout, lay_out
from analysis.layouts.rendering import Form, write
from analysis.layouts.two_rows import lay_out_two_rows, two_rows, two_rows_csv
from analysis.selection import Filters
from pipeline.command_line import Many, joined, read_flags
from pipeline.errors import LabError, program
from pipeline.results.protocols import Name
from pipeline.results.store import Store
from pipeline.results.view import results


@dataclass(frozen=True)
class Flags(Filters):
    """What to compare and how to print it."""

    protocol: Name = "last"
    """Which epoch counts: the last, the mean of the last ten, the best on noisy or clean validation
    labels, the first after which predictions change more again, or (optimistic) the best on the
    test split."""
    metric: str = "test_accuracy"
    """Column of the epochs table: test_accuracy, test_top5, memorised, corrected, ..."""
    by: Many[str] = ()
    """Columns of the runs table that get a column of their own, such as backbone."""
    averaged: Models = "both"
    """Rows of the averaged weights, of runs that keep them: beside the others, only them, or no."""
    compare: tuple[str, str] | None = None
    """Two rows, by their labels as the table prints them, to set against each other on the seeds
    and label tables that they share: difference, interval, p-value, seeds needed."""
    components: bool = False
    """Of each row with crossed seeds, how much of its spread comes from the labels, the start, the
    order, ...: standard deviation, interval, share."""
    format: Form | Literal["csv"] = "terminal"
    """How to print it."""


def listed(comparison: Comparison) -> pl.DataFrame:
    """The cells one a row, fractions as stored; declared knowledge separated by spaces."""
    return comparison.cells.select(
        pl.all().exclude("knows"),
        pl.col("knows").list.join(" "),
        protocol=pl.lit(comparison.protocol),
        metric=pl.lit(comparison.metric),
    )


@program
def main() -> None:
    """Print the leaderboard that the command line asks for."""
    flags = read_flags(Flags, __doc__)
    if flags.components and flags.compare is not None:
        raise LabError("--components with --compare", "one of them", "--components")
    comparison = compare(
        results(flags.views(), Store(flags.store)),
        flags.protocol,
        flags.metric,
        where=flags.wanted,
        by=joined(flags.by),
        averaged=flags.averaged,
    )
    if flags.format == "csv":
        sys.stdout.write(_csv(comparison, flags))
    else:
        write(_layout(comparison, flags), flags.format)


def _csv(comparison: Comparison, flags: Flags) -> str:
    if flags.compare is not None:
        return two_rows_csv(comparison, two_rows(comparison, flags.compare))
    if flags.components:
        return components_csv(row_components(comparison))
    return listed(comparison).write_csv()


def _layout(comparison: Comparison, flags: Flags) -> Layout:
    if flags.compare is not None:
        return lay_out_two_rows(comparison, two_rows(comparison, flags.compare))
    if flags.components:
        return lay_out_components(comparison, row_components(comparison))
    return lay_out(comparison)


if __name__ == "__main__":
    main()
