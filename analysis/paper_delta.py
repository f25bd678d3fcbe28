"""Our rows beside published numbers: gap, its size in standard errors, and what else differs.

    uv run python analysis/paper_delta.py --grid all --dataset cifar10
    uv run python analysis/paper_delta.py --grid apl_cifar10 --class A --format markdown
    uv run python analysis/paper_delta.py --method sln --where backbone=wrn28-2 --format csv

A gap in the column after it is counted in standard errors of the difference. Tables show percent
with one decimal; `--format csv` gives fractions, in full.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import polars as pl
import tyro

from analysis.layouts.layout import Cell, Layout, spread
from analysis.layouts.rendering import Form, write
from analysis.published.badges import told
from analysis.published.gaps import Gap, Ledger, ledger
from analysis.published.numbers import CURATED, Number, Trust, read_numbers
from analysis.published.own import Own
from analysis.selection import Filters
from pipeline.command_line import read_flags
from pipeline.errors import LabError, program
from pipeline.results.protocols import Name
from pipeline.results.store import Store
from pipeline.results.view import results

HEADER = ["method", "noise", "protocol", "ours", "published", "gap", "in s.e.", "differences",
          "unknown", "source"]  # fmt: skip
_MEANING = (
    "Test accuracy in percent; mean ± standard deviation over runs (number of runs), of ours a "
    "sample's, of published ones as printed. Gap: ours less the published number, in percentage "
    "points, and in standard errors by the spreads that are known. Classes of sources: A of the "
    "authors, B quoted by others, C run again by others, D from a note."
)


@dataclass(frozen=True)
class Flags(Filters):
    """What to put beside which published numbers, and how to print it."""

    trust: Annotated[tuple[Trust, ...], tyro.conf.arg(name="class")] = ("A", "B", "C")
    """Classes of sources: A of the authors, B of the authors as quoted by others, C run again by
    others, D from a note that nobody has compared with the paper."""
    protocol: Name | None = None
    """Which epoch of ours counts; that of the published number, where it is known and ours recorded
    it, unless given."""
    numbers: tuple[Path, ...] = (CURATED,)
    """Tables of published numbers: CSV files with the columns of the project's."""
    all: bool = False
    """List our rows without a published number, too."""
    format: Form | Literal["csv"] = "terminal"
    """How to print it."""


def lay_out(found: Ledger, with_alone: bool) -> Layout:
    """Arrange a ledger: a row per pair, a block per data set and noise.

    Args:
        found: pairs, and rows of ours without one.
        with_alone: whether to list the latter; else they are counted.
    """
    several = len({own.dataset for own in _rows(found)}) > 1
    lines = [(gap.own, _line(gap, several)) for gap in found.gaps]
    if with_alone:
        lines += [(own, [own.label, _place(own, several), *["–"] * 8]) for own in found.alone]
    lines.sort(key=lambda line: line[0][:2])
    blocks = [
        [[Cell(text) for text in texts] for _, texts in block]
        for _, block in groupby(lines, key=lambda line: line[0][:2])
    ]
    return Layout(HEADER, blocks, f"{_MEANING} {counted(found, with_alone)}")


def counted(found: Ledger, with_alone: bool) -> str:
    """How many rows have a published number and how many have none."""
    rows = len({gap.own[:5] for gap in found.gaps})
    more = "" if with_alone or not found.alone else ", which --all lists"
    return f"Rows of ours with a published number: {rows}; without: {len(found.alone)}{more}."


def _rows(found: Ledger) -> list[Own]:
    return [*(gap.own for gap in found.gaps), *found.alone]


def _place(own: Own, several: bool) -> str:
    return f"{own.dataset} {own.noise}" if several else own.noise


def _line(gap: Gap, several: bool) -> list[str]:
    metric, errors = gap.number.metric, gap.errors
    ours = f"{spread(gap.mean, gap.std, metric)} ({gap.n})"
    extra = "" if metric == "test_accuracy" else f", {metric}"
    return [
        gap.own.label,
        _place(gap.own, several),
        gap.protocol + extra,
        ours,
        told(gap.number),
        f"{100 * gap.gap:+.1f}",
        "unknown" if errors is None else f"{errors:+.1f}",
        "; ".join(gap.differences.values()) or "none",
        ", ".join(gap.unknown) or "nothing",
        f"{gap.number.source}, {gap.number.place} ({gap.number.trust})",
    ]


def csv(found: Ledger, with_alone: bool) -> str:
    """The pairs one a line, fractions; empty where there is or is known nothing."""
    rows = [_record(gap) for gap in found.gaps]
    rows += [_known(own) for own in found.alone] if with_alone else []
    return pl.DataFrame(rows, schema=_SCHEMA).write_csv()


def _known(own: Own) -> dict[str, Any]:
    names = ("dataset", "noise", "label", "convention", "rate")
    return {name: getattr(own, name) for name in names}


def _record(gap: Gap) -> dict[str, Any]:
    of_number = {f"published_{name}": getattr(gap.number, name) for name in _OF_NUMBER}
    return {
        **_known(gap.own),
        "metric": gap.number.metric,
        "protocol": gap.protocol,
        "mean": gap.mean,
        "std": gap.std,
        "n": gap.n,
        **of_number,
        "gap": gap.gap,
        "standard_error": gap.standard_error,
        "verdict": gap.verdict,
        "differences": "; ".join(gap.differences.values()),
        "unknown": "; ".join(gap.unknown),
    }


_TEXT, _REAL, _COUNT = pl.String(), pl.Float64(), pl.Int64()
_OF_NUMBER: dict[str, pl.DataType] = {
    "value": _REAL, "deviation": _REAL, "n": _COUNT, "protocol": _TEXT, "noise": _TEXT,
    "name": _TEXT, "network": _TEXT, "epochs": _COUNT, "trust": _TEXT, "source": _TEXT,
    "place": _TEXT, "note": _TEXT,
}  # fmt: skip
_SCHEMA: dict[str, pl.DataType] = {
    "dataset": _TEXT, "noise": _TEXT, "label": _TEXT, "convention": _TEXT, "rate": _REAL,
    "metric": _TEXT, "protocol": _TEXT, "mean": _REAL, "std": _REAL, "n": _COUNT,
    **{f"published_{name}": dtype for name, dtype in _OF_NUMBER.items()},
    "gap": _REAL, "standard_error": _REAL, "verdict": _TEXT, "differences": _TEXT,
    "unknown": _TEXT,
}  # fmt: skip


def trusted(numbers: Sequence[Number], classes: Sequence[Trust]) -> list[Number]:
    """The numbers from sources of some classes.

    Raises:
        LabError: if no class is named.
    """
    if not classes:
        raise LabError("--class without a class", "A, B, C, D", "--class A B")
    return [found for found in numbers if found.trust in classes]


@program
def main() -> None:
    """Print the ledger that the command line asks for."""
    flags = read_flags(Flags, __doc__)
    numbers = trusted(read_numbers(flags.numbers), flags.trust)
    source = results(flags.views(), Store(flags.store))
    found = ledger(source, numbers, flags.wanted, flags.protocol)
    if flags.format == "csv":
        sys.stdout.write(csv(found, flags.all))
        print(counted(found, flags.all), file=sys.stderr)
    elif found.gaps or flags.all:
        write(lay_out(found, flags.all), flags.format)
    else:
        print(counted(found, flags.all))


if __name__ == "__main__":
    main()
