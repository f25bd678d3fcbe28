"""Label noise by name, or by kind and rate on the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.runs.settings.flags import parse_flags
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.specs import noise_name, noise_spec
from pipeline.stages import noise as stage
from tests.support.lab import PARAMS, write_params
from tests.support.runs import planned

HALF = {"kind": "symmetric", "rate": 0.5}


def with_noise(lab: Path, **entries: dict) -> None:
    write_params(lab, PARAMS | {"noise": PARAMS["noise"] | entries})


def test_a_rate_on_the_command_line_is_the_run_of_the_same_noise_in_params(lab: Path) -> None:
    words = ["--noise", "symmetric:0.5", "--loss", "ce"]
    resolved, _ = parse_flags(load_method("robust_loss"), words, read_params())
    assert resolved.settings.noise == "symmetric-0_5"
    typed = planned(noise="symmetric:0.5")
    with_noise(lab, half=HALF)
    entry = planned(noise="half")
    assert typed.key == entry.key
    assert typed.row["labels_digest"] == entry.row["labels_digest"]
    # Once there is an entry that says the same, its name is taken.
    assert planned(noise="symmetric:0.5").settings.noise == "half"


def test_a_name_that_params_gives_to_other_labels_is_refused(lab: Path) -> None:
    with_noise(lab, **{"symmetric-0_5": HALF | {"seed": 3}})
    with pytest.raises(LabError, match="whose name symmetric-0_5 params.yaml gives to other label"):
        noise_name("symmetric:0.5", read_params())
    assert noise_spec("digits", "symmetric-0_5", read_params()).seed == 3


def test_a_bad_rate_ends_a_script_and_the_stage_with_one_line(
    lab: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(LabError, match="try: --noise pair:0.4"):
        parse_flags(load_method("robust_loss"), ["--noise", "pair:40"], read_params())
    monkeypatch.setattr(sys, "argv", ["noise", "digits", "pair:1.2"])
    with pytest.raises(SystemExit):
        stage.main()
    assert capsys.readouterr().err.count("\n") == 1
