"""Segments under a manifest: what they hold, how they grow, and several compactions at once."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Collection
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.results.schema import TABLES, Table
from pipeline.results.store import Store
from pipeline.results.tables import layout, manifest, segments
from pipeline.results.tables.manifest import newest
from pipeline.results.upkeep import compaction
from pipeline.results.upkeep.compaction import compact
from pipeline.results.upkeep.repair import forget
from pipeline.results.upkeep.sweep import ABANDONED_SECONDS
from pipeline.storage.place import Place
from tests.support.results_builder import (
    add_run,
    content_of,
    epoch_rows,
    merge_as_early_versions_did,
    path_of,
    run_row,
    sample_rows,
    segment_path,
    segments_of,
)


@pytest.fixture
def store(place: Place) -> Store:
    """An empty store of either kind."""
    return Store(place)


@pytest.fixture
def local(tmp_path: Path) -> Store:
    """An empty store in a folder."""
    return Store(tmp_path / "store")


def test_a_store_of_either_kind_keeps_what_it_was_given(store: Store) -> None:
    keys = [add_run(store, (0.1 * seed, 0.5), seed=seed) for seed in range(3)]
    failed = add_run(store, seed=3, status="failed")
    store.write_run(run_row(seed=4, status="running"))
    before, row = content_of(store), store.run(keys[1])
    assert store.check_files() == 4 * 3 + 1
    assert compact(store) == 3
    assert content_of(store) == before
    assert store.run(keys[1]) == row
    assert store.check_files() == 3 + 3 + 1
    assert set(store.files("runs")) == {failed, run_row(seed=4)["key"]}
    assert store.statuses([*keys, failed, "r-unknown"]) == dict.fromkeys(keys, "done") | {
        failed: "failed"
    }
    assert [store.status(key) for key in (keys[0], failed, "r-unknown")] == ["done", "failed", None]
    assert store.run("r-unknown") is None
    assert set(store.samples([keys[0]]).collect()["key"]) == {keys[0]}
    add_run(store, (0.9,), seed=1)
    assert store.epochs([keys[1]]).collect()["test_accuracy"].to_list() == [0.9]
    assert compact(store) == 1
    assert store.epochs([keys[1]]).collect()["test_accuracy"].to_list() == [0.9]
    assert store.runs().collect().height == 5


def test_damage_in_a_store_of_either_kind_is_named_and_forgotten(store: Store) -> None:
    keys = [add_run(store, seed=seed) for seed in range(3)]
    compact(store)
    keys.append(add_run(store, seed=3))
    compact(store)
    damaged = segments_of(store, "epochs")[0].name
    content = store.place.get(damaged) or b""
    store.place.put(damaged, content[:50] + b"x" + content[51:])
    with pytest.raises(LabError, match=rf"{damaged} is truncated.*forget {damaged} --store"):
        store.check_files()
    assert forget(store, damaged) == 3
    assert store.statuses(keys) == {keys[3]: "done"}
    assert [set(rows["key"]) for rows in tables(store)] == [{keys[3]}] * 3
    # Nothing counts in the other segment of runs, which has gone, too.
    assert store.check_files() == 1 + 1 + 2
    # Computed again, they are there once.
    for seed in range(3):
        add_run(store, seed=seed)
    compact(store)
    assert [rows["key"].n_unique() for rows in tables(store)] == [4] * 3
    assert [rows.height for rows in tables(store)] == [4, 4 * 3, 4 * 4]


def test_a_damaged_file_in_a_store_of_either_kind_is_named(store: Store) -> None:
    keys = [add_run(store, seed=seed) for seed in range(2)]
    name = layout.loose("runs", keys[0])
    store.place.put(name, (store.place.get(name) or b"")[:-20])
    for act in (store.runs().collect, lambda: store.status(keys[0]), lambda: compact(store)):
        with pytest.raises(LabError, match=rf"{store.place.uri(name)} is truncated") as said:
            act()
        assert "then computed again" in str(said.value)
    store.place.delete([name])
    assert set(store.runs().collect()["key"]) == {keys[1]}
    with pytest.raises(LabError, match="no results store at .*nowhere"):
        compact(Store(store.place.below("nowhere")))


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("early", [False, True])
def test_what_a_segment_held_is_computed_again(local: Store, table: Table, early: bool) -> None:
    keys = [add_run(local, seed=seed) for seed in range(2)]
    if early:
        merge_as_early_versions_did(local)
    else:
        compact(local)
    keys.append(add_run(local, seed=2))
    compact(local)
    name = segments_of(local, table)[0].name
    (local.place.folder / name).unlink()
    with pytest.raises(LabError, match=rf"{name} is missing; expected: .*; try: .* forget {name}"):
        getattr(local, table)().collect()
    # Runs that lack their row cannot be counted by it.
    assert forget(local, name) == 2
    assert local.statuses(keys) == {keys[2]: "done"}
    for seed in range(2):
        add_run(local, (0.5,), seed=seed)
    for _ in range(2):
        assert [rows.height for rows in tables(local)] == [3, 3 + 2, 4 * 3]
        compact(local)
    with pytest.raises(LabError, match="segment 'segments/x'"):
        forget(local, "segments/x")


def test_runs_between_keys_of_a_segment_leave_its_rows(local: Store) -> None:
    # Keys in rising order: the outer ones lie in one segment, the others in later ones.
    low, *inner, high = sorted(range(8), key=lambda seed: run_row(seed=seed)["key"])
    for seeds in ([low, high], inner, inner):
        for seed in seeds:
            add_run(local, seed=seed)
        compact(local)
    assert [rows["key"].n_unique() for rows in tables(local)] == [8] * 3
    assert [rows.height for rows in tables(local)] == [8, 8 * 3, 8 * 4]


def test_a_segment_of_which_nothing_counts_is_left_out(local: Store) -> None:
    for _ in range(3):
        add_run(local)
        compact(local)
    assert len(segments_of(local, "runs")) == 1


def test_rows_lie_sorted_by_key_in_one_group_per_run_of_samples(local: Store) -> None:
    for seed in range(5):
        add_run(local, seed=seed, noise="a" if seed % 2 else "b")
    compact(local)
    for table, order in (("runs", ["key"]), ("epochs", ["key", "epoch"])):
        rows = pl.read_parquet(segment_path(local, table))  # type: ignore[arg-type]  # a table
        assert rows.select(order).equals(rows.select(order).sort(order))
    assert len(segments_of(local, "samples")) == 2
    import pyarrow.parquet as pq

    for segment in segments_of(local, "samples"):
        file = pq.ParquetFile(local.place.uri(segment.name))
        groups = [file.metadata.row_group(n).column(0) for n in range(file.num_row_groups)]
        assert all(group.statistics.min == group.statistics.max for group in groups)
        assert f"/labels={segment.labels}/" in segment.name
        digests = local.runs(file.read(["key"])["key"].to_pylist()).collect()["labels_digest"]
        assert set(digests) == {segment.labels}


@pytest.mark.slow
def test_work_per_run_grows_as_the_logarithm(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(segments.FULL_ROWS, "runs", 64)
    monkeypatch.setattr(segments, "FAN", 4)
    written: list[int] = []
    put = Place.put

    def counting_put(place: Place, name: str, content: bytes) -> None:
        if name.startswith("segments/runs/"):
            written.append(pl.read_parquet(content).height)
        put(place, name, content)

    monkeypatch.setattr(Place, "put", counting_put)
    n_runs = 200
    for seed in range(n_runs):
        add_run(local, seed=seed)
        compact(local)
        # Few in each tier, and those that are at least half full.
        n_tiers = 1 + math.log(32, 4)
        assert len(segments_of(local, "runs")) <= 4 * n_tiers + (seed + 1) / 32
    assert local.runs().collect()["key"].n_unique() == n_runs == local.runs().collect().height
    assert sum(written) <= n_runs * (1 + n_tiers)


def test_a_compaction_that_comes_second_starts_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {add_run(store, seed=seed) for seed in range(3)}
    create, pending = Place.create, [True]

    def another_first(place: Place, name: str, content: bytes) -> bool:
        if pending and name == layout.manifest(2):
            pending.clear()
            assert compact(Store(place)) == 3
            add_run(Store(place), (0.25,), seed=1)
        return create(place, name, content)

    monkeypatch.setattr(Place, "create", another_first)
    assert compact(store) == 1
    assert not pending
    assert [set(rows["key"]) for rows in tables(store)] == [keys] * 3
    again = store.epochs([run_row(seed=1)["key"]]).collect()
    assert again["test_accuracy"].to_list() == [0.25]
    listed = {segment.name for segment in newest(store.place).segments}
    assert {entry.name for entry in store.place.entries("segments")} == listed | {
        s.name
        for s in manifest.read_manifest(store.place, manifest.manifests(store.place)[-2]).segments
    }


def test_a_file_that_has_changed_since_it_was_merged_stays(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_run(store, (0.5,))
    other = add_run(store, seed=1)
    create = Place.create

    def computed_again(place: Place, name: str, content: bytes) -> bool:
        won = create(place, name, content)
        if name == layout.manifest(2):
            add_run(Store(place), (0.75, 0.25), seconds=2.0)
        return won

    monkeypatch.setattr(Place, "create", computed_again)
    assert compact(store) == 2
    assert set(store.files("runs")) == {key} == set(store.files("epochs"))
    assert store.status(other) == "done"
    assert store.epochs([key]).collect()["test_accuracy"].to_list() == [0.75, 0.25]


def test_a_run_that_is_being_computed_again_keeps_all_its_files(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_run(local, (0.5,))
    create, delete = Place.create, Place.delete

    def begins(place: Place, name: str, content: bytes) -> bool:
        won = create(place, name, content)
        if name == layout.manifest(2):
            Store(place).write_run(run_row(status="running"))
        return won

    def ends(place: Place, names: Collection[str]) -> None:
        if Store(place).status(key) == "running":
            add_run(Store(place), (0.75, 0.25))
        delete(place, names)

    monkeypatch.setattr(Place, "create", begins)
    monkeypatch.setattr(Place, "delete", ends)
    assert compact(local) == 1
    assert [set(local.files(table)) for table in TABLES] == [{key}] * 3


def test_a_run_whose_epochs_alone_have_changed_stays(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = add_run(local, (0.5,))
    create = Place.create

    def rewritten(place: Place, name: str, content: bytes) -> bool:
        epochs = layout.loose("epochs", key)
        if name == layout.manifest(2):
            place.put(epochs, place.get(epochs) or b"")
        return create(place, name, content)

    monkeypatch.setattr(Place, "create", rewritten)
    assert compact(local) == 1
    assert [set(local.files(table)) for table in TABLES] == [{key}] * 3


def test_a_row_that_changes_alone_keeps_the_epochs_of_its_run(store: Store) -> None:
    key = add_run(store)
    compact(store)
    row = store.run(key)
    assert row is not None
    store.write_run(row | {"also_named": ["digits/alias"]})
    for _ in range(2):
        assert (store.run(key) or {})["also_named"] == ["digits/alias"]
        assert [rows.height for rows in tables(store)] == [1, 3, 4]
        compact(store)


def test_a_run_computed_again_without_epochs_has_none(local: Store) -> None:
    key = add_run(local)
    compact(local)
    row = run_row(status="diverged")
    local.write_finished(row, epoch_rows(key, []), sample_rows(key).head(0))
    for _ in range(2):
        assert [rows.height for rows in tables(local)] == [1, 0, 0]
        compact(local)


def test_a_store_of_an_early_version_is_read_and_taken_over(local: Store) -> None:
    keys = [add_run(local, seed=seed) for seed in range(4)]
    before = content_of(local)
    merge_as_early_versions_did(local)
    early = {table: (local.place.folder / layout.early(table)).read_bytes() for table in TABLES}
    assert content_of(local) == before
    assert local.statuses(keys) == dict.fromkeys(keys, "done")
    assert local.status(keys[2]) == "done"
    assert (local.run(keys[0]) or {})["seed"] == 0
    assert compact(local) == 0
    add_run(local, (0.75,), seed=1)
    keys.append(add_run(local, seed=9))
    assert compact(local) == 2
    assert [set(rows["key"]) for rows in tables(local)] == [set(keys)] * 3
    assert [rows.height for rows in tables(local)] == [5, 4 * 3 + 1, 5 * 4]
    assert local.epochs([keys[1]]).collect()["test_accuracy"].to_list() == [0.75]
    for table, content in early.items():
        assert (local.place.folder / layout.early(table)).read_bytes() == content
    assert local.check_files() == 6


def test_what_is_a_day_out_of_date_goes(local: Store) -> None:
    for seed in range(9):
        add_run(local, seed=seed)
        compact(local)
    folder = local.place.folder
    listed = {segment.name for segment in newest(local.place).segments}
    files = sorted(folder.glob("segments/**/*.parquet"))
    assert {str(path.relative_to(folder)) for path in files} > listed
    left = folder / "segments" / "runs" / "left.parquet"
    left.write_bytes(b"of a compaction that was killed")
    before = content_of(local)
    compact(local)
    assert left.exists()
    day_before = time.time() - ABANDONED_SECONDS - 1
    for path in (*files, left, *sorted(folder.glob("manifest/*"))[:-2]):
        os.utime(path, (day_before, day_before))
    compact(local)
    # The last but one is out of date since the last one came, which is not a day ago.
    numbers = [int(path.stem) for path in sorted(folder.glob("manifest/*"))]
    assert len(numbers) == 3
    assert not left.exists()
    assert content_of(local) == before
    os.utime(folder / layout.manifest(numbers[-1]), (day_before, day_before))
    os.utime(folder / layout.manifest(numbers[-2]), (day_before, day_before))
    compact(local)
    assert [int(path.stem) for path in folder.glob("manifest/*")] == numbers[-1:]
    assert {
        str(path.relative_to(folder)) for path in folder.glob("segments/**/*.parquet")
    } == listed
    assert content_of(local) == before


def test_a_compaction_that_slept_for_days_changes_nothing(
    local: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_run(local, seed=1)
    compact(local)
    add_run(local, seed=2)
    create = Place.create

    def days_later(place: Place, name: str, content: bytes) -> bool:
        # The manifest it builds on, and the next one, are history by now.
        monkeypatch.setattr(Place, "create", create)
        compact(Store(place))
        add_run(Store(place), seed=3)
        compact(Store(place))
        for number in (1, 2, 3):
            place.delete([layout.manifest(number)])
        return create(place, name, content)

    monkeypatch.setattr(Place, "create", days_later)
    assert compact(local) == 0
    assert [rows["key"].n_unique() for rows in tables(local)] == [3] * 3


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"sha256": "", "segments": []}', None])
def test_a_damaged_manifest_is_named(local: Store, content: bytes | None) -> None:
    keys = [add_run(local)]
    compact(local)
    keys.append(add_run(local, seed=1))
    compact(local)
    path = local.place.folder / layout.manifest(3)
    if content is None:
        found = json.loads(path.read_text())
        found["segments"][0]["without"] = [keys[0]]
        content = json.dumps(found).encode()
    path.write_bytes(content)
    for act in (lambda: local.runs().collect(), lambda: local.status("r1"), lambda: compact(local)):
        with pytest.raises(LabError, match=rf"{path} is damaged; expected: .*; try: remove it"):
            act()
    path.unlink()
    assert local.statuses(keys) == {keys[0]: "done"}


def test_a_copy_under_another_name_is_refused(local: Store) -> None:
    key = add_run(local)
    path = path_of(local, "runs", key)
    path.with_name("copy.parquet").write_bytes(path.read_bytes())
    with pytest.raises(LabError, match="holds the row of another run"):
        compact(local)


def test_many_runs_are_merged_in_portions(local: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_PORTION", 2)
    monkeypatch.setattr(compaction, "_READ_AT_ONCE", 2)
    statuses = ["done", "failed", "diverged"] * 3
    for seed, status in enumerate(statuses):
        add_run(local, seed=seed, status=status)
    before = content_of(local)
    assert compact(local) == len(statuses) - statuses.count("failed")
    assert newest(local.place).number > 3
    assert content_of(local) == before


def test_one_run_is_found_without_reading_another(local: Store) -> None:
    keys = [add_run(local, seed=seed) for seed in range(2)]
    path_of(local, "runs", keys[0]).write_bytes(b"damaged")
    assert local.status(keys[1]) == "done"
    assert (local.run(keys[1]) or {})["key"] == keys[1]
    with pytest.raises(LabError, match=rf"{keys[0]}\.parquet is truncated"):
        local.status(keys[0])


def tables(store: Store) -> list[pl.DataFrame]:
    """All rows of each table."""
    return [store.runs().collect(), store.epochs().collect(), store.samples().collect()]
