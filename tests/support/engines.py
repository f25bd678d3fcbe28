"""Engines for tests."""

from collections import Counter
from collections.abc import Sequence

from pipeline.config import Execution, LocalEngine, Params, params_path, read_params
from pipeline.grids.cells import Cell
from pipeline.grids.engines.engine import Engine
from pipeline.grids.engines.local import Local
from pipeline.grids.run import frozen_for, missing_cells, note_names, note_trials, run_batch

QUIET = Execution(tracking=False)


def local(workers: int = 0, devices: tuple[str, ...] = (), **settings) -> Local:
    """The engine `local`; with 0 workers cells are computed in the test's own process."""
    return Local("local", LocalEngine(**settings), workers, devices)


def compute(
    all_cells: Sequence[Cell], engine: Engine | None = None, params: Params | None = None
) -> Counter[str]:
    """Compute what is missing of a grid; returns how many cells ended how."""
    missing, used, ended = missing_cells(all_cells), engine or local(), Counter[str]()
    if missing:
        known = params or read_params()
        batch = frozen_for(used, missing, len(all_cells), known, params_path(), QUIET)
        ended = run_batch(batch, used)
    note_names(all_cells)
    note_trials(all_cells)
    return ended
