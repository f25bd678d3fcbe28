"""Some runs as a store of their own: its files one by one, the same bytes for the same rows."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.results.schema import Table
from pipeline.results.store import Store
from pipeline.results.tables import layout
from pipeline.results.tables.conform import conform
from pipeline.results.tables.manifest import Segment, encoded
from pipeline.results.tables.segments import encoded_segment

_RUNS: dict[Table, int] = {"runs": 50_000, "epochs": 3_000, "samples": 100}
"""Runs of one segment."""


def store_files(
    runs: pl.DataFrame, epochs: pl.DataFrame, samples: Store | None = None
) -> Iterator[tuple[str, bytes]]:
    """The files of a store that holds some runs.

    Args:
        runs: each run once; columns of `schema.RUNS`, those that may be null can be missing.
        epochs: theirs; columns of `schema.EPOCHS`, likewise.
        samples: store that has their samples, if these are wanted.

    Yields:
        Name in the store and contents; the manifest last.

    Raises:
        LabError: where the store cannot be read.
    """
    listed: list[Segment] = []
    for number, (table, labels, rows) in enumerate(_parts(runs, epochs, samples)):
        if rows.height:
            name = layout.segment(table, f"{number:04}", labels)
            segment, content = encoded_segment(table, name, conform(rows, table), labels)
            # The size in memory depends on where the rows come from.
            listed.append(segment._replace(size=len(content)))
            yield name, content
    yield layout.manifest(1), encoded(listed)


def _parts(
    runs: pl.DataFrame, epochs: pl.DataFrame, samples: Store | None
) -> Iterator[tuple[Table, str | None, pl.DataFrame]]:
    """Table, digest of the label table and rows of each segment."""
    keys = runs["key"].sort()
    for some in keys.to_frame().iter_slices(_RUNS["runs"]):
        yield "runs", None, runs.join(some, on="key", how="semi")
    for some in keys.to_frame().iter_slices(_RUNS["epochs"]):
        yield "epochs", None, epochs.join(some, on="key", how="semi")
    if samples is None:
        return
    by_labels = runs.sort("labels_digest", "key").select("labels_digest", "key")
    for (labels,), group in by_labels.group_by("labels_digest", maintain_order=True):
        for some in group.iter_slices(_RUNS["samples"]):
            yield "samples", str(labels), samples.samples(some["key"].to_list()).collect()
