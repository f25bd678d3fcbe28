"""From runs on noisy labels to mended ones, and to a run that learns from these."""

import sys
from pathlib import Path

import pytest
import yaml

from analysis import label_errors
from pipeline.noise.label_table import load_table
from pipeline.noise.suspects import read_suspects
from tests.support.lab import PARAMS, write_params
from tests.support.runs import row, run

SETTINGS = {"loss": "ce", "epochs": 12, "lr": 0.003}


@pytest.mark.slow
@pytest.mark.parametrize("repair", ["relabel", "drop"])
def test_mending_what_runs_suspect_helps_the_next_run(
    repair: str, lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = [run(**SETTINGS, seed=seed).key for seed in (0, 1)]
    words = ["--noise", "symmetric-40", "--detector", "margin", "--suspects", "suspects.parquet",
             "--gallery", "suspects.html"]  # fmt: skip
    monkeypatch.chdir(lab)
    monkeypatch.setattr(sys, "argv", ["label_errors.py", *words])
    label_errors.main()
    assert "AUROC" in capsys.readouterr().out.replace("\n", "")
    found = read_suspects(lab / "suspects.parquet", "s")
    assert found.lineage.runs == tuple(sorted(first))
    mended = {"kind": "cleaned", "suspects": "suspects.parquet", "repair": repair}
    write_params(lab, PARAMS | {"noise": PARAMS["noise"] | {"mended": mended}})
    second = run(**SETTINGS, seed=0, noise="mended")
    before, after = row(first[0]), row(second.key)
    assert after["status"] == "done"
    assert after["noise_kind"] == "cleaned"
    assert after["realised_rate"] < 0.5 * before["realised_rate"]
    card = load_table("digits", "mended").card
    assert card.details["lineage"]["runs"] == sorted(first)
    assert yaml.safe_load((lab / "params.yaml").read_text())["noise"]["mended"] == mended
    assert (lab / "suspects.html").stat().st_size > 10_000
