"""A cell as it travels to workers: a row of a table, from which it is planned again.

A row holds all that was resolved of the cell's settings, so that nothing is resolved twice.
"""

from __future__ import annotations

import json
from typing import NamedTuple

import polars as pl

from pipeline.config import validated
from pipeline.errors import LabError
from pipeline.grids.cells import Cell
from pipeline.noise.noise_spec import parse
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import Resolved

CELLS: dict[str, pl.DataType | type[pl.DataType]] = {
    "key": pl.String,
    "text": pl.String,
    "method": pl.String,
    "settings": pl.String,
    "recipe_status": pl.String,
    "noise": pl.String,
    "by_noise": pl.List(pl.String),
    "also_named": pl.List(pl.String),
    "encoders": pl.List(pl.String),
    "gpus": pl.Int64,
    "precision": pl.String,
    "seconds": pl.Float64,
    "n_trials": pl.Int64,
}
"""Columns of cells.parquet: the fields of `FrozenCell`."""


class FrozenCell(NamedTuple):
    """A row of cells.parquet: what a worker needs to plan exactly the same run."""

    key: str
    """That the run was planned under."""
    text: str
    """What it is called in progress."""
    method: str
    settings: str
    """As they were resolved, JSON; they are not resolved again."""
    recipe_status: str
    noise: str
    """What its label table is made from, JSON."""
    by_noise: list[str]
    """Settings that the recipe chose by the label noise."""
    also_named: list[str] | None
    """Further names of its label table in the grid."""
    encoders: list[str]
    """Keys of the runs that make the encoders it names."""
    gpus: int
    """Its processes, one a GPU; 0 for one process without GPU."""
    precision: str
    seconds: float | None
    """What it should take by past runs; None while none resembles it."""
    n_trials: int | None = None
    """Of the search that chose its settings."""

    def planned(self, planner: Planner) -> PlannedRun:
        """The run, from these very settings.

        Args:
            planner: made of the params of the batch.

        Raises:
            LabError: when the run is no longer the one that was planned.
        """
        method = load_method(self.method)
        settings = validated(method.Settings, json.loads(self.settings), f"cell {self.key}")
        noise = parse(json.loads(self.noise), f"cell {self.key}")
        by_noise = frozenset(self.by_noise)
        resolved = Resolved(settings, self.recipe_status, noise, by_noise, self.n_trials)
        run = planner.run(method, resolved)
        if run.key != self.key:
            raise LabError(
                "an input or the code has changed since the grid was planned",
                "inputs that stay as they are while a grid runs",
                "the same command, which plans again",
            )
        if self.also_named:
            run.row["also_named"] = self.also_named
        return run


def freeze_cell(cell: Cell, text: str, gpus: int, seconds: float | None) -> FrozenCell:
    """Freeze a planned cell.

    Args:
        cell: planned.
        text: what it is called in progress.
        gpus: its processes, one a GPU; 0 for one process without GPU.
        seconds: what it should take, None where nobody knows.
    """
    encoders = [one.run.key for one in cell.inputs.encoders.values() if one.run is not None]
    return FrozenCell(
        key=cell.key,
        text=text,
        method=cell.method.name(),
        settings=cell.settings.model_dump_json(),
        recipe_status=cell.resolved.recipe_status,
        noise=cell.resolved.noise.model_dump_json(),
        by_noise=sorted(cell.resolved.by_noise),
        also_named=cell.row.get("also_named"),
        encoders=encoders,
        gpus=gpus,
        precision=cell.settings.precision,
        seconds=seconds,
        n_trials=cell.resolved.n_trials,
    )
