"""docs/store.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import polars as pl
import pytest

from pipeline.results.columns import columns_table
from pipeline.results.schema import (
    CURVES,
    DRAWN,
    EPOCH_COLUMNS,
    METRICS,
    RUN_COLUMNS,
    TABLES,
    TAGS,
    Table,
)
from pipeline.results.store import Store
from pipeline.results.tracking import limits
from pipeline.results.upkeep.compaction import compact
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run

PAGE = (PROJECT / "docs" / "store.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_the_page_lists_the_columns_as_they_are(table: Table) -> None:
    assert columns_table(table) in PAGE, "uv run python -m pipeline.results columns"


def test_the_page_names_the_limits_as_they_are() -> None:
    text = " ".join(PAGE.split())
    assert f"at most {limits.CONNECT_SECONDS:.0f} seconds" in text
    assert f"about {limits.LATER_SECONDS:.0f} seconds" in text
    assert f"plus {100 * limits.SHARE:.0f} %" in text


def test_what_is_shown_derives_from_the_columns() -> None:
    assert set(TAGS) < set(RUN_COLUMNS)
    assert set(DRAWN) < set(CURVES) < set(EPOCH_COLUMNS)
    # Every number about an epoch is a curve, but what it cost.
    left_out = {name for name in EPOCH_COLUMNS if name not in CURVES}
    assert left_out == {"key", "epoch", "scalars", "seconds"}
    # MLflow draws what stands before the slash as a section, which the page names.
    sections = [metric.partition("/")[0] for metric in METRICS.values()]
    assert all(f"`{section}/`" in PAGE for section in sections)
    assert len(set(METRICS.values())) == len(METRICS) == len(CURVES)
    assert all(metric.count("/") == 1 for metric in METRICS.values())
    averaged = {name for name in EPOCH_COLUMNS if name.startswith("averaged_")}
    assert {name.removeprefix("averaged_") for name in averaged} < set(CURVES)
    assert len(averaged) == 6


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store at results/store of the working folder, with runs that were computed again."""
    monkeypatch.chdir(tmp_path)
    store = Store("results/store")
    for seed in range(4):
        add_run(store, seed=seed)
    compact(store)
    add_run(store, (0.1,), seed=1)
    compact(store)
    return store


def code(language: str, word: str) -> str:
    """The piece of code of the page that contains a word."""
    pieces = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    (found,) = (piece for piece in pieces if word in piece)
    return str(found)


def best_by_key(store: Store) -> dict[str, float]:
    epochs = store.epochs().group_by("key").agg(pl.col("test_accuracy").max())
    return dict(epochs.collect().iter_rows())


@pytest.mark.parametrize("loose", [False, True])
def test_polars_alone_reads_the_store(store: Store, loose: bool) -> None:
    if loose:
        add_run(store, (0.2, 0.3), seed=2)
        add_run(store, seed=5)
    names: dict[str, pl.LazyFrame] = {}
    exec(code("python", "def table"), names)
    assert dict(names["best"].collect().iter_rows()) == best_by_key(store)


def test_duckdb_alone_reads_the_segments(store: Store) -> None:
    rows = duckdb.connect().execute(code("sql", "VARIABLE")).fetchall()
    assert dict(rows) == best_by_key(store)
    assert len(rows) == 4
