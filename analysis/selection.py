"""Choosing the runs that a table compares, by the values of columns and settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis.conditions import condition
from pipeline.command_line import Many, joined
from pipeline.config import read_params
from pipeline.errors import LabError, quoted, suggest
from pipeline.files import results_folder

Wanted = Mapping[str, Sequence[object]]
"""Allowed values by column or setting; no values, no limit."""


@dataclass(frozen=True)
class Filters:
    """Which runs a table is about: flags that the programs have in common."""

    dataset: str | None = None
    """One data set; all of them unless given."""
    noise: Many[str] = ()
    """Label tables; all of them unless given."""
    grid: Many[str] = ()
    """Runs of these grids only, by their views in results/views; `all` for every stored run.
    Without any filter: the grid of params.yaml."""
    method: Many[str] = ()
    """Methods; all of them unless given."""
    recipe: Many[str] = ()
    """Recipes; all of them unless given."""
    epochs: Many[int] = ()
    """Numbers of epochs; all of them unless given."""
    where: Many[str] = ()
    """More filters, as column=value: columns of the runs table, or settings."""
    view: Many[Path] = ()
    """Views to read instead of the store."""
    store: str | None = None
    """Store to read, a folder or s3://bucket/prefix; LNL_STORE or results/store unless given."""

    @property
    def wanted(self) -> Wanted:
        """Allowed values by column.

        Raises:
            LabError: for a filter without an equals sign.
        """
        filters: dict[str, Sequence[object]] = {
            "dataset": [self.dataset] if self.dataset else [],
            "noise": joined(self.noise),
            "method": joined(self.method),
            "recipe": joined(self.recipe),
            "epochs": joined(self.epochs),
        }
        return filters | parsed(joined(self.where))

    def views(self) -> list[Path]:
        """The views to read; none for the whole store. Without any filter, the usual grid's.

        Raises:
            LabError: for a grid without a view.
        """
        asked = any((*self.wanted.values(), self.grid, self.view, self.store))
        grids = joined(self.grid) if asked else usual_grids()
        if not asked and grids:
            print(f"grid {grids[0]}; every stored run: --grid all", file=sys.stderr)
        return [*joined(self.view), *views_of(grids)]


def plain_columns(runs: pl.LazyFrame) -> list[str]:
    """Columns of runs that hold one value each: what can be filtered by, or separate rows."""
    return [name for name, dtype in runs.collect_schema().items() if not dtype.is_nested()]


def matching(runs: pl.DataFrame, wanted: Wanted) -> pl.DataFrame:
    """Rows of the runs table that are asked for.

    Args:
        runs: `settings`, and the columns to filter by.
        wanted: values are compared as text.

    Returns:
        The rows that have one of the values in each column.

    Raises:
        LabError: for a name that is neither column nor setting, and a value that no run has.
    """
    columns = plain_columns(runs.lazy())
    chosen = ""
    for name, values in wanted.items():
        if not values:
            continue
        if name not in columns and name not in (known := setting_names(runs)):
            raise LabError(
                f"column {quoted(name)}", *suggest(name, {*columns, *known}, "--where without it")
            )
        texts = runs.select(condition(name)).to_series()
        for value in values:
            if str(value) not in set(texts):
                raise LabError(
                    f"no run{chosen} with {name} {quoted(str(value))}",
                    *suggest(value, texts.unique(), "other filters"),
                )
        runs = runs.filter(texts.is_in([str(value) for value in values]))
        chosen = " among those chosen"
    return runs


def parsed(pairs: Sequence[str]) -> dict[str, list[str]]:
    """`column=value` pairs as allowed values by column.

    Raises:
        LabError: for a word without an equals sign.
    """
    wanted: dict[str, list[str]] = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not name:
            raise LabError(f"filter {quoted(pair)}", "column=value", "--where backbone=resnet34")
        wanted.setdefault(name, []).append(value)
    return wanted


def view_of(grid: str) -> Path:
    """The view of a grid, which says which runs belong to it.

    Raises:
        LabError: if there is none of that name.
    """
    folder = results_folder() / "views"
    known = [path.stem for path in folder.glob("*.parquet")]
    if grid not in known:
        raise LabError(
            f"grid {quoted(grid)} has no view in {folder}",
            *suggest(grid, known, "uv run python -m pipeline.stages.runs, which computes a grid"),
        )
    return folder / f"{grid}.parquet"


def views_of(grids: Sequence[str]) -> list[Path]:
    """The views that a table reads; none for the whole store.

    Args:
        grids: names; `all` for the whole store.
    """
    return [] if "all" in grids else [view_of(grid) for grid in grids]


def usual_grids() -> list[str]:
    """The grid of params.yaml, once it has a view: what a table compares unless told otherwise."""
    grid = read_params().grid
    known = grid is not None and (results_folder() / "views" / f"{grid.name}.parquet").exists()
    return [grid.name] if grid is not None and known else []


def setting_names(runs: pl.DataFrame) -> set[str]:
    """Names of the settings of runs."""
    return {name for text in runs["settings"].unique() for name in json.loads(text)}
