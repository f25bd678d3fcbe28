"""Reading a table of the store as it is now, while writers and compactions go on.

A compaction makes a run part of the manifest before it takes the loose files of the run away. So a
read lists loose files first and opens the newest manifest after that; loose files that vanish under
it are taken off the list and looked for in the manifest, opened afresh. The list only shrinks: a
read always ends, however many compactions run. A run with a loose file is read from there.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

import polars as pl

from pipeline.errors import LabError
from pipeline.results.schema import FINISHED, TABLES, Table, dtypes
from pipeline.results.tables import index, parquet
from pipeline.results.tables.files import StoreFiles
from pipeline.results.tables.manifest import Manifest, Segment, newest

Narrowed = Callable[[pl.LazyFrame], pl.LazyFrame]
"""Filter and choice of columns to apply while reading."""
UNREADABLE = (OSError, pl.exceptions.PolarsError)
"""What reading a file that is damaged or has just gone raises."""
_ATTEMPTS = 5
"""How often a read starts afresh for another reason than that files vanished."""


class _Question(NamedTuple):
    """What of which table is read, apart from where it lies."""

    table: Table
    keys: list[str] | None
    """The runs in rising order, or all."""
    unfinished: set[str]
    """Runs that are hidden, whatever lies in a segment."""
    finished: set[str] | None
    """Runs whose loose files count; others do if a segment knows them. None for all."""
    labels: set[str] | None
    """Digests of the label tables they belong to, where known."""


def snapshot(
    store: StoreFiles,
    table: Table,
    keys: Collection[str] | None,
    narrowed: Narrowed,
    *,
    merged: bool = True,
) -> pl.DataFrame:
    """Rows of one table: of loose files, and of runs in segments that have none.

    Args:
        store: which store.
        table: which table; unfinished runs are left out of all but `runs`.
        keys: which runs, or all.
        narrowed: filter and choice of columns to apply while reading.
        merged: whether rows in segments are read.

    Returns:
        The rows, in no particular order.

    Raises:
        LabError: naming a file that cannot be read.
    """
    question = _question(store, table, keys)
    loose = {key: entry.name for key, entry in store.files(table, keys).items()}
    scan, attempts = parquet.scan, 0
    while True:
        state = newest(store.place) if merged else Manifest(0, ())
        try:
            return _read(store, question, loose, state, narrowed, scan)
        except UNREADABLE as error:
            present = store.files(table, loose)
            if len(present) == len(loose) and (not merged or state == newest(store.place)):
                store.check_files(keys, {table, "runs"})
                attempts += 1
            if isinstance(error, pl.exceptions.SchemaError):
                scan = parquet.scan_any_width
            if attempts >= _ATTEMPTS:
                raise LabError(
                    f"cannot read the {table} of {store.place.address}: {error}",
                    "files as the store wrote them",
                    f"uv run python -m pipeline.results check --store {store.place.address}",
                ) from error
            loose = {key: name for key, name in loose.items() if key in present}


def statuses_of_loose(store: StoreFiles, keys: Collection[str] | None) -> dict[str, str]:
    """Status of each run that has a loose file, or of those among `keys`.

    Raises:
        LabError: naming a file that cannot be read.
    """
    rows = snapshot(store, "runs", keys, lambda every: every.select("key", "status"), merged=False)
    return dict(rows.iter_rows())


def _question(store: StoreFiles, table: Table, keys: Collection[str] | None) -> _Question:
    wanted = None if keys is None else sorted(set(keys))
    if table == "runs":
        return _Question(table, wanted, set(), None, None)
    # Before loose files are listed: whatever is finished by now has all its files.
    statuses = statuses_of_loose(store, keys)
    finished = {key for key, status in statuses.items() if status in FINISHED}
    labels = None
    if table == "samples" and wanted is not None:
        column = snapshot(store, "runs", wanted, lambda every: every.select("labels_digest"))
        labels = set(column.to_series())
    return _Question(table, wanted, statuses.keys() - finished, finished, labels)


def _read(
    store: StoreFiles,
    question: _Question,
    loose: dict[str, str],
    state: Manifest,
    narrowed: Narrowed,
    scan: Callable[..., pl.LazyFrame],
) -> pl.DataFrame:
    place, runs = store.place, state.of("runs")
    schema = dtypes(TABLES[question.table])

    def rows_of(names: Iterable[str]) -> pl.LazyFrame:
        return scan([place.uri(name) for name in names], schema, place.storage_options)

    if question.finished is not None:
        unclear = loose.keys() - question.finished - question.unfinished
        counting = question.finished | index.find(place, runs, unclear).keys()
        loose = {key: name for key, name in loose.items() if key in counting}
    union = [rows_of(loose.values())]
    segments = [s for s in state.of(question.table) if _may_answer(s, question)]
    if segments:
        elsewhere = index.find(place, runs, question.unfinished | loose.keys()).keys()
        # Most segments have nothing to leave out, and are read as one.
        whole = [segment.name for segment in segments if not segment.without]
        merged = [rows_of(whole)] + [
            _without(rows_of([segment.name]), segment.without)
            for segment in segments
            if segment.without
        ]
        some = _without(pl.concat(merged), elsewhere)
        if question.keys is not None:
            some = some.filter(pl.col("key").is_in(question.keys))
        union.append(some)
    return narrowed(pl.concat(union)).collect()


def _without(rows: pl.LazyFrame, keys: Collection[str]) -> pl.LazyFrame:
    return rows.filter(~pl.col("key").is_in(list(keys))) if keys else rows


def _may_answer(segment: Segment, question: _Question) -> bool:
    if question.labels is not None and segment.labels is not None:
        return segment.labels in question.labels
    if question.keys is None:
        return True
    first = bisect_left(question.keys, segment.first)
    return first < len(question.keys) and question.keys[first] <= segment.last
