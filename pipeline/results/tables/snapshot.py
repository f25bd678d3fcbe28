"""Reading a table of the store as it is now, while writers and compactions go on.

A compaction puts a run into the compacted file before it takes the run's own files away. So a read
lists own files first and opens the compacted file after that; own files that vanish under it are
taken off the list and looked for in the compacted file, opened afresh. The list only shrinks:
a read always ends, however many compactions run.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import ExitStack
from pathlib import Path

import polars as pl

from pipeline.errors import LabError
from pipeline.results.schema import FINISHED, TABLES, Table, dtypes
from pipeline.results.tables import parquet
from pipeline.results.tables.folder import StoreFolder

_ATTEMPTS = 5
"""How often a read starts afresh for another reason than that own files vanished."""


def snapshot(
    store: StoreFolder,
    table: Table,
    keys: Collection[str] | None,
    narrowed: Callable[[pl.LazyFrame], pl.LazyFrame],
) -> pl.DataFrame:
    """Rows of one table: of own files, and of compacted runs that have none.

    Args:
        store: which store.
        table: which table; unfinished runs are left out of all but `runs`.
        keys: which runs, or all.
        narrowed: filter and choice of columns to apply while reading.

    Returns:
        The rows, in no particular order.

    Raises:
        LabError: naming a file that cannot be read.
    """
    unfinished: set[str] = set()
    finished: set[str] | None = None
    if table != "runs":
        # Before the list: whatever is finished by now has all its files.
        known = snapshot(store, "runs", keys, lambda rows: rows.select("key", "status"))
        status = dict(known.iter_rows())
        finished = {key for key, value in status.items() if value in FINISHED}
        unfinished = set(status) - finished
    own = {
        key: path
        for key, path in store.files(table, keys).items()
        if finished is None or key in finished
    }
    scan, attempts = parquet.scan, 0
    while True:
        try:
            return _read(store, table, keys, own, unfinished, narrowed, scan)
        except FileNotFoundError:
            left = {key: path for key, path in own.items() if path.exists()}
            attempts += len(left) == len(own)
            own = left
            trouble = "files come and go"
        except pl.exceptions.PolarsError as error:
            store.check_files(keys, [table])
            if isinstance(error, pl.exceptions.SchemaError):
                scan = parquet.scan_any_width
            attempts += 1
            trouble = str(error)
        if attempts >= _ATTEMPTS:
            raise LabError(
                f"cannot read the {table} of {store.folder}: {trouble}",
                "files as the store wrote them",
                f"uv run python -m pipeline.results check --store {store.folder}",
            )


def _read(
    store: StoreFolder,
    table: Table,
    keys: Collection[str] | None,
    own: dict[str, Path],
    unfinished: set[str],
    narrowed: Callable[[pl.LazyFrame], pl.LazyFrame],
    scan: Callable[..., pl.LazyFrame],
) -> pl.DataFrame:
    schema = dtypes(TABLES[table])
    union = [scan(list(own.values()), schema)]
    with ExitStack() as opened:
        try:
            # Open, it stays the same file though a compaction replaces its name meanwhile.
            compacted = opened.enter_context(store.compacted_path(table).open("rb"))
        except FileNotFoundError:
            pass
        else:
            merged = scan([compacted], schema)
            if keys is not None:
                merged = merged.filter(pl.col("key").is_in(list(keys)))
            if elsewhere := unfinished | set(own):
                merged = merged.filter(~pl.col("key").is_in(list(elsewhere)))
            union.append(merged)
        return narrowed(pl.concat(union)).collect()
