"""Verdicts on statements: which numbers are compared, how they are corrected, what is printed."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis import findings
from analysis.evidence.statements import Statement
from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.view import Results, write_view
from tests.support.results_builder import add_run

CE = ((0.60, 0.40), (0.64, 0.41), (0.61, 0.43), (0.63, 0.40))
DAL = ((0.58, 0.57), (0.60, 0.60), (0.59, 0.55), (0.57, 0.56))
ENDS = Statement("pocket", "sym", "dal", "", "above", "ce", "", "test_accuracy", "last", None)
FALLS = ENDS._replace(relation="below", protocol="oracle", less="last")
BEST = ENDS._replace(protocol="oracle")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two rows with four seeds: accuracies in the best epoch and in the last one."""
    store = Store(tmp_path / "store")
    for variant, runs in (("ce", CE), ("dal", DAL)):
        for seed, accuracies in enumerate(runs):
            add_run(store, accuracies, variant=variant, seed=seed)
    return store


def verdicts(store: Store, *statements: Statement) -> pl.DataFrame:
    return findings.judged(Results(store.runs(), store.epochs()), statements)


def test_a_fall_is_the_best_epoch_less_the_last_of_the_same_run(store: Store) -> None:
    fell = {name: [max(run) - run[-1] for run in runs] for name, runs in (("ce", CE), ("dal", DAL))}
    expected = stats.ttest_rel(fell["dal"], fell["ce"])
    [row] = verdicts(store, FALLS).to_dicts()
    assert row["mean_first"] == pytest.approx(np.mean(fell["dal"]))
    assert row["mean_second"] == pytest.approx(np.mean(fell["ce"]))
    assert (row["low"], row["high"]) == pytest.approx(expected.confidence_interval(0.95))
    assert row["p_corrected"] == pytest.approx(expected.pvalue)
    assert (row["n"], row["verdict"]) == (4, "shown")


def test_statements_about_a_grid_are_corrected_together(store: Store) -> None:
    alone = [verdicts(store, one)["p_corrected"][0] for one in (ENDS, FALLS, BEST)]
    together = verdicts(store, ENDS, FALLS, BEST)
    least, middle, largest = np.sort(alone)
    expected = np.maximum.accumulate([3 * least, 2 * middle, largest])
    assert np.sort(together["p_corrected"]) == pytest.approx(expected)
    assert together["verdict"].to_list() == ["shown", "shown", "contrary"]


def test_the_program_prints_the_verdicts_of_a_grid(
    store: Store, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = store.runs().collect()["key"]
    write_view(keys, lab / "results" / "views" / "pocket.parquet", store)
    path = lab / "statements.csv"
    rows = [",".join(value or "" for value in one) for one in (ENDS, FALLS)]
    path.write_text("\n".join([",".join(Statement._fields), *rows]) + "\n")
    words = ["findings", str(path), "--grid", "pocket", "--store", str(lab / "store")]
    monkeypatch.setattr(sys, "argv", [*words, "--format", "markdown"])
    findings.main()
    printed = capsys.readouterr().out
    assert "| dal below ce, sym | test_accuracy, oracle less last | 1.5 | 21.0 | -19.5 |" in printed
    assert "Verdicts: 2 shown, 0 contrary, 0 open." in printed
    monkeypatch.setattr(sys, "argv", [*words, "--format", "csv"])
    findings.main()
    assert capsys.readouterr().out.count("shown") == 2


def test_a_row_that_the_runs_do_not_have_is_named(store: Store) -> None:
    with pytest.raises(LabError, match="no row 'gce'"):
        verdicts(store, ENDS._replace(first="gce"))


def test_a_filter_tells_rows_of_one_label_apart(store: Store) -> None:
    for seed, (_, last) in enumerate(DAL):
        add_run(store, (last + 0.1 + 0.01 * seed,), variant="dal", seed=seed, settings={"lr": 0.2})
    slow, fast = "lr=0.1", "lr=0.2"
    statement = Statement("pocket", "sym", "dal", slow, "below", "dal", fast, "test_accuracy",
                          "last", None)  # fmt: skip
    [row] = verdicts(store, statement).to_dicts()
    assert row["difference"] == pytest.approx(-0.115)
    assert (row["n"], row["verdict"]) == (4, "shown")
    text = findings.lay_out(verdicts(store, statement)).rows[0][0].text
    assert text == "dal [lr=0.1] below dal [lr=0.2], sym"
