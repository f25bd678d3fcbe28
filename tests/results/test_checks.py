"""Damage shows: `python -m pipeline.results check`, and what merges or publishes results."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import LabError
from pipeline.results.schema import RUNS, TABLES, Table
from pipeline.results.store import Store
from pipeline.results.tables import parquet, segments
from pipeline.results.upkeep.compaction import compact
from pipeline.results.upkeep.sweep import ABANDONED_SECONDS
from pipeline.results.view import write_view
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run, path_of, segment_path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def flip(path: Path, position: int, bit: int) -> bytes:
    """Flip one bit of a file; returns what it was."""
    before = path.read_bytes()
    changed = bytearray(before)
    changed[position] ^= 1 << bit
    path.write_bytes(changed)
    return before


def fault(path: Path) -> str | None:
    return parquet.fault(io.BytesIO(path.read_bytes()), RUNS)


def test_a_flipped_bit_anywhere_in_a_file_is_found(store: Store) -> None:
    path = path_of(store, "runs", add_run(store))
    draws, content = random.Random(0), path.read_bytes()
    assert fault(path) is None
    # Anywhere, all through the checksum and its name, and in the last bytes.
    seal, end = content.rindex(b"lnl.sha256"), len(content)
    positions = {*draws.sample(range(end), 100), *range(seal, seal + 80, 2), *range(end - 8, end)}
    for position in positions:
        before = flip(path, position, draws.randrange(8))
        assert fault(path) == "is truncated or corrupt", position
        path.write_bytes(before)
    assert fault(path) is None


@pytest.mark.parametrize("compacted", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_one_flipped_bit_is_named_by_the_check(
    store: Store,
    table: Table,
    compacted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys = [add_run(store, seed=seed) for seed in range(2)]
    if compacted:
        compact(store)
        add_run(store, seed=2)
    path = segment_path(store, table) if compacted else path_of(store, table, keys[0])
    flip(path, path.stat().st_size // 3, 0)
    remedy = r"uv run .* forget segments/" if compacted else "rm"
    said = rf"{path} is truncated or corrupt; expected: .*; try: {remedy}"
    with pytest.raises(LabError, match=said):
        store.check_files()
    # It must not get a new checksum under which it would pass for sound.
    monkeypatch.setattr(segments, "FAN", 2)
    with pytest.raises(LabError, match=said):
        compact(store)
    if table != "samples":
        with pytest.raises(LabError, match="corrupt"):
            write_view(keys, tmp_path / "view.parquet", store)


def test_files_of_early_versions_have_no_checksum_and_are_sound(store: Store) -> None:
    path = path_of(store, "runs", add_run(store))
    pl.read_parquet(path).write_parquet(path)
    assert store.check_files() == 3
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(LabError, match="corrupt"):
        store.check_files()


def command(*words: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.results", *words],
        capture_output=True, text=True, check=False, cwd=PROJECT,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_the_commands_on_a_sound_store_and_on_none(store: Store, tmp_path: Path) -> None:
    add_run(store)
    place = ("--store", str(store.place.folder))
    assert command("check", *place)[:2] == (0, f"3 files of {store.place.folder}: all sound\n")
    assert command("compact", *place)[:2] == (
        0,
        f"1 runs merged into {store.place.folder / 'segments'}\n",
    )
    for place in (tmp_path / "nowhere", tmp_path, path_of(store, "runs", "x"), ""):
        before = sorted(tmp_path.rglob("*"))
        for act in (Store.require, compact):
            with pytest.raises(LabError, match="no results store at .*; expected: .*; try: uv run"):
                act(Store(Path(place)))
        assert sorted(tmp_path.rglob("*")) == before
    code, out, err = command("check", "--store", str(tmp_path / "nowhere"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: no results store at /")
    assert "nowhere; expected: " in err


def test_compaction_removes_what_killed_programs_left(store: Store) -> None:
    add_run(store)
    kept_weights = store.place.folder / "encoders"
    left = [
        store.place.folder / "runs" / ".b.parquet.0123.tmp",
        store.place.folder / ".x.tmp",
        kept_weights / ".r1.new" / "weights.safetensors",
        kept_weights / ".r1.old" / "weights.safetensors",
        kept_weights / "r2" / ".posterior.npy.0123.tmp",
    ]
    young = store.place.folder / "runs" / ".a.parquet.0123.tmp"
    busy = kept_weights / ".r3.new" / "weights.safetensors"
    lasting = kept_weights / "r2" / "weights.safetensors"
    for path in (*left, young, busy, lasting):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    day_before = time.time() - ABANDONED_SECONDS - 1
    for path in (*left, lasting, *{path.parent for path in left}, busy.parent):
        os.utime(path, (day_before, day_before))
    assert store.runs().collect().height == 1
    compact(store)
    assert not [path for path in left if path.exists()]
    assert not list(kept_weights.glob(".r1.*"))
    assert young.exists()
    assert busy.exists()
    assert lasting.exists()
