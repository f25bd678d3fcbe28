"""The main program of every method script: it tells how the run goes, and ends with its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import Execution, Params, read_params
from pipeline.errors import LabError, program
from pipeline.installation import as_typed
from pipeline.results.protocols import PROTOCOLS, Name, choose
from pipeline.results.store import Store
from pipeline.results.tracker import how_to_open
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import carry_out
from pipeline.runs.run import Outcome
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.resolve import Resolved
from pipeline.runs.telling import Lines, figures
from pipeline.storage.belongings import kept_model
from pipeline.storage.places import artefact_place
from pipeline.training.launcher import apart_from_launcher, told_by_one
from pipeline.training.method import Method
from pipeline.training.observers import posterior_address
from pipeline.training.processes import Processes


@apart_from_launcher
@program
def run_script(method: type[Method], arguments: Sequence[str] | None = None) -> None:
    """Parse the flags, plan the run, carry it out, and say where the numbers are.

    Args:
        method: the class that the script defines.
        arguments: command line; that of the program if None.
    """
    with told_by_one():
        params = read_params()
        resolved, execution = parse_flags(method, arguments, params)
    processes = Processes(resolved.settings.precision)
    planned = plan(method, resolved, execution, params, processes)
    outcome = carry_out(planned, execution, processes, Lines(planned.key))
    if processes.is_main:
        _report(planned, execution, outcome)


def plan(
    method: type[Method],
    resolved: Resolved,
    execution: Execution,
    params: Params,
    processes: Processes,
) -> PlannedRun:
    """Plan the one run of a program; of its processes the main one makes what is missing."""
    roots = {} if execution.root is None else {resolved.settings.dataset: execution.root}
    return processes.main_first(
        lambda: Planner(params, roots, makes=processes.is_main).run(method, resolved)
    )


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
    if outcome.status == "done":
        for line in _numbers(outcome.key):
            print(line)
        if model := kept_model(artefact_place(), outcome.key):
            print(f"model: {model}")
            print(as_typed(f"predict: uv run python -m pipeline.predict {outcome.key} FOLDER"))
        if execution.posterior:
            print(f"softmax outputs: {posterior_address(outcome.key)}")
    dataset = planned.settings.dataset
    print(as_typed(f"numbers: uv run python analysis/leaderboard.py --dataset {dataset}"))
    if outcome.status is not None:
        print(as_typed(f"this run: uv run python analysis/runs.py show {outcome.key}"))
    if execution.tracking:
        print(f"curves: {how_to_open(planned.settings.dataset)}")


_TOLD: tuple[Name, ...] = ("last", "last10", "best-noisy-val")


def _numbers(key: str) -> list[str]:
    """The last epoch of a stored run, and its test accuracy by some rules."""
    epochs = Store().epochs([key]).sort("epoch").collect()
    if epochs.is_empty():
        return []
    last = epochs.row(-1, named=True)
    chosen = {name: choose(epochs.lazy(), PROTOCOLS[name]).collect() for name in _TOLD}
    told = [f"{name} {100 * one['value'].item():.1f} %" for name, one in chosen.items() if len(one)]
    return [
        f"last epoch: {', '.join(figures(last))}",
        *([f"test accuracy: {', '.join(told)}"] if told else []),
    ]
