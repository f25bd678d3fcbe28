"""A planned cell as it travels to a worker: settings resolved once, checked where it arrives."""

from __future__ import annotations

from typing import NamedTuple

from pipeline.config import Execution
from pipeline.errors import Interrupted, LabError
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import carry_out
from pipeline.runs.record import RunRecord
from pipeline.runs.run import Outcome
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import Resolved
from pipeline.training.processes import Processes


class FrozenCell(NamedTuple):
    """What a worker needs to plan exactly the same run.

    Args:
        method: name of the method.
        resolved: settings as they were resolved; they are not resolved again.
        key: that the run was planned under.
    """

    method: str
    resolved: Resolved
    key: str

    @classmethod
    def of(cls, cell: PlannedRun) -> FrozenCell:
        """Freeze a planned run."""
        return cls(cell.method.name(), cell.resolved, cell.key)


def carry_out_frozen(cell: FrozenCell, planner: Planner, execution: Execution) -> Outcome:
    """Compute a cell that arrived in this process; see `carry_out_cell`.

    Args:
        cell: to compute.
        planner: made of the params that the cell was planned from.
        execution: how.
    """
    try:
        planned = planner.run(load_method(cell.method), cell.resolved)
    except LabError as failure:
        return Outcome(cell.key, "failed", str(failure), "failed")
    if planned.key != cell.key:
        return Outcome(
            cell.key,
            "failed",
            "an input or the code has changed since the grid was planned; expected: inputs that "
            "stay as they are while a grid runs; try: the same command, which plans again",
            "failed",
        )
    return carry_out_cell(planned, execution)


def carry_out_cell(planned: PlannedRun, execution: Execution) -> Outcome:
    """Compute a cell in this process.

    Args:
        planned: the cell.
        execution: how.

    Returns:
        The outcome: `failed` for a cell that could not start or ended by an error, which is then
        what its row says.

    Raises:
        Interrupted: when a stop was asked for; the state is saved.
    """
    try:
        return carry_out(planned, execution, Processes(planned.settings.precision))
    except Interrupted:
        raise
    except LabError as failure:
        return _failed(planned, str(failure))
    # Whatever ends one cell, the others follow.
    except Exception as failure:
        return _failed(planned, f"{type(failure).__name__}: {failure}")


def _failed(planned: PlannedRun, detail: str) -> Outcome:
    """The outcome of a failure, which has a row even before the run began, as in its encoder."""
    store = Store()
    if store.status(planned.key) is None:
        view, processes = LiveView(False, ""), Processes(planned.settings.precision)
        RunRecord(planned.row, store, view, processes).broken_off("failed", detail)
    return Outcome(planned.key, "failed", detail, "failed")
