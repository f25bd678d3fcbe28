"""Manifests: which segments a store consists of, one immutable JSON file per state.

The highest number counts. The next one is created only if there is none of its number yet, which
makes a compaction count as a whole or not at all, without a lock.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from pipeline.errors import LabError
from pipeline.results.schema import TABLES, Table
from pipeline.results.tables import layout
from pipeline.storage.entry import Entry
from pipeline.storage.place import Place

ABOVE_ALL = "~"
"""Greater than every key."""


class Segment(NamedTuple):
    """Rows of many runs in one file."""

    table: Table
    name: str
    """In the store."""
    rows: int
    size: int
    """Bytes of the rows in memory; 0 for a file of early versions, which is never merged."""
    first: str
    """Smallest key."""
    last: str
    """Largest key."""
    labels: str | None = None
    """Digest of the label table; of samples only."""
    without: frozenset[str] = frozenset()
    """Keys whose rows in this segment no longer count: a later segment has them."""

    @property
    def is_early(self) -> bool:
        """Whether an early version of the code wrote it."""
        return self.name.startswith(layout.EARLY)

    def covers(self, key: str) -> bool:
        """Whether rows of a key may count here."""
        return self.first <= key <= self.last and key not in self.without

    def covers_any(self, keys: Iterable[str]) -> bool:
        """Whether rows of one of the keys may count here."""
        return any(self.covers(key) for key in keys)


class Manifest(NamedTuple):
    """The segments of a store."""

    number: int
    """0 where there is no manifest yet."""
    segments: tuple[Segment, ...]

    def of(self, table: Table) -> list[Segment]:
        """Segments of one table, the oldest first."""
        return [segment for segment in self.segments if segment.table == table]


def newest(place: Place) -> Manifest:
    """The state of a store as it is now.

    Raises:
        LabError: for a damaged manifest, and where the store cannot be read.
    """
    found = manifests(place)
    return read_manifest(place, found[-1]) if found else Manifest(0, _early_segments(place))


def manifests(place: Place) -> list[Entry]:
    """The manifests of a store, the newest last."""
    return [entry for entry in place.entries(layout.MANIFESTS) if entry.name.endswith(".json")]


def number_of(entry: Entry) -> int:
    """The number of a manifest."""
    return int(entry.name.rpartition("/")[2].removesuffix(".json"))


@lru_cache(maxsize=8)
def read_manifest(place: Place, entry: Entry) -> Manifest:
    """One of the manifests; it never changes.

    Raises:
        LabError: if it is damaged.
    """
    segments = _decoded(place.get(entry.name) or b"")
    if segments is None:
        raise LabError(
            f"{place.uri(entry.name)} is damaged",
            "a file as the store wrote it",
            "remove it; what no other manifest lists is then computed again",
        )
    return Manifest(number_of(entry), segments)


def commit(place: Place, base: Manifest, segments: Iterable[Segment]) -> Manifest | None:
    """Make a new state of the store, if it still is in the state that this one was made from.

    Args:
        place: of the store.
        base: the state it was made from.
        segments: the new ones and those that stay.

    Returns:
        The new state, None where another one came first.

    Raises:
        LabError: where the store cannot be written.
    """
    made = Manifest(base.number + 1, tuple(segments))
    if not place.create(layout.manifest(made.number), encoded(made.segments)):
        return None
    # Manifests go when they are a day out of date: without its base, this one came too late.
    if base.number and place.head(layout.manifest(base.number)) is None:
        return None
    return made


def first_manifest(place: Place) -> Manifest:
    """The state of a store, of which at least one manifest exists; files of early versions count.

    Raises:
        LabError: as `newest` and `commit`.
    """
    state = newest(place)
    if state.number == 0:
        commit(place, state, state.segments)
        state = newest(place)
    return state


def encoded(segments: Iterable[Segment]) -> bytes:
    """The contents of a manifest that lists some segments."""
    listed = [segment._asdict() | {"without": sorted(segment.without)} for segment in segments]
    return json.dumps({"sha256": _sha256(listed), "segments": listed}, indent=0).encode()


def _early_segments(place: Place) -> tuple[Segment, ...]:
    present = {entry.name for entry in place.entries(layout.EARLY)}
    return tuple(
        Segment(table, layout.early(table), 0, 0, "", ABOVE_ALL)
        for table in TABLES
        if layout.early(table) in present
    )


def _decoded(content: bytes) -> tuple[Segment, ...] | None:
    try:
        found = json.loads(content)
        if found["sha256"] != _sha256(found["segments"]):
            return None
        return tuple(
            Segment(**item | {"without": frozenset(item["without"])}) for item in found["segments"]
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _sha256(listed: list[dict[str, Any]]) -> str:
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
