"""Statements about two rows of a table, written down before their runs exist."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, cast, get_args

from analysis.evidence.paired_test import LEVEL
from pipeline.csv_rows import CsvRow, read_csv
from pipeline.errors import LabError, quoted, suggest
from pipeline.results.protocols import PROTOCOLS, Name

Relation = Literal["above", "below"]
Verdict = Literal["shown", "contrary", "open"]
"""The difference has the stated sign; it has the other one; the runs cannot tell."""
_NAMED = ("grid", "noise", "first", "second", "metric")
_WHAT = "a table of statements"


class Statement(NamedTuple):
    """In a grid, under a noise, the metric of one row lies above, or below, that of another."""

    grid: str
    noise: str
    first: str
    """Label of a row, as the leaderboard prints it."""
    first_where: str
    """Filter of its runs, column=value as the leaderboard takes it; empty for none."""
    relation: Relation
    second: str
    second_where: str
    metric: str
    """Column of the epochs table."""
    protocol: Name
    """Epoch at which it counts."""
    less: Name | None
    """Epoch whose value is taken off: what `oracle` has over `last` is the fall from the best
    epoch."""


def read_statements(path: Path, grid: str) -> list[Statement]:
    """Read the statements about one grid.

    Args:
        path: CSV file with the columns of `Statement`; filters and `less` may be empty.
        grid: its name.

    Returns:
        Its statements, in the order of the file.

    Raises:
        LabError: for a file that is missing or malformed, a value that a column does not take, and
            a grid about which nothing is stated.
    """
    rows = read_csv(path, _WHAT, Statement._fields, Statement._fields)
    found = [_statement(row) for row in rows]
    own = [statement for statement in found if statement.grid == grid]
    if not own:
        known = [statement.grid for statement in found]
        raise LabError(f"no statement about grid {quoted(grid)} in {path}", *suggest(grid, known))
    return own


def verdict(difference: float, p: float | None, relation: Relation) -> Verdict:
    """What the runs say about a statement.

    Args:
        difference: first less second.
        p: of its two-sided test, corrected for all statements that are judged together; None where
            nothing can be told.
        relation: what was stated.
    """
    if p is None or p >= LEVEL:
        return "open"
    return "shown" if (difference > 0) == (relation == "above") else "contrary"


def _statement(row: CsvRow) -> Statement:
    text = {name: cell.strip() for name, cell in row.cells.items()}
    for name in _NAMED:
        if not text[name]:
            raise LabError(f"{row.place}: no {name}", "a word", f"fill in {name}")
    taken = {"relation": get_args(Relation), "protocol": PROTOCOLS, "less": ("", *PROTOCOLS)}
    for name, values in taken.items():
        if text[name] not in values:
            raise LabError(
                f"{row.place}: {name} = {quoted(text[name])}", *suggest(text[name], values)
            )
    return Statement(
        text["grid"], text["noise"], text["first"], text["first_where"],
        cast("Relation", text["relation"]), text["second"], text["second_where"], text["metric"],
        cast("Name", text["protocol"]), cast("Name | None", text["less"] or None),
    )  # fmt: skip
