"""A grid of runs: its cells, the plan of what would run and why, and carrying it out."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from tqdm import tqdm

from pipeline.config import Execution, Grid, Params, RunSettings, grid_of, read_params
from pipeline.errors import LabError
from pipeline.grids.engines.local import in_worker, worker_pool
from pipeline.results.store import Store
from pipeline.results.tracker import prepare_view
from pipeline.runs.encoders import named_encoders, prepare_encoder_inputs
from pipeline.runs.inputs import prepare_data, prepare_labels
from pipeline.runs.key import Cards, EncoderFact, describe
from pipeline.runs.methods import load_method
from pipeline.runs.pretraining import carry_out
from pipeline.runs.run import Outcome
from pipeline.runs.settings import Resolved, pinned, resolve
from pipeline.training.checkpoints import checkpoint_path
from pipeline.training.method import Method
from pipeline.training.processes import Processes


class Cell(NamedTuple):
    """One run of a grid."""

    method: type[Method]
    resolved: Resolved
    row: dict[str, Any]
    """What the runs table will say of it (see `describe`)."""

    @property
    def key(self) -> str:
        """Key of the run."""
        return str(self.row["key"])


class Planned(NamedTuple):
    """A cell that is not finished, and why it would run."""

    cell: Cell
    why: str


def prepare_grid(params: Params) -> None:
    """Make the data sets and label tables of the grid that are missing."""
    grid = grid_of(params)
    for dataset in grid.datasets:
        prepare_data(dataset, params)
        for noise in grid.noises:
            prepare_labels(dataset, noise, params)


def cells(params: Params) -> list[Cell]:
    """All cells of the grid, in a fixed order, without repeats.

    Args:
        params: with a grid whose inputs are prepared.

    Returns:
        The cells.

    Raises:
        LabError: for faulty settings or missing inputs, naming the block.
    """
    grid = grid_of(params)
    found: dict[str, Cell] = {}
    for dataset, noise in itertools.product(grid.datasets, grid.noises):
        cards = Cards.read(dataset, noise)
        for block, seed in itertools.product(_blocks(grid), grid.seeds):
            method = load_method(block["method"])
            explicit = {name: value for name, value in block.items() if name != "method"}
            place = {"dataset": dataset, "noise": noise, "seed": seed}
            resolved = resolve(method, pinned(method, params) | explicit | place, params)
            facts = _encoder_facts(resolved.settings, params)
            cell = Cell(method, resolved, describe(method, resolved, cards, params, facts))
            found.setdefault(cell.key, cell)
    return list(found.values())


def _encoder_facts(settings: RunSettings, params: Params) -> dict[str, EncoderFact]:
    prepare_encoder_inputs(settings, params)
    return {role: one.fact for role, one in named_encoders(settings, params).items()}


def _blocks(grid: Grid) -> Iterator[dict[str, Any]]:
    """The run blocks with their lists crossed out; a list of lists crosses over list values."""
    for block in grid.runs:
        if "method" not in block:
            raise LabError(f"grid run {block}", "a method in every block", "method: robust_loss")
        choices = [value if isinstance(value, list) else [value] for value in block.values()]
        for values in itertools.product(*choices):
            yield dict(zip(block, values, strict=True))


def plan(all_cells: list[Cell], store: Store) -> list[Planned]:
    """The cells that would run, and why.

    Args:
        all_cells: of the grid.
        store: of finished runs.

    Returns:
        The unfinished cells, in order.
    """
    statuses = store.statuses(cell.key for cell in all_cells)
    open_cells = [cell for cell in all_cells if statuses.get(cell.key) not in {"done", "diverged"}]
    if not open_cells:
        return []
    stored = _stored_by_place(store)
    return [Planned(cell, _why(cell, statuses.get(cell.key), stored)) for cell in open_cells]


_PLACE = ("method", "variant", "dataset", "noise", "seed")


def _stored_by_place(store: Store) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    columns = (*_PLACE, "version", "data_digest", "labels_digest", "settings")
    rows = store.runs().filter(pl.col("status") == "done").select(columns).collect()
    places: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows.iter_rows(named=True):
        places.setdefault(tuple(row[name] for name in _PLACE), []).append(row)
    return places


def _why(
    cell: Cell, status: str | None, stored: dict[tuple[Any, ...], list[dict[str, Any]]]
) -> str:
    if checkpoint_path(cell.key).exists():
        return "unfinished: continues from its checkpoint"
    if status == "running":
        return "unfinished: its program ended before a checkpoint"
    if status == "failed":
        return "failed before"
    place = tuple(cell.row[name] for name in _PLACE)
    differences = [_differences(cell.row, row) for row in stored.get(place, [])]
    if not differences:
        return "new"
    fewest = sorted(differences, key=len)[0]
    return "changed: " + ", ".join(fewest)


def _differences(asked: dict[str, Any], stored: dict[str, Any]) -> list[str]:
    found = [
        f"{name} {stored[name]} -> {asked[name]}"
        for name in ("version", "data_digest", "labels_digest")
        if stored[name] != asked[name]
    ]
    new, old = json.loads(asked["settings"]), json.loads(stored["settings"])
    return found + [
        f"{name} {old.get(name)} -> {new.get(name)}"
        for name in sorted(new | old)
        if name != "recipe" and new.get(name) != old.get(name)
    ]


def expected_seconds(planned: list[Planned], store: Store) -> float | None:
    """Wall time that the planned runs would take one after another, by past runs of their kind.

    Args:
        planned: runs to come.
        store: of past runs.

    Returns:
        Seconds, or None while no past run resembles any of them.
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
    seconds = [
        known[place] * planned_run.cell.row["epochs"]
        for planned_run in planned
        if (place := tuple(planned_run.cell.row[name] for name in kind)) in known
    ]
    return sum(seconds) * len(planned) / len(seconds) if seconds else None


def run_grid(
    all_cells: list[Cell], params_path: Path | None, execution: Execution, workers: int
) -> Counter[str]:
    """Compute the missing cells of a grid.

    Args:
        all_cells: of the grid.
        params_path: the params.yaml that they come from, None for the project's.
        execution: how each run is carried out.
        workers: processes that compute cells at the same time.

    Returns:
        How many cells ended how.

    Raises:
        LabError: when a cell cannot start; cells already computed stay stored.
        Interrupted: when a stop was asked for.
    """
    missing = plan(all_cells, Store())
    if missing and execution.tracking:
        prepare_view(sorted({planned.cell.row["dataset"] for planned in missing}))
    endings: Counter[str] = Counter()
    with tqdm(total=len(missing), desc="runs", disable=None) as bar:
        for planned, outcome in _outcomes(missing, params_path, execution, workers):
            endings[outcome.ending] += 1
            row = planned.cell.row
            tqdm.write(
                f"{outcome.key} {outcome.ending:8} {row['method']} {row['variant']} "
                f"{row['dataset']} {row['noise']} seed {row['seed']} {outcome.detail}".rstrip()
            )
            bar.update()
    return endings


def _outcomes(
    missing: list[Planned], params_path: Path | None, execution: Execution, workers: int
) -> Iterator[tuple[Planned, Outcome]]:
    if workers == 1:
        for planned in missing:
            params = read_params(params_path)
            processes = Processes(planned.cell.resolved.settings.precision)
            yield (
                planned,
                carry_out(planned.cell.method, planned.cell.resolved, execution, params, processes),
            )
        return
    with worker_pool(workers) as pool:
        futures = {
            pool.submit(in_worker, _run_key, params_path, execution, planned.cell.key): planned
            for planned in missing
        }
        for future in as_completed(futures):
            yield futures[future], future.result()


@lru_cache(maxsize=1)
def _cells_by_key(params_path: Path | None) -> dict[str, Cell]:
    return {cell.key: cell for cell in cells(read_params(params_path))}


def _run_key(params_path: Path | None, execution: Execution, key: str) -> Outcome:
    """Compute one cell in a worker process."""
    cell = _cells_by_key(params_path)[key]
    processes = Processes(cell.resolved.settings.precision)
    return carry_out(cell.method, cell.resolved, execution, read_params(params_path), processes)
