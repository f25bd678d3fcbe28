"""Carrying out a grid: the missing cells, on an engine, each ending in a row."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from pipeline.config import Execution, Params
from pipeline.errors import Interrupted
from pipeline.grids.batch import Batch, freeze
from pipeline.grids.cells import Cell
from pipeline.grids.engines.engine import Engine, Handle
from pipeline.grids.following import Follower, submit
from pipeline.grids.living import held_keys, note_over
from pipeline.grids.plan import expected_each, plan
from pipeline.grids.progress import Progress
from pipeline.results.store import Store
from pipeline.results.tracker import prepare_view


def missing_cells(all_cells: Sequence[Cell], retry_failed: bool = False) -> list[Cell]:
    """The cells of a grid that are to be computed.

    Args:
        all_cells: of the grid.
        retry_failed: those that failed before, and no others.
    """
    planned = plan(all_cells, Store())
    return [one.cell for one in planned if one.status == "failed" or not retry_failed]


def frozen_for(
    engine: Engine,
    missing: Sequence[Cell],
    n_cells: int,
    params: Params,
    params_file: Path,
    execution: Execution,
) -> Batch:
    """Cells as a batch for an engine.

    Args:
        engine: that will compute them.
        missing: the cells.
        n_cells: of the whole grid.
        params: that they were planned from.
        params_file: where params were read.
        execution: how each run is carried out.

    Returns:
        The batch.

    Raises:
        LabError: for a cell that asks for more GPUs than the engine has.
    """
    gpus = [engine.gpus(cell.gpus) for cell in missing]
    tracking = execution.tracking and engine.tracks
    if tracking:
        prepare_view(sorted({cell.row["dataset"] for cell in missing}))
    return freeze(
        missing,
        gpus,
        expected_each(missing, Store()),
        engine=engine.name,
        execution=execution.model_copy(update={"tracking": tracking}),
        params=params,
        params_file=params_file,
        n_cells=n_cells,
    )


def run_batch(batch: Batch, engine: Engine) -> Counter[str]:
    """Compute the cells of a batch, and wait for them.

    Args:
        batch: frozen for the engine.
        engine: that computes it.

    Returns:
        How many cells ended how. A cell that failed is a row, and the next one follows.

    Raises:
        LabError: when the engine refuses, or code or inputs change meanwhile.
        Interrupted: when a stop was asked for.
    """
    progress = Progress(batch, engine.slots(), has_table=not engine.is_here)
    handle: Handle | None = None
    with progress.shown(), _stoppable(engine):
        try:
            handle, elsewhere = _submit_free(batch, engine)
            endings = Follower(batch, engine, progress).follow(handle, elsewhere)
        finally:
            if handle is not None and not engine.stays:
                engine.cancel(batch, handle)
    note_over(batch)
    return endings


def submit_batch(batch: Batch, engine: Engine) -> str:
    """Submit the cells of a batch that no job holds, and wait for none of them.

    Args:
        batch: frozen for the engine.
        engine: whose jobs go on without this program.

    Returns:
        What was submitted, in words.
    """
    handle, elsewhere = _submit_free(batch, engine)
    held = f"; {len(elsewhere)} cells are in jobs already" if elsewhere else ""
    if handle is None:
        note_over(batch)
        return f"grid {batch.grid}: nothing to submit{held}; --status shows how they stand"
    n, bundles = len(batch.cells) - len(elsewhere), len(handle.bundles)
    return (
        f"grid {batch.grid}: {n} cells in {bundles} bundles submitted to {engine.name}: "
        f"{handle.jobs}{held}; --status shows how they stand, --wait waits for them"
    )


def _submit_free(batch: Batch, engine: Engine) -> tuple[Handle | None, list[int]]:
    """Submit the cells that no job holds; returns the handle and the rows of the others."""
    held = held_keys(batch)
    rows = range(len(batch.cells))
    free = [row for row in rows if batch.cells[row].key not in held]
    handle = submit(batch, engine, free) if free else None
    return handle, [row for row in rows if batch.cells[row].key in held]


@contextmanager
def _stoppable(engine: Engine) -> Iterator[None]:
    """While entered, SIGTERM and Ctrl-C end the waiting, as an exception."""
    words = (
        "no longer waiting; the jobs go on, and the same command with --wait waits again"
        if engine.stays
        else "stopped; finished runs are stored, the same command continues"
    )

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        raise Interrupted(words, number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    previous = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def note_names(all_cells: Sequence[Cell]) -> None:
    """Note with stored runs the further names of their label tables that the grid has."""
    store = Store()
    for cell in all_cells:
        asked = cell.row.get("also_named", ())
        row = store.run(cell.key) if asked else None
        known = (row or {}).get("also_named") or ()
        if row is not None and not set(asked) <= set(known):
            store.write_run(row | {"also_named": sorted({*asked, *known})})


def note_trials(all_cells: Sequence[Cell]) -> None:
    """Note with stored runs how many trials a search compared before it chose their settings."""
    store = Store()
    for cell in all_cells:
        n_trials = cell.row["n_trials"]
        row = store.run(cell.key) if n_trials else None
        if row is not None and (row.get("n_trials") or 0) < n_trials:
            store.write_run(row | {"n_trials": n_trials})
