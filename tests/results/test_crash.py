"""Whatever is killed and whenever: readers see every finished run once, complete, and no other."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

from pipeline.errors import LabError
from pipeline.results.compaction import compact
from pipeline.results.store import Store
from pipeline.results.tables import parquet
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run, run_row

WRITER = PROJECT / "tests/support/results_writer.py"
KILLS, LONGEST_LIFE = 6, 0.25


class Killed(BaseException):
    """Stands for the end of the process."""


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
    write = parquet.write
    for n in range(4):
        store, files_left = Store(tmp_path / str(n)), n
        store.write_run(run_row(status="running"))

        def killable_write(frame: pl.DataFrame, path: Path) -> None:
            nonlocal files_left
            files_left -= 1
            if files_left < 0:
                raise Killed
            write(frame, path)

        monkeypatch.setattr(parquet, "write", killable_write)
        if n < 3:
            with pytest.raises(Killed):
                add_run(store)
        else:
            add_run(store)
        monkeypatch.setattr(parquet, "write", write)
        assert store.status(run_row()["key"]) == ("done" if n == 3 else "running")
        assert store.epochs().collect().height == (3 if n == 3 else 0)
        assert store.samples().collect().height == (4 if n == 3 else 0)


def test_compaction_killed_between_any_two_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps_left = 0

    def step() -> None:
        nonlocal steps_left
        steps_left -= 1
        if steps_left < 0:
            raise Killed

    stream, unlink = parquet.stream, Path.unlink

    def killable_stream(rows: pl.LazyFrame, path: Path) -> None:
        step()
        stream(rows, path)

    def killable_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".parquet":
            step()
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(parquet, "stream", killable_stream)
    monkeypatch.setattr(Path, "unlink", killable_unlink)
    n_steps = 3 + 3 * 2  # three merges, then three files of each of two runs
    for n in range(n_steps + 1):
        store = Store(tmp_path / str(n))
        keys = [add_run(store, (0.1,), seed=9)]
        steps_left = 10**6
        compact(store)
        keys += [add_run(store, (0.1 * seed, 0.5), seed=seed) for seed in (1, 2)]
        before = _content(store)
        steps_left = n
        if n < n_steps:
            with pytest.raises(Killed):
                compact(store)
        else:
            assert compact(store) == 2
        assert _content(store) == before
        steps_left = 10**6
        compact(store)
        assert _content(store) == before
        assert sorted(store.runs().collect()["key"]) == sorted(keys)
        assert not any(store.files(table) for table in ("runs", "epochs", "samples"))


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    keys = {add_run(store, seed=seed) for seed in range(3)}
    scan = parquet.scan
    pending = [True]

    def compacted_meanwhile(*arguments: object) -> pl.LazyFrame:
        rows = scan(*arguments)  # type: ignore[arg-type]  # passes on what it is given
        if pending:
            pending.clear()
            compact(Store(tmp_path))
        return rows

    monkeypatch.setattr(parquet, "scan", compacted_meanwhile)
    assert set(store.runs().collect()["key"]) == keys
    assert not pending


def test_one_compaction_at_a_time(tmp_path: Path) -> None:
    add_run(Store(tmp_path))
    with (
        FileLock(tmp_path / ".compact.lock"),
        pytest.raises(LabError, match="another compaction"),
    ):
        compact(Store(tmp_path))


def _content(store: Store) -> list[list[tuple[object, ...]]]:
    return [
        store.runs().select("key", "status", "seed").sort("key").collect().rows(),
        store.epochs()
        .select("key", "epoch", "test_accuracy")
        .sort("key", "epoch")
        .collect()
        .rows(),
        store.samples().select("key", "index").sort("key", "index").collect().rows(),
    ]
