"""Which segment holds which run, and how the run ended: kept in memory, as segments never change.

Some 20 bytes a run, read once per program: a million runs take about a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import polars as pl

from pipeline.results.schema import RUNS, STATUSES
from pipeline.results.tables import parquet
from pipeline.results.tables.manifest import Segment
from pipeline.storage.place import Place


class Found(NamedTuple):
    """Where the row of a run is."""

    segment: Segment
    status: str


class _Keys(NamedTuple):
    keys: np.ndarray
    """[N] bytes, rising."""
    statuses: np.ndarray
    """[N] uint8, positions in `schema.STATUSES`."""


def find(place: Place, segments: Sequence[Segment], keys: Collection[str]) -> dict[str, Found]:
    """Where runs lie among segments of the table `runs`.

    Args:
        place: of the store.
        segments: where to look.
        keys: the runs.

    Returns:
        Those that are there, by key.

    Raises:
        FileNotFoundError, polars.exceptions.PolarsError: for a segment that is gone or damaged.
    """
    found: dict[str, Found] = {}
    wanted = sorted(keys)
    if not wanted:
        return found
    encoded = np.array([key.encode() for key in wanted])
    for segment in segments:
        known = _keys(place, segment.name, _version(place, segment))
        places = np.searchsorted(known.keys, encoded)
        inside = np.flatnonzero(places < len(known.keys))
        hits = inside[known.keys[places[inside]] == encoded[inside]]
        for number in hits.tolist():
            if wanted[number] not in segment.without:
                status = STATUSES[known.statuses[places[number]]]
                found[wanted[number]] = Found(segment, status)
    return found


def _version(place: Place, segment: Segment) -> str:
    """What tells versions of a file apart: early versions of the code replace theirs."""
    entry = place.head(segment.name) if segment.is_early else None
    return entry.e_tag if entry else ""


@lru_cache(maxsize=256)
def _keys(place: Place, name: str, version: str) -> _Keys:
    del version
    schema = {column: RUNS[column] for column in ("key", "status")}
    rows = parquet.scan([place.uri(name)], schema, place.storage_options).collect()
    rows = rows.sort("key")  # those of early versions are in no order
    numbers = rows["status"].replace_strict(STATUSES, range(len(STATUSES)), return_dtype=pl.UInt8)
    return _Keys(np.array(rows["key"].to_list(), dtype="S"), numbers.to_numpy())
