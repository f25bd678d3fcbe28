"""The main program of every method script."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import read_params
from pipeline.errors import LabError, program
from pipeline.training.devices import Devices
from pipeline.training.inputs import prepare_data, prepare_labels
from pipeline.training.method import Method
from pipeline.training.named_encoders import prepare_encoder_inputs
from pipeline.training.posterior import posterior_folder
from pipeline.training.pretraining import carry_out
from pipeline.training.settings import parse_flags


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
    devices = Devices(settings.precision)
    if devices.is_main:
        prepare_data(settings.dataset, params, execution.root)
        prepare_labels(settings.dataset, settings.noise, params)
        prepare_encoder_inputs(settings, params)
    devices.wait()
    outcome = carry_out(method, resolved, execution, params, devices)
    if outcome.ending == "diverged":
        raise LabError(
            f"run {outcome.key} diverged: {outcome.detail}",
            "its rows are stored under status diverged",
            f"a smaller --lr than {settings.lr:g} often helps",
            exit_code=1,
        )
    if devices.is_main:
        print(f"run {outcome.key} {outcome.ending} {outcome.detail}".rstrip())
        if execution.posterior:
            print(f"softmax outputs: {posterior_folder(outcome.key)}")
        print(f"numbers: python analysis/leaderboard.py --dataset {settings.dataset}")
