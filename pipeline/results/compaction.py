"""Merging the files of finished runs, so that thousands of runs are read as fast as one.

Per table, the runs that are final (done or diverged) go from their own files into one file. It is
replaced at once, and only then do the own files go, the `runs` row last. A run with a file of its
own is read from there, so at every moment readers meet it once, and a compaction that was killed
anywhere is simply done again.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import polars as pl
from filelock import FileLock, Timeout

from pipeline.errors import LabError
from pipeline.results.schema import TABLES, Table, dtypes
from pipeline.results.store import Store
from pipeline.results.tables import parquet

_ORDER: tuple[Table, ...] = ("samples", "epochs", "runs")
ABANDONED_SECONDS = 24 * 3600
"""Age from which a temporary file or folder is taken for that of a killed process."""
_TEMPORARY = [
    f"{depth}.*.{ending}" for depth in ("", "*/", "*/*/") for ending in ("tmp", "new", "old")
]
"""What `pipeline.files` calls files and folders that have not got their names yet."""


def compact(store: Store) -> int:
    """Merge the files of all final runs; failed ones may be tried again and keep their files.

    Columns and widths of numbers that another version of the code wrote are kept.

    Args:
        store: store to compact; readers and writers may go on meanwhile.

    Returns:
        Number of runs merged.

    Raises:
        LabError: while another compaction runs, for a file that is damaged (nothing is lost), and
            where the store does not exist or cannot be written.
    """
    store.require()
    lock = FileLock(store.folder / ".compact.lock", timeout=0)
    try:
        with lock:
            return _compact(store)
    except Timeout as error:
        raise LabError(
            f"another compaction of {store.folder} is running", "one at a time", "wait for it"
        ) from error
    except PermissionError as error:
        raise LabError(
            f"cannot write in {store.folder}",
            "a store of your own, or one that your group may write",
            f"ask its owner to compact it; it can be read as it is (chmod -R g+w {store.folder} "
            "shares it)",
            exit_code=1,
        ) from error


def _compact(store: Store) -> int:
    _sweep(store)
    own_rows = store.runs(store.files("runs")).select("key", "status").collect()
    final = own_rows.filter(pl.col("status").is_in(["done", "diverged"]))["key"].to_list()
    if not final:
        return 0
    # What is merged gets a new checksum: damage must show before.
    store.check_files(final)
    for table in _ORDER:
        _merge(store, table, final)
    for table in _ORDER:
        for path in store.files(table, final).values():
            path.unlink()
    return len(final)


def _merge(store: Store, table: Table, keys: list[str]) -> None:
    """Replace the compacted file by its rows of other keys and the files of `keys`."""
    own, compacted = store.files(table, keys), store.compacted_path(table)
    try:
        new = parquet.by_schema(list(own.values()))
        old = parquet.by_schema([compacted] if compacted.exists() else [])
        schema = parquet.widest([old, new], dtypes(TABLES[table]))
        kept = parquet.scan_groups(old, schema).filter(~pl.col("key").is_in(list(own)))
        parquet.stream(pl.concat([kept, parquet.scan_groups(new, schema)]), compacted)
    except pl.exceptions.PolarsError as error:
        store.check_files(keys)
        raise LabError(
            f"cannot write {compacted}: {error}",
            "room for a copy of the store",
            "make room; nothing is lost",
            exit_code=1,
        ) from error


def _sweep(store: Store) -> None:
    """Remove what processes killed in the middle of writing left behind."""
    oldest = time.time() - ABANDONED_SECONDS
    for pattern in _TEMPORARY:
        for path in store.folder.glob(pattern):
            if _modified(path) < oldest:
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    """When a file, or anything in a folder, was last written."""
    try:
        inside: Iterable[Path] = path.rglob("*") if path.is_dir() else ()
        newest: float = max(item.lstat().st_mtime for item in (path, *inside))
    except FileNotFoundError:
        return time.time()  # it has just got its name
    return newest
