"""The one door to Parquet: writing whole files, reading them under a fixed schema."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import polars as pl

from pipeline.errors import LabError
from pipeline.files import replacing
from pipeline.results.tables import checksum
from pipeline.results.tables.conform import castable

Source = Path | IO[bytes]
"""A file by its name, or open: then it stays the same one though its name is given away."""
Schema = Mapping[str, pl.DataType]
"""Column names and types of a table, in their order."""
_WIDENING = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"], float_cast=["upcast", "downcast"]
)


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame so that readers meet the old file or the new one, never a part.

    The same frame gives the same bytes (with the same version of polars), sealed by a checksum.

    Args:
        frame: what to write.
        path: file to make or to replace.

    Raises:
        LabError: where the folder cannot be written: read-only, full, or no folder at all.
    """
    # Encoded in memory first: polars hides why the system refused a write, a plain write tells.
    encoded = io.BytesIO()
    frame.write_parquet(encoded, metadata=checksum.UNSEALED)
    checksum.seal(encoded)
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

    def fill(temporary: Path) -> None:
        rows.sink_parquet(temporary, metadata=checksum.UNSEALED)
        with temporary.open("r+b") as file:
            checksum.seal(file)

    _put(path, fill)


def scan(sources: Sequence[Source], schema: Schema) -> pl.LazyFrame:
    """Read files as one table; columns they lack are null, columns unknown here are left out.

    Args:
        sources: files of one table; may be empty.
        schema: of the table; files with narrower numbers are read too.

    Returns:
        Their rows in the order of `sources`.
    """
    if not sources:
        return pl.LazyFrame(schema=schema)
    return pl.scan_parquet(
        list(sources),  # type: ignore[arg-type]  # paths or files, as polars allows
        schema=schema,
        missing_columns="insert",
        extra_columns="ignore",
        cast_options=_WIDENING,
        glob=False,
    )


def scan_any_width(sources: Sequence[Source], schema: Schema) -> pl.LazyFrame:
    """Read files of whatever width their numbers have; otherwise as `scan`, but in any order.

    Args:
        sources: files of one table.
        schema: of the table; a value that does not fit into it is an error when it is read.

    Raises:
        polars.exceptions.SchemaError: for a column of another kind, such as text for numbers.
    """
    return scan_groups(by_schema(sources), schema)


Groups = Mapping[tuple[tuple[str, pl.DataType], ...], list[Source]]
"""Files by their columns: (name, type) of each -> files."""


def by_schema(sources: Sequence[Source]) -> Groups:
    """Group files of one table by their columns; looks into each."""
    groups: dict[tuple[tuple[str, pl.DataType], ...], list[Source]] = {}
    for source in sources:
        own = pl.read_parquet_schema(source)
        groups.setdefault(tuple(own.items()), []).append(source)
    return groups


def scan_groups(groups: Groups, schema: Schema) -> pl.LazyFrame:
    """Read grouped files under one schema; see `scan_any_width`."""
    parts = [_cast(scan(files, dict(own)), dict(own), schema) for own, files in groups.items()]
    return pl.concat(parts) if parts else pl.LazyFrame(schema=schema)


def widest(groups: Sequence[Groups], schema: Schema) -> Schema:
    """The schema under which nothing of some files is lost: unknown columns, wider numbers.

    Args:
        groups: the files.
        schema: of the table, whose columns come first.

    Raises:
        polars.exceptions.SchemaError: for a column of another kind, such as text for numbers.
    """
    owned = [schema, *(dict(own) for files in groups for own in files)]
    empty = [pl.DataFrame(schema=columns) for columns in owned]
    joint = pl.concat(empty, how="diagonal_relaxed").schema
    _require_kinds(joint, schema)
    return joint


def _cast(rows: pl.LazyFrame, own: Schema, schema: Schema) -> pl.LazyFrame:
    _require_kinds(own, schema)
    return rows.select(
        pl.col(name).cast(dtype) if name in own else pl.lit(None, dtype).alias(name)
        for name, dtype in schema.items()
    )


def _require_kinds(own: Schema, schema: Schema) -> None:
    for name, dtype in schema.items():
        if name in own and not castable(own[name], dtype):
            raise pl.exceptions.SchemaError(f"column {name!r} is {own[name]}, not {dtype}")


def fault(path: Path, schema: Schema) -> str | None:
    """What is wrong with a file, None if nothing is; a file that is gone has no fault.

    Args:
        path: file of one table.
        schema: of the table.

    Returns:
        A phrase that follows the name of the file.
    """
    try:
        if checksum.is_sealed(path):
            if not checksum.is_intact(path):
                return "is truncated or corrupt"
            _require_kinds(pl.read_parquet_schema(path), schema)
        else:
            scan_any_width([path], schema).collect()
    except FileNotFoundError:
        return None
    except pl.exceptions.SchemaError as error:
        return f"is of another version: {error}"
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return "is truncated or corrupt"
    return None


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
