"""One trial of a search: runs that differ in their seed, judged by noisy validation labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pipeline.config import Params, Tune, grid_of
from pipeline.errors import LabError
from pipeline.grids.cells import Cell, cells
from pipeline.results.protocols import PROTOCOLS, choose
from pipeline.results.store import Store
from pipeline.runs.planning import Planner
from pipeline.tuning.space import Values

METRIC = "val_noisy_accuracy"
"""What judges a run: a column of the epochs table."""
WORST = 0.0
"""What counts for a trial of which a run diverged or failed."""


class Place(NamedTuple):
    """Where settings are searched for."""

    dataset: str
    noise: str


class Trial(NamedTuple):
    """Settings that were tried."""

    number: int
    """From 1, in the order of the proposals."""
    settings: Values
    """Those that are searched."""
    cells: list[Cell]
    """One for a seed."""
    accuracy: float | None = None
    """Mean over the seeds; None where one diverged or failed."""

    @property
    def value(self) -> float:
        """What the search hears of it."""
        return WORST if self.accuracy is None else self.accuracy


def planned_runs(
    tune: Tune, place: Place, block: Values, settings: Values, params: Params, planner: Planner
) -> list[Cell]:
    """The runs of a trial, one for a seed, planned as those of a grid are.

    Args:
        tune: name and seeds.
        place: data set and label table.
        block: settings that are the same in all trials, and the method.
        settings: those that are searched.
        params: with the grid.
        planner: of these params.

    Raises:
        LabError: for faulty settings, and where no noisy validation labels are held out.
    """
    run = {name: [value] for name, value in (block | settings).items()}
    grid = grid_of(params).model_copy(
        update={
            "name": tune.name,
            "datasets": (place.dataset,),
            "noises": (place.noise,),
            "seeds": tune.seeds,
            "runs": (run,),
        }
    )
    found = cells(params.model_copy(update={"grid": grid}), planner)
    chosen = found[0].settings
    if chosen.validation != "held-out" or not chosen.val_rate:
        raise LabError(
            f"tune: {block['method']} with validation {chosen.validation}, val_rate "
            f"{chosen.val_rate:g}",
            "held-out samples with noisy labels, by which trials are judged",
            "val_rate: 0.1 in the block",
        )
    return found


def judged(trials: Sequence[Trial], tune: Tune, store: Store) -> list[Trial]:
    """Trials with their accuracy, once their runs have ended.

    Args:
        trials: that were computed.
        tune: by which epoch a run is judged.
        store: of the runs.

    Returns:
        The trials, in the same order.

    Raises:
        LabError: for a finished run without noisy validation labels.
    """
    keys = {cell.key for trial in trials for cell in trial.cells}
    statuses = store.statuses(keys)
    rows = choose(store.epochs(keys), PROTOCOLS[tune.protocol], METRIC).select("key", "value")
    values: dict[str, float] = dict(rows.collect().iter_rows())
    done = {key for key in keys if statuses.get(key) == "done"}
    if untold := done - values.keys():
        raise LabError(
            f"run {min(untold)} recorded no {METRIC}",
            "runs with held-out samples whose labels are noisy",
            "val_rate: 0.1 in the block, or noise whose labels are not known to be clean",
        )
    return [_judged(trial, values, done) for trial in trials]


def _judged(trial: Trial, values: dict[str, float], done: set[str]) -> Trial:
    keys = [cell.key for cell in trial.cells]
    if not done.issuperset(keys):
        return trial._replace(accuracy=None)
    return trial._replace(accuracy=sum(values[key] for key in keys) / len(keys))
