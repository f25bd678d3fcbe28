"""The whole path as a user starts it: `dvc repro` in a fresh copy of the project."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from tests.support.data_files import pictures, write_class_folders
from tests.support.lab import PARAMS
from tests.support.paths import PROJECT

pytestmark = pytest.mark.slow


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A copy of the project's files under git, with a grid of two short runs."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=PROJECT, capture_output=True, text=True, check=True)
    for name in names.stdout.splitlines():
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, target)
    (tmp_path / "dvc.lock").unlink(missing_ok=True)
    # The copy's own code runs, as in a clone: it comes before the installed project.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("LNL_ROOT", "LNL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    write(tmp_path, PARAMS)
    git(tmp_path, "init", "-q")
    commit(tmp_path)
    return tmp_path


def write(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def git(folder, *words):
    done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


def commit(folder):
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "as it is")


def start_dvc(folder, *words):
    return subprocess.run(
        ["dvc", *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )


def dvc(folder, *words):
    done = start_dvc(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def started(out):
    """Names of the stages that DVC ran."""
    return re.findall(r"^Running stage '(.+)'", out, re.MULTILINE)


def test_repro_computes_then_rests_then_computes_only_what_is_new(copy):
    out = dvc(copy, "repro")
    assert "2 cells; 2 done" in out
    view = copy / "results" / "views" / "tiny.parquet"
    assert pl.read_parquet(view)["variant"].to_list() == ["ce", "dal"]
    assert "ce" in (copy / "results" / "report" / "report.html").read_text()
    metrics = json.loads((copy / "results" / "report" / "metrics.json").read_text())
    accuracy = metrics["digits"]["symmetric-40"]["ce"]["last"]
    assert 0 < accuracy <= 1
    title, *lines = dvc(copy, "metrics", "show").splitlines()
    assert title.split() == ["Path", "digits.symmetric-40"]
    assert [line.split()[0] for line in lines] == [
        "results/report/last/ce.json", "results/report/last/dal.json",
    ]  # fmt: skip
    assert float(lines[0].split()[1]) == pytest.approx(accuracy, abs=1e-5)
    assert started(dvc(copy, "repro")) == ["sources"]
    # The lock is the user's own; nothing that git tracks has changed.
    assert git(copy, "status", "--porcelain") == "?? dvc.lock\n"

    dvc(copy, "plots", "show")
    page = (copy / "dvc_plots" / "index.html").read_text()
    assert "://" not in page
    [picture] = re.findall(r'img src="(.+?)"', page)
    drawn = (copy / "dvc_plots" / picture).read_text()
    assert all(f">{name}</text>" in drawn for name in ("ce", "dal"))

    grid = PARAMS["grid"] | {"seeds": [0, 1], "noises": ["symmetric-40", "pair-40"]}
    write(copy, PARAMS | {"grid": grid})
    out = dvc(copy, "repro")
    assert "Stage 'data@digits' didn't change" in out
    assert "Running stage 'noise@digits-pair-40'" in out
    assert "Running stage 'noise@digits-symmetric-40'" not in out
    assert "8 cells; 6 done" in out


def test_changing_one_label_table_makes_one_table_again(copy):
    grid = PARAMS["grid"] | {"noises": ["symmetric-40", "pair-40"]}
    write(copy, PARAMS | {"grid": grid})
    dvc(copy, "repro", "noise")
    noise = PARAMS["noise"] | {"pair-40": {"kind": "pair", "rate": 0.3}}
    write(copy, PARAMS | {"grid": grid, "noise": noise})
    out = dvc(copy, "repro", "noise")
    assert started(out) == ["sources", "noise@digits-pair-40"]


def test_draws_of_the_labels_are_made_by_the_stage_of_their_table(copy):
    def with_draws(*draws):
        write(copy, PARAMS | {"grid": PARAMS["grid"] | {"seeds": {"noise": list(draws)}}})
        return started(dvc(copy, "repro", "runs"))

    assert "noise@digits-symmetric-40" in with_draws(1, 2)
    assert (copy / "labels" / "digits" / "symmetric-40.draw-2").exists()
    assert with_draws(1, 2) == ["sources"]
    assert with_draws(1, 2, 3) == ["sources", "noise@digits-symmetric-40", "runs"]
    view = pl.read_parquet(copy / "results" / "views" / "tiny.parquet")
    assert sorted(view["seed_noise"].to_list(), key=str) == [2, 2, 3, 3, None, None]
    assert view["group"].n_unique() == view["variant"].n_unique() == 2


def test_an_encoder_is_made_once_and_then_taken_from_the_store(copy):
    entry = {"kind": "run", "method": "simclr", "dataset": "digits", "noise": "clean", "seed": 0,
             "epochs": 1}  # fmt: skip
    runs = [{"method": "robust_loss", "loss": "ce", "start_from": "base"}]
    grid = PARAMS["grid"] | {"encoders": ["base"], "runs": runs}
    write(copy, PARAMS | {"encoders": {"base": entry}, "grid": grid})
    out = dvc(copy, "repro", "runs")
    assert "1 cells; 1 done" in out
    card = copy / "encoders" / "base" / "card.json"
    key = json.loads(card.read_text())["run_key"]
    view = pl.read_parquet(copy / "results" / "views" / "tiny.parquet")
    assert view["encoder_digest"].to_list() == [key]
    assert started(dvc(copy, "repro", "runs")) == ["sources"]

    written = (copy / "results" / "store" / "runs" / f"{key}.parquet").stat().st_mtime_ns
    out = dvc(copy, "repro", "--force", "--single-item", "encoder@base")
    assert "base: small-cnn" in out
    assert (copy / "results" / "store" / "runs" / f"{key}.parquet").stat().st_mtime_ns == written
    assert json.loads(card.read_text())["run_key"] == key


def test_experiments_carry_their_numbers(copy):
    params = PARAMS | {"grid": PARAMS["grid"] | {"runs": [{"method": "robust_loss", "loss": "ce"}]}}
    write(copy, params)
    commit(copy)
    names = []
    for seed in (1, 2):
        dvc(copy, "exp", "run", "-n", f"seed-{seed}", "-S", f"grid.seeds=[{seed}]")
        names.append(f"seed-{seed}")
    rows = list(csv.DictReader(io.StringIO(dvc(copy, "exp", "show", "--csv"))))
    numbers = {row["Experiment"]: row["digits.symmetric-40"] for row in rows if row["Experiment"]}
    assert set(numbers) == set(names)
    assert all(0 < float(number) <= 1 for number in numbers.values())
    for command in ("exp", "metrics"):
        [line] = [
            row for row in dvc(copy, command, "diff", *names).splitlines() if "ce.json" in row
        ]
        assert [float(word) for word in line.split()[2:4]] == pytest.approx(
            [float(numbers[name]) for name in names], abs=1e-5
        )


def test_edited_source_files_are_noticed(copy):
    labels = copy / "given.npy"
    write_class_folders(copy / "mine", pictures(12, size=8), ["ant", "bee"] * 6)
    entries = {"symmetric-40": PARAMS["noise"]["symmetric-40"]}
    grid = PARAMS["grid"]
    write(copy, PARAMS | {"noise": entries, "grid": grid})
    dvc(copy, "repro", "noise")
    given = (
        pl.read_parquet(copy / "labels/digits/symmetric-40/labels.parquet")["noisy"]
        .to_numpy()
        .copy()
    )
    np.save(labels, given)

    params = PARAMS | {
        "datasets": {"mine": {"kind": "imagefolder", "root": "mine", "image_size": 8},
                     "digits": {"kind": "digits"}},
        "noise": {"given": {"kind": "file", "path": "given.npy"}, "clean": {"kind": "clean"}},
    }  # fmt: skip
    write(copy, params | {"grid": grid | {"datasets": ["digits"], "noises": ["given"]}})
    assert started(dvc(copy, "repro", "noise")) == ["sources", "noise@digits-given"]
    assert started(dvc(copy, "repro", "noise")) == ["sources"]
    given[:5] = (given[:5] + 1) % 10
    np.save(labels, given)
    assert started(dvc(copy, "repro", "noise")) == ["sources", "noise@digits-given"]
    table = pl.read_parquet(copy / "labels/digits/given/labels.parquet")
    assert table["noisy"].to_list() == given.tolist()

    write(copy, params | {"grid": grid | {"datasets": ["mine"], "noises": ["clean"]}})
    assert started(dvc(copy, "repro", "noise")) == ["sources", "data@mine", "noise@mine-clean"]
    assert started(dvc(copy, "repro", "noise")) == ["sources"]
    picture = next((copy / "mine").rglob("*.png"))
    other = next(folder for folder in picture.parent.parent.iterdir() if folder != picture.parent)
    picture.rename(other / "moved.png")
    assert started(dvc(copy, "repro", "noise")) == ["sources", "data@mine", "noise@mine-clean"]


@pytest.mark.parametrize("name", ["sym;touch X;", "sym';touch X;'", "$(touch X)", "../../precious"])
def test_a_name_reaches_neither_a_shell_nor_a_folder_outside(copy, name):
    noise = {name: {"kind": "symmetric", "rate": 0.4}}
    write(copy, PARAMS | {"noise": noise, "grid": PARAMS["grid"] | {"noises": [name]}})
    (copy / "precious").mkdir()
    for words in (["repro"], ["repro", "--single-item", f"noise@digits-{name}"]):
        done = start_dvc(copy, *words)
        assert done.returncode != 0
        assert (copy / "precious").is_dir()
        assert not (copy / "X").exists()
        if words == ["repro"]:
            assert "expected: 1 to 64 letters, digits" in done.stderr
            assert "Traceback" not in done.stderr


def test_an_archive_without_git_works_after_one_command(copy):
    shutil.rmtree(copy / ".git")
    assert "not a git repository" in start_dvc(copy, "repro").stderr
    dvc(copy, "config", "--local", "core.no_scm", "true")
    # What is known without an entry needs none here either.
    write(copy, PARAMS | {"datasets": {}, "grid": PARAMS["grid"] | {"noises": ["clean"]}})
    assert started(dvc(copy, "repro", "noise")) == [
        "sources", "data@digits", "noise@digits-clean",
    ]  # fmt: skip
