"""The one door to Parquet: writing whole files, reading them under a fixed schema."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl

from pipeline.errors import LabError
from pipeline.files import replacing


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame so that readers meet the old file or the new one, never a part.

    The same frame gives the same bytes (with the same version of polars).

    Args:
        frame: what to write.
        path: file to make or to replace.

    Raises:
        LabError: where the folder cannot be written: read-only, full, or no folder at all.
    """
    # Encoded in memory first: polars hides why the system refused a write, a plain write tells.
    encoded = io.BytesIO()
    frame.write_parquet(encoded)
    _put(path, lambda temporary: temporary.write_bytes(encoded.getbuffer()))


def stream(rows: pl.LazyFrame, path: Path) -> None:
    """Write rows that need not fit into memory; otherwise as `write`.

    Args:
        rows: what to write; may read the file that is replaced.
        path: file to make or to replace.

    Raises:
        LabError: where the folder cannot be written.
        polars.exceptions.PolarsError: where the rows cannot be computed.
    """
    _put(path, rows.sink_parquet)


def scan(paths: Sequence[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    """Read files as one table; columns they lack are null, columns unknown here are left out.

    Args:
        paths: files of one table; may be empty.
        schema: column names and types of the table.

    Returns:
        Their rows in the order of `paths`.
    """
    if not paths:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        list(paths),
        schema=schema,
        missing_columns="insert",
        extra_columns="ignore",
        glob=False,
    )


def is_readable(path: Path, schema: Mapping[str, pl.DataType]) -> bool:
    """Whether every value of a file can be read under `schema`; a file that is gone counts."""
    try:
        scan([path], schema).collect()
    except FileNotFoundError:
        return True
    except (pl.exceptions.PolarsError, OSError):
        return False
    return True


def _put(path: Path, fill: Callable[[Path], object]) -> None:
    try:
        with replacing(path) as temporary:
            fill(temporary)
    except OSError as error:
        raise LabError(
            f"cannot write {path}: {error.strerror or error}",
            "a folder that can be written, with free space",
            "make room or change its permissions, or set LNL_STORE to another folder",
            exit_code=1,
        ) from error
