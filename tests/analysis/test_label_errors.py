"""The program: tables of detectors beside methods, remarks, and the files that it writes."""

from __future__ import annotations

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis import label_errors
from analysis.suspects import tables
from analysis.suspects.detectors import DETECTORS
from analysis.suspects.quality import MEASURES
from analysis.suspects.scoring import ROW, chosen, runs_to_rank, score_runs
from pipeline.files import labels_folder
from pipeline.noise import __main__ as noise_program
from pipeline.noise.label_table import LabelTable, load_table
from pipeline.noise.suspects import read_suspects
from pipeline.results.store import Store
from pipeline.results.view import Results
from pipeline.runs.settings.specs import noise_spec
from tests.support.suspects import DATASET, add_ranked_run, laid_out

BY_RUN = [name for name, detector in DETECTORS.items() if not detector.by_neighbours]


@pytest.fixture
def table(lab: Path) -> LabelTable:
    return laid_out()


@pytest.fixture
def store(lab: Path, table: LabelTable) -> Store:
    """Two methods with two seeds each; the ledger of one has less in it."""
    store = Store()
    for seed in (0, 1):
        add_ranked_run(store, table, seed)
        add_ranked_run(
            store, table, seed, variant="gce", sharpness=1.0, without=["wrong_events", "seen"]
        )
    return store


def started(monkeypatch: pytest.MonkeyPatch, *words: object) -> None:
    monkeypatch.setattr(sys, "argv", ["label_errors.py", *map(str, words)])
    label_errors.main()


def scored(store: Store) -> pl.DataFrame:
    runs = runs_to_rank(Results(store.runs(), store.epochs()), {})
    return score_runs(store, runs, chosen((), None), {}).rows


def test_every_run_and_detector_has_a_row_and_tables_have_them_all(
    store: Store,
) -> None:
    rows = scored(store)
    assert rows.columns == list(ROW)
    assert rows.height == 2 * len(BY_RUN) + 2 * (len(BY_RUN) - 1)
    assert set(rows["true_rate"]) == {rows["n_wrong"][0] / 300}
    margin = rows.filter(label="ce", detector="margin")
    assert margin["auroc"].min() > 0.95
    # A loss that is drawn at random ranks at random: 90 of 300 are wrong, sd 0.036.
    chance = rows.filter(detector="last-loss")["auroc"]
    assert (chance - 0.5).abs().max() < 0.16
    assert set(rows["estimate"]) == {"confident"}
    cells = tables.averaged(rows)
    own = rows.filter(label="ce", detector="aum")["auprc"]
    cell = cells.row(
        by_predicate=(pl.col("label") == "ce") & (pl.col("detector") == "aum"), named=True
    )
    assert (cell["runs"], cell["auprc"]) == (2, pytest.approx(own.mean()))
    assert cell["auprc_std"] == pytest.approx(own.std())
    whole = tables.details(rows)
    assert [len(block) for block in whole.blocks] == [len(BY_RUN), len(BY_RUN) - 1]
    assert all(len(row) == len(whole.header) for row in whole.rows)
    at = whole.header.index("FNR")
    best = [row for row in whole.blocks[0] if row[at].best]
    values = [float(row[at].text.split()[0]) for row in whole.blocks[0]]
    assert min(values) in {float(row[at].text.split()[0]) for row in best}
    joined = tables.joined(rows, "auroc")
    assert joined.header == ["data set", "noise", "method", *BY_RUN]
    (block,) = joined.blocks
    assert [row[2].text for row in block] == ["ce", "gce"]
    assert block[1][3 + BY_RUN.index("wrong-events")].text == ""
    for row in block:
        assert any(cell.best for cell in row)


def test_two_detectors_are_compared_on_the_runs_of_each_method(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started(
        monkeypatch, "--grid", "all", "--compare", "margin", "aum", "--metric", "auprc",
        "--format", "csv",
    )  # fmt: skip
    table = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert table["method"].to_list() == ["ce", "gce", None]
    rows = scored(store).filter(label="ce").sort("seed")
    one, other = (rows.filter(detector=name)["auprc"].to_numpy() for name in ("margin", "aum"))
    expected = stats.ttest_rel(one, other)
    low, high = expected.confidence_interval()
    assert table["difference"][0] == pytest.approx((one - other).mean())
    assert table["p"][0] == pytest.approx(expected.pvalue)
    assert (table["low"][0], table["high"][0]) == (pytest.approx(low), pytest.approx(high))
    started(monkeypatch, "--grid", "all", "--compare", "margin", "aum", "--format", "markdown")
    told = capsys.readouterr().out
    assert "| small | sym | gce |" in told.replace("data set | noise", "")
    assert "margin less aum, AUROC: probability that a wrong label scores higher" in told


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--compare", "margin", "margins"), "unknown detector|'margins'"),
        (("--compare", "margin", "margin"), "two rows"),
        (("--compare", "margin", "aum", "--detector", "aum"), "--detector with --compare"),
        (("--compare", "margin", "knn-vote"), "without features"),
    ],
)
def test_two_detectors_are_two_known_ones(
    store: Store, words: tuple[str, ...], problem: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    with pytest.raises(SystemExit):
        started(monkeypatch, "--grid", "all", *words)
    assert re.search(problem, capsys.readouterr().err)


def test_what_a_run_has_not_is_told_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--detector", "wrong-events", "aum")
    started(monkeypatch, "--format", "csv", "--grid", "all", *few)
    told = capsys.readouterr()
    assert told.err.splitlines() == [
        "small sym gce: stored no wrong_events, seen, so no wrong-events; computing its runs again "
        "(--force) stores it"
    ]
    rows = pl.read_csv(io.StringIO(told.out))
    assert rows.columns == list(ROW)
    assert rows.height == 2 * 2 + 2


def test_without_true_labels_only_the_estimate_is_shown(
    lab: Path, table: LabelTable, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store = Store()
    add_ranked_run(store, table, without=["y_clean"])
    row = scored(store).row(0, named=True)
    assert row["estimated_rate"] == pytest.approx(0.3, abs=0.1)
    assert all(row[name] is None for name in (*MEASURES, "true_rate", "n_wrong"))
    started(monkeypatch, "--grid", "all", "--format", "markdown")
    assert "| small | sym | ce | margin | 1 | – | 0.3" in capsys.readouterr().out


def test_an_estimate_of_hoc_is_used_for_its_table(
    store: Store, lab: Path, table: LabelTable, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file = lab / "hoc.json"
    T = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]  # noqa: N806 - its name in the file
    found = {"labels_digest": table.card.labels_digest, "T": T, "prior": [0.2, 0.4, 0.4]}
    file.write_text(json.dumps(found))
    one = ("--where", "variant=ce", "--detector", "aum")
    started(monkeypatch, *one, "--hoc", file, "--format", "csv")
    rows = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(rows["estimate"]) == {"hoc"}
    assert rows["estimated_rate"].to_list() == pytest.approx([0.2] * rows.height)


def test_the_ranking_becomes_labels_that_can_be_named(
    store: Store, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--where", "variant=ce", "--detector", "margin", "--suspects", lab / "s.parquet",
             "--csv", lab / "s.csv", "--gallery", lab / "s.html", "--top", 2)  # fmt: skip
    started(monkeypatch, *words)
    assert capsys.readouterr().err.count("written: ") == 3
    assert pl.read_csv(lab / "s.csv").height == 300
    ranking = read_suspects(lab / "s.parquet", "s")
    monkeypatch.setattr(
        sys, "argv", ["noise", "clean", str(lab / "s.parquet"), "small", "mended",
                      "--repair", "relabel", "--rate", "0.25"]
    )  # fmt: skip
    noise_program.main()
    assert "lineage" in capsys.readouterr().out
    made = load_table("small", "mended")
    changed = made.y_noisy != load_table("small", "sym").y_noisy
    assert (np.sort(ranking.index[:75]) == np.flatnonzero(changed)).all()
    # 75 of 90 wrong labels are flagged, nine in ten of these rightly.
    assert made.card.realised_rate == pytest.approx(0.07, abs=0.05)
    from pipeline.config import read_params

    assert noise_spec("small", "mended", read_params()).kind == "cleaned"
    assert (labels_folder("small", "mended") / "card.json").exists()


def test_features_add_the_votes_of_neighbours(
    store: Store, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = np.random.default_rng(0).normal(size=(300, 3)) * 0.1
    np.save(lab / "features.npy", np.eye(3)[DATASET.train_labels] + noisy)
    names = ("knn-vote", "encoder-knn")
    words = ("--features", lab / "features.npy", "--format", "csv", "--detector", *names)
    started(monkeypatch, "--where", "variant=ce", *words)
    rows = pl.read_csv(io.StringIO(capsys.readouterr().out))
    assert set(rows["detector"]) == set(names)
    for name in names:
        assert rows.filter(detector=name)["auroc"].min() > 0.95


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--detector", "margn"), "detector 'margn'; expected: one of"),
        (("--detector", "encoder-knn"), "detector encoder-knn without features"),
        (("--metric", "auc"), "metric 'auc'"),
        (("--csv", "x.csv"), "one ranking by 7 detectors"),
        (("--noise", "pair"), "no run with noise 'pair'"),
        (("--hoc", "gone.json"), "is no estimate of a transition matrix"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    with pytest.raises(SystemExit):
        started(monkeypatch, *words)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
