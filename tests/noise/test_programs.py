"""The commands: python -m pipeline.noise and analysis/noise_report.py."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import noise_report
from pipeline.data import dataset as data
from pipeline.errors import LabError
from pipeline.files import data_folder, labels_folder
from pipeline.noise import __main__ as program
from pipeline.noise import transitions
from pipeline.noise.label_table import load_table, save_table
from pipeline.noise.make import make
from pipeline.noise.noise_spec import parse
from tests.support.noise_cases import small_dataset, softmax_rows

DATASET = small_dataset(n=2000)
TABLES: dict[str, dict[str, Any]] = {
    "clean": {"kind": "clean"},
    "sym40": {"kind": "symmetric", "rate": 0.4},
    "dep40": {"kind": "dependent", "rate": 0.4, "posterior": "average.npy"},
}


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a prepared data set and three tables."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    monkeypatch.setattr(data, "load", lambda _: DATASET)
    np.save(tmp_path / "average.npy", softmax_rows(DATASET.train_labels, 10))
    for name, values in TABLES.items():
        save_table(make(DATASET, name, parse(values, name)), labels_folder("small", name))
    return tmp_path


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["noise", *map(str, arguments)])
    program.main()


def test_list_shows_every_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, "list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines] == [
        ["small", "clean", "clean"],
        ["small", "dep40", "dependent"],
        ["small", "sym40", "symmetric"],
    ]


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_show_prints_the_card_and_draws_it(
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ending: str,
) -> None:
    figure = root / f"card.{ending}"
    _run(monkeypatch, "show", "sym40", "--figure", figure)
    shown = capsys.readouterr().out
    assert "convention     symmetric" in shown
    assert "T[clean, noisy]:" in shown
    first = figure.read_bytes()
    _run(monkeypatch, "show", "sym40", "--figure", figure)
    assert len(first) > 1000
    assert figure.read_bytes() == first


def test_show_names_the_nearest_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, "show", "sym41")
    assert stop.value.code == 2
    assert "try: sym40" in capsys.readouterr().err


def test_import_writes_a_table_that_loads(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = transitions.draw(DATASET.train_labels, transitions.symmetric(0.2, 10), 5)
    np.save(root / "published.npy", noisy)
    _run(monkeypatch, "import", root / "published.npy", "small", "new", "--rate", "0.2")
    assert "written" in capsys.readouterr().out
    assert (load_table("small", "new").y_noisy == noisy).all()


def test_a_refused_import_writes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(root / "published.npy", np.roll(DATASET.train_labels, 1))
    with pytest.raises(SystemExit):
        _run(monkeypatch, "import", root / "published.npy", "small", "new")
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "too late" in error
    assert not labels_folder("small", "new").exists()


def test_verify_exits_with_1_if_a_file_differs(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.noise.published import verify
    from pipeline.noise.published.finding import Finding

    outcome = [Finding("a", "ok", "same"), Finding("b", "differs", "not the same")]
    monkeypatch.setattr(verify, "verify", lambda *_: outcome)
    with pytest.raises(SystemExit) as stop:
        _run(monkeypatch, "verify", root)
    assert stop.value.code == 1
    assert "2 checks: 1 ok, 1 differs" in capsys.readouterr().out


def test_report_finds_the_table_that_follows_the_posterior(root: Path) -> None:
    """The permutation p-value of the independent table is below 0.01 in 1 % of seeds."""
    scores = np.load(root / "average.npy")
    dependent, symmetric = (noise_report.read("small", name) for name in ("dep40", "sym40"))
    strong, weak = (noise_report.dependence(t, scores, 99) for t in (dependent, symmetric))
    assert strong["auc"] > 0.99
    assert strong["best_wrong"] == 1.0
    assert strong["p"] == 0.01
    assert abs(weak["auc"] - 0.5) < 4.5 * np.sqrt(1 / (12 * 480))
    assert weak["p"] > 0.01


def test_report_reads_dependence_from_pixels() -> None:
    """Brightness tells the class of these images, so labels that follow it depend on them."""
    scores = noise_report.linear_scores(DATASET.train_images, DATASET.train_labels, 10)
    assert (scores.argmax(axis=1) == DATASET.train_labels).mean() > 0.15
    np.testing.assert_allclose(scores.sum(axis=1), 1.0, atol=1e-2)


def test_report_compares_pairs() -> None:
    clean, symmetric, dependent = (
        noise_report.read("small", n) for n in ("clean", "sym40", "dep40")
    )
    itself = noise_report.compare(symmetric, symmetric)
    assert itself["agreement"] == itself["overlap"] == itself["same_target"] == 1.0
    assert noise_report.compare(clean, symmetric)["overlap"] == 0.0
    pair = noise_report.compare(dependent, symmetric)
    # 2000 samples: the Jaccard index of independent flips has a standard deviation below 0.02.
    assert abs(pair["overlap"] - pair["by_chance"]) < 4.5 * 0.02


def test_report_prints_three_tables(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data_folder("small").mkdir(parents=True)
    np.save(data_folder("small") / "train_images.npy", DATASET.train_images)
    noise_report.main("small", ("clean", "sym40"))
    noise_report.main("small", ("sym40", "dep40"), root / "average.npy")
    printed = capsys.readouterr().out
    assert printed.count("Dependence on the images") == 2
    assert "sym40 / dep40" in printed


def test_report_needs_tables_that_exist() -> None:
    with pytest.raises(LabError, match=r"type: python -m pipeline\.stages\.noise small sym41"):
        noise_report.read("small", "sym41")
