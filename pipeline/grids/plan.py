"""The plan of a grid: which cells would run, why, and how long they would take."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import polars as pl

from pipeline.grids.cells import Cell
from pipeline.results.schema import SEED_COLUMNS
from pipeline.results.store import Store
from pipeline.runs.planned import PlannedRun
from pipeline.runs.record import FINAL
from pipeline.training.checkpoints import unfinished_runs


class OpenCell(NamedTuple):
    """A cell that is not finished, and why it would run."""

    cell: Cell
    why: str
    status: str | None
    """What the store says of it."""


def plan(all_cells: Sequence[Cell], store: Store) -> list[OpenCell]:
    """The cells that would run, and why.

    Args:
        all_cells: of the grid.
        store: of finished runs.

    Returns:
        The unfinished cells, in order.
    """
    statuses = store.statuses(cell.key for cell in all_cells)
    open_cells = [cell for cell in all_cells if statuses.get(cell.key) not in FINAL]
    if not open_cells:
        return []
    stored = _stored_by_place(store)
    unfinished = unfinished_runs()
    found = [(cell, statuses.get(cell.key)) for cell in open_cells]
    return [
        OpenCell(
            cell,
            _CONTINUES if cell.key in unfinished else _why(cell, status, stored),
            status,
        )
        for cell, status in found
    ]


_CONTINUES = "unfinished: continues from its checkpoint"


_PLACE = ("method", "variant", "dataset", "noise", "seed", *SEED_COLUMNS)
_INPUTS = ("version", "data_digest", "labels_digest", "encoder_digest")


def _stored_by_place(store: Store) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    columns = (*_PLACE, *_INPUTS, "settings")
    rows = store.runs().filter(pl.col("status") == "done").select(columns).collect()
    places: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        places.setdefault(tuple(row[name] for name in _PLACE), []).append(row)
    return places


def _why(
    cell: PlannedRun, status: str | None, stored: dict[tuple[Any, ...], list[dict[str, Any]]]
) -> str:
    if status == "running":
        return "unfinished: its program ended before a checkpoint"
    if status == "failed":
        return "failed before"
    place = tuple(cell.row.get(name) for name in _PLACE)
    differences = [_differences(cell.row, row) for row in stored.get(place, [])]
    if not differences:
        return "new"
    fewest = sorted(differences, key=len)[0]
    return "changed: " + ", ".join(fewest)


def _differences(asked: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    found = [
        f"{name} {stored[name]} -> {asked[name]}" for name in _INPUTS if stored[name] != asked[name]
    ]
    new, old = json.loads(asked["settings"]), json.loads(stored["settings"])
    return found + [
        f"{name} {old.get(name)} -> {new.get(name)}"
        for name in sorted(new | old)
        if name != "recipe" and new.get(name) != old.get(name)
    ]


def expected_each(cells: Sequence[PlannedRun], store: Store) -> list[float | None]:
    """Wall time of each run in seconds by past runs of its kind, None where none resembles it.

    Args:
        cells: runs to come.
        store: of past runs.
    """
    kind = ["method", "dataset", "backbone"]
    past = (
        store.runs()
        .filter((pl.col("status") == "done") & (pl.col("resumed") == 0))
        .group_by(kind)
        .agg((pl.col("seconds") / pl.col("epochs")).mean().alias("per_epoch"))
        .collect()
    )
    known = {row[:3]: row[3] for row in past.iter_rows()}
    places = [tuple(cell.row[name] for name in kind) for cell in cells]
    return [
        known[place] * cell.row["epochs"] if place in known else None
        for cell, place in zip(cells, places, strict=True)
    ]


def expected_seconds(planned: list[OpenCell], store: Store) -> float | None:
    """Wall time that the planned runs would take one after another, by past runs of their kind.

    Args:
        planned: runs to come.
        store: of past runs.

    Returns:
        Seconds, or None while no past run resembles any of them.
    """
    each = expected_each([one.cell for one in planned], store)
    known = [seconds for seconds in each if seconds is not None]
    return sum(known) * len(each) / len(known) if known else None
