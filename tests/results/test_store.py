"""The store keeps what it was given, refuses what does not fit, and names files it cannot read."""

from __future__ import annotations

import math
import os
import resource
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from pipeline.errors import LabError
from pipeline.results.schema import EPOCHS, RUN_COLUMNS, RUNS, SAMPLES, TABLES
from pipeline.results.store import Store
from pipeline.results.tables.conform import conform
from pipeline.results.upkeep.compaction import compact
from tests.support.results_builder import (
    add_run,
    epoch_rows,
    path_of,
    run_row,
    sample_rows,
    segment_path,
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_empty_store_has_the_columns_and_no_rows(store: Store) -> None:
    for rows, schema in (
        (store.runs(), RUNS),
        (store.epochs(), EPOCHS),
        (store.samples(), SAMPLES),
    ):
        frame = rows.collect()
        assert frame.is_empty()
        assert dict(frame.schema) == schema
    assert store.status("r0") is None


def test_finished_run_comes_back_as_written(store: Store) -> None:
    key = add_run(store, (0.25, 0.5), curves={"train_loss": [1.5, 0.5]}, knows=["noise_rate"])
    run = store.run(key)
    assert run is not None
    assert run["knows"] == ["noise_rate"]
    assert run["confusion"] == [2, 0, 0, 0, 1, 1, 0, 0, 2]
    assert run["image_digest"] is None
    assert store.epochs().select("epoch", "test_accuracy", "train_loss").collect().rows() == [
        (0, 0.25, 1.5),
        (1, 0.5, 0.5),
    ]
    assert store.samples().filter(pl.col("index") == 3).collect()["mean_loss"].to_list() == [0.5]
    assert dict(store.samples().collect().schema) == SAMPLES


def test_unfinished_runs_hide_their_epochs(store: Store) -> None:
    key = add_run(store)
    store.write_run(run_row(status="running"))
    assert store.status(key) == "running"
    assert store.epochs().collect().is_empty()
    assert store.samples().collect().is_empty()


def test_statuses_answer_for_known_keys_only(store: Store) -> None:
    done = add_run(store, seed=1)
    compact(store)
    diverged = add_run(store, (), seed=2, status="diverged")
    assert store.statuses([done, diverged, "r-unknown"]) == {done: "done", diverged: "diverged"}


def test_loose_file_wins_over_a_segment(store: Store) -> None:
    key = add_run(store, (0.1,))
    other = add_run(store, (0.9,), seed=1)
    compact(store)
    add_run(store, (0.2, 0.3))
    assert sorted(store.runs().collect()["key"]) == sorted([key, other])
    again = store.epochs([key]).collect()
    assert again["test_accuracy"].to_list() == [0.2, 0.3]
    compact(store)
    assert store.epochs([key]).collect()["test_accuracy"].to_list() == [0.2, 0.3]


def test_writers_of_different_runs_leave_a_row_each(store: Store) -> None:
    def fill(first_seed: int) -> list[str]:
        return [add_run(store, seed=seed) for seed in range(first_seed, first_seed + 10)]

    with ThreadPoolExecutor(2) as writers:
        keys = [key for part in writers.map(fill, (0, 100)) for key in part]
    assert sorted(store.runs().collect()["key"]) == sorted(keys)
    assert store.epochs().collect().height == 3 * len(keys)


def test_writers_of_one_run_leave_one_row(store: Store) -> None:
    with ThreadPoolExecutor(2) as writers:
        keys = set(writers.map(lambda _: add_run(store), range(10)))
    assert store.runs().collect()["key"].to_list() == list(keys)
    assert store.epochs().collect().height == 3


def test_files_with_fewer_or_more_columns_stay_readable(store: Store) -> None:
    keys = [add_run(store, seed=seed, image_digest="sha") for seed in range(3)]
    old, new = path_of(store, "runs", keys[0]), path_of(store, "runs", keys[1])
    pl.read_parquet(old).drop("image_digest", "resumed").write_parquet(old)
    pl.read_parquet(new).with_columns(from_the_future=1).write_parquet(new)
    expected = dict(zip(keys, (None, "sha", "sha"), strict=True))
    for _ in range(2):
        rows = store.runs().select("key", "image_digest").collect().rows()
        assert dict(rows) == expected
        compact(store)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"sede": 1}, "try: seed"),
        ({"seed": "one"}, "Int64"),
        ({"lr": True}, "Float64"),
        ({"nominal_rate": 40.0}, r"\[0, 1\]"),
        ({"method": None}, "missing values"),
        ({"knows": [1]}, "List"),
        ({"status": "finished"}, "running, done, failed, diverged"),
        ({"key": "../elsewhere"}, "letters"),
        ({"class_names": ["a", 1]}, "runs row"),
    ],
)
def test_rows_that_do_not_fit_are_refused(store: Store, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(LabError, match=said):
        store.write_run(run_row() | wrong)
    assert store.runs().collect().is_empty()


def test_a_list_of_half_precision_comes_back_and_costs_two_bytes_a_number(store: Store) -> None:
    n, n_classes = 500, 20
    p = np.random.default_rng(0).dirichlet(np.ones(n_classes), n).astype(np.float16)
    old, new = (add_run(store, seed=seed) for seed in range(2))
    lists = pl.Series(p).cast(SAMPLES["mean_probabilities"])
    rows = sample_rows(new, n).with_columns(mean_probabilities=lists)
    store.write_finished(run_row(seed=1), epoch_rows(new, [0.5]), rows)
    path = path_of(store, "samples", new)
    assert path.stat().st_size < 2.1 * p.size + 5000
    # As other programs read it; what is written before the column is null there.
    by_arrow = pq.read_table(path)["mean_probabilities"]
    assert (np.array(by_arrow.to_pylist(), dtype=np.float16) == p).all()
    (by_duckdb,) = duckdb.sql(f"SELECT sum(list_sum(mean_probabilities)) FROM '{path}'").fetchall()
    assert by_duckdb[0] == pytest.approx(p.sum(dtype=float))
    before = path_of(store, "samples", old)
    pl.read_parquet(before).drop("mean_probabilities", "seen").write_parquet(before)
    for _ in range(2):
        found = store.samples().sort("key", "index").collect()
        kept = found.filter(key=new)["mean_probabilities"]
        assert kept.dtype == SAMPLES["mean_probabilities"]
        assert (np.stack(kept.to_list()) == p).all()
        assert found.filter(key=old)["mean_probabilities"].null_count() == 4
        compact(store)


def test_a_list_with_a_number_that_is_none_is_null() -> None:
    lists = [[0.5, 0.5], [math.nan, 0.5], None, [math.inf, 0.0]]
    frame = sample_rows("k").with_columns(mean_probabilities=pl.Series(lists))
    found = conform(frame, "samples")["mean_probabilities"]
    assert found.to_list() == [[0.5, 0.5], None, None, None]


def test_missing_column_is_named(store: Store) -> None:
    row = run_row()
    del row["labels_digest"]
    with pytest.raises(LabError, match="labels_digest"):
        store.write_run(row)


def test_only_nullable_columns_may_be_left_out() -> None:
    # Files written before a column existed show null there, so a cost can never be required.
    assert all(column.nullable for column in RUN_COLUMNS.values() if column.cost)
    assert all(name.isidentifier() for columns in TABLES.values() for name in columns)


def test_numbers_of_any_width_are_taken_and_non_finite_ones_become_null(store: Store) -> None:
    key = run_row()["key"]
    epochs = epoch_rows(key, [0.5, 0.5]).with_columns(
        pl.col("epoch").cast(pl.UInt8),
        train_loss=pl.Series([np.nan, np.inf], dtype=pl.Float32),
        test_loss=pl.Series([1, 2]),
    )
    row = run_row(seconds=np.float32(2.0), n_train=np.int32(4), status="diverged")
    store.write_finished(row, epochs, sample_rows(key))
    stored = store.epochs().collect()
    assert stored["train_loss"].to_list() == [None, None]
    assert stored["test_loss"].to_list() == [1.0, 2.0]


def test_finished_run_must_hang_together(store: Store) -> None:
    row = run_row()
    key, epochs, samples = row["key"], epoch_rows(row["key"], [0.5]), sample_rows(row["key"])
    with pytest.raises(LabError, match="another key"):
        store.write_finished(row, epoch_rows("r-other", [0.5]), samples)
    with pytest.raises(LabError, match="out of order"):
        store.write_finished(row, pl.concat([epochs, epochs]), samples)
    with pytest.raises(LabError, match="occurs twice"):
        store.write_finished(row, epochs, pl.concat([samples, samples]))
    with pytest.raises(LabError, match="status 'running'"):
        store.write_finished(row | {"status": "running"}, epochs, samples)
    assert store.status(key) is None


@pytest.mark.parametrize("table", TABLES)
def test_truncated_file_is_named_with_the_way_out(store: Store, table: Any) -> None:
    keys = [add_run(store, seed=seed) for seed in range(3)]
    broken = path_of(store, table, keys[1])
    broken.write_bytes(broken.read_bytes()[:-20])
    read = getattr(store, table)
    with pytest.raises(LabError, match=rf"{broken} is truncated.*rm .*/\*/{keys[1]}"):
        read().collect()
    with pytest.raises(LabError, match=keys[1]):
        compact(store)
    assert len(store.files(table)) == 3
    for path in store.place.folder.glob(f"*/{keys[1]}.parquet"):
        path.unlink()
    assert set(read().collect()["key"]) == {keys[0], keys[2]}


def test_damaged_segment_is_named(store: Store) -> None:
    add_run(store)
    compact(store)
    segment_path(store, "epochs").write_bytes(b"not Parquet")
    with pytest.raises(LabError, match=r"epochs/\w+.parquet is truncated.*forget seg"):
        store.epochs().collect()


def test_column_of_another_type_in_a_file_is_an_error(store: Store) -> None:
    path = path_of(store, "runs", add_run(store))
    pl.read_parquet(path).with_columns(pl.col("seed").cast(pl.String)).write_parquet(path)
    with pytest.raises(LabError, match=path.name):
        store.runs().collect()


@pytest.fixture
def read_only_folder() -> Iterator[Path]:
    """A folder that this process may read and not write, even where tests run as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        folder.mkdir()
        folder.chmod(0o555)
        Path(name).chmod(0o755)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)
        yield folder
        os.seteuid(user)
        folder.chmod(0o755)


def test_read_only_store_gives_one_line(read_only_folder: Path) -> None:
    with pytest.raises(LabError, match=r"cannot write .* LNL_STORE") as refused:
        add_run(Store(read_only_folder))
    assert "\n" not in str(refused.value)
    assert refused.value.exit_code != 0


def test_full_disk_keeps_what_was_stored(store: Store) -> None:
    key = add_run(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(LabError, match="cannot write"):
            add_run(store, seed=1)
        with pytest.raises(LabError, match="cannot write"):
            compact(store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.statuses(store.runs().collect()["key"]) == {key: "done"}
    assert not list(store.place.folder.rglob("*.tmp"))
