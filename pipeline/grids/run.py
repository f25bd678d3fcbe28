"""Carrying out a grid: the missing cells, on an engine, each ending in a row."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from pipeline.config import Execution, Params, params_path
from pipeline.errors import Interrupted
from pipeline.grids.batch import Batch, FrozenCell, freeze
from pipeline.grids.cells import Cell
from pipeline.grids.engines.engine import Engine, Handle
from pipeline.grids.following import Follower, submit
from pipeline.grids.plan import expected_each, plan
from pipeline.results.store import Store
from pipeline.results.tracker import prepare_view


def run_grid(
    all_cells: Sequence[Cell],
    params: Params,
    execution: Execution,
    engine: Engine,
    params_file: Path | None = None,
) -> Counter[str]:
    """Compute the missing cells of a grid, and wait for them.

    Args:
        all_cells: of the grid.
        params: that they were planned from.
        execution: how each run is carried out.
        engine: that computes them.
        params_file: where params were read; the project's params.yaml by default.

    Returns:
        How many cells ended how. A cell that failed is a row, and the next one follows.

    Raises:
        LabError: when the engine refuses, or code or inputs change meanwhile.
        Interrupted: when a stop was asked for.
    """
    missing = [one.cell for one in plan(all_cells, Store())]
    endings: Counter[str] = Counter()
    if missing:
        batch = freeze_cells(missing, params, execution, engine, params_path(params_file))
        endings = _follow(batch, engine)
    note_names(all_cells, Store())
    return endings


def freeze_cells(
    missing: Sequence[Cell],
    params: Params,
    execution: Execution,
    engine: Engine,
    params_file: Path,
) -> Batch:
    """Freeze the missing cells of a grid for an engine; see `freeze`."""
    tracking = execution.tracking and engine.tracks
    if tracking:
        prepare_view(sorted({cell.row["dataset"] for cell in missing}))
    return freeze(
        missing,
        [engine.gpus(cell.gpus) for cell in missing],
        expected_each(missing, Store()),
        engine=engine.name,
        execution=execution.model_copy(update={"tracking": tracking}),
        params=params,
        params_file=params_file,
    )


def _follow(batch: Batch, engine: Engine) -> Counter[str]:
    n = len(batch.cells)
    handle: Handle | None = None
    with tqdm(total=n, desc="runs", disable=None) as bar, _stoppable(engine):

        def ended(cell: FrozenCell, ending: str, detail: str) -> None:
            tqdm.write(f"{cell.key} {ending:8} {cell.text} {detail}".rstrip())
            bar.update()

        try:
            handle = submit(batch, engine, range(n))
            return Follower(batch, engine, ended).follow(handle)
        finally:
            if handle is not None and not engine.stays:
                engine.cancel(batch, handle)


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


def note_names(all_cells: Sequence[Cell], store: Store) -> None:
    """Note with stored runs the further names of their label tables that the grid has."""
    for cell in all_cells:
        asked = cell.row.get("also_named", ())
        row = store.run(cell.key) if asked else None
        known = (row or {}).get("also_named") or ()
        if row is not None and not set(asked) <= set(known):
            store.write_run(row | {"also_named": sorted({*asked, *known})})
