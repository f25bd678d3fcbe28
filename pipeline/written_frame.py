"""A table as a file for people and other programs, in the form that its ending picks."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from pipeline.errors import LabError, quoted
from pipeline.files import replacing

_ENDINGS = (".csv", ".parquet")


def write_frame(frame: pl.DataFrame, path: Path) -> None:
    """Write a table; the file appears complete or not at all.

    Args:
        frame: the table. In a CSV file its lists are words separated by blanks.
        path: .csv or .parquet file to make or to replace.

    Raises:
        LabError: for another ending.
    """
    if path.suffix not in _ENDINGS:
        raise LabError(
            f"a table into {quoted(path.name)}",
            f"a name that ends in {' or '.join(_ENDINGS)}",
            path.with_suffix(".csv").name,
        )
    with replacing(path) as temporary:
        if path.suffix == ".parquet":
            frame.write_parquet(temporary, compression="zstd")
        else:
            words = pl.col(pl.List).cast(pl.List(pl.String)).list.join(" ")
            frame.with_columns(words).write_csv(temporary)
