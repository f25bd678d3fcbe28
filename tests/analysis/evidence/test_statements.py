"""Statements that were made before the runs: how they are read, and what a test says about one."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.evidence.statements import Statement, read_statements, verdict
from pipeline.errors import LabError
from tests.support.paths import PROJECT

HEADER = ",".join(Statement._fields) + "\n"
ROWS = """\
pocket,sym,dal,,above,ce,,test_accuracy,last,
other,sym,dal,,below,ce,,memorised,last,
pocket,sym,dal,,below,ce,,test_accuracy,oracle,last
"""


def table(folder: Path, rows: str = ROWS) -> Path:
    path = folder / "statements.csv"
    path.write_text(HEADER + rows)
    return path


def test_the_statements_about_a_grid_are_read_in_order(tmp_path: Path) -> None:
    assert read_statements(table(tmp_path), "pocket") == [
        Statement("pocket", "sym", "dal", "", "above", "ce", "", "test_accuracy", "last", None),
        Statement("pocket", "sym", "dal", "", "below", "ce", "", "test_accuracy", "oracle", "last"),
    ]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("pocket,sym,dal,,over,ce,,memorised,last,", "line 2: relation = 'over'"),
        ("pocket,sym,dal,,above,ce,,memorised,final,", "line 2: protocol = 'final'"),
        ("pocket,sym,dal,,above,ce,,memorised,last,best", "line 2: less = 'best'"),
        ("pocket,sym,,,above,ce,,memorised,last,", "line 2: no first"),
        ("pockets,sym,dal,,above,ce,,memorised,last,", "no statement about grid 'pocket'"),
    ],
)
def test_a_statement_that_says_nothing_is_refused(tmp_path: Path, row: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        read_statements(table(tmp_path, row + "\n"), "pocket")


@pytest.mark.parametrize(
    ("difference", "p", "relation", "expected"),
    [
        (0.1, 0.049, "above", "shown"),
        (0.1, 0.049, "below", "contrary"),
        (-0.1, 0.049, "below", "shown"),
        (-0.1, 0.049, "above", "contrary"),
        (0.1, 0.05, "above", "open"),
        (0.1, None, "above", "open"),
    ],
)
def test_a_verdict_needs_the_test_and_the_sign(difference, p, relation, expected) -> None:
    assert verdict(difference, p, relation) == expected


def test_each_grid_of_the_project_has_its_statements() -> None:
    grids = sorted((PROJECT / "experiments").glob("findings_*.yaml"))
    assert grids
    for path in grids:
        assert read_statements(PROJECT / "experiments" / "findings.csv", path.stem)
