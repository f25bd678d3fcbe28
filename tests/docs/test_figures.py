"""Every table of measured figures stands beside what makes it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.support.paths import PROJECT
from tests.support.printed import PAGES, text_of

_TABLE = re.compile(r"(?:^\|.*\n)+", re.MULTILINE)
_FIGURE = re.compile(r"\**\d[\d,]*(?:\.\d+)?\**(?: (?:±|\(|%|ms|MB|s|times).*)?")
_MAKER = re.compile(r"^    uv run |`uv run |experiments/\w+\.yaml", re.MULTILINE)
_STATED = {"Published numbers", "The way of one run", "The ledger of samples"}
"""Sections whose figures are facts of a publication, or of the code."""


def tables_of(text: str) -> Iterator[tuple[str, str, str]]:
    """Every table of figures: the heading of its section, the text of that section, itself."""
    for section in re.split(r"^## ", text, flags=re.MULTILINE):
        heading, _, body = section.partition("\n")
        for table in _TABLE.findall(f"{body}\n"):
            rows = table.splitlines()[2:]
            cells = [cell.strip() for row in rows for cell in row.strip("|").split("|")]
            figures = [cell for cell in cells if _FIGURE.fullmatch(cell)]
            if 4 * len(figures) >= len(cells):
                yield heading, body, table


FIGURES = [
    pytest.param(heading, section, id=f"{path.relative_to(PROJECT)}-{number}")
    for path in PAGES
    for number, (heading, section, _) in enumerate(tables_of(text_of(path)))
    if heading not in _STATED
]


@pytest.mark.parametrize(("heading", "section"), FIGURES)
def test_a_table_of_figures_has_its_command_or_its_grid(heading: str, section: str) -> None:
    assert _MAKER.search(section), heading


def test_tables_of_figures_are_found() -> None:
    pages = {str(param.id).rpartition("-")[0] for param in FIGURES}
    assert {"README.md", "docs/gpu.md", "docs/cifar10_cpu.md", "docs/label_errors.md"} <= pages
    assert len(FIGURES) > 30


def test_a_table_without_a_command_is_seen() -> None:
    table = "| a | b |\n|---|---|\n| ce | 1.0 ± 0.1 |\n"
    found = list(tables_of(f"# Page\n\n## Results\n\n{table}"))
    assert [(heading, text) for heading, _, text in found] == [("Results", table)]
    assert not _MAKER.search(found[0][1])
