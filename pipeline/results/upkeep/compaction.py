"""Merging the files of finished runs, so that thousands of runs are read as fast as one.

The rows of runs that are final (done or diverged) go into segments, which count from the moment
when the next manifest lists them. Only then do the loose files go, if they are still those that
were merged; the `runs` row last. Of two compactions at once the second to finish starts again. One
that was killed anywhere leaves loose files, which are merged again, and segments that no manifest
lists, which go a day later.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from typing import NamedTuple

import polars as pl

from pipeline.errors import LabError
from pipeline.results.schema import RUNS, TABLES, Table
from pipeline.results.store import Store
from pipeline.results.tables import index, parquet
from pipeline.results.tables.manifest import Manifest, Segment, commit, first_manifest
from pipeline.results.tables.segments import (
    FULL_BYTES,
    less,
    less_runs,
    merged,
    write_loose,
    write_segments,
)
from pipeline.results.tables.snapshot import UNREADABLE
from pipeline.results.upkeep.sweep import ABANDONED_SECONDS, sweep
from pipeline.storage.entry import Entry

FINAL = ("done", "diverged")
_OTHERS: tuple[Table, ...] = ("samples", "epochs")
_PORTION = 5_000
"""Runs that one manifest adds: what a killed compaction has to do again."""
_READ_AT_ONCE = 500
_TRIES = 20
_REMOVED_AT_ONCE = 1_000
"""Objects of a bucket are listed and deleted together; files of a folder one by one."""

_Files = dict[Table, dict[str, Entry]]
"""Loose files by table and key."""


class _CameTooLateError(Exception):
    """Another compaction has changed the store meanwhile."""


class _Portion(NamedTuple):
    """Runs that are merged together."""

    rows: list[pl.DataFrame]
    """Of the table `runs`."""
    files: _Files
    """Of all tables, the `runs` last."""
    is_last: bool


def compact(store: Store) -> int:
    """Merge the files of all final runs; failed ones may be tried again and keep their files.

    Columns and widths of numbers that another version of the code wrote are kept.

    Args:
        store: store to compact; readers, writers and other compactions may go on meanwhile.

    Returns:
        Number of runs merged.

    Raises:
        LabError: for a file that is damaged (nothing is lost), and where the store does not exist
            or cannot be written.
    """
    store.require()
    sweep(store.place)
    n_runs = tries = 0
    while True:
        try:
            # First the state, then the files: what is merged is newer than all that it lists.
            base = first_manifest(store.place)
            portion = _read_portion(store)
            if portion.rows:
                _merge(store, base, portion)
        except (_CameTooLateError, *UNREADABLE) as trouble:
            if not isinstance(trouble, _CameTooLateError | FileNotFoundError):
                store.check_files()
            tries += 1
            if tries == _TRIES:
                raise LabError(
                    f"cannot merge the runs of {store.place.address}: {trouble}",
                    "few compactions at a time",
                    "wait for the others; nothing is lost",
                    exit_code=1,
                ) from trouble
            time.sleep(random.uniform(0, 0.05 * tries))
        else:
            n_runs, tries = n_runs + len(portion.files["runs"]), 0
            if portion.is_last:
                return n_runs


def _read_portion(store: Store) -> _Portion:
    """Rows of final runs, as many as one manifest takes, and which files they come from."""
    listed = store.files("runs")
    names = [entry.name for entry in listed.values()]
    rows: list[pl.DataFrame] = []
    n_read = n_rows = n_bytes = 0
    while n_read < len(names) and n_rows < _PORTION and n_bytes < FULL_BYTES:
        batch = names[n_read : n_read + _READ_AT_ONCE]
        n_read += len(batch)
        files = [sound.file for sound in store.sound("runs", batch)]
        found = parquet.joined(files, RUNS).filter(pl.col("status").is_in(FINAL))
        if found.height:
            rows.append(found)
            n_rows, n_bytes = n_rows + found.height, n_bytes + int(found.estimated_size())
    keys = [key for found in rows for key in found["key"]]
    if len(set(keys)) < len(keys) or not set(keys) <= listed.keys():
        raise LabError(
            f"a file in {store.place.uri('runs')} that holds the row of another run",
            "files as the store wrote them, under their own names",
            "remove copies of files",
        )
    files_of: _Files = {table: store.files(table, keys) for table in _OTHERS}
    files_of["runs"] = {key: listed[key] for key in keys}
    return _Portion(rows, files_of, n_read == len(names))


def _merge(store: Store, base: Manifest, portion: _Portion) -> None:
    """Make a portion part of the store, then take its loose files away."""
    started = time.time()
    labels = {
        key: digest
        for rows in portion.rows
        for key, digest in rows.select("key", "labels_digest").iter_rows()
    }
    known = index.find(store.place, base.of("runs"), labels)
    segments = less_runs(base.segments, known)
    made: list[Segment] = []
    for table in _OTHERS:
        by_labels: dict[str | None, dict[str, Entry]] = defaultdict(dict)
        for key, entry in portion.files[table].items():
            by_labels[labels[key] if table == "samples" else None][key] = entry
        for digest, files in by_labels.items():
            segments = less(segments, table, known.keys() & files.keys(), digest)
            sizes = {entry.name: entry.size for entry in files.values()}
            made += write_loose(store, table, sizes, digest)
    made += write_segments(store, "runs", portion.rows)
    now = Manifest(base.number, (*segments, *made))
    after = [segment for table in TABLES for segment in merged(store, table, now.of(table))]
    # Segments that no manifest lists go after a day.
    late = time.time() - started > ABANDONED_SECONDS / 2
    if late or commit(store.place, base, after) is None:
        store.place.delete({s.name for s in after} - {s.name for s in base.segments})
        raise _CameTooLateError("another compaction came first")
    _remove_merged(store, portion.files)


def _remove_merged(store: Store, files: _Files) -> None:
    """Remove loose files that are still the ones that were merged."""
    keys = list(files["runs"])
    n_together = 1 if store.place.is_folder else _REMOVED_AT_ONCE
    for start in range(0, len(keys), n_together):
        some = keys[start : start + n_together]
        # The rows last: a run that is computed again writes its row long before its other files.
        now = {table: store.files(table, some) for table in files}
        same = [key for key in some if all(_is_same(now[t], files[t], key) for t in files)]
        for found in now.values():
            store.place.delete([found[key].name for key in same if key in found])


def _is_same(now: dict[str, Entry], before: dict[str, Entry], key: str) -> bool:
    """Whether a loose file is the one that was merged, or gone."""
    return key not in now or (key in before and now[key].e_tag == before[key].e_tag)
