"""DVC stage `runs`: compute the missing runs of the grid and write its view.

    uv run python -m pipeline.stages.runs --plan           # what would run, and why
    uv run python -m pipeline.stages.runs                  # run it; stop and continue at any point
    uv run python -m pipeline.stages.runs --engine slurm   # submit it; again: what is missing still
    uv run python -m pipeline.stages.runs --status         # done, running, waiting, failed; the end

What is needed only to compute is imported late: a finished grid is found so without torch.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.command_line import read_flags
from pipeline.config import (
    Execution,
    Grid,
    LocalEngine,
    Params,
    RayEngine,
    engine_settings,
    grid_of,
    params_path,
    read_params,
    validated,
)
from pipeline.errors import LabError, program, quoted
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
    status: bool = False
    """Only show how the grid stands: done, running, waiting, failed, and when it should end."""
    cancel: bool = False
    """Only end all jobs of the grid; what they compute is saved."""
    engine: str | None = None
    """Engine that computes the runs: an entry of the `engines` block of params.yaml, or local,
    slurm or ray; default: the grid's."""
    wait: bool = False
    """Wait for the jobs of a cluster, hand out again what is lost, and write the view; the engine
    local always waits."""
    retry_failed: bool = False
    """Compute only those that failed before."""
    workers: int | None = None
    """Processes of the engine local that compute runs at the same time, where there is no GPU; 0
    for this program itself; default: the grid's."""
    gpus: str | None = None
    """GPUs of the engine local by number, such as 0,1; default: all that are visible."""
    address: str | None = None
    """Cluster of the engine ray, as HOST:PORT of its head or `auto`; default: its entry's, else
    what RAY_ADDRESS says, else one on this machine for the time of this program."""
    params: Path | None = None
    """Another file in the form of params.yaml."""
    tracking: bool = True
    """Show the runs in MLflow."""


@program
def main() -> None:
    """Plan, compute, show or cancel the grid."""
    flags = read_flags(Flags, __doc__)
    params = _with_flags(read_params(flags.params), flags)
    grid = grid_of(params)
    _refuse_contradictions(flags, params, grid)
    if flags.status:
        from pipeline.grids.status import print_status

        print_status(grid.name, params)
        return
    if flags.cancel:
        from pipeline.grids.living import cancel

        cancel(grid.name, params)
        return
    view = results_folder() / "views" / f"{grid.name}.parquet"
    made_from = digest(sources(params))
    known = finished_cells(view, params_path(flags.params), Store(), made_from)
    if known:
        print(f"grid {grid.name}: {known} cells; nothing to run; view {view}")
    elif flags.plan:
        _print_plan(params, flags.retry_failed)
    else:
        _compute(flags, params, grid, view, made_from)


def _with_flags(params: Params, flags: Flags) -> Params:
    """The params with what flags say of the grid and its engine."""
    grid = grid_of(params)
    changes = {"engine": flags.engine, "workers": flags.workers}
    given = {name: value for name, value in changes.items() if value is not None}
    grid = validated(Grid, grid.model_dump() | given, "flags")
    settings = engine_settings(grid.engine, params.engines)
    own: dict[str, Any] = {}
    if flags.gpus is not None and isinstance(settings, LocalEngine):
        own["gpus"] = [int(w) if w.isdecimal() else w for w in flags.gpus.split(",")]
    if flags.address is not None and isinstance(settings, RayEngine):
        own["address"] = flags.address
    engines = dict(params.engines)
    if own:
        entry = settings.model_dump(exclude_unset=True) | {"kind": settings.kind} | own
        engines[grid.engine] = validated(type(settings), entry, "flags").model_dump()
    return params.model_copy(update={"grid": grid, "engines": engines})


def _refuse_contradictions(flags: Flags, params: Params, grid: Grid) -> None:
    """Raise LabError for flags that make no sense together."""
    given = {name: value for name, value in vars(flags).items() if value not in {None, False}}
    only = [f"--{name}" for name in ("plan", "status", "cancel") if name in given]
    others = {"engine", "wait", "retry_failed", "workers", "gpus", "address"} & given.keys()
    if len(only) > 1:
        raise LabError(" with ".join(only), "one of them", only[0])
    if only and (meant := others - ({"retry_failed"} if flags.plan else set())):
        flag = f"--{min(meant).replace('_', '-')}"
        raise LabError(
            f"{flag} with {only[0]}, which computes nothing", f"{only[0]} alone", only[0]
        )
    kind = engine_settings(grid.engine, params.engines).kind
    for name, owner, remedy in (
        ("workers", "local", "max_parallel in its entry in engines"),
        ("gpus", "local", "gpus in its entry in engines"),
        ("address", "ray", "--engine ray"),
    ):
        if name in given and kind != owner:
            raise LabError(
                f"--{name} {quoted(given[name])} with engine {grid.engine} of kind {kind}",
                f"--{name} with the engine {owner}",
                remedy,
            )


def _print_plan(params: Params, retry_failed: bool) -> None:
    from pipeline.grids.cells import cell_texts, cells
    from pipeline.grids.gpu_cost import gpu_seconds
    from pipeline.grids.plan import expected_seconds, plan
    from pipeline.runs.planned import NamedEncoder
    from pipeline.runs.pretraining import missing_encoders

    all_cells, store = cells(params), Store()
    found = plan(all_cells, store)
    planned = [one for one in found if one.status == "failed" or not retry_failed]
    texts = cell_texts(all_cells)
    encoders: dict[str, NamedEncoder] = {}
    for one in planned:
        encoders |= missing_encoders(one.cell)
    for key, encoder in encoders.items():
        print(f"{key} encoder {encoder.name}: missing")
    for one in planned:
        print(f"{one.cell.key} {texts[one.cell.key]}: {one.why}")
    seconds = expected_seconds(planned, store) if planned else 0.0
    by, source = seconds, "h by past runs"
    if seconds is None:
        by, source = gpu_seconds(one.cell for one in planned), "GPU hours by steps on an H100"
    cost = "unknown" if by is None else f"about {by / 3600:,.2f} {source}"
    print(f"{len(planned)} of {len(all_cells)} cells would run; {cost}")


def _compute(flags: Flags, params: Params, grid: Grid, view: Path, made_from: str) -> None:
    from pipeline.grids.cells import cells
    from pipeline.grids.engines.choice import choose_engine
    from pipeline.grids.run import (
        frozen_for,
        missing_cells,
        note_names,
        note_trials,
        run_batch,
        submit_batch,
    )
    from pipeline.results.tracker import how_to_open, show_seeds

    engine = choose_engine(grid.engine, params, grid.workers)
    engine.check()
    execution = Execution(tracking=flags.tracking, grid=grid.name)
    all_cells = cells(params)
    missing = missing_cells(all_cells, flags.retry_failed)
    endings: Counter[str] = Counter()
    tracks = False
    if missing:
        file = params_path(flags.params)
        batch = frozen_for(engine, missing, len(all_cells), params, file, execution)
        if engine.stays and not flags.wait:
            print(submit_batch(batch, engine))
            return
        tracks = batch.execution.tracking
        endings = run_batch(batch, engine)
    note_names(all_cells)
    note_trials(all_cells)
    if tracks:
        show_seeds([cell.key for cell in missing])
    keys = [cell.key for cell in all_cells]
    write_view(keys, view)
    note_finished(view, params_path(flags.params), keys, made_from)
    ended = ", ".join(f"{n} {ending}" for ending, n in sorted(endings.items())) or "nothing to run"
    print(f"grid {grid.name}: {len(all_cells)} cells; {ended}; view {view}")
    if tracks:
        for dataset in sorted({cell.row["dataset"] for cell in missing}):
            print(f"curves: {how_to_open(dataset)}")
    if endings["failed"]:
        raise LabError(
            f"{endings['failed']} of {len(all_cells)} cells failed",
            "cells that end; each failed one has a row that says why",
            "the same command, which tries them again",
            exit_code=1,
        )


if __name__ == "__main__":
    main()
