"""The main program of every method script."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import Execution, read_params
from pipeline.errors import LabError, program
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import carry_out
from pipeline.runs.run import Outcome
from pipeline.runs.settings.flags import parse_flags
from pipeline.training.method import Method
from pipeline.training.observers import posterior_address
from pipeline.training.processes import Processes


@program
def run_script(method: type[Method], arguments: Sequence[str] | None = None) -> None:
    """Parse the flags, plan the run, carry it out, and say where the numbers are.

    Args:
        method: the class that the script defines.
        arguments: command line; that of the program if None.
    """
    params = read_params()
    resolved, execution = parse_flags(method, arguments, params)
    processes = Processes(resolved.settings.precision)
    roots = {} if execution.root is None else {resolved.settings.dataset: execution.root}
    planned = processes.main_first(
        lambda: Planner(params, roots, makes=processes.is_main).run(method, resolved)
    )
    outcome = carry_out(planned, execution, processes)
    if processes.is_main:
        _report(planned, execution, outcome)


def _report(planned: PlannedRun, execution: Execution, outcome: Outcome) -> None:
    """Say how the run ended and where its numbers are."""
    if outcome.ending == "diverged":
        raise LabError(
            f"run {outcome.key} diverged: {outcome.detail}",
            "a loss that stays finite; the rows are stored under status diverged",
            f"a smaller --lr than {planned.settings.lr:g}",
            exit_code=1,
        )
    print(f"run {outcome.key} {outcome.ending} {outcome.detail}".rstrip())
    if outcome.speed:
        print(f"speed: {outcome.speed}")
    if execution.posterior and outcome.status == "done":
        print(f"softmax outputs: {posterior_address(outcome.key)}")
    print(f"numbers: uv run python analysis/leaderboard.py --dataset {planned.settings.dataset}")
