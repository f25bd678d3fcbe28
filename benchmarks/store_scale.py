"""A million runs in one results store: what questions about them cost, on disk and in a bucket.

    uv run python benchmarks/store_scale.py                   # a folder, then an S3 server (moto)
    uv run python benchmarks/store_scale.py --runs 50000 --no-bucket

The runs are made up and written as segments, as compactions leave them: every column of `runs`
filled, 150 epochs of the first 10,000 runs, 1,000 samples of the first 100. Each question is asked
four times: the first answer comes from a program that knows nothing yet, then the fastest counts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import tyro

from pipeline.results.schema import EPOCHS, RUNS, SAMPLES
from pipeline.results.store import Store
from pipeline.results.tables.manifest import Segment, commit, newest
from pipeline.results.tables.segments import FULL_ROWS, write_segments
from pipeline.results.upkeep.compaction import compact

EPOCHS_OF, SAMPLES_OF = 10_000, 100
"""How many of the runs have epochs, and samples."""
N_EPOCHS, N_SAMPLES = 150, 1_000
ASKED, ADDED = 10_000, 100
PORT = 5_995
TYPES = {pl.String: "some text of usual length", pl.Boolean: False, pl.List: [], pl.Datetime: 0}


@dataclass(frozen=True)
class Flags:
    """Size of the benchmark."""

    runs: int = 1_000_000
    """Number of runs."""
    bucket: bool = True
    """Whether to ask a bucket, too; needs `uv sync --group services`."""


def rows_of_runs(start: int, n: int) -> pl.DataFrame:
    """Rows of `runs`, every column filled; keys as random as real ones, and always the same."""
    random = np.random.default_rng(start)
    keys = pl.Series("key", [f"r{number:016x}" for number in random.integers(0, 2**63, n)])
    number = pl.int_range(start, start + n)
    filled = {
        name: pl.lit(TYPES.get(dtype.base_type(), 1)).cast(dtype) for name, dtype in RUNS.items()
    }
    varied = {
        "method": pl.format("method-{}", number % 7),
        "dataset": pl.format("data-{}", number % 5),
        "noise": pl.format("noise-{}", number % 11),
        "variant": pl.format("variant-{}", number % 23),
        "group": pl.format("group-{}", number // 5),
        "labels_digest": pl.format("{}", number % 11),
        "seed": number % 5,
        "status": pl.lit("done"),
        "realised_rate": (number % 100) / 100,
        "settings": pl.format('{{"lr": 0.{}, "width": {}}}', number % 89, number % 13),
        "class_names": pl.lit([str(label) for label in range(10)]),
        "confusion": pl.lit([10] * 100),
        "key": pl.col("key"),
    }
    return keys.to_frame().with_columns(**filled | varied).select(*RUNS)


def rows_inside(
    keys: pl.Series, n: int, schema: dict[str, pl.DataType], count: str
) -> pl.DataFrame:
    """`n` rows of each run, numbered by the column `count`, with a random number in each other."""
    random, height = np.random.default_rng(n), len(keys) * n
    rows = pl.DataFrame({"key": keys}).select(pl.col("key").repeat_by(n).explode())
    numbers = {
        name: pl.Series(random.random(height)).cast(dtype)
        for name, dtype in schema.items()
        if dtype.is_numeric()
    }
    texts = {name: pl.lit("{}") for name, dtype in schema.items() if dtype == pl.String}
    lists = {name: pl.lit(None) for name, dtype in schema.items() if dtype.is_nested()}
    return rows.with_columns(
        **numbers | texts | lists | {count: pl.int_range(pl.len()) % n, "key": pl.col("key")}
    ).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def fill(store: Store, n_runs: int) -> pl.Series:
    """Write the segments of `n_runs` runs; returns the keys of some."""
    made: list[Segment] = []
    known: pl.Series | None = None
    for start in range(0, n_runs, FULL_ROWS["runs"]):
        runs = rows_of_runs(start, min(FULL_ROWS["runs"], n_runs - start))
        made += write_segments(store, "runs", [runs])
        known = runs["key"] if known is None else known
    assert known is not None
    keys = known[:EPOCHS_OF]
    at_once = FULL_ROWS["epochs"] // N_EPOCHS
    for start in range(0, len(keys), at_once):
        rows = rows_inside(keys[start : start + at_once], N_EPOCHS, EPOCHS, "epoch")
        made += write_segments(store, "epochs", [rows])
    samples = rows_inside(keys[:SAMPLES_OF], N_SAMPLES, SAMPLES, "index")
    made += write_segments(store, "samples", [samples], "0")
    assert commit(store.place, newest(store.place), made)
    return keys


def questions(store: Store, keys: pl.Series) -> dict[str, Callable[[], Any]]:
    """What is asked, by name."""
    one, many = keys[len(keys) // 2], keys.to_list()[:ASKED]
    wanted = (pl.col("dataset") == "data-1") & (pl.col("seed") < 3)
    return {
        "filter and group over three columns": lambda: (
            store.runs()
            .filter(wanted)
            .group_by("method", "noise", "variant")
            .agg(pl.col("realised_rate").mean())
            .collect()
        ),
        f"status of {len(many):,} runs": lambda: store.statuses(many),
        "status of one": lambda: store.status(one),
        "row of one": lambda: store.run(one),
        "epochs of one": lambda: store.epochs([one]).collect(),
        "samples of one": lambda: store.samples([keys[0]]).collect(),
        "mean of the last epochs by run": lambda: (
            store.epochs()
            .filter(pl.col("epoch") >= N_EPOCHS - 10)
            .group_by("key")
            .agg(pl.col("test_accuracy").mean())
            .collect()
        ),
    }


def add_runs(store: Store) -> None:
    """Write new runs as training does."""
    for row in rows_of_runs(10**9, ADDED).iter_rows(named=True):
        keys = pl.Series("key", [row["key"]])
        epochs = rows_inside(keys, N_EPOCHS, EPOCHS, "epoch")
        store.write_finished(row, epochs, rows_inside(keys, 100, SAMPLES, "index"))


def seconds(act: Callable[[], Any]) -> float:
    """Wall time."""
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def measure(store: Store, n_runs: int) -> None:
    """Fill a store, ask it, add to it, and print what each took."""
    start = time.perf_counter()
    keys = fill(store, n_runs)
    took = time.perf_counter() - start
    size = sum(entry.size for entry in store.place.entries("segments"))
    print(f"{n_runs:,} runs in segments: made in {took:.0f} s, {size / 2**20:.0f} MiB")
    print(f"{'':42}{'first':>12}{'then':>12}")
    for name, ask in questions(store, keys).items():
        first, *others = (seconds(ask) for _ in range(4))
        print(f"{name:42}{1e3 * first:9.1f} ms{1e3 * min(others):9.1f} ms")
    written = seconds(lambda: add_runs(store))
    print(f"{f'writing a run, of {ADDED}':42}{'':12}{1e3 * written / ADDED:9.1f} ms")
    added = seconds(lambda: compact(store))
    print(f"{f'merging {ADDED} runs into them':42}{'':12}{1e3 * added:9.1f} ms")


@contextmanager
def bucket() -> Iterator[str]:
    """The address of a bucket of a server on loopback."""
    address = f"http://127.0.0.1:{PORT}"
    os.environ |= {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
                   "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": address}  # fmt: skip
    server = subprocess.Popen(
        [Path(sys.executable).parent / "moto_server", "-H", "127.0.0.1", "-p", str(PORT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        asked = urllib.request.Request(f"{address}/scale", method="PUT")
        for _ in range(100):
            try:
                urllib.request.urlopen(asked).close()
            except urllib.error.URLError:
                time.sleep(0.2)
            else:
                break
        yield "s3://scale/store"
    finally:
        server.kill()
        server.wait()


def main() -> None:
    """Measure a folder, then a bucket."""
    flags = tyro.cli(Flags, description=__doc__)
    with tempfile.TemporaryDirectory() as folder:
        print("a folder")
        measure(Store(Path(folder) / "store"), flags.runs)
    if flags.bucket:
        with bucket() as address:
            print("\na bucket")
            measure(Store(address), flags.runs)


if __name__ == "__main__":
    main()
