"""DVC stage `runs`: compute the missing runs of the grid and write its view.

    uv run python -m pipeline.stages.runs --plan      # what would run, and why; starts nothing
    uv run python -m pipeline.stages.runs             # run it; stop and continue at any point

What is needed only to compute is imported late: a finished grid is found so without torch.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.command_line import read_flags
from pipeline.config import (
    Execution,
    Grid,
    Params,
    grid_of,
    params_path,
    read_params,
    validated,
)
from pipeline.errors import LabError, program
from pipeline.files import results_folder
from pipeline.identity import digest
from pipeline.results.finished import finished_cells, note_finished
from pipeline.results.store import Store
from pipeline.results.view import write_view
from pipeline.stages.sources import sources


@dataclass(frozen=True)
class Flags:
    """Compute a grid of runs."""

    plan: bool = False
    """Only list what would run and why."""
    params: Path | None = None
    """Another file in the form of params.yaml."""
    workers: int | None = None
    """Processes that compute runs at the same time; default: the grid's."""
    tracking: bool = True
    """Show the runs in MLflow."""


@program
def main() -> None:
    """Plan or compute the grid."""
    flags = read_flags(Flags, __doc__)
    params = read_params(flags.params)
    grid = grid_of(params)
    if flags.workers is not None:
        grid = validated(Grid, grid.model_dump() | {"workers": flags.workers}, "flags")
    view = results_folder() / "views" / f"{grid.name}.parquet"
    made_from = digest(sources(params))
    known = finished_cells(view, params_path(flags.params), Store(), made_from)
    if known:
        print(f"grid {grid.name}: {known} cells; nothing to run; view {view}")
    elif flags.plan:
        _print_plan(params)
    else:
        _compute(flags, params, grid, view, made_from)


def _print_plan(params: Params) -> None:
    from pipeline.grids.cells import cell_text, cells
    from pipeline.grids.plan import expected_seconds, plan
    from pipeline.runs.pretraining import missing_encoders

    all_cells, store = cells(params), Store()
    planned = plan(all_cells, store)
    encoders: dict[str, str] = {}
    for cell, _ in planned:
        encoders |= missing_encoders(cell)
    for key, name in encoders.items():
        print(f"{key} encoder {name}: missing")
    for cell, why in planned:
        print(f"{cell.key} {cell_text(cell)}: {why}")
    seconds = expected_seconds(planned, store) if planned else 0.0
    cost = "unknown" if seconds is None else f"about {seconds / 3600:.2f} h by past runs"
    print(f"{len(planned)} of {len(all_cells)} cells would run; {cost}")


def _compute(flags: Flags, params: Params, grid: Grid, view: Path, made_from: str) -> None:
    from pipeline.grids.cells import cells
    from pipeline.grids.engines.choice import choose_engine
    from pipeline.grids.run import run_grid

    execution = Execution(tracking=flags.tracking, group=grid.name)
    all_cells = cells(params)
    engine = choose_engine(grid.engine, params, grid.workers)
    endings = run_grid(all_cells, params, execution, engine, flags.params)
    keys = [cell.key for cell in all_cells]
    write_view(keys, view)
    note_finished(view, params_path(flags.params), keys, made_from)
    ended = ", ".join(f"{n} {ending}" for ending, n in sorted(endings.items())) or "nothing to run"
    print(f"grid {grid.name}: {len(all_cells)} cells; {ended}; view {view}")
    if endings["failed"]:
        raise LabError(
            f"{endings['failed']} of {len(all_cells)} cells failed",
            "cells that end; each failed one has a row that says why",
            "the same command, which tries them again",
            exit_code=1,
        )


if __name__ == "__main__":
    main()
