"""A view is a deterministic extract of the store, and reads like the store."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.results.schema import EPOCH_COLUMNS, RUN_COLUMNS
from pipeline.results.store import Store
from pipeline.results.tables import parquet
from pipeline.results.upkeep.compaction import compact
from pipeline.results.view import read_views, results, write_view
from tests.support.results_builder import add_run, run_row


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_view_is_the_same_whoever_made_the_runs_and_when(store: Store, tmp_path: Path) -> None:
    keys = [add_run(store, seed=seed) for seed in (2, 0, 1)]
    keys.append(add_run(store, (), seed=3, status="diverged"))
    write_view(keys, tmp_path / "a", store)
    compact(store)
    write_view(reversed(keys), tmp_path / "b", store)
    elsewhere = Store(tmp_path / "elsewhere")
    for seed in range(3):
        add_run(
            elsewhere,
            seed=seed,
            host="another",
            seconds=99.0,
            git_commit="f" * 40,
            grid="other",
            code_digest="f" * 16,
            resumed=2,
        )
    add_run(elsewhere, (), seed=3, status="diverged", device="cuda")
    add_run(elsewhere, seed=4)
    write_view(keys, tmp_path / "c", elsewhere)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "c").read_bytes()


def test_view_holds_all_but_the_cost(store: Store, tmp_path: Path) -> None:
    keys = [add_run(store, seed=seed) for seed in range(2)]
    keys.append(add_run(store, (), seed=2, status="diverged"))
    write_view(keys, tmp_path / "view", store)
    runs, epochs = (table.collect() for table in results([tmp_path / "view"]))
    for frame, columns, stored in (
        (runs, RUN_COLUMNS, store.runs()),
        (epochs, EPOCH_COLUMNS, store.epochs()),
    ):
        kept = [name for name, column in columns.items() if not column.cost]
        assert frame.columns == kept
        order = ["key", "epoch"] if "epoch" in kept else ["key"]
        assert frame.sort(order).equals(stored.select(kept).sort(order).collect())
    assert not {"host", "seconds", "started_at", "git_commit"} & set(runs.columns)
    assert runs["seed"].is_sorted()


def test_runs_in_several_views_count_once(store: Store, tmp_path: Path) -> None:
    keys = [add_run(store, seed=seed) for seed in range(3)]
    write_view(keys[:2], tmp_path / "a", store)
    write_view(keys[1:], tmp_path / "b", store)
    both = read_views([tmp_path / "a", tmp_path / "b"])
    assert sorted(both.runs.collect()["key"]) == sorted(keys)
    assert both.epochs.collect().height == 9


def test_view_of_a_grid_that_has_not_ended_is_refused(store: Store, tmp_path: Path) -> None:
    key = add_run(store)
    store.write_run(run_row(seed=1, status="running"))
    running = run_row(seed=1)["key"]
    with pytest.raises(LabError, match=f"1 of 2 runs have no result, such as {running}"):
        write_view([key, running], tmp_path / "view", store)
    assert not (tmp_path / "view").exists()


def test_views_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no view at"):
        results([tmp_path / "missing"])
    (tmp_path / "text").write_text("no Parquet")
    with pytest.raises(LabError, match="text is no view"):
        results([tmp_path / "text"])
    pl.DataFrame({"x": [1]}).write_parquet(tmp_path / "other")
    with pytest.raises(LabError, match="other is no view"):
        results([tmp_path / "other"])


def test_without_views_the_store_is_read(store: Store) -> None:
    key = add_run(store)
    assert results(store=store).runs.collect()["key"].to_list() == [key]


def test_a_run_under_two_names_of_its_labels_has_a_row_for_each(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add_run(store, noise="symmetric-40", also_named=["digits/alias"])
    found = results(store=store).runs.collect()
    assert sorted(found["noise"]) == ["alias", "symmetric-40"]
    assert found["key"].n_unique() == 1


def test_a_view_from_before_a_column_of_the_epochs_is_read(store: Store, tmp_path: Path) -> None:
    keys = [add_run(store, seed=seed) for seed in range(2)]
    write_view(keys, tmp_path / "new", store)
    view = pl.read_parquet(tmp_path / "new")
    kept = [field.name for field in view.schema["curve"].inner.fields[:5]]
    of_epoch = pl.struct(pl.element().struct.field(name) for name in kept)
    early = view.with_columns(pl.col("curve").list.eval(of_epoch))
    parquet.write(early, tmp_path / "early")
    for views in ([tmp_path / "early"], [tmp_path / "early", tmp_path / "new"]):
        found = results(views).epochs.select(EPOCH_COLUMNS.keys() - {"seconds"}).collect()
        assert found.height == 6
        assert found["prediction_changes"].null_count() == 6
        assert found["epoch"].to_list() == [0, 1, 2] * 2
