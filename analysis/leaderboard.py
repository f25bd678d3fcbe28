"""Leaderboard: method x noise, mean and spread over seeds, under a named protocol.

    uv run python analysis/leaderboard.py --grid digits --protocol last10
    uv run python analysis/leaderboard.py --dataset cifar10 --epochs 150 --where backbone=resnet34
    uv run python analysis/leaderboard.py --format latex > table.tex

Tables show percent with one decimal; `--format csv` gives fractions as stored, in full.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from analysis.comparison import Comparison, Models, compare
from analysis.layout import lay_out
from analysis.rendering import latex, markdown, show
from analysis.selection import parsed, usual_grids, views_of
from pipeline.command_line import read_flags
from pipeline.errors import program
from pipeline.results.protocols import Name
from pipeline.results.store import Store
from pipeline.results.view import results


@dataclass(frozen=True)
class Flags:
    """What to compare and how to print it."""

    dataset: str | None = None
    """One data set; all of them unless given."""
    noise: tuple[str, ...] = ()
    """Label tables; all of them unless given."""
    grid: tuple[str, ...] = ()
    """Runs of these grids only, by their views in results/views; `all` for every stored run.
    Without any filter: the grid of params.yaml."""
    method: tuple[str, ...] = ()
    """Methods; all of them unless given."""
    recipe: tuple[str, ...] = ()
    """Recipes; all of them unless given."""
    epochs: tuple[int, ...] = ()
    """Numbers of epochs; all of them unless given."""
    where: tuple[str, ...] = ()
    """More filters, as column=value: columns of the runs table, or settings."""
    protocol: Name = "last"
    """Which epoch counts: the last, the mean of the last ten, the best on noisy or clean validation
    labels, the first after which predictions change more again, or (optimistic) the best on the
    test split."""
    metric: str = "test_accuracy"
    """Column of the epochs table: test_accuracy, test_top5, memorised, corrected, ..."""
    by: tuple[str, ...] = ()
    """Columns of the runs table that get a column of their own, such as backbone."""
    averaged: Models = "both"
    """Rows of the averaged weights, of runs that keep them: beside the others, only them, or no."""
    format: Literal["terminal", "markdown", "latex", "csv"] = "terminal"
    """How to print it."""
    view: tuple[Path, ...] = ()
    """Views to read instead of the store."""
    store: str | None = None
    """Store to read, a folder or s3://bucket/prefix; LNL_STORE or results/store unless given."""


def csv(comparison: Comparison) -> str:
    """The cells one a line, fractions as stored; declared knowledge separated by spaces."""
    cells = comparison.cells.select(
        pl.all().exclude("knows"),
        pl.col("knows").list.join(" "),
        protocol=pl.lit(comparison.protocol),
        metric=pl.lit(comparison.metric),
    )
    return cells.write_csv()


@program
def main() -> None:
    """Print the leaderboard that the command line asks for."""
    flags = read_flags(Flags, __doc__)
    filters = {
        "dataset": [flags.dataset] if flags.dataset else [],
        "noise": flags.noise,
        "method": flags.method,
        "recipe": flags.recipe,
        "epochs": flags.epochs,
    }
    asked = any((*filters.values(), flags.grid, flags.where, flags.view, flags.store))
    grids = flags.grid if asked else usual_grids()
    if not asked and grids:
        print(f"grid {grids[0]}; every stored run: --grid all", file=sys.stderr)
    comparison = compare(
        results((*flags.view, *views_of(grids)), Store(flags.store)),
        flags.protocol,
        flags.metric,
        where=filters | parsed(flags.where),
        by=flags.by,
        averaged=flags.averaged,
    )
    if flags.format == "csv":
        sys.stdout.write(csv(comparison))
    elif flags.format == "terminal":
        show(lay_out(comparison))
    else:
        write = markdown if flags.format == "markdown" else latex
        sys.stdout.write(write(lay_out(comparison)))


if __name__ == "__main__":
    main()
