"""The reference of columns: the three tables of the results store, read from their schema."""

from __future__ import annotations

from pipeline.results.columns import type_of
from pipeline.results.schema import CURVES, TABLES, Column, Table

_HEAD = """# Columns

The [results store](../store.md) has three tables. A question mark after a type says that the value
may be missing. Rates and accuracies are fractions in [0, 1], times are in seconds, epochs count
from 0.

The last column says where else a value is shown, under the same name: in the *view* of a grid,
which DVC versions, without clock or host; as a *tag* or a *metric* in MLflow; in the *picture* of a
run's curves.
"""
_MEANT = {
    "runs": "One row for each run: what it was, how it ended, what it cost.",
    "epochs": "One row for each epoch of a run.",
    "samples": "One row for each training sample of a run, from the training pass itself.",
}


def columns_page() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for table, columns in TABLES.items():
        head = ["| column | type | meaning | shown in |", "|---|---|---|---|"]
        rows = [_row(table, name, column) for name, column in columns.items()]
        parts.append("\n".join([f"## `{table}`\n\n{_MEANT[table]}\n", *head, *rows, ""]))
    return "\n".join(parts)


def _row(table: Table, name: str, column: Column) -> str:
    is_curve = table == "epochs" and name in CURVES
    shown = {
        "view": table != "samples" and not column.cost,
        "tag": column.tag,
        "metric": is_curve,
        "picture": is_curve and bool(column.legend),
    }
    places = ", ".join(place for place, is_shown in shown.items() if is_shown)
    return f"| `{name}` | {type_of(column)} | {column.meaning} | {places} |"
