"""Numbers, rows and captions of the leaderboard, computed by hand."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis.comparison import compare
from analysis.layouts.layout import lay_out
from analysis.layouts.rendering import latex, markdown
from analysis.leaderboard import main
from pipeline.errors import LabError
from pipeline.results.store import Store
from pipeline.results.view import Results, write_view
from tests.support.paths import PROJECT
from tests.support.results_builder import add_run, run_row


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def read(store: Store) -> Results:
    return Results(store.runs(), store.epochs())


def cell(store: Store, label: str, noise: str = "sym", **question: Any) -> dict[str, Any]:
    return compare(read(store), **question).cells.row(
        by_predicate=(pl.col("label") == label) & (pl.col("noise") == noise), named=True
    )


def test_mean_and_sample_deviation_over_seeds(store: Store) -> None:
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        add_run(store, (0.9, accuracy), seed=seed)
    add_run(store, (0.8, 0.2), noise="pair")
    found = cell(store, "ce")
    assert (found["mean"], found["std"], found["n"]) == (
        pytest.approx(0.6),
        pytest.approx(0.1),  # sqrt((0.01 + 0 + 0.01) / 2)
        3,
    )
    assert cell(store, "ce", protocol="oracle")["mean"] == pytest.approx(0.9)
    alone = cell(store, "ce", "pair")
    assert (alone["mean"], alone["std"], alone["n"]) == (0.2, None, 1)


def test_different_settings_are_never_averaged(store: Store) -> None:
    for q, accuracy in ((0.5, 0.4), (0.7, 0.8)):
        add_run(store, (accuracy,), variant="gce", settings={"q": q, "k": [1, 2]})
    add_run(store, (0.3,), variant="ce", settings={"lr": 0.1})
    labels = compare(read(store)).cells["label"].to_list()
    assert labels == ["ce", "gce (q=0.5)", "gce (q=0.7)"]
    assert cell(store, "gce (q=0.5)")["mean"] == 0.4


def test_settings_that_follow_the_noise_do_not_split_a_row(store: Store) -> None:
    add_run(store, (0.4,), variant="gce", settings={"q": 0.5}, noise="sym")
    add_run(store, (0.8,), variant="gce", settings={"q": 0.7}, noise="pair")
    assert compare(read(store)).cells["label"].to_list() == ["gce", "gce"]


def test_groups_alike_in_their_settings_are_told_apart_all_the_same(store: Store) -> None:
    add_run(store, (0.4,))
    add_run(store, (0.6,), seed=1, group="0123456789abcdef", version=2)
    assert compare(read(store)).cells["label"].to_list() == ["ce (version=1)", "ce (version=2)"]
    add_run(store, (0.5,), seed=2, group="fedcba9876543210", version=2)
    labels = compare(read(store)).cells["label"].to_list()
    assert labels == ["ce (version=1)", "ce (version=2) [012345]", "ce (version=2) [fedcba]"]


def test_columns_of_their_own_replace_the_setting_in_the_label(store: Store) -> None:
    for backbone, accuracy in (("small-cnn", 0.4), ("resnet18", 0.8)):
        add_run(store, (accuracy,), settings={"backbone": backbone}, backbone=backbone)
    assert compare(read(store)).cells["label"][0] == "ce (backbone=resnet18)"
    layout = lay_out(compare(read(store), by=["backbone"]))
    assert layout.header == ["method", "backbone", "sym"]
    assert [[c.text for c in row] for row in layout.rows] == [
        ["ce", "resnet18", "80.0 (1)"],
        ["ce", "small-cnn", "40.0 (1)"],
    ]


def add_averaged(store: Store, plain: float, averaged: float, **question: Any) -> None:
    """A run of two epochs that keeps averaged weights, better in its first by their own word."""
    settings = {"averaging": 0.99, **question.pop("settings", {})}
    curves = {
        "averaged_test_accuracy": [averaged + 0.1, averaged],
        "val_noisy_accuracy": [0.1, 0.2],
        "averaged_val_noisy_accuracy": [0.2, 0.1],
    }
    add_run(store, (0.0, plain), settings=settings, curves=curves, **question)


def test_averaged_weights_have_a_row_beside_the_others(store: Store) -> None:
    add_run(store, (0.5,), curves={"val_noisy_accuracy": [0.5]})
    for seed, (plain, averaged) in enumerate(((0.6, 0.7), (0.7, 0.8))):
        add_averaged(store, plain, averaged, variant="sln", seed=seed)
    layout = lay_out(compare(read(store)))
    assert [[c.text for c in row] for row in layout.rows] == [
        ["sln (averaged)", "75.0 ± 7.1 (2)"],
        ["sln", "65.0 ± 7.1 (2)"],
        ["ce", "50.0 (1)"],
    ]
    # Each kind of weights by the epoch that its own validation accuracy chooses.
    assert cell(store, "sln (averaged)", protocol="best-noisy-val")["mean"] == pytest.approx(0.85)
    assert cell(store, "sln", protocol="best-noisy-val")["mean"] == pytest.approx(0.65)

    def labels(**question: Any) -> list[str]:
        return compare(read(store), **question).cells["label"].to_list()

    assert labels(averaged="no") == ["ce", "sln"]
    assert labels(averaged="only") == ["sln (averaged)"]
    assert labels(metric="memorised") == labels(metric="averaged_test_accuracy") == ["ce", "sln"]
    with pytest.raises(LabError, match="no run with the memorised of averaged weights"):
        compare(read(store), metric="memorised", averaged="only")


def test_labels_and_counts_of_averaged_rows(store: Store) -> None:
    for sigma in (0.5, 1.0):
        add_averaged(store, 0.6, 0.7, variant="sln", settings={"sigma": sigma})
    assert compare(read(store)).cells["label"].to_list() == [
        "sln (sigma=0.5)", "sln (sigma=0.5, averaged)", "sln (sigma=1)", "sln (sigma=1, averaged)",
    ]  # fmt: skip
    settings = {"averaging": 0.99, "sigma": 0.5}
    store.write_run(run_row(variant="sln", seed=1, settings=settings, status="failed"))
    found = cell(store, "sln (sigma=0.5, averaged)")
    assert (found["n"], found["failed"], found["unrecorded"]) == (1, 1, 0)
    add_run(store, (0.5,), variant="none", settings={"averaging": None})
    assert "none (averaged)" not in compare(read(store)).cells["label"].to_list()
    layout = lay_out(compare(read(store), protocol="best-clean-val", averaged="only"))
    assert "recorded no val_clean_accuracy: 2" in layout.caption


def test_one_name_in_two_methods_shows_the_method(store: Store) -> None:
    add_run(store, variant="same")
    add_run(store, variant="same", method="other", settings={"x": 1})
    assert compare(read(store)).cells["label"].to_list() == ["other/same", "robust_loss/same"]


def test_runs_that_did_not_finish_are_counted_and_not_averaged(store: Store) -> None:
    add_run(store, (0.5,), seed=0)
    add_run(store, (0.1,), seed=1, status="diverged")
    store.write_run(run_row(seed=2, status="failed"))
    store.write_run(run_row(seed=3, status="running"))
    comparison = compare(read(store))
    row = comparison.cells.row(0, named=True)
    assert [row[name] for name in ("mean", "n", "diverged", "failed", "running")] == [
        0.5, 1, 1, 1, 1,
    ]  # fmt: skip
    layout = lay_out(comparison)
    assert layout.rows[0][1].text == "50.0 (1, 1 diverged, 1 failed, 1 running)"
    assert "Diverged runs are counted, not averaged" in layout.caption


def test_caption_names_protocol_metric_and_what_is_missing(store: Store) -> None:
    add_run(store, (0.5,), curves={"val_noisy_accuracy": [0.4]}, variant="ce")
    add_run(store, (0.5,), variant="gce", knows=["noise_rate"])
    layout = lay_out(compare(read(store), protocol="best-noisy-val"))
    assert "protocol best-noisy-val" in layout.caption
    assert "test_accuracy in percent" in layout.caption
    assert "recorded no val_noisy_accuracy: 1" in layout.caption
    assert "† gce knows: noise_rate" in layout.caption
    assert [[c.text for c in row] for row in layout.rows] == [
        ["ce", "50.0 (1)"],
        ["gce †", "– (0)"],
    ]


@pytest.mark.parametrize(("metric", "best"), [("test_accuracy", "b"), ("memorised", "a")])
def test_best_row_comes_first_and_is_marked(store: Store, metric: str, best: str) -> None:
    add_run(store, (0.5,), variant="a", curves={"memorised": [0.1]})
    add_run(store, (0.7,), variant="b", curves={"memorised": [0.3]})
    rows = lay_out(compare(read(store), metric=metric)).rows
    assert rows[0][0].text == best
    assert [row[1].best for row in rows] == [True, False]


def test_questions_without_an_answer_say_what_there_is(store: Store) -> None:
    with pytest.raises(LabError, match="no runs yet"):
        compare(read(store))
    add_run(store)
    for question, said in (
        ({"where": {"dataset": ["digit"]}}, "try: digits"),
        ({"where": {"noise": ["sim"]}}, "try: sym"),
        ({"metric": "test_acuracy"}, "try: test_accuracy"),
        ({"by": ["backbon"]}, "try: backbone"),
    ):
        with pytest.raises(LabError, match=said):
            compare(read(store), **question)


def test_markdown_and_latex(store: Store) -> None:
    add_run(store, (0.5,), variant="nce_and_rce", noise="sym_40")
    add_run(store, (0.7,), variant="a|b", noise="sym_40", dataset="second")
    layout = lay_out(compare(read(store)))
    assert markdown(layout).splitlines()[:4] == [
        "| method | digits sym_40 | second sym_40 |",
        "| --- | --- | --- |",
        r"| a\|b |  | 70.0 (1) |",
        "| nce_and_rce | 50.0 (1) |  |",
    ]
    assert r"nce\_and\_rce & 50.0 (1) &  \\" in latex(layout)


def test_program_prints_every_format(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(store, (0.512345,), knows=["a", "b"])
    printed = {}
    for name in ("terminal", "markdown", "latex", "csv"):
        monkeypatch.setattr(
            sys, "argv", ["leaderboard", "--store", str(store.place.folder), "--format", name]
        )
        main()
        printed[name] = capsys.readouterr().out
    for name in ("terminal", "markdown", "latex"):
        assert "51.2 (1)" in printed[name]
    table = pl.read_csv(io.StringIO(printed["csv"]))
    assert table.select("label", "mean", "n", "knows", "protocol").row(0) == (
        "ce", 0.512345, 1, "a b", "last",
    )  # fmt: skip


def test_program_ends_with_one_line_on_a_faulty_question(store: Store) -> None:
    add_run(store)
    program = PROJECT / "analysis" / "leaderboard.py"
    asked = [sys.executable, program, "--store", store.place.folder, "--dataset", "cifar"]
    ended = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert (
        ended.stderr
        == "error: no run with dataset 'cifar'; expected: one of digits; try: other filters\n"
    )


def test_analysis_starts_without_the_training_libraries() -> None:
    code = (
        "import analysis.leaderboard, analysis.report, pipeline.results.__main__, sys\n"
        "print({'torch', 'mlflow', 'accelerate'} & set(sys.modules))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "set()\n"


def test_a_scalar_stored_by_name_is_a_metric_too(store: Store) -> None:
    scalars = ['{"ilsvrc_accuracy": 0.25}', '{"ilsvrc_accuracy": 0.5}']
    add_run(store, (0.9, 0.1), curves={"scalars": scalars})
    assert cell(store, "ce", metric="ilsvrc_accuracy")["mean"] == 0.5
    assert cell(store, "ce", metric="ilsvrc_accuracy", protocol="oracle")["mean"] == 0.25
    table = markdown(lay_out(compare(read(store), metric="ilsvrc_accuracy")))
    assert "50.0" in table
    with pytest.raises(LabError, match="try: ilsvrc_accuracy"):
        compare(read(store), metric="ilsvrc_acuracy")


def test_the_grid_of_params_is_compared_unless_something_else_is_asked_for(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store()
    inside = add_run(store, variant="ce", group="a")
    add_run(store, variant="pilot", group="b")
    write_view([inside], lab / "results" / "views" / "tiny.parquet")

    def printed(*flags: str) -> str:
        monkeypatch.setattr("sys.argv", ["leaderboard.py", "--format", "csv", *flags])
        main()
        return capsys.readouterr().out

    assert "pilot" not in printed()
    assert "pilot" in printed("--grid", "all")
    assert "pilot" in printed("--dataset", "digits")


def test_runs_in_which_the_rule_finds_no_epoch_are_counted(store: Store) -> None:
    dented = [None, 9, 8, 6, 5, 6, 7, 8, 9, 9, 9]
    accuracies = [epoch / 20 for epoch in range(11)]
    for seed, changes in enumerate((dented, [None, *range(10)], [None, *range(10, 0, -1)])):
        add_run(store, accuracies, seed=seed, curves={"prediction_changes": changes})
    add_run(store, accuracies, seed=3)
    add_run(store, accuracies, variant="dal", curves={"prediction_changes": [*range(9, -2, -1)]})
    found = cell(store, "ce", protocol="fewest-changes")
    # Of the second run it is the first epoch with three counts.
    assert found["mean"] == pytest.approx((5 / 20 + 3 / 20) / 2)
    assert [found[name] for name in ("n", "not_found", "unrecorded")] == [2, 1, 1]
    layout = lay_out(compare(read(store), protocol="fewest-changes"))
    assert [row[1].text for row in layout.rows] == [
        "20.0 ± 7.1 (2, 1 not found)",
        "– (0, 1 not found)",
    ]
    assert "finds no epoch (not found) are not averaged" in layout.caption
    assert "recorded no prediction_changes: 1" in layout.caption
    assert "not found" not in lay_out(compare(read(store))).caption


def test_optimism_is_over_the_runs_that_have_both(store: Store) -> None:
    dented = [None, 9, 8, 6, 5, 6, 7, 8, 9, 9, 9]
    for seed, changes in enumerate((dented, [None, *range(10, 0, -1)])):
        accuracies = [0.5, 0.6, 0.6, 0.6, 0.6, 0.7, 0.8 + 0.1 * seed, 0.6, 0.6, 0.6, 0.4]
        add_run(store, accuracies, seed=seed, curves={"prediction_changes": changes})
    found = cell(store, "ce", protocol="fewest-changes", optimism=True)
    assert (found["optimism"], found["n"]) == (pytest.approx(0.8 - 0.7), 1)
    assert cell(store, "ce", optimism=True)["optimism"] == pytest.approx(0.85 - 0.4)
    assert "optimism" not in cell(store, "ce")
