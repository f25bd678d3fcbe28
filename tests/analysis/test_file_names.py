"""What is said of single samples names their files, where the images have some."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest

import lnl
from analysis import label_errors, runs
from pipeline.data.data_spec import DataSpec
from pipeline.data.dataset import load_dataset, prepare_dataset
from pipeline.files import labels_folder
from pipeline.noise import __main__ as noise
from pipeline.noise.generate import make
from pipeline.noise.label_table import load_table, save_table
from pipeline.noise.noise_spec import Clean
from pipeline.noise.suspects import read_suspects
from pipeline.results.store import Store
from tests.support.data_files import pictures, write_class_folders
from tests.support.results_builder import epoch_rows, run_row

NAMES = ("ant", "bee", "cat")


@pytest.fixture
def key(lab: Path) -> str:
    """A run on a small folder of images, with a ledger; every fifth label is suspect."""
    labels = [NAMES[number % 3] for number in range(30)]
    write_class_folders(lab / "pictures/train", pictures(30, size=8), labels)
    write_class_folders(lab / "pictures/test", pictures(3, size=8), NAMES)
    spec = DataSpec(kind="imagefolder", root="pictures", image_size=8)
    card = prepare_dataset("mine", spec)
    table = make(load_dataset("mine"), "clean", Clean())
    save_table(table, labels_folder("mine", "clean"))
    given = table.y_noisy
    other = np.where(np.arange(30) % 5 == 0, (given + 1) % 3, given)
    p = np.full((30, 3), 0.1)
    p[np.arange(30), other] = 0.8
    row = run_row(dataset="mine", noise="clean", noise_kind="clean", realised_rate=None,
                  nominal_rate=None, data_digest=card.digest, class_names=list(NAMES),
                  labels_digest=table.card.labels_digest, n_train=30)  # fmt: skip
    columns = {"index": range(30), "y_noisy": given, "y_clean": [None] * 30, "prediction": other,
               "seen": [3] * 30, "mean_probabilities": p.tolist()}  # fmt: skip
    samples = pl.DataFrame({"key": [row["key"]] * 30} | columns)
    Store().write_finished(row, epoch_rows(row["key"], (0.5,)), samples)
    return str(row["key"])


def started(monkeypatch: pytest.MonkeyPatch, module: ModuleType, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["program", *words])
    module.main()


def files_by_index() -> list[str]:
    files = load_dataset("mine").train_files
    assert files is not None
    assert files[0] == "train/ant/00000.png"
    return list(files)


def test_a_ranking_names_the_files_and_calls_the_labels_given(
    key: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(lab)
    started(monkeypatch, label_errors, "--dataset", "mine", "--noise", "clean", "--detector",
            "margin", "--csv", "s.csv", "--gallery", "s.html", "--suspects", "s.parquet",
            "--format", "markdown")  # fmt: skip
    assert "| mine | as given | ce |" in capsys.readouterr().out
    files = files_by_index()
    listed = pl.read_csv("s.csv")
    assert listed.columns[:4] == ["rank", "index", "file", "given"]
    assert listed["file"].to_list() == [files[index] for index in listed["index"]]
    assert lnl.label_errors(dataset="mine")["file"].to_list() == listed["file"].to_list()
    written = pl.read_parquet("s.parquet")
    assert written["file"].to_list() == [files[index] for index in written["index"]]
    assert (read_suspects(lab / "s.parquet", "s").index == written["index"].to_numpy()).all()
    page = (lab / "s.html").read_text()
    assert "Suspect labels of mine, as given" in page
    assert all(f", {name}" in page for name in files)
    # Labels that were mended by hand find their images by these names.
    listed.with_columns(given=pl.lit(2)).head(7).write_csv("hand.csv")
    started(monkeypatch, noise, "import", "hand.csv", "mine", "by-hand", "--column", "given",
            "--order", "trusted")  # fmt: skip
    assert "without a label  23 of 30 images" in " ".join(
        line.strip() for line in capsys.readouterr().out.splitlines() if "without" in line
    ).replace("label    ", "label  ")
    assert sorted(listed["index"][:7]) == load_table("mine", "by-hand").index.tolist()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_ledger_and_exported_labels_name_the_files(
    key: str, lab: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet}[ending]
    files = files_by_index()
    started(monkeypatch, runs, "samples", key[:6], str(lab / f"ledger.{ending}"))
    ledger = read(lab / f"ledger.{ending}")
    assert ledger["file"].to_list() == files
    assert ledger["y_noisy_name"].to_list() == [file.split("/")[1] for file in files]
    assert ledger["y_clean_name"].null_count() == 30
    assert ledger["prediction_name"][0] == "bee"
    started(monkeypatch, noise, "export", "clean", str(lab / f"labels.{ending}"))
    labels = read(lab / f"labels.{ending}")
    assert labels.columns == ["index", "file", "noisy", "noisy_name"]
    assert labels["file"].to_list() == files
    started(monkeypatch, noise, "import", str(lab / f"labels.{ending}"), "mine", "again")
    assert (load_table("mine", "again").y_noisy == load_table("mine", "clean").y_noisy).all()


@pytest.mark.parametrize(
    ("module", "words"),
    [(runs, ("samples", "KEY", "l.txt")), (noise, ("export", "clean", "l.xlsx"))],
    ids=["ledger", "labels"],
)
def test_another_ending_is_one_line(
    key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    module: object, words: tuple[str, ...],
) -> None:  # fmt: skip
    with pytest.raises(SystemExit):
        started(monkeypatch, module, *(key if word == "KEY" else word for word in words))
    assert "ends in .csv or .parquet" in capsys.readouterr().err


def test_without_the_images_there_is_an_index_and_a_note(
    key: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (lab / "data/mine/card.json").unlink()
    started(monkeypatch, runs, "samples", key, str(lab / "ledger.csv"))
    assert "file" not in pl.read_csv(lab / "ledger.csv").columns
    assert "note: no file names: data set mine is not prepared" in capsys.readouterr().err
