"""DVC stage `runs`: compute the missing runs of the grid and write its view.

python -m pipeline.stages.runs --plan      # what would run, and why; starts nothing
python -m pipeline.stages.runs             # run it; stop and continue at any point
"""

from dataclasses import dataclass
from pathlib import Path

import tyro

from pipeline.config import Execution, read_params
from pipeline.errors import program
from pipeline.files import results_folder
from pipeline.results.store import Store
from pipeline.results.view import write_view
from pipeline.training.grid import cells, expected_seconds, grid_of, plan, prepare_grid, run_grid


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
    flags = tyro.cli(Flags, description=__doc__)
    params = read_params(flags.params)
    grid = grid_of(params)
    prepare_grid(params)
    if flags.plan:
        _print_plan(flags)
        return
    execution = Execution(tracking=flags.tracking, group=grid.name)
    all_cells = cells(params)
    endings = run_grid(all_cells, flags.params, execution, flags.workers or grid.workers)
    view = results_folder() / "views" / f"{grid.name}.parquet"
    write_view((cell.key for cell in all_cells), view)
    ended = ", ".join(f"{n} {ending}" for ending, n in sorted(endings.items())) or "nothing to run"
    print(f"grid {grid.name}: {len(all_cells)} cells; {ended}; view {view}")


def _print_plan(flags: Flags) -> None:
    all_cells, store = cells(read_params(flags.params)), Store()
    planned = plan(all_cells, store)
    for cell, why in planned:
        row = cell.row
        print(
            f"{cell.key} {row['method']} {row['variant']} {row['dataset']} {row['noise']} "
            f"seed {row['seed']}: {why}"
        )
    seconds = expected_seconds(planned, store) if planned else 0.0
    cost = "unknown" if seconds is None else f"about {seconds / 3600:.2f} h by past runs"
    print(f"{len(planned)} of {len(all_cells)} cells would run; {cost}")


if __name__ == "__main__":
    main()
