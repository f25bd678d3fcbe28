"""The ledger of one run as a file: a row per training sample, with file and class names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from analysis.file_names import file_names, with_files
from pipeline.errors import LabError
from pipeline.written_frame import write_frame

_NAMED = ("y_noisy", "y_clean", "prediction", "corrected_label")
"""Columns of labels, which get a column with the name of the class beside them."""


def write_ledger(row: Mapping[str, Any], samples: pl.DataFrame, path: Path) -> int:
    """Write what a run tells about each training sample.

    Args:
        row: of the run.
        samples: its rows of the samples table.
        path: .csv or .parquet file to make or to replace.

    Returns:
        Number of samples.

    Raises:
        LabError: for another ending, and a run that stored no samples.
    """
    if samples.is_empty():
        raise LabError(
            f"run {row['key']} has no samples", "a run that has ended", "a run of status done"
        )
    classes = pl.Series(row["class_names"], dtype=pl.String)
    ledger = samples.drop("key").sort("index")
    for name in _NAMED:
        known = pl.when(pl.col(name) >= 0).then(name)
        named = ledger.select(known).to_series()
        at = ledger.columns.index(name) + 1
        ledger.insert_column(at, classes.gather(named).alias(f"{name}_name"))
    ledger = with_files(ledger, file_names(row["dataset"], row["data_digest"]))
    write_frame(ledger, path)
    return len(ledger)
