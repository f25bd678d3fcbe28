"""Leaderboard: method x noise, mean and spread over seeds, under a named protocol.

    uv run python analysis/leaderboard.py --dataset digits --protocol last10
    uv run python analysis/leaderboard.py --format latex > table.tex

Tables show percent with one decimal; `--format csv` gives fractions as stored, in full.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
import tyro
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.comparison import Comparison, Models, compare
from analysis.layout import Layout, lay_out
from pipeline.errors import program
from pipeline.results.protocols import Name
from pipeline.results.store import Store
from pipeline.results.view import results

_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "–": "--",
}


@dataclass(frozen=True)
class Flags:
    """What to compare and how to print it."""

    dataset: str | None = None
    """One data set; all of them unless given."""
    noise: tuple[str, ...] = ()
    """Label tables; all of them unless given."""
    protocol: Name = "last"
    """Which epoch counts: the last, the mean of the last ten, the best on noisy or clean validation
    labels, or (optimistic) the best on the test split."""
    metric: str = "test_accuracy"
    """Column of the epochs table: test_accuracy, test_top5, memorised, corrected, ..."""
    by: tuple[str, ...] = ()
    """Columns of the runs table that get a column of their own, such as backbone."""
    averaged: Models = "both"
    """Rows of the averaged weights, of runs that keep them: beside the others, only them, or no."""
    format: Literal["terminal", "markdown", "latex", "csv"] = "terminal"
    """How to print it."""
    view: tuple[Path, ...] = ()
    """Views to read instead of the store."""
    store: Path | None = None
    """Folder of the store; LNL_STORE or results/store unless given."""


def markdown(layout: Layout) -> str:
    """The table as Markdown, best values bold."""
    lines = [layout.header, ["---"] * len(layout.header)]
    lines += [[f"**{c.text}**" if c.best else c.text for c in row] for row in layout.rows]
    escaped = [" | ".join(text.replace("|", r"\|") for text in line) for line in lines]
    return "\n".join(f"| {line} |" for line in escaped) + f"\n\n{layout.caption}\n"


def latex(layout: Layout) -> str:
    """The table as LaTeX (package booktabs), best values bold."""

    def plain(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in text)

    def line(texts: list[str]) -> str:
        return "    " + " & ".join(texts) + r" \\"

    body = [
        line([rf"\textbf{{{plain(c.text)}}}" if c.best else plain(c.text) for c in row])
        for row in layout.rows
    ]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{plain(layout.caption)}}}",
            rf"  \begin{{tabular}}{{{'l' * len(layout.header)}}}",
            r"    \toprule",
            line([plain(title) for title in layout.header]),
            r"    \midrule",
            *body,
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def csv(comparison: Comparison) -> str:
    """The cells one a line, fractions as stored; declared knowledge separated by spaces."""
    cells = comparison.cells.select(
        pl.all().exclude("knows"),
        pl.col("knows").list.join(" "),
        protocol=pl.lit(comparison.protocol),
        metric=pl.lit(comparison.metric),
    )
    return cells.write_csv()


def show(layout: Layout) -> None:
    """Print the table on the terminal, best values bold."""
    table = Table()
    for title in layout.header:
        table.add_column(title)
    for row in layout.rows:
        table.add_row(*(Text(c.text, style="bold" if c.best else "") for c in row))
    console = Console()
    console.print(table)
    console.print(Text(layout.caption))


@program
def main() -> None:
    """Print the leaderboard that the command line asks for."""
    flags = tyro.cli(Flags, description=__doc__)
    comparison = compare(
        results(flags.view, Store(flags.store)),
        flags.protocol,
        flags.metric,
        dataset=flags.dataset,
        noise=flags.noise,
        by=flags.by,
        averaged=flags.averaged,
    )
    if flags.format == "csv":
        sys.stdout.write(csv(comparison))
    elif flags.format == "terminal":
        show(lay_out(comparison))
    else:
        write = markdown if flags.format == "markdown" else latex
        sys.stdout.write(write(lay_out(comparison)))


if __name__ == "__main__":
    main()
