"""Whole runs: do they repeat to the bit, does a resume change nothing, and how good do they get."""

from __future__ import annotations

import signal
from typing import Any

import polars as pl

from benchmarks.gpu.isolation import Row
from benchmarks.gpu.laboratory import (
    NOISE,
    QUIET,
    Size,
    planned_run,
    processes_in,
    use_store,
)
from pipeline.errors import Interrupted
from pipeline.results.store import Store
from pipeline.runs.pretraining import carry_out
from pipeline.runs.script import run_script
from pipeline.runs.settings.methods import load_method
from pipeline.training.stopping import StopRequest

REPEATED: dict[str, dict[str, Any]] = {
    "robust_loss ce": {"loss": "ce"},
    "robust_loss ce bf16": {"loss": "ce", "precision": "bf16"},
    "sop plus": {"plus": True},
    "representation_regularization ce": {"loss": "ce"},
    "dividemix": {"warm_up": 1, "keep_both_sides": True},
    "lra_diffusion": {},
}
LOSSES = ("ce", "dal")


def repeated(item: str, size: Size) -> Row:
    """Whether two runs of one seed are equal, and one that is stopped and resumed as well."""
    settings = {
        "backbone": size.network, "batch_size": size.batch, "epochs": 2, "optimizer": "sgd",
        "lr": 0.02, "sampling": "balanced", "per_class": size.per_class,
    } | REPEATED[item]  # fmt: skip
    method = item.partition(" ")[0]
    first = _numbers(method, settings, "first")
    row: Row = {"repeats": _compared(first, _numbers(method, settings, "second"))}
    n_steps = 3 * 10 * size.per_class // size.batch // 2
    row["resumes"] = _compared(first, _numbers(method, settings, "third", stop_after=n_steps))
    return row | {"test_accuracy": first[0]["test_accuracy"].to_list()[-1]}


def _numbers(
    method: str, settings: dict[str, Any], store: str, stop_after: int | None = None
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Epochs and samples of a run in a store of its own, without what it cost."""
    use_store(store)
    planned = planned_run(method, **settings)
    processes = processes_in(planned.settings.precision)
    if stop_after is not None:
        _stopped(lambda: carry_out(planned, QUIET, processes), stop_after)
    key = carry_out(planned, QUIET, processes).key
    found = Store()
    if stop_after is not None and (found.run(key) or {}).get("resumed") != 1:
        raise RuntimeError(f"run {key} was not resumed")
    epochs = found.epochs([key]).drop("seconds").sort("epoch").collect()
    return epochs, found.samples([key]).sort("index").collect()


def _stopped(run: Any, step: int) -> None:
    """Carry out a run that is asked to stop after some steps."""
    asked, n_steps = StopRequest.save_now, 0

    def stopping(request: StopRequest) -> bool:
        nonlocal n_steps
        n_steps += 1
        if n_steps == step:
            signal.raise_signal(signal.SIGTERM)
        return asked(request)

    StopRequest.save_now = stopping
    try:
        run()
    except Interrupted:
        return
    finally:
        StopRequest.save_now = asked
    raise RuntimeError(f"the run ended before step {step}")


def _compared(
    one: tuple[pl.DataFrame, pl.DataFrame], other: tuple[pl.DataFrame, pl.DataFrame]
) -> str:
    """`equal`, or the columns that differ."""
    names = []
    for kind, mine, theirs in zip(("epochs", "samples"), one, other, strict=True):
        names += [f"{kind}.{name}" for name in mine.columns
                  if not mine[name].equals(theirs[name], null_equal=True)]  # fmt: skip
    return f"differs: {', '.join(names)}" if names else "equal"


def real_run(item: str, size: Size) -> Row:
    """A run by its script: accuracy, seconds of an epoch, and of all the rest."""
    use_store(item)
    recipe = "paper" if size.dataset == "cifar10" else "pocket"
    processes_in("bf16")
    run_script(
        load_method("robust_loss"),
        ["--dataset", size.dataset, "--noise", NOISE, "--loss", item, "--recipe", recipe,
         "--backbone", size.network, "--epochs", str(size.epochs), "--precision", "bf16",
         "--no-tracking"],
    )  # fmt: skip
    store = Store()
    row = store.runs().collect().row(0, named=True)
    epochs = store.epochs([row["key"]]).sort("epoch").collect()
    trained = epochs["seconds"]
    return {
        "test_accuracy": epochs["test_accuracy"].to_list()[-1],
        "best_accuracy": epochs["test_accuracy"].max(),
        "memorised": epochs["memorised"].to_list()[-1],
        "first_epoch_s": trained.to_list()[0],
        "epoch_s": trained.median(),
        "images_per_s": row["n_train"] / float(trained.min()),
        "rest_s": row["seconds"] - trained.sum(),
        "whole_s": row["seconds"],
    }
