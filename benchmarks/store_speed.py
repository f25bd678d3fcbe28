"""Asking thousands of runs a question: the results store beside `mlflow.search_runs`.

    uv run python benchmarks/store_speed.py               # 10,000 runs of 150 epochs: minutes
    uv run python benchmarks/store_speed.py --runs 500    # a try

The question is the leaderboard under `last`: mean and spread over seeds of the accuracy in the last
epoch, per method and noise. For MLflow that is its best case, because it keeps the last value of a
metric beside the run; its runs hold 20 parameters and 10 metrics each. The fastest reading counts,
of three or more in as many seconds.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tyro
from rich.progress import track

from analysis.comparison import compare
from pipeline.results.schema import RUN_COLUMNS
from pipeline.results.store import Store
from pipeline.results.upkeep.compaction import compact
from pipeline.results.view import Results

SEEDS, NOISES = 5, 8
SAMPLES_PER_RUN = 10
METRICS, PARAMETERS = 10, 20


@dataclass(frozen=True)
class Flags:
    """Size of the benchmark."""

    runs: int = 10_000
    """Number of runs."""
    epochs: int = 150
    """Epochs of each run."""


def synthetic_row(number: int) -> dict[str, Any]:
    """A row of `runs` with every column filled."""
    group, seed = divmod(number, SEEDS)
    method, noise = divmod(group, NOISES)
    text = {name: name for name, column in RUN_COLUMNS.items() if column.dtype == pl.String}
    counts = {name: 1 for name, column in RUN_COLUMNS.items() if column.dtype.is_numeric()}
    settings = {f"setting_{i}": (method * 7 + i) % (5 + i) for i in range(PARAMETERS)}
    return (
        text
        | counts
        | {
            "key": f"r{number:016x}",
            "group": f"{group:016x}",
            "variant": f"method-{method:04d}",
            "noise": f"noise-{noise}",
            "seed": seed,
            "settings": json.dumps(settings),
            "knows": [],
            "class_names": [str(label) for label in range(10)],
            "confusion": [10] * 100,
            "status": "done",
        }
    )


def fill_store(store: Store, flags: Flags) -> None:
    """Write every run the way training does."""
    random = np.random.default_rng(0)
    for number in track(range(flags.runs), "store"):
        row = synthetic_row(number)
        curves = random.random((6, flags.epochs))
        names = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "memorised")
        epochs = pl.DataFrame(dict(zip((*names, "corrected"), curves, strict=True))).with_columns(
            key=pl.lit(row["key"]), epoch=pl.int_range(flags.epochs)
        )
        samples = pl.DataFrame({"index": range(SAMPLES_PER_RUN)}).with_columns(
            key=pl.lit(row["key"]), y_noisy=pl.lit(0)
        )
        store.write_finished(row, epochs, samples)


def fill_mlflow(uri: str, flags: Flags) -> str:
    """Log the same number of runs to MLflow; returns the experiment."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    client, random = MlflowClient(uri), np.random.default_rng(0)
    experiment = str(client.create_experiment("speed"))
    for number in track(range(flags.runs), "mlflow"):
        row, now = synthetic_row(number), int(time.time() * 1000)
        run = client.create_run(experiment).info.run_id
        metrics = [
            Metric(f"metric_{i}", value, now, flags.epochs - 1)
            for i, value in enumerate(random.random(METRICS))
        ]
        parameters = [Param(name, str(v)) for name, v in json.loads(row["settings"]).items()]
        tags = [RunTag(name, str(row[name])) for name in ("key", "group", "variant", "noise")]
        client.log_batch(run, metrics, parameters, tags)
        client.set_terminated(run)
    return experiment


def mlflow_leaderboard(uri: str, experiment: str, runs: int) -> Any:
    """The same table by way of MLflow's search."""
    import mlflow

    mlflow.set_tracking_uri(uri)
    found = mlflow.search_runs([experiment], max_results=runs)
    return found.groupby(["tags.variant", "tags.noise"])["metrics.metric_0"].agg(["mean", "std"])


def once(question: Callable[[], object]) -> float:
    """Wall time of one reading, in seconds."""
    start = time.perf_counter()
    question()
    return time.perf_counter() - start


def fastest(question: Callable[[], object], least: int = 3, seconds: float = 3.0) -> float:
    """Shortest wall time of several readings, in seconds: `least`, or what `seconds` allow."""
    readings: list[float] = []
    while len(readings) < least or sum(readings) < seconds:
        readings.append(once(question))
    return min(readings)


def main() -> None:
    """Fill both, ask both, print times and ratios."""
    flags = tyro.cli(Flags, description=__doc__)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with tempfile.TemporaryDirectory() as name:
        store, uri = Store(Path(name) / "store"), f"sqlite:///{name}/mlflow.db"

        def leaderboard() -> int:
            return compare(Results(store.runs(), store.epochs())).cells.height

        def statuses() -> int:
            return len(store.statuses([synthetic_row(i)["key"] for i in range(1000)]))

        fill_store(store, flags)
        single = once(leaderboard), once(statuses)
        start = time.perf_counter()
        compact(store)
        compaction = time.perf_counter() - start
        merged = fastest(leaderboard), fastest(statuses)
        experiment = fill_mlflow(uri, flags)
        searched = fastest(lambda: mlflow_leaderboard(uri, experiment, flags.runs))
    print(f"{flags.runs} runs x {flags.epochs} epochs; compaction took {compaction:.1f} s")
    print(f"{'':24}{'loose files':>14}{'segments':>14}")
    for row, before, after in zip(("leaderboard", "status of 1,000"), single, merged, strict=True):
        print(f"{row:24}{before:12.3f} s{after:12.3f} s")
    print(f"{'mlflow.search_runs':24}{searched:12.3f} s")
    print(f"the store answers {searched / merged[0]:.0f} times as fast as MLflow")


if __name__ == "__main__":
    main()
