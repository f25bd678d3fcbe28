"""The columns of a table of the store as a table in Markdown, for the documentation."""

from __future__ import annotations

import polars as pl

from pipeline.results.schema import TABLES, Column, Table


def columns_table(table: Table) -> str:
    """Every column of a table: its name, type and meaning.

    Args:
        table: which table.

    Returns:
        Lines of Markdown. A question mark after the type says that the value may be missing, a star
        after the name that the column tells how the run was carried out, and is in no view.
    """
    head = [f"| column of `{table}` | type | meaning |", "|---|---|---|"]
    rows = [_row(name, column) for name, column in TABLES[table].items()]
    return "\n".join([*head, *rows])


def type_of(column: Column) -> str:
    """The type of a column, with a question mark where the value may be missing."""
    kind = "time" if column.dtype == pl.Datetime else str(column.dtype)
    return kind + ("?" if column.nullable else "")


def _row(name: str, column: Column) -> str:
    star = " *" if column.cost else ""
    return f"| `{name}`{star} | {type_of(column)} | {column.meaning} |"
