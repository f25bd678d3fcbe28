"""Tiny runs for tests: one call trains the handwritten digits for an epoch or two."""

import signal
from pathlib import Path

import polars as pl

from pipeline.config import Execution, read_params
from pipeline.results.store import Store
from pipeline.runs.encoders import prepare_encoder_inputs
from pipeline.runs.inputs import prepare_data, prepare_labels
from pipeline.runs.methods import load_method
from pipeline.runs.pretraining import carry_out
from pipeline.runs.run import Outcome
from pipeline.runs.settings import pinned, resolve
from pipeline.training.processes import Processes
from pipeline.training.stopping import StopRequest

QUIET = {"tracking": False}


def run(method: str = "robust_loss", execution: dict | None = None, **settings) -> Outcome:
    """Prepare what is missing and carry out one run in this process."""
    params = read_params()
    loaded = load_method(method)
    resolved = resolve(loaded, pinned(loaded, params) | settings, params)
    prepare_data(resolved.settings.dataset, params)
    prepare_labels(resolved.settings.dataset, resolved.settings.noise, params)
    how = Execution(**(QUIET | (execution or {})))
    prepare_encoder_inputs(resolved.settings, params)
    return carry_out(loaded, resolved, how, params, Processes())


def numbers(key: str, store: Path | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Epochs and samples of a stored run, without what it cost."""
    source = Store(store)
    epochs = source.epochs([key]).drop("seconds").sort("epoch").collect()
    return epochs, source.samples([key]).sort("index").collect()


def row(key: str) -> dict:
    """The stored row of a run."""
    return Store().run(key) or {}


def stop_at_step(monkeypatch, number):
    """Send SIGTERM to this process in the given step; returns a list with one item a step."""
    steps, original = [], StopRequest.save_now

    def stopping(request):
        steps.append(None)
        if len(steps) == number:
            signal.raise_signal(signal.SIGTERM)
        return original(request)

    monkeypatch.setattr(StopRequest, "save_now", stopping)
    return steps
