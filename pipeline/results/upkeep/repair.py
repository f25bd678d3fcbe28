"""Leaving a damaged segment out of the store, so that what it held is computed again."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from pipeline.errors import LabError, quoted, suggest
from pipeline.results.schema import TABLES, dtypes
from pipeline.results.store import Store
from pipeline.results.tables import index, parquet
from pipeline.results.tables.manifest import Manifest, Segment, commit, first_manifest
from pipeline.results.tables.segments import less_everywhere, less_runs
from pipeline.results.tables.snapshot import UNREADABLE


def forget(store: Store, name: str) -> int:
    """Leave a segment out; runs that lack a part then are unknown to the store.

    Args:
        store: which store.
        name: of the segment in the store, as `check` prints it.

    Returns:
        Number of runs of which a part was there.

    Raises:
        LabError: for a segment that is not in the store, when another one cannot be read, and where
            the store cannot be written.
    """
    store.require()
    base = first_manifest(store.place)
    known = {segment.name: segment for segment in base.segments}
    if name not in known:
        raise LabError(
            f"segment {quoted(name)}",
            *suggest(name, known, "uv run python -m pipeline.results check, which names it"),
        )
    left = Manifest(base.number, tuple(s for s in base.segments if s.name != name))
    try:
        incomplete = _incomplete(store, left, known[name])
        found = index.find(store.place, left.of("runs"), incomplete)
    except UNREADABLE as error:
        raise LabError(
            f"another segment than {name} cannot be read: {error}",
            "one damaged segment at a time",
            f"uv run python -m pipeline.results check --store {store.place.address}",
        ) from error
    after = less_everywhere(less_runs(left.segments, found), ("epochs", "samples"), incomplete)
    if commit(store.place, base, after) is None:
        raise LabError("another compaction came first", "one at a time", "the same once more")
    store.place.delete([name])
    return len(incomplete)


def _incomplete(store: Store, left: Manifest, gone: Segment) -> set[str]:
    """Runs of which a part was in the segment that goes, and another part is elsewhere."""
    runs = _rows(store, left.of("runs"), ["key", "labels_digest"])
    if gone.table == "runs":
        others = [segment for segment in left.segments if segment.table != "runs"]
        return _keys(store, others) - set(runs["key"])
    inside = runs.filter(pl.col("key").is_between(pl.lit(gone.first), pl.lit(gone.last)))
    if gone.labels is not None:
        inside = inside.filter(pl.col("labels_digest") == gone.labels)
    return set(inside["key"]) - _keys(store, left.of(gone.table))


def _keys(store: Store, segments: Iterable[Segment]) -> set[str]:
    return {key for s in segments for key in _rows(store, [s], ["key"])["key"].unique()}


def _rows(store: Store, segments: Iterable[Segment], columns: list[str]) -> pl.DataFrame:
    """Rows that count, of segments of one table."""
    parts = []
    for segment in segments:
        schema = {name: dtypes(TABLES[segment.table])[name] for name in columns}
        names, options = [store.place.uri(segment.name)], store.place.storage_options
        rows = parquet.scan(names, schema, options)
        parts.append(rows.filter(~pl.col("key").is_in(list(segment.without))).collect())
    return pl.concat(parts) if parts else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
