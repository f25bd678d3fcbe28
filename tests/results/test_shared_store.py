"""One store, many hands: other versions of the code, other users, all at the same time."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.results.claims import claim
from pipeline.results.schema import TABLES, Table, dtypes
from pipeline.results.store import Store
from pipeline.results.tables import parquet
from pipeline.results.upkeep.compaction import compact
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run, path_of, segment_path, segments_of

WRITER = PROJECT / "tests/support/results_writer.py"
SECONDS = 3.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def rewrite(path: Path, *columns: pl.Expr) -> None:
    """Replace a file by one of another version of the code."""
    parquet.write(pl.read_parquet(path).with_columns(*columns), path)


@pytest.mark.parametrize("table", TABLES)
def test_a_compaction_keeps_columns_of_a_newer_version(store: Store, table: Table) -> None:
    keys = [add_run(store, seed=seed) for seed in range(3)]
    rewrite(path_of(store, table, keys[0]), pl.lit(7).alias("newer"))
    rewrite(path_of(store, table, keys[1]), pl.lit(0.5).alias("newer"))
    compact(store)
    add_run(store, seed=3)
    compact(store)
    files = [store.place.uri(segment.name) for segment in segments_of(store, table)]
    kept = (
        pl.concat(
            [pl.read_parquet(file) for file in files if "newer" in pl.read_parquet_schema(file)]
        )
        .select("key", "newer")
        .unique()
    )
    values = {key: value for key, value in kept.iter_rows() if value is not None}
    assert values == {keys[0]: 7.0, keys[1]: 0.5}
    assert dict(getattr(store, table)().collect().schema) == dtypes(TABLES[table])


@pytest.mark.parametrize(
    ("column", "dtype"),
    [("seed", pl.Int32), ("seed", pl.UInt8), ("lr", pl.Float32), ("epochs", pl.Int128)],
)
def test_another_width_of_a_column_is_read_and_sound(
    store: Store, column: str, dtype: pl.DataType
) -> None:
    keys = [add_run(store, seed=seed) for seed in range(2)]
    before = store.runs().select("key", column).sort("key").collect()
    rewrite(path_of(store, "runs", keys[0]), pl.col(column).cast(dtype))
    for _ in range(2):
        rows = store.runs().select("key", column).sort("key").collect()
        assert rows.equals(before) or column == "lr"
        assert rows[column].to_list() == pytest.approx(before[column].to_list(), rel=1e-7)
        assert store.check_files() > 0
        compact(store)


def test_a_wider_number_is_merged_whole_and_said_where_it_does_not_fit(store: Store) -> None:
    key = add_run(store)
    wide = 2**40
    rewrite(path_of(store, "samples", key), pl.lit(wide).alias("forgetting"))
    compact(store)
    merged = pl.read_parquet(segment_path(store, "samples"))
    assert set(merged["forgetting"]) == {wide}
    with pytest.raises(LabError, match=r"cannot read the samples .* try: uv run python"):
        store.samples().collect()
    assert store.epochs().collect().height == 3


def test_another_kind_of_value_is_no_damage(store: Store) -> None:
    key = add_run(store)
    rewrite(path_of(store, "runs", key), pl.col("seed").cast(pl.String))
    with pytest.raises(LabError, match="is of another version: column 'seed' is String"):
        store.runs().collect()


@pytest.mark.slow
def test_readers_never_fail_beside_writers_and_compactions(store: Store) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, WRITER, store.place.folder, str(10_000 * n)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PROJECT), "POLARS_MAX_THREADS": "1"},
        )
        for n in range(3)
    ]
    try:
        for writer in writers:
            assert writer.stdout is not None
            writer.stdout.readline()
        end, seen, n_reads = time.monotonic() + SECONDS, 0, 0
        while time.monotonic() < end:
            done = set(store.runs().filter(status="done").collect()["key"])
            heights = dict(store.epochs().group_by("key").len().collect().iter_rows())
            assert done <= set(heights)
            assert set(heights.values()) <= {3}
            assert len(done) >= seen
            seen, n_reads = len(done), n_reads + 1
    finally:
        for writer in writers:
            writer.kill()
        announced = {key for writer in writers for key in writer.communicate()[0].split()}
    assert n_reads > 3
    assert seen > 3
    assert announced <= set(store.runs().filter(status="done").collect()["key"])


@pytest.mark.parametrize(("umask", "mode"), [(0o002, 0o664), (0o022, 0o644), (0o077, 0o600)])
def test_files_have_the_permissions_that_the_umask_says(
    store: Store, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        add_run(store)
        compact(store)
        key = add_run(store, seed=1)
        held = claim(store.place, key)
        assert held is not None
    finally:
        os.umask(before)
    files = [path for path in store.place.folder.rglob("*") if path.is_file()]
    assert len(files) >= 8
    assert {oct(path.stat().st_mode & 0o777) for path in files} == {oct(mode)}
    held.release()


@pytest.fixture
def another_user(store: Store) -> Iterator[str]:
    """A store that this process may read and not write, as others' under umask 022."""
    key = add_run(store)
    folders = [
        path for path in (store.place.folder, *store.place.folder.rglob("*")) if path.is_dir()
    ]
    for folder in folders:
        folder.chmod(0o555)
    for folder in store.place.folder.parents:
        if folder.stat().st_uid == os.geteuid():
            folder.chmod(folder.stat().st_mode | 0o055)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield key
    os.seteuid(user)
    for folder in folders:
        folder.chmod(0o755)


def test_another_user_reads_what_is_stored_and_is_told_why_he_cannot_write(
    store: Store, another_user: str
) -> None:
    assert store.status(another_user) == "done"
    assert store.epochs().collect().height == 3
    assert store.check_files() == 3
    with pytest.raises(LabError, match=r"expected: .* try: .*LNL_STORE"):
        claim(store.place, "r-another")
    with pytest.raises(LabError, match=r"expected: .*; try: "):
        compact(store)
