"""Tiny runs for tests: one call trains the handwritten digits for an epoch or two."""

import signal
from pathlib import Path

import polars as pl

from pipeline.config import Execution, read_params
from pipeline.results.store import Store
from pipeline.runs.planned import PlannedRun
from pipeline.runs.planning import Planner
from pipeline.runs.pretraining import carry_out
from pipeline.runs.run import Outcome
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import resolve_over_pinned
from pipeline.storage.places import artefact_place
from pipeline.training.processes import Processes
from pipeline.training.stopping import StopRequest

QUIET = {"tracking": False}


def run(method: str = "robust_loss", execution: dict | None = None, **settings) -> Outcome:
    """Prepare what is missing and carry out one run in this process."""
    how = Execution(**(QUIET | (execution or {})))
    return carry_out(planned(method, **settings), how, Processes())


def planned(method: str = "robust_loss", **settings) -> PlannedRun:
    """Plan one run; data and labels that are missing are made."""
    params, loaded = read_params(), load_method(method)
    resolved = resolve_over_pinned(loaded, params, settings)
    return Planner(params).run(loaded, resolved)


def numbers(key: str, store: Path | None = None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Epochs and samples of a stored run, without what it cost."""
    source = Store(store)
    epochs = source.epochs([key]).drop("seconds").sort("epoch").collect()
    return epochs, source.samples([key]).sort("index").collect()


def row(key: str) -> dict:
    """The stored row of a run."""
    return Store().run(key) or {}


def checkpoint_path(key: str) -> Path:
    """File of the checkpoint of an unfinished run."""
    return artefact_place().folder / "checkpoints" / f"{key}.pt"


def stop_at_step(monkeypatch, number):
    """Send SIGTERM to this process in the given step; returns a list with one item a step.

    The item is the request of the run, which has steps of its own: so has an encoder that it needs.
    """
    steps, original = [], StopRequest.save_now

    def stopping(request):
        steps.append(request)
        if len(steps) == number:
            signal.raise_signal(signal.SIGTERM)
        return original(request)

    monkeypatch.setattr(StopRequest, "save_now", stopping)
    return steps
