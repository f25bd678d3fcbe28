"""Writing segments: rows of many runs as sorted files that never change.

How large they grow and when small ones are merged is decided here. A row is written again at most
once per tier, and there are few tiers: work per run grows as the logarithm of the number of runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import IO

import polars as pl

from pipeline.results.schema import TABLES, Table, dtypes
from pipeline.results.tables import layout, parquet
from pipeline.results.tables.files import StoreFiles
from pipeline.results.tables.index import Found
from pipeline.results.tables.manifest import Segment

FULL_BYTES = 128 << 20
"""Bytes in memory of the rows of a full segment."""
FULL_ROWS: dict[Table, int] = {"runs": 50_000, "epochs": 500_000, "samples": 1 << 40}
"""Rows of a full segment, where it is not full before."""
FAN = 8
"""Segments of one tier that become one of the next; a tier's are this many times as large."""
_LAST_TIER = 4
_ROW_GROUP: dict[Table, int] = {"runs": 10_000, "epochs": 50_000}
_ORDER: dict[Table, list[str]] = {
    "runs": ["key"],
    "epochs": ["key", "epoch"],
    "samples": ["key", "index"],
}
_READ_FILES, _READ_BYTES = 500, 16 << 20
"""Loose files that are read at once."""


def write_loose(
    store: StoreFiles, table: Table, sizes: dict[str, int], labels: str | None = None
) -> Iterator[Segment]:
    """Write the rows of loose files as segments.

    Args:
        store: which store.
        table: which table.
        sizes: bytes of each file, by name, in the order of their keys.
        labels: digest of the label table that all of them belong to.

    Yields:
        The segments, as they are written.

    Raises:
        LabError: for a damaged file, and where the store cannot be written.
        FileNotFoundError: when a file is gone.
    """
    waiting: list[pl.DataFrame] = []
    for names in _batches(sizes):
        files = [sound.file for sound in store.sound(table, names)]
        if len(files) < len(names):
            raise FileNotFoundError(f"loose {table}")
        waiting.append(_joined(table, files))
        if _fullness(table, *_sizes(waiting)) >= 1:
            yield from write_segments(store, table, waiting, labels)
            waiting = []
    yield from write_segments(store, table, waiting, labels)


def merged(store: StoreFiles, table: Table, segments: Sequence[Segment]) -> list[Segment]:
    """Segments of a table once those that have grown too many are merged.

    Args:
        store: which store.
        table: of the segments.
        segments: all of them, the oldest first.

    Returns:
        All of them then.

    Raises:
        LabError: for a damaged segment, and where the store cannot be written.
    """
    kept = list(segments)
    while small := _one_tier(kept):
        rows = []
        for segment in small:
            names = [segment.name]
            files = [sound.file for sound in store.sound(table, names, required=True)]
            rows.append(_joined(table, files).filter(~pl.col("key").is_in(list(segment.without))))
        kept = [segment for segment in kept if segment not in small]
        kept += write_segments(store, table, rows, small[0].labels)
    return kept


def less_runs(segments: Iterable[Segment], found: Mapping[str, Found]) -> list[Segment]:
    """Segments once some rows of the table `runs` no longer count.

    Args:
        segments: of all tables.
        found: where these rows lie.

    Returns:
        The segments but those of which nothing counts.
    """
    gone: dict[str, set[str]] = defaultdict(set)
    for key, place in found.items():
        gone[place.segment.name].add(key)
    lessened = [s._replace(without=s.without | gone.get(s.name, set())) for s in segments]
    return [s for s in lessened if s.name not in gone or s.is_early or len(s.without) < s.rows]


def less(
    segments: Iterable[Segment], table: Table, keys: Collection[str], labels: str | None
) -> list[Segment]:
    """Segments once the rows of some runs no longer count in one of the other tables.

    Where exactly they lie is not looked up: a key that a segment does not hold does no harm.

    Args:
        segments: of all tables.
        table: in which they no longer count.
        keys: the runs.
        labels: digest of the label table that the runs belong to; of samples only.
    """
    return [
        segment._replace(without=segment.without | {key for key in keys if segment.covers(key)})
        if segment.table == table and segment.labels in {None, labels}
        else segment
        for segment in segments
    ]


def less_everywhere(
    segments: Iterable[Segment], tables: Iterable[Table], keys: Collection[str]
) -> list[Segment]:
    """Segments once the rows of some runs no longer count in other tables, whatever their labels.

    Args:
        segments: of all tables.
        tables: in which they no longer count.
        keys: the runs.
    """
    after = list(segments)
    for table in tables:
        for labels in {segment.labels for segment in after if segment.table == table}:
            after = less(after, table, keys, labels)
    return after


def _one_tier(segments: Sequence[Segment]) -> list[Segment]:
    """Segments to merge into one: of one tier and one label table; none if there are few."""
    tiers: dict[tuple[str | None, int], list[Segment]] = defaultdict(list)
    for segment in segments:
        fullness = _fullness(segment.table, segment.rows, segment.size)
        if fullness < 0.5 and not segment.is_early:
            tier = 0
            while fullness * FAN < 0.5 and tier < _LAST_TIER:
                fullness, tier = fullness * FAN, tier + 1
            tiers[segment.labels, tier].append(segment)
    for found in tiers.values():
        if len(found) >= FAN:
            total, chosen = 0.0, []
            for segment in found:
                total += _fullness(segment.table, segment.rows, segment.size)
                if total > 1:
                    break
                chosen.append(segment)
            return chosen
    return []


def write_segments(
    store: StoreFiles, table: Table, waiting: Sequence[pl.DataFrame], labels: str | None = None
) -> list[Segment]:
    """Write rows as one segment; none where there are no rows.

    Args:
        store: which store.
        table: which table.
        waiting: the rows; columns may be wider in some of them.
        labels: digest of the label table that all of them belong to; of samples only.

    Raises:
        LabError: where the store cannot be written.
    """
    rows = pl.concat(waiting, how="diagonal_relaxed") if waiting else pl.DataFrame()
    if rows.is_empty():
        return []
    segment, content = encoded_segment(table, layout.new_segment(table, labels), rows, labels)
    store.place.put(segment.name, content)
    return [segment]


def encoded_segment(
    table: Table, name: str, rows: pl.DataFrame, labels: str | None = None
) -> tuple[Segment, bytes]:
    """A segment and the bytes of its file.

    Args:
        table: which table.
        name: of the segment.
        rows: at least one, in any order.
        labels: digest of the label table that all of them belong to; of samples only.
    """
    rows = rows.sort(_ORDER[table])
    content = parquet.encode(rows, _ROW_GROUP.get(table) or _longest_run(rows))
    first, last = rows["key"][0], rows["key"][-1]
    size = int(rows.estimated_size())
    return Segment(table, name, rows.height, size, first, last, labels), content


def _longest_run(rows: pl.DataFrame) -> int:
    """One group a run where all have the same number of samples, so that one is read alone."""
    return int(max(rows.group_by("key").len()["len"]))


def _joined(table: Table, files: Sequence[IO[bytes]]) -> pl.DataFrame:
    return parquet.joined(files, dtypes(TABLES[table]))


def _batches(sizes: dict[str, int]) -> Iterator[list[str]]:
    names: list[str] = []
    total = 0
    for name, size in sizes.items():
        if names and (total + size > _READ_BYTES or len(names) >= _READ_FILES):
            yield names
            names, total = [], 0
        names.append(name)
        total += size
    if names:
        yield names


def _sizes(frames: Sequence[pl.DataFrame]) -> tuple[int, int]:
    return sum(frame.height for frame in frames), sum(int(f.estimated_size()) for f in frames)


def _fullness(table: Table, rows: int, size: int) -> float:
    return max(rows / FULL_ROWS[table], size / FULL_BYTES)
