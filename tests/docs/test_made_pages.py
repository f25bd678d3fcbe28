"""Pages that are made from code say all that the code says."""

from __future__ import annotations

import ast
import re

import pytest
from columns_reference import columns_page
from errors_reference import errors_page, refusals
from made_pages import BESIDE, made_pages
from settings_reference import settings_page

from pipeline.config import Execution, Grid, Params, RunSettings
from pipeline.files import methods_folder
from pipeline.results.schema import TABLES
from pipeline.runs.settings.methods import load_method
from tests.support.paths import PROJECT

_NOT_OF_USERS = {".venv", "benchmarks", "build", "docker", "docs", "tests"}
"""Folders whose errors are no refusals of the laboratory."""


def test_every_column_is_told_with_its_type_and_where_it_is_shown() -> None:
    page = columns_page()
    for table, columns in TABLES.items():
        rows = page.partition(f"## `{table}`")[2].partition("\n## ")[0].splitlines()
        told = [row for row in rows if row.startswith("| `")]
        assert [row.split("`")[1] for row in told] == list(columns)
    assert "| `host` | String? | name of the machine |  |" in page
    assert "| `dataset` | String | name of the data set | view, tag |" in page
    assert "| `memorised` | Float64? |" in page
    assert page.count("view, metric, picture") == 6


@pytest.mark.slow
def test_every_refusal_of_the_code_is_read() -> None:
    calls = sum(
        isinstance(node, ast.Call) and ast.unparse(node.func) == "LabError"
        for path in PROJECT.glob("*/**/*.py")
        if path.relative_to(PROJECT).parts[0] not in _NOT_OF_USERS
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    )
    found = list(refusals())
    assert len(found) == calls > 400
    # What is put together as the program runs is rare, or the page says little.
    assert sum(refusal.given == "…" for refusal in found) < 0.04 * calls
    page = errors_page()
    for line in (
        "- **unknown method NAME**; expected: one of the names that are known; "
        "try: the nearest of them or robust\\_loss (`methods.py`)",
        "- **params.yaml has no grid**; expected: a grid block; try: grid: \\{name: ..., datasets: "
        "\\[...\\], noises: \\[...\\], seeds: \\[0\\], runs: \\[...\\]\\} (`params.py`)",
        "- **grid NAME has … cells**; expected: at most 100000; "
        "try: several grids, or shorter lists in its runs (`params.py`)",
    ):
        assert line in page.splitlines()


@pytest.mark.slow
def test_every_setting_is_told_with_its_meaning() -> None:
    page = settings_page()
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert [row for row in rows if row.endswith("|  |")] == []
    told = {row.split("`")[1] for row in rows}
    for path in methods_folder().glob("[!_]*.py"):
        assert set(load_method(path.stem).Settings.model_fields) <= told
        assert f"### `{path.stem}`" in page
    for model in (RunSettings, Execution, Grid, Params):
        assert set(model.model_fields) <= told
    assert "| `lr` | number, above 0, at most 1,000 | 0.01 |" in page
    assert "| `clip_norm` | number, above 0, at most 1,000,000, or null | null |" in page
    assert "| `optimizer` | sgd, adam | sgd | Optimiser. |" in page


@pytest.mark.slow
def test_links_of_made_pages_lead_to_pages() -> None:
    made = made_pages()
    for name, text in made.items():
        folder = (PROJECT / "docs" / name).parent
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            target = (folder / link).resolve()
            is_made = target.relative_to(PROJECT / "docs").as_posix() in made
            assert is_made or target.is_file(), f"{name}: {link}"
    assert set(BESIDE.values()) <= set(made)
    assert "](docs/" not in made["index.md"]
