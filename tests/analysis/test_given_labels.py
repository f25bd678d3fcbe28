"""Tables, titles and reports call labels of one's own data `as given`, and filters `clean`."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.comparison import compare
from analysis.layouts.layout import lay_out
from analysis.report import write_report
from analysis.single_runs.listing import list_runs
from pipeline.results.keys import title
from pipeline.results.store import Store
from pipeline.results.view import Results, results
from tests.support.results_builder import add_run, run_row

GIVEN = {"dataset": "mine", "noise": "clean", "noise_kind": "clean", "nominal_rate": 0.0}


@pytest.fixture
def store(lab: Path) -> Store:
    store = Store()
    add_run(store, **GIVEN, realised_rate=None)
    add_run(store, **GIVEN | {"dataset": "digits"}, realised_rate=0.0)
    return store


def test_a_leaderboard_reads_as_given_and_is_asked_for_clean(store: Store) -> None:
    source = Results(store.runs(), store.epochs())
    assert lay_out(compare(source)).header[1:] == ["digits clean", "mine as given"]
    one = compare(source, where={"noise": ["clean"], "dataset": ["mine"]})
    assert lay_out(one).header == ["method", "as given"]
    listed = list_runs(results((), store), {"noise": ["clean"]}, (), 0)
    assert sorted(row[4].text for row in listed.blocks[0]) == ["as given", "clean"]


def test_titles_and_the_report_read_as_given(store: Store, lab: Path) -> None:
    assert title(run_row(**GIVEN, realised_rate=None)) == "robust_loss ce, mine, as given, seed 0"
    write_report(Results(store.runs(), store.epochs()), lab / "report")
    page = " ".join((lab / "report/report.html").read_text().split())
    assert "<h3>as given</h3>" in page
    assert "labels as given, asked for 0.0 %, realised rate unknown" in page
    assert "<h3>clean</h3>" in page
