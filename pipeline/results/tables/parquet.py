"""The one door to Parquet: writing whole files, reading them under a fixed schema."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import polars as pl

from pipeline.errors import LabError
from pipeline.files import replacing
from pipeline.results.tables import checksum
from pipeline.results.tables.conform import castable

Source = str | Path | IO[bytes]
"""A file by its path, its address in a bucket, or open."""
Options = dict[str, str] | None
"""What polars needs beside the addresses of a bucket."""
Schema = Mapping[str, pl.DataType]
"""Column names and types of a table, in their order."""
_WIDENING = pl.ScanCastOptions(
    integer_cast=["upcast", "allow-float"],
    float_cast=["upcast", "downcast"],
    missing_struct_fields="insert",
    extra_struct_fields="ignore",
)


def encode(frame: pl.DataFrame, row_group: int | None = None) -> bytes:
    """A frame as the bytes of a file, sealed by a checksum.

    The same frame gives the same bytes (with the same version of polars).

    Args:
        frame: what to encode.
        row_group: rows that are read and skipped together; polars chooses unless given.
    """
    encoded = io.BytesIO()
    frame.write_parquet(encoded, metadata=checksum.UNSEALED, row_group_size=row_group)
    checksum.seal(encoded)
    return encoded.getvalue()


def write(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame so that readers meet the old file or the new one, never a part.

    Args:
        frame: what to write; see `encode`.
        path: file to make or to replace.

    Raises:
        LabError: where the folder cannot be written: read-only, full, or no folder at all.
    """
    try:
        # Encoded in memory: polars hides why the system refused a write, a plain write tells.
        with replacing(path) as temporary:
            temporary.write_bytes(encode(frame))
    except OSError as error:
        raise LabError(
            f"cannot write {path}: {error.strerror or error}",
            "a folder that can be written, with free space",
            "make room or change its permissions, or name another folder",
            exit_code=1,
        ) from error


def scan(sources: Sequence[Source], schema: Schema, options: Options = None) -> pl.LazyFrame:
    """Read files as one table; columns they lack are null, columns unknown here are left out.

    So are the fields of structs.

    Args:
        sources: files of one table; may be empty.
        schema: of the table; files with narrower numbers are read too.
        options: see `Options`.

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
        hive_partitioning=False,
        storage_options=options,
    )


def scan_any_width(
    sources: Sequence[Source], schema: Schema, options: Options = None
) -> pl.LazyFrame:
    """Read files of whatever width their numbers have; otherwise as `scan`, but in any order.

    Args:
        sources: files of one table.
        schema: of the table; a value that does not fit into it is an error when it is read.
        options: see `Options`.

    Raises:
        polars.exceptions.SchemaError: for a column of another kind, such as text for numbers.
    """
    return scan_groups(by_schema(sources, options), schema, options)


def joined(sources: Sequence[Source], schema: Schema) -> pl.DataFrame:
    """Read files without losing anything: unknown columns stay, numbers get the widest type.

    Args:
        sources: files of one table.
        schema: of the table, whose columns come first.

    Raises:
        polars.exceptions.SchemaError: for a column of another kind, such as text for numbers.
    """
    groups = by_schema(sources)
    return scan_groups(groups, _widest(groups, schema)).collect()


Groups = Mapping[tuple[tuple[str, pl.DataType], ...], list[Source]]
"""Files by their columns: (name, type) of each -> files."""


def by_schema(sources: Sequence[Source], options: Options = None) -> Groups:
    """Group files of one table by their columns; looks into each."""
    groups: dict[tuple[tuple[str, pl.DataType], ...], list[Source]] = {}
    for source in sources:
        own = _schema_of(source, options)
        groups.setdefault(tuple(own.items()), []).append(source)
    return groups


def scan_groups(groups: Groups, schema: Schema, options: Options = None) -> pl.LazyFrame:
    """Read grouped files under one schema; see `scan_any_width`."""
    parts = [
        _cast(scan(files, dict(own), options), dict(own), schema) for own, files in groups.items()
    ]
    return pl.concat(parts) if parts else pl.LazyFrame(schema=schema)


def _widest(groups: Groups, schema: Schema) -> Schema:
    empty = [pl.DataFrame(schema=columns) for columns in (schema, *map(dict, groups))]
    joint = pl.concat(empty, how="diagonal_relaxed").schema
    _require_kinds(joint, schema)
    return joint


def _schema_of(source: Source, options: Options) -> Schema:
    if options is None:
        return pl.read_parquet_schema(source)
    return pl.scan_parquet(str(source), storage_options=options, glob=False).collect_schema()


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


def fault(file: IO[bytes], schema: Schema) -> str | None:
    """What is wrong with a file, None if nothing is.

    Args:
        file: of one table, open.
        schema: of the table.

    Returns:
        A phrase that follows the name of the file.
    """
    try:
        if checksum.is_sealed(file):
            if not checksum.is_intact(file):
                return "is truncated or corrupt"
            file.seek(0)
            _require_kinds(pl.read_parquet_schema(file), schema)
        else:
            file.seek(0)
            scan_any_width([file], schema).collect()
    except pl.exceptions.SchemaError as error:
        return f"is of another version: {error}"
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        return "is truncated or corrupt"
    finally:
        file.seek(0)
    return None
