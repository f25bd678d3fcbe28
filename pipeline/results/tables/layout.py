"""What the objects of a store are called.

runs/KEY.parquet  epochs/KEY.parquet  samples/KEY.parquet          loose files, one per run
segments/runs/SEGMENT.parquet  segments/epochs/SEGMENT.parquet
segments/samples/labels=DIGEST/SEGMENT.parquet                     many runs each, never changed
manifest/NUMBER.json                                               which segments count
compacted/runs.parquet  epochs.parquet  samples.parquet            merged by early versions
"""

from __future__ import annotations

import re
import uuid

from pipeline.errors import LabError, quoted
from pipeline.results.schema import Table

ENDING = ".parquet"
SEGMENTS, MANIFESTS, EARLY = "segments", "manifest", "compacted"
_KEY = re.compile(r"[A-Za-z0-9_-]+")


def loose(table: Table, key: str) -> str:
    """The file of one run in one table.

    Raises:
        LabError: for a key that cannot be a name.
    """
    if not _KEY.fullmatch(key):
        raise LabError(
            f"key {quoted(key)}",
            "letters, digits, - and _",
            "uv run python -m pipeline.stages.runs --plan, which prints keys",
        )
    return f"{table}/{key}{ENDING}"


def key_of(name: str) -> str:
    """The key of a loose file."""
    return name.rpartition("/")[2].removesuffix(ENDING)


def new_segment(table: Table, labels: str | None) -> str:
    """A name that no other segment has; see `segment`."""
    return segment(table, uuid.uuid4().hex[:16], labels)


def segment(table: Table, name: str, labels: str | None = None) -> str:
    """A segment of a table.

    Args:
        table: of its rows.
        name: its own name.
        labels: digest of the label table that its samples belong to.
    """
    folder = f"{SEGMENTS}/{table}" + (f"/labels={labels}" if labels is not None else "")
    return f"{folder}/{name}{ENDING}"


def early(table: Table) -> str:
    """The file into which early versions of the code merged a table."""
    return f"{EARLY}/{table}{ENDING}"


def manifest(number: int) -> str:
    """The manifest of a number; names sort as numbers do."""
    return f"{MANIFESTS}/{number:08}.json"
