"""Carrying out a grid: the missing cells, on an engine, each ending in a row."""

from __future__ import annotations

from collections import Counter

from tqdm import tqdm

from pipeline.config import Execution, Params
from pipeline.grids.cells import cell_text
from pipeline.grids.engines.local import outcomes
from pipeline.grids.plan import plan
from pipeline.results.store import Store
from pipeline.results.tracker import prepare_view
from pipeline.runs.planned import PlannedRun


def run_grid(
    all_cells: list[PlannedRun], params: Params, execution: Execution, workers: int
) -> Counter[str]:
    """Compute the missing cells of a grid.

    Args:
        all_cells: of the grid.
        params: that they were planned from; a file that changes meanwhile changes nothing.
        execution: how each run is carried out.
        workers: processes that compute cells at the same time.

    Returns:
        How many cells ended how. A cell that failed is a row, and the next one follows.

    Raises:
        Interrupted: when a stop was asked for.
    """
    missing = [cell for cell, _ in plan(all_cells, Store())]
    if missing and execution.tracking:
        prepare_view(sorted({cell.row["dataset"] for cell in missing}))
    endings: Counter[str] = Counter()
    with tqdm(total=len(missing), desc="runs", disable=None) as bar:
        for cell, outcome in outcomes(missing, params, execution, workers):
            endings[outcome.ending] += 1
            ended = f"{outcome.key} {outcome.ending:8} {cell_text(cell)} {outcome.detail}"
            tqdm.write(ended.rstrip())
            bar.update()
    _note_names(all_cells, Store())
    return endings


def _note_names(all_cells: list[PlannedRun], store: Store) -> None:
    """Note with stored runs the further names of their label tables that the grid has."""
    for cell in all_cells:
        asked = cell.row.get("also_named", ())
        row = store.run(cell.key) if asked else None
        known = (row or {}).get("also_named") or ()
        if row is not None and not set(asked) <= set(known):
            store.write_run(row | {"also_named": sorted({*asked, *known})})
