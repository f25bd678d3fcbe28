"""Tables as text: on the terminal, in Markdown and LaTeX; markup in a name stays text."""

from __future__ import annotations

import re
import sys
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from analysis.layouts.layout import Cell, Layout

_MARKDOWN = re.compile(r"[\\`*\[\]<>|$~&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
# A bracket or star that begins a row would be read as an argument of the line break before it.
_LATEX = {character: f"\\{character}" for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "±": r"$\pm$",
    "†": r"$^\dagger$",
    "–": "--",
}
_ANY_WIDTH = 10_000
Form = Literal["terminal", "markdown", "latex"]


def markdown(layout: Layout) -> str:
    """The table as Markdown, best values bold."""

    def plain(text: str) -> str:
        return _MARKDOWN.sub(lambda found: f"\\{found[0]}", _one_line(text))

    def text(cell: Cell) -> str:
        return f"**{plain(cell.text)}**" if cell.best else plain(cell.text)

    lines = [[plain(title) for title in layout.header], ["---"] * len(layout.header)]
    lines += [[text(cell) for cell in row] for row in layout.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return f"{table}\n\n{plain(layout.caption)}\n"


def latex(layout: Layout) -> str:
    """The table as LaTeX (package booktabs), best values bold, a rule between blocks."""

    def plain(text: str) -> str:
        return "".join(_LATEX.get(character, character) for character in _one_line(text))

    def text(cell: Cell) -> str:
        return rf"\textbf{{{plain(cell.text)}}}" if cell.best else plain(cell.text)

    def line(texts: list[str]) -> str:
        return "    " + " & ".join(texts) + r" \\"

    blocks = ["\n".join(line([text(c) for c in row]) for row in block) for block in layout.blocks]
    return "\n".join(
        [
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{plain(layout.caption)}}}",
            rf"  \begin{{tabular}}{{{'l' * len(layout.header)}}}",
            r"    \toprule",
            line([plain(title) for title in layout.header]),
            r"    \midrule",
            "\n    \\midrule\n".join(blocks),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def write(layout: Layout, form: Form) -> None:
    """Write the table to the standard output."""
    if form == "terminal":
        show(layout)
    else:
        sys.stdout.write((markdown if form == "markdown" else latex)(layout))


def show(layout: Layout) -> None:
    """Print the table on the terminal, best values bold, a rule between blocks.

    Nothing is cut off: names stay whole, and a table that cannot be as narrow as the terminal is
    wider.
    """
    table, longest_words = Table(), []
    for title, *cells in zip(layout.header, *layout.rows, strict=True):
        texts = [_one_line(text) for text in (title, *(cell.text for cell in cells))]
        one_word = all(" " not in text for text in texts[1:])
        whole = max(map(cell_len, texts)) if one_word else None
        table.add_column(Text(texts[0]), no_wrap=one_word, overflow="fold", min_width=whole)
        longest_words.append(max(cell_len(word) for text in texts for word in text.split(" ")))
    for block in layout.blocks:
        for row in block:
            table.add_row(*(Text(_one_line(c.text), "bold" if c.best else "") for c in row))
        table.add_section()
    console = Console()
    needed = console.measure(table, options=console.options.update(width=_ANY_WIDTH)).minimum
    if needed > console.width:
        for column, longest in zip(table.columns, longest_words, strict=True):
            column.width = None if column.no_wrap else longest
    Console(width=max(console.width, needed)).print(table)
    console.print(Text(layout.caption))


def _one_line(text: str) -> str:
    return " ".join(text.split())
