"""Findings: what was stated about a grid before it ran, judged by its runs.

    uv run python analysis/findings.py experiments/findings.csv --grid findings_dal
    uv run python analysis/findings.py experiments/findings.csv --grid findings_sln --format csv

Each statement says that one row lies above, or below, another one. It is judged by a paired t-test
on the seeds that both share, corrected by Holm over all statements about the grid. Tables show
percentage points with one decimal; `--format csv` gives fractions, in full.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import polars as pl
import tyro

from analysis.comparison import compare
from analysis.evidence.correction import holm
from analysis.evidence.paired_test import LEVEL
from analysis.evidence.statements import Statement, read_statements, verdict
from analysis.evidence.two_rows import compare_rows
from analysis.layouts.layout import Cell, Layout, number
from analysis.layouts.paired import chance, interval, signed
from analysis.layouts.rendering import Form, write
from analysis.selection import parsed, view_of
from pipeline.command_line import read_flags
from pipeline.errors import program
from pipeline.results.store import Store
from pipeline.results.view import Results, results

HEADER = ["statement", "of", "first", "second", "difference", "95 % interval", "corrected p",
          "seeds", "verdict"]  # fmt: skip
_PLACE = ("dataset", "noise")


@dataclass(frozen=True)
class Flags:
    """Which statements to judge, and how to print the verdicts."""

    statements: Annotated[Path, tyro.conf.Positional]
    """Table of statements: a CSV file (docs/findings.md)."""
    grid: str
    """The grid whose statements are judged, by its view in results/views."""
    store: str | None = None
    """Store to read, a folder or s3://bucket/prefix; LNL_STORE or results/store unless given."""
    format: Form | Literal["csv"] = "terminal"
    """How to print it."""


def judged(source: Results, statements: Sequence[Statement]) -> pl.DataFrame:
    """Judge the statements about one grid.

    Args:
        source: runs and epochs of the grid.
        statements: all that were made about it.

    Returns:
        One row per statement, in order: its own columns; n seeds that both rows share, the means
        over these and their difference, the ends of its 95 % interval (null where nothing can be
        told), p_corrected and verdict.

    Raises:
        LabError: for a row, noise or metric that the runs do not have.
    """
    found = [_compared(source, statement) for statement in statements]
    p = holm(np.array([row["p"] for row in found], dtype=np.float64))
    corrected = [float(value) if np.isfinite(value) else None for value in p]
    return pl.DataFrame([
        statement._asdict()
        | {name: row[name] for name in _NUMBERS}
        | {
            "p_corrected": value,
            "verdict": verdict(row["difference"], value, statement.relation),
        }
        for statement, row, value in zip(statements, found, corrected, strict=True)
    ])  # fmt: skip


_NUMBERS = ("n", "mean_first", "mean_second", "difference", "low", "high")


def _compared(source: Results, statement: Statement) -> dict[str, Any]:
    """The two rows of a statement in its place."""
    sides = [(statement.first, statement.first_where), (statement.second, statement.second_where)]
    values = pl.concat([_values(source, statement, where) for where in {side[1] for side in sides}])
    first, second = (_named(*side) for side in sides)
    return compare_rows(values, _PLACE, first, second).places.row(0, named=True)


def _values(source: Results, statement: Statement, where: str) -> pl.DataFrame:
    """What the statement is about, of all rows under a filter: one row per run."""
    wanted = {"noise": [statement.noise], **parsed([where] if where else [])}
    protocols = [name for name in (statement.protocol, statement.less) if name is not None]
    values, *rest = (compare(source, name, statement.metric, where=wanted).values
                     for name in protocols)  # fmt: skip
    for taken_off in rest:
        run = [name for name in values.columns if name != "value"]
        values = values.join(taken_off, on=run, suffix="_less", nulls_equal=True).select(
            *run, value=pl.col("value") - pl.col("value_less")
        )
    return values.with_columns(label=pl.col("label") + pl.lit(_named("", where)))


def _named(label: str, where: str) -> str:
    """Name of a row under a filter."""
    return f"{label} [{where}]" if where else label


def lay_out(verdicts: pl.DataFrame) -> Layout:
    """Arrange the verdicts: a line per statement.

    Args:
        verdicts: `judged`.
    """
    lines = [[Cell(text) for text in _texts(row)] for row in verdicts.iter_rows(named=True)]
    counts = [
        f"{(verdicts['verdict'] == name).sum()} {name}" for name in ("shown", "contrary", "open")
    ]
    caption = (
        "Means over the seeds that both rows share; difference: first less second, with the 95 % "
        "interval of the paired t-test. Corrected p: Holm over the statements. Shown: the "
        f"corrected p is below {LEVEL:g} and the difference has the stated sign; contrary: it has "
        f"the other one; open: the runs cannot tell. Verdicts: {', '.join(counts)}."
    )
    return Layout(HEADER, [lines], caption)


def _texts(row: dict[str, Any]) -> list[str]:
    metric = row["metric"]
    epoch = f"{row['protocol']} less {row['less']}" if row["less"] else row["protocol"]
    return [
        f"{_named(row['first'], row['first_where'])} {row['relation']} "
        f"{_named(row['second'], row['second_where'])}, {row['noise']}",
        f"{metric}, {epoch}",
        number(row["mean_first"], metric),
        number(row["mean_second"], metric),
        signed(row["difference"], metric),
        interval(row["low"], row["high"], metric),
        chance(row["p_corrected"]),
        str(row["n"]),
        row["verdict"],
    ]


@program
def main() -> None:
    """Print the verdicts that the command line asks for."""
    flags = read_flags(Flags, __doc__)
    statements = read_statements(flags.statements, flags.grid)
    found = judged(results([view_of(flags.grid)], Store(flags.store)), statements)
    if flags.format == "csv":
        sys.stdout.write(found.write_csv())
    else:
        write(lay_out(found), flags.format)


if __name__ == "__main__":
    main()
