"""Writers, writers of the same runs and compactions, killed at any instant: no row lost or double.

Long, on a folder and on a bucket; `test_crash` goes through the steps of one compaction.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.results.store import Store
from pipeline.results.upkeep.compaction import compact
from tests.support.buckets import BucketServer
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run, content_of

WRITER = PROJECT / "tests/support/results_writer.py"
ROLES = ("write", "again", "compact", "compact")
ROUNDS, LONGEST_LIFE = 8, 2.0


@pytest.fixture(
    params=[
        pytest.param("folder", marks=pytest.mark.slow),
        pytest.param("bucket", marks=pytest.mark.services),
    ]
)
def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """An empty store of either kind."""
    if request.param == "folder":
        yield Store(tmp_path / "store")
        return
    server = BucketServer(tmp_path)
    try:
        server.start()
        for name, value in server.variables.items():
            monkeypatch.setenv(name, value)
        yield Store(f"s3://{server.bucket()}/store")
    finally:
        server.stop()


def start(store: Store, role: str, seed: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, WRITER, store.place.address, str(seed), role],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(PROJECT), "POLARS_MAX_THREADS": "1"},
    )


def test_whatever_is_killed_every_finished_run_is_there_once(store: Store) -> None:
    lives, versions = random.Random(0), dict[str, int]()
    announced = {add_run(store)}
    for attempt in range(ROUNDS):
        workers = [start(store, role, 1000 * (attempt + 1)) for role in ROLES]
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        for worker in workers:
            time.sleep(lives.uniform(0, LONGEST_LIFE / len(workers)))
            worker.kill()
        for role, worker in zip(ROLES, workers, strict=True):
            printed, complaints = worker.communicate()
            assert not [line for line in complaints.splitlines() if "Error" in line], complaints
            words = printed.split()
            if role == "write":
                announced |= set(words)
            elif role == "again":
                for word in words:
                    key, number = word.split("=")
                    versions[key] = max(int(number), versions.get(key, 0))
        check(store, announced, versions)
    assert len(announced) >= ROUNDS
    assert len(versions) >= 1
    before = content_of(store)
    compact(store)
    assert content_of(store) == before
    check(store, announced, versions)
    assert store.check_files() > 0


def check(store: Store, announced: set[str], versions: dict[str, int]) -> None:
    """Every announced run once and whole; of those computed again, no version before the last."""
    runs = store.runs().collect()
    assert runs["key"].is_unique().all()
    assert announced <= set(runs.filter(status="done")["key"])
    for table, height in ((store.epochs(), 3), (store.samples(), 4)):
        counts = table.group_by("key").len().collect()
        assert set(counts["len"]) <= {height}
        assert announced <= set(counts["key"])
    seen = runs.filter(status="done").select("key", "seconds")
    of_epochs = store.epochs().group_by("key").agg(pl.col("seconds").unique()).collect()
    numbers = dict(of_epochs.iter_rows())
    for key, seconds in seen.iter_rows():
        if key in versions:
            # A writer killed between its files leaves the later epochs beside the earlier row.
            assert seconds >= versions[key]
            (number,) = numbers[key]
            assert number >= seconds
