"""Carrying out one cell in this process: whatever ends it, the next one follows."""

from __future__ import annotations

from pipeline.config import Execution
from pipeline.errors import Interrupted, LabError
from pipeline.results.store import Store
from pipeline.results.tracker import LiveView
from pipeline.runs.planned import PlannedRun
from pipeline.runs.pretraining import carry_out
from pipeline.runs.record import RunRecord
from pipeline.runs.run import Outcome
from pipeline.runs.telling import Told
from pipeline.training.processes import Processes


def carry_out_cell(
    planned: PlannedRun, execution: Execution, processes: Processes, told: Told
) -> Outcome:
    """Compute a cell.

    Args:
        planned: the cell.
        execution: how.
        processes: to train on; all of them call this together.
        told: how it goes.

    Returns:
        The outcome: `failed` for a cell that could not start or ended by an error, which is then
        what its row says.

    Raises:
        Interrupted: when a stop was asked for; the state is saved.
    """
    try:
        return carry_out(planned, execution, processes, told)
    except Interrupted:
        raise
    except LabError as failure:
        return failed(planned, str(failure), processes)
    # Whatever ends one cell, the others follow.
    except Exception as failure:
        return failed(planned, f"{type(failure).__name__}: {failure}", processes)


def failed(planned: PlannedRun, detail: str, processes: Processes) -> Outcome:
    """The outcome of a failure, which has a row even before the run began, as in its encoder."""
    if processes.is_main and Store().status(planned.key) is None:
        note_failure(planned, detail, processes)
    return Outcome(planned.key, "failed", detail, "failed")


def note_failure(planned: PlannedRun, detail: str, processes: Processes) -> None:
    """Write the row of a cell that failed outside of its run."""
    RunRecord(planned.row, Store(), LiveView(False), processes).broken_off("failed", detail)
