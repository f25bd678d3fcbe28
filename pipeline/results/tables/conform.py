"""Making a frame fit a table of the store exactly, or saying which column does not."""

from __future__ import annotations

import math
from typing import cast

import polars as pl

from pipeline.errors import LabError, quoted, suggest
from pipeline.results.schema import TABLES, Column, Table

_MEND = "mend the code that reports this value"


def conform(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Give a frame the columns, order and types of a table.

    Integers may become wider or narrower where every value fits, and real numbers of any width are
    accepted for real columns; NaN and infinity become null, and so does a list that holds one.

    Args:
        frame: rows of one run.
        table: table they are meant for.

    Returns:
        The rows with exactly the columns of the table; nullable ones left out are null.

    Raises:
        LabError: for a column that is unknown, missing, of another kind, null where it may not be,
            or outside [0, 1] though it is a fraction.
    """
    columns = TABLES[table]
    for name in frame.columns:
        if name not in columns:
            raise LabError(
                f"unknown column {quoted(name)} for table {table}",
                *suggest(name, columns, "uv run python -m pipeline.results columns"),
            )
    return pl.DataFrame(
        [
            _fit(frame[name], column, table)
            if name in frame.columns
            else _absent(name, column, table, frame.height)
            for name, column in columns.items()
        ]
    )


def _absent(name: str, column: Column, table: Table, height: int) -> pl.Series:
    if not column.nullable:
        raise LabError(
            f"no column {name!r} for table {table}",
            f"{column.dtype}: {column.meaning}",
            f"give {name} a value; only columns that may be null can be left out",
        )
    null = pl.Series(name, [None], dtype=pl.Null)
    return null.new_from_index(0, height).cast(column.dtype)


def _fit(values: pl.Series, column: Column, table: Table) -> pl.Series:
    """Cast one column without losing anything, and check it against its description."""
    wanted = f"{column.dtype}: {column.meaning}"
    if not castable(values.dtype, column.dtype):
        raise LabError(f"column {values.name!r} of table {table} is {values.dtype}", wanted, _MEND)
    try:
        fitted = values.cast(column.dtype)
    except pl.exceptions.InvalidOperationError as error:
        raise LabError(
            f"column {values.name!r} of table {table}: {error}", wanted, _MEND
        ) from error
    fitted = _without_infinities(fitted)
    if not column.nullable and fitted.null_count():
        raise LabError(f"column {values.name!r} of table {table} has missing values", wanted, _MEND)
    if column.fraction and fitted.null_count() < len(fitted):
        lowest, highest = cast(float, fitted.min()), cast(float, fitted.max())
        if lowest < 0 or highest > 1:
            raise LabError(
                f"column {values.name!r} of table {table} holds {lowest!r} to {highest!r}",
                "fractions in [0, 1]",
                "divide percentages by 100",
            )
    return fitted


def _without_infinities(values: pl.Series) -> pl.Series:
    """Real numbers that are finite; null instead of others, and of lists that hold one."""
    if isinstance(values.dtype, pl.List):
        inner = values.explode(empty_as_null=False, keep_nulls=False)
        if not inner.dtype.is_float() or inner.is_finite().all():
            return values
        finite = pl.element().is_finite().all()
        return values.set(~values.list.agg(finite), None)
    # A sum costs a thirtieth of looking at each value: this runs for every column of every run.
    if values.dtype.is_float() and not math.isfinite(values.sum()):
        return values.set(~values.is_finite(), None)
    return values


def castable(given: pl.DataType, wanted: pl.DataType) -> bool:
    """Whether values of one type mean the same in another.

    Numbers of any width do, and structs whose common fields do.
    """
    if isinstance(given, (pl.List, pl.Array)) and isinstance(wanted, pl.List):
        return castable(given.inner, wanted.inner)  # type: ignore[arg-type]  # always instances
    if isinstance(given, pl.Struct) and isinstance(wanted, pl.Struct):
        own = {field.name: field.dtype for field in given.fields}
        return all(
            castable(own[field.name], field.dtype)  # type: ignore[arg-type]  # always instances
            for field in wanted.fields
            if field.name in own
        )
    return (
        given in (wanted, pl.Null)
        or (given.is_integer() and wanted.is_numeric())
        or (given.is_float() and wanted.is_float())
    )
