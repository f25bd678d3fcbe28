"""The cells of a grid: every data set x label table x seeds x run, each planned once."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.config import Grid, Params, grid_of
from pipeline.errors import LabError, quoted
from pipeline.results.given import shown_noise
from pipeline.results.keys import seeds_in_words
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import resolve_over_pinned
from pipeline.runs.settings.specs import noise_spec

_NO_SETTINGS = ("method", "gpus")
"""What a run block may hold besides settings."""
_NEEDS_NO_TRUTH = ("clean", "file", "cleaned")
"""Kinds of label tables that data without clean labels can have."""


@dataclass(frozen=True, eq=False)
class Cell(PlannedRun):
    """A run of a grid.

    Args:
        gpus: that it asks for; None for the engine's usual number.
    """

    gpus: int | None = None


def cells(params: Params, planner: Planner | None = None) -> list[Cell]:
    """All cells of the grid, in a fixed order, without repeats; missing inputs are made.

    Args:
        params: with a grid.
        planner: made of the same data sets, label tables and encoders; a new one by default.

    Returns:
        The cells.

    Raises:
        LabError: for faulty settings or inputs that cannot be made, naming the block.
    """
    grid, planner = grid_of(params), planner or Planner(params)
    found: dict[str, Cell] = {}
    for dataset, noise in places(grid, params, planner):
        for block, seeds in itertools.product(_blocks(grid), grid.draws):
            method = load_method(block["method"])
            explicit = {name: value for name, value in block.items() if name not in _NO_SETTINGS}
            place = {"dataset": dataset, "noise": noise, **seeds}
            resolved = resolve_over_pinned(method, params, explicit, place)
            planned = planner.run(method, resolved)
            cell = Cell(**vars(planned), gpus=block.get("gpus"))
            first = found.setdefault(cell.key, cell)
            if (name := f"{dataset}/{noise}") != place_name(first):
                # Another name of the same labels: one run, which tables show under both.
                first.row["also_named"] = sorted({*first.row.get("also_named", ()), name})
    return list(found.values())


def places(grid: Grid, params: Params, planner: Planner) -> list[tuple[str, str]]:
    """Data sets crossed with label tables; noise is not drawn over labels that may be wrong.

    Raises:
        LabError: when nothing is left.
    """
    unknown = {
        name for name in grid.datasets if planner.shelf.dataset(name).train_clean_labels is None
    }
    fitting, left_out = [], []
    for dataset, noise in itertools.product(grid.datasets, grid.noises):
        kind = noise_spec(dataset, noise, params).kind
        if dataset not in unknown or kind in _NEEDS_NO_TRUTH:
            fitting.append((dataset, noise))
        else:
            left_out.append(f"{dataset}/{noise}")
    if not fitting:
        raise LabError(
            f"nothing left of grid {grid.name}: no clean labels are known of {', '.join(unknown)}",
            f"labels of kind {' or '.join(_NEEDS_NO_TRUTH)} for such data",
            "noises: [clean]",
        )
    if left_out:
        print(
            f"note: left out, since noise is drawn over clean labels only: {', '.join(left_out)}",
            file=sys.stderr,
        )
    return fitting


def place_name(cell: PlannedRun) -> str:
    """Data set and label table of a cell, as DATASET/NOISE."""
    return f"{cell.settings.dataset}/{cell.settings.noise}"


def cell_texts(cells: Sequence[PlannedRun]) -> dict[str, str]:
    """What cells are called in plans and progress, by key: no two of them the same.

    Method, variant, data set, label table and seeds, and the settings in which those that agree in
    all this differ.
    """
    alike: dict[str, list[PlannedRun]] = {}
    for cell in cells:
        row = cell.row
        place = [row["method"], row["variant"], row["dataset"], shown_noise(row)]
        words = [*place, seeds_in_words(row)]
        alike.setdefault(" ".join(words), []).append(cell)
    return {
        cell.key: f"{words}{differs}"
        for words, group in alike.items()
        for cell, differs in zip(group, _differences(group), strict=True)
    }


def _differences(cells: Sequence[PlannedRun]) -> list[str]:
    """Of each cell the settings that are not the same in all of them, as words."""
    if len(cells) == 1:
        return [""]
    settings = [cell.settings.model_dump(mode="json") for cell in cells]
    names = [
        name for name in settings[0] if any(one[name] != settings[0][name] for one in settings)
    ]
    return ["".join(f" {name} {_word(one[name])}" for name in names) for one in settings]


def _word(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _blocks(grid: Grid) -> Iterator[dict[str, Any]]:
    """The run blocks with their lists crossed out; a list of lists crosses over list values."""
    for block in grid.runs:
        if "method" not in block:
            raise LabError(
                f"grid run {quoted(block)}", "a method in every block", "method: robust_loss"
            )
        choices = [value if isinstance(value, list) else [value] for value in block.values()]
        for values in itertools.product(*choices):
            yield dict(zip(block, values, strict=True))
