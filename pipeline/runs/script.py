"""The main program of every method script."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import read_params
from pipeline.errors import LabError, program
from pipeline.runs.encoders import prepare_encoder_inputs
from pipeline.runs.inputs import prepare_data, prepare_labels
from pipeline.runs.pretraining import carry_out
from pipeline.runs.settings import parse_flags
from pipeline.training.method import Method
from pipeline.training.observers import posterior_folder
from pipeline.training.processes import Processes


@program
def run_script(method: type[Method], arguments: Sequence[str] | None = None) -> None:
    """Parse the flags, prepare missing inputs, run, and say where the numbers are.

    Args:
        method: the class that the script defines.
        arguments: command line; that of the program if None.
    """
    params = read_params()
    resolved, execution = parse_flags(method, arguments, params)
    settings = resolved.settings
    processes = Processes(settings.precision)
    if processes.is_main:
        prepare_data(settings.dataset, params, execution.root)
        prepare_labels(settings.dataset, settings.noise, params)
        prepare_encoder_inputs(settings, params)
    processes.wait()
    outcome = carry_out(method, resolved, execution, params, processes)
    if outcome.ending == "diverged":
        raise LabError(
            f"run {outcome.key} diverged: {outcome.detail}",
            "its rows are stored under status diverged",
            f"a smaller --lr than {settings.lr:g} often helps",
            exit_code=1,
        )
    if processes.is_main:
        print(f"run {outcome.key} {outcome.ending} {outcome.detail}".rstrip())
        if execution.posterior:
            print(f"softmax outputs: {posterior_folder(outcome.key)}")
        print(f"numbers: python analysis/leaderboard.py --dataset {settings.dataset}")
