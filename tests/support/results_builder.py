"""Synthetic runs for tests of the results store and the analysis: small and fully known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from pipeline.identity import digest, run_key
from pipeline.results.schema import SEED_COLUMNS, TABLES, Table
from pipeline.results.store import Store
from pipeline.results.tables import layout, parquet
from pipeline.results.tables.manifest import Segment, newest

TRANSITION = [[0.6, 0.3, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]]


def run_row(
    variant: str = "ce",
    noise: str = "sym",
    seed: int = 0,
    *,
    dataset: str = "digits",
    settings: Mapping[str, object] | None = None,
    **columns: Any,
) -> dict[str, Any]:
    """A complete row of `runs`; key and group follow from the named arguments and the streams."""
    resolved = {"loss": variant, "lr": 0.1, **(settings or {})}
    group = {"dataset": dataset, "noise": noise, "settings": resolved}
    row: dict[str, Any] = {
        "key": run_key({**group, "seed": seed, **_streams(columns)}),
        "group": digest(group),
        "method": "robust_loss",
        "variant": variant,
        "version": 1,
        "dataset": dataset,
        "noise": noise,
        "noise_kind": "symmetric",
        "nominal_rate": 0.4,
        "realised_rate": 0.41,
        "seed": seed,
        "backbone": "small-cnn",
        "epochs": 3,
        "batch_size": 64,
        "lr": resolved["lr"],
        "weight_decay": 1e-4,
        "precision": "fp32",
        "determinism": "error",
        "settings": json.dumps({**resolved, "seed": seed}),
        "data_digest": digest(dataset),
        "labels_digest": digest([dataset, noise]),
        "noise_card": json.dumps({"transition": TRANSITION}),
        "knows": [],
        "class_names": ["zero", "one", "two"],
        "status": "done",
        "n_train": 4,
        "n_val": 0,
        "n_test": 6,
        "confusion": [2, 0, 0, 0, 1, 1, 0, 0, 2],
        "host": "somewhere",
        "seconds": 1.5,
    }
    return {**row, **columns}


def _streams(columns: Mapping[str, Any]) -> dict[str, Any]:
    return {name: columns[name] for name in SEED_COLUMNS if name in columns}


def epoch_rows(key: str, test_accuracy: Sequence[float | None], **columns: Any) -> pl.DataFrame:
    """Epochs with the given test accuracies; further columns by name."""
    n = len(test_accuracy)
    return pl.DataFrame(
        {
            "key": pl.Series([key] * n, dtype=pl.String),
            "epoch": range(n),
            "test_accuracy": pl.Series(test_accuracy, dtype=pl.Float64),
            **columns,
        }
    )


def sample_rows(key: str, n: int = 4) -> pl.DataFrame:
    """Samples 0 to n-1, all given class 0."""
    return pl.DataFrame(
        {"key": [key] * n, "index": range(n), "y_noisy": [0] * n, "mean_loss": [0.5] * n}
    )


def add_run(
    store: Store,
    test_accuracy: Sequence[float | None] = (0.5, 0.7, 0.6),
    *,
    curves: Mapping[str, Sequence[float | None]] | None = None,
    **row: Any,
) -> str:
    """Write a finished run and return its key; `curves` are further columns of its epochs."""
    run = run_row(**row)
    key: str = run["key"]
    store.write_finished(run, epoch_rows(key, test_accuracy, **(curves or {})), sample_rows(key))
    return key


def path_of(store: Store, table: Table, key: str) -> Path:
    """The loose file of a run."""
    return store.place.folder / layout.loose(table, key)


def segments_of(store: Store, table: Table) -> list[Segment]:
    """Segments that count."""
    return newest(store.place).of(table)


def segment_path(store: Store, table: Table) -> Path:
    """The only segment of a table."""
    (segment,) = segments_of(store, table)
    return store.place.folder / segment.name


def content_of(store: Store) -> list[list[tuple[object, ...]]]:
    """What readers see of each table, in order."""
    return [
        store.runs().select("key", "status", "seed").sort("key").collect().rows(),
        store.epochs()
        .select("key", "epoch", "test_accuracy")
        .sort("key", "epoch")
        .collect()
        .rows(),
        store.samples().select("key", "index").sort("key", "index").collect().rows(),
    ]


def merge_as_early_versions_did(store: Store) -> None:
    """Put all loose files into compacted/, in no particular order of keys."""
    for table in TABLES:
        paths = [store.place.folder / entry.name for entry in store.files(table).values()]
        rows = pl.concat([pl.read_parquet(path) for path in reversed(paths)])
        parquet.write(rows, store.place.folder / layout.early(table))
        for path in paths:
            path.unlink()
