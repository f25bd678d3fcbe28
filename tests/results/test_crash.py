"""Whatever is killed and whenever: readers see every finished run once, complete, and no other."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pipeline.results.store import Store
from pipeline.results.tables import parquet, segments
from pipeline.results.upkeep.compaction import compact
from pipeline.storage.place import Place
from tests.support.paths import PROJECT
from tests.support.results_builder import (
    add_run,
    content_of,
    merge_as_early_versions_did,
    run_row,
)

WRITER = PROJECT / "tests/support/results_writer.py"
KILLS, LONGEST_LIFE = 6, 0.25


class Killed(BaseException):
    """Stands for the end of the process."""


@pytest.mark.slow
def test_sigkill_at_any_moment_leaves_no_half_run(tmp_path: Path) -> None:
    lives, announced = random.Random(0), set()
    for attempt in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, WRITER, tmp_path, str(1000 * attempt)],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(PROJECT)},
        )
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(lives.uniform(0, LONGEST_LIFE))
        writer.kill()
        announced |= set(writer.communicate()[0].split())
        runs = Store(tmp_path).runs().collect()
        done = runs.filter(status="done")["key"]
        assert runs["key"].is_unique().all()
        assert announced <= set(done)
        for rows, height in ((Store(tmp_path).epochs(), 3), (Store(tmp_path).samples(), 4)):
            counts = rows.group_by("key").len().collect()
            assert set(counts["key"]) == set(done)
            assert (counts["len"] == height).all()
    assert len(announced) >= KILLS
    compact(Store(tmp_path))
    assert announced <= set(Store(tmp_path).runs().filter(status="done").collect()["key"])


def test_finished_run_killed_between_any_two_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Place.put
    for n in range(4):
        store, files_left = Store(tmp_path / str(n)), n
        store.write_run(run_row(status="running"))

        def killable_put(place: Place, name: str, content: bytes) -> None:
            nonlocal files_left
            files_left -= 1
            if files_left < 0:
                raise Killed
            put(place, name, content)

        monkeypatch.setattr(Place, "put", killable_put)
        if n < 3:
            with pytest.raises(Killed):
                add_run(store)
        else:
            add_run(store)
        monkeypatch.setattr(Place, "put", put)
        assert store.status(run_row()["key"]) == ("done" if n == 3 else "running")
        assert store.epochs().collect().height == (3 if n == 3 else 0)
        assert store.samples().collect().height == (4 if n == 3 else 0)


@pytest.mark.slow
@pytest.mark.parametrize("early", [False, True])
def test_compaction_killed_between_any_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    steps_left = 10**6

    def killable(act: Callable[..., object]) -> Callable[..., object]:
        def step(place: Place, *arguments: object) -> object:
            nonlocal steps_left
            steps_left -= 1
            if steps_left < 0:
                raise Killed
            return act(place, *arguments)

        return step

    def delete(place: Place, names: Collection[str]) -> None:
        for name in names:
            delete_one(place, [name])

    delete_one = killable(Place.delete)
    monkeypatch.setattr(Place, "delete", delete)
    monkeypatch.setattr(Place, "put", killable(Place.put))
    monkeypatch.setattr(Place, "create", killable(Place.create))
    monkeypatch.setattr(segments, "FAN", 3)
    completed, n = False, 0
    while not completed:
        store = Store(tmp_path / str(n))
        keys = [add_run(store, (0.1,), seed=9), add_run(store, (0.2,), seed=8)]
        if early:
            merge_as_early_versions_did(store)
        else:
            compact(store)
            compact_one_more(store, keys)
        keys += [add_run(store, (0.1 * seed, 0.5), seed=seed) for seed in (1, 2)]
        add_run(store, (0.7,), seed=8)  # computed again
        before = content_of(store)
        steps_left = n
        try:
            assert compact(store) == 3
            completed = True
        except Killed:
            assert n < 40
        assert content_of(store) == before
        steps_left = 10**6
        compact(store)
        assert content_of(store) == before
        assert sorted(store.runs().collect()["key"]) == sorted(keys)
        assert not any(store.files(table) for table in ("runs", "epochs", "samples"))
        n += 1
    # Three segments and the manifest, three files of three runs; two more where three are merged.
    assert n >= 4 + 9


def test_compaction_leaves_runs_that_may_go_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    merged = [add_run(store, seed=0), add_run(store, (), seed=1, status="diverged")]
    failed = add_run(store, seed=2, status="failed")
    store.write_run(run_row(seed=3, status="running"))
    assert compact(store) == 2
    assert set(store.files("runs")) == {failed, run_row(seed=3)["key"]}
    assert store.runs(merged).collect().height == 2
    assert compact(store) == 0


def test_reading_while_a_compaction_takes_the_files_away(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(place)
    keys = {add_run(store, seed=seed) for seed in range(3)}
    scan = parquet.scan
    pending = [True]

    def compacted_meanwhile(*arguments: Any) -> pl.LazyFrame:
        rows = scan(*arguments)
        if pending:
            pending.clear()
            compact(Store(place))
        return rows

    monkeypatch.setattr(parquet, "scan", compacted_meanwhile)
    assert set(store.runs().collect()["key"]) == keys
    assert not pending


def compact_one_more(store: Store, keys: list[str]) -> None:
    keys.append(add_run(store, seed=7))
    compact(store)
