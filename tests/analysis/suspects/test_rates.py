"""Estimated shares of wrong labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.suspects.evidence import Evidence
from analysis.suspects.rates import confident_rate, read_hoc
from pipeline.errors import LabError
from tests.support.suspects import laid_out, ledger


def evidence(root: Path, monkeypatch: pytest.MonkeyPatch, sharpness: float) -> Evidence:
    monkeypatch.setenv("LNL_ROOT", str(root))
    table = laid_out()
    return Evidence(3, ledger("r", table, np.arange(300), sharpness))


def test_confident_learning_counts_the_wrong_labels_of_a_run_that_knows_better(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = evidence(tmp_path, monkeypatch, sharpness=6.0)
    wrong = held.wrong
    assert wrong is not None
    # The vectors favour the true class in all but a few of 300 samples.
    assert confident_rate(held) == pytest.approx(wrong.mean(), abs=0.03)


def test_without_probabilities_or_with_one_class_there_is_no_estimate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = evidence(tmp_path, monkeypatch, 3.0).samples
    empty = samples["mean_probabilities"].clear().extend_constant(None, 300)
    assert confident_rate(Evidence(3, samples.with_columns(empty))) is None
    alike = samples["y_noisy"] * 0
    assert confident_rate(Evidence(3, samples.with_columns(alike))) is None


def test_the_rate_of_a_transition_matrix_is_weighed_by_the_prior(tmp_path: Path) -> None:
    file = tmp_path / "hoc.json"
    found = {"labels_digest": "d", "T": [[0.9, 0.1], [0.5, 0.5]], "prior": [0.75, 0.25]}
    file.write_text(json.dumps(found | {"objective": 0.1, "counted": None}))
    assert read_hoc([file]) == {"d": pytest.approx(0.2)}
    for damaged in ("", "[]", json.dumps(found | {"prior": [1.0]}), json.dumps({"T": [[1]]})):
        file.write_text(damaged)
        with pytest.raises(LabError, match="is no estimate of a transition matrix"):
            read_hoc([file])
    with pytest.raises(LabError, match="is no estimate"):
        read_hoc([tmp_path / "gone.json"])
