"""Synthetic runs for tests of the results store and the analysis: small, seeded, fully known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from pipeline.identity import digest, run_key
from pipeline.results.store import Store

N_CLASSES = 3


def run_row(
    method: str = "ce", noise: str = "sym", seed: int = 0, status: str = "done", **given: Any
) -> dict[str, Any]:
    """A complete row of `runs`; `settings` is a mapping here, key and group follow from it."""
    settings = {"lr": 0.1, **given.pop("settings", {})}
    group = {"method": method, "noise": noise, "settings": settings}
    row: dict[str, Any] = {
        "key": run_key({**group, "seed": seed}),
        "group": digest(group),
        "method": method,
        "version": 1,
        "dataset": "digits",
        "noise": noise,
        "noise_kind": "symmetric",
        "nominal_rate": 0.4,
        "realised_rate": 0.41,
        "seed": seed,
        "backbone": "small-cnn",
        "epochs": 3,
        "batch_size": 64,
        "lr": settings["lr"],
        "weight_decay": 1e-4,
        "precision": "fp32",
        "determinism": "error",
        "settings": json.dumps({**settings, "seed": seed}),
        "data_digest": "d" * 16,
        "labels_digest": digest(noise),
        "noise_card": json.dumps(
            {"transition": [[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]}
        ),
        "knows": [],
        "class_names": ["zero", "one", "two"],
        "status": status,
        "n_train": 4,
        "n_val": 0,
        "n_test": 6,
        "confusion": [2, 0, 0, 0, 1, 1, 0, 0, 2],
        "host": "somewhere",
        "seconds": 1.5,
    }
    return {**row, **given}


def epoch_rows(key: str, test_accuracy: Sequence[float | None], **columns: Any) -> pl.DataFrame:
    """Epochs with the given test accuracies; other columns by name."""
    n = len(test_accuracy)
    return pl.DataFrame(
        {
            "key": [key] * n,
            "epoch": range(n),
            "test_accuracy": pl.Series(test_accuracy, dtype=pl.Float64),
            "memorised": [0.1 * epoch / max(n, 1) for epoch in range(n)],
            **columns,
        }
    )


def sample_rows(key: str, n: int = 4) -> pl.DataFrame:
    """Samples 0 to n-1, all given class 0."""
    return pl.DataFrame(
        {"key": [key] * n, "index": range(n), "y_noisy": [0] * n, "mean_loss": [0.5] * n}
    )


def add_run(
    store: Store, test_accuracy: Sequence[float | None] = (0.5, 0.7, 0.6), **given: Any
) -> str:
    """Write a finished run and return its key; `columns` are further columns of its epochs."""
    columns = given.pop("columns", {})
    row = run_row(**given)
    key: str = row["key"]
    store.write_finished(row, epoch_rows(key, test_accuracy, **columns), sample_rows(key))
    return key
