"""Merging the files of finished runs, so that thousands of runs are read as fast as one.

Per table, the runs that are final (done or diverged) go from their own files into one file. It is
replaced at once, and only then do the own files go, the `runs` row last. A run with a file of its
own is read from there, so at every moment readers meet it once, and a compaction that was killed
anywhere is simply done again.
"""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from pipeline.errors import LabError
from pipeline.results import parquet
from pipeline.results.schema import TABLES, Table, dtypes
from pipeline.results.store import Store

_ORDER: tuple[Table, ...] = ("samples", "epochs", "runs")
_ABANDONED_SECONDS = 24 * 3600
"""Age from which a temporary file is taken for that of a killed process."""


def compact(store: Store) -> int:
    """Merge the files of all final runs; failed ones may be tried again and keep their files.

    Args:
        store: store to compact; readers and writers may go on meanwhile.

    Returns:
        Number of runs merged.

    Raises:
        LabError: while another compaction runs, for a file that cannot be read (nothing is lost),
            and where the store cannot be written.
    """
    if not store.folder.is_dir():
        raise LabError(f"no results store at {store.folder}", "a folder made by the first run")
    try:
        with FileLock(store.folder / ".compact.lock", timeout=0):
            return _compact(store)
    except Timeout as error:
        raise LabError(
            f"another compaction of {store.folder} is running", "one at a time", "wait for it"
        ) from error


def _compact(store: Store) -> int:
    _sweep(store)
    own_rows = store.runs(store.files("runs")).select("key", "status").collect()
    final = own_rows.filter(pl.col("status").is_in(["done", "diverged"]))["key"].to_list()
    if not final:
        return 0
    for table in _ORDER:
        _merge(store, table, final)
    for table in _ORDER:
        for path in store.files(table, final).values():
            path.unlink()
    return len(final)


def _merge(store: Store, table: Table, keys: list[str]) -> None:
    """Replace the compacted file by its rows of other keys and the files of `keys`."""
    schema = dtypes(TABLES[table])
    own, compacted = store.files(table, keys), store.compacted_path(table)
    rows = parquet.scan(list(own.values()), schema)
    if compacted.exists():
        kept = parquet.scan([compacted], schema).filter(~pl.col("key").is_in(list(own)))
        rows = pl.concat([kept, rows])
    try:
        parquet.stream(rows, compacted)
    except pl.exceptions.PolarsError as error:
        store.check_files(keys)
        raise LabError(
            f"cannot write {compacted}: {error}", "room for a copy of the store", exit_code=1
        ) from error


def _sweep(store: Store) -> None:
    """Remove what processes killed in the middle of writing left behind."""
    oldest = time.time() - _ABANDONED_SECONDS
    for path in store.folder.glob("*/.*.tmp"):
        if _modified(path) < oldest:
            path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()  # it has just got its name
