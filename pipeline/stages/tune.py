"""Search for settings by noisy validation, as the `tune` block of params.yaml asks.

    uv run --extra tune python -m pipeline.stages.tune          # search; stop and continue
    uv run --extra tune python -m pipeline.stages.tune --plan   # which searches, of how many trials

Every trial is a stored run, planned and computed as the cells of the grid are. The best settings
become a recipe of this project, recipes/METHOD.yaml.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pipeline.command_line import read_flags
from pipeline.config import Execution, Params, grid_of, params_path, read_params
from pipeline.errors import program
from pipeline.files import results_folder
from pipeline.grids.engines.choice import choose_engine
from pipeline.grids.engines.engine import Engine
from pipeline.grids.run import frozen_for, missing_cells, run_batch
from pipeline.results.view import write_view
from pipeline.runs.planning import Planner
from pipeline.tuning.choice import keep_choice
from pipeline.tuning.search import Search, carried_out, searches, tune_of
from pipeline.tuning.telling import choice_lines, plan_line, trial_line
from pipeline.tuning.trial import Trial


@dataclass(frozen=True)
class Flags:
    """Search for settings."""

    plan: bool = False
    """Only list the searches."""
    engine: str | None = None
    """Engine that computes the trials; default: the grid's."""
    workers: int | None = None
    """Processes of the engine local that compute trials at the same time, where there is no GPU; 0
    for this program itself; default: the grid's."""
    params: Path | None = None
    """Another file in the form of params.yaml."""
    tracking: bool = True
    """Show the trials in MLflow."""


@program
def main() -> None:
    """List the searches, or carry them out and keep what they chose."""
    flags = read_flags(Flags, __doc__)
    params = read_params(flags.params)
    tune, planner = tune_of(params), Planner(params)
    found = searches(params, planner)
    if flags.plan:
        for search in found:
            print(plan_line(search, tune))
        return
    grid = grid_of(params)
    workers = grid.workers if flags.workers is None else flags.workers
    engine = choose_engine(flags.engine or grid.engine, params, workers)
    engine.check()
    execution = Execution(tracking=flags.tracking, grid=tune.name)
    file, keys = params_path(flags.params), set[str]()
    compute = partial(_compute, engine=engine, params=params, file=file, execution=execution)
    for search in found:
        done = carried_out(search, params, planner, compute)
        path = keep_choice(done, tune)
        keys |= {cell.key for trial in done.trials for cell in trial.cells}
        for line in choice_lines(done, tune, path):
            print(line)
    view = results_folder() / "views" / f"{tune.name}.parquet"
    write_view(keys, view)
    print(f"all trials: uv run python analysis/leaderboard.py --grid {tune.name}")


def _compute(
    search: Search,
    trials: Sequence[Trial],
    engine: Engine,
    params: Params,
    file: Path,
    execution: Execution,
) -> None:
    """Compute the runs of a round that are not stored, and wait for them."""
    cells = [cell for trial in trials for cell in trial.cells]
    missing = missing_cells(cells)
    if not missing:
        return
    for trial in trials:
        print(trial_line(search, trial, tune_of(params)), flush=True)
    run_batch(frozen_for(engine, missing, len(cells), params, file, execution), engine)


if __name__ == "__main__":
    main()
