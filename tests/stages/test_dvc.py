"""The whole path as a user starts it: `dvc repro` in a fresh copy of the project."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

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
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    # The copy's own code runs, as in a clone: it comes before the installed project.
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name in ("LNL_ROOT", "LNL_STORE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    write(tmp_path, PARAMS)
    return tmp_path


def write(folder, params):
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def dvc(folder, *words):
    done = subprocess.run(
        ["dvc", *words], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_repro_computes_then_rests_then_computes_only_what_is_new(copy):
    out = dvc(copy, "repro")
    assert "2 cells; 2 done" in out
    view = copy / "results" / "views" / "tiny.parquet"
    assert pl.read_parquet(view)["variant"].to_list() == ["ce", "dal"]
    assert "ce" in (copy / "results" / "report" / "report.html").read_text()
    metrics = json.loads((copy / "results" / "report" / "metrics.json").read_text())
    assert 0 < metrics["digits"]["symmetric-40"]["ce"]["last"] <= 1
    assert "metrics.json" in dvc(copy, "metrics", "show")
    assert "up to date" in dvc(copy, "repro")

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
    assert out.count("Running stage") == 1
    assert "Running stage 'noise@digits-pair-40'" in out


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
    assert "up to date" in dvc(copy, "repro", "runs")

    written = (copy / "results" / "store" / "runs" / f"{key}.parquet").stat().st_mtime_ns
    out = dvc(copy, "repro", "--force", "--single-item", "encoder@base")
    assert "base: small-cnn" in out
    assert (copy / "results" / "store" / "runs" / f"{key}.parquet").stat().st_mtime_ns == written
    assert json.loads(card.read_text())["run_key"] == key
