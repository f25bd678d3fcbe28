"""Anchor matrices, and the command: python -m pipeline.noise estimate.

reference/rrr_losses_reference.npz holds anchor matrices of the official RRR code.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.files import labels_folder
from pipeline.noise import __main__ as program
from pipeline.noise.estimation.anchor import anchor_transition
from pipeline.noise.generate import make
from pipeline.noise.label_table import open_table, save_table
from pipeline.noise.noise_spec import parse
from tests.support.noise_cases import lay_out, small_dataset
from tests.support.rrr_cases import tensor


@pytest.mark.parametrize("at", ["c10", "c100"])
def test_anchor_matrix_equals_the_reference(at: str) -> None:
    p = tensor(f"{at}.anchor.logits").softmax(1).numpy()
    found = anchor_transition(p)
    np.testing.assert_allclose(found, tensor(f"{at}.anchor.T_hat"), atol=1e-6)
    assert found.dtype == np.float64


def test_anchor_matrix_takes_the_first_of_the_surest() -> None:
    p = np.array([[0.5, 0.5], [0.9, 0.1], [0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_array_equal(anchor_transition(p), [[0.9, 0.1], [0.3, 0.7]])
    with pytest.raises(LabError, match="N, K >= 1"):
        anchor_transition(np.empty((0, 2)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a data set, and a table of it with clean labels and one without."""
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    known, given = small_dataset(n=1000), small_dataset(n=1000, given=True, name="given")
    lay_out(known)
    lay_out(given)
    spec = parse({"kind": "symmetric", "rate": 0.3}, "sym30")
    save_table(make(known, "sym30", spec), labels_folder("small", "sym30"))
    save_table(
        make(given, "plain", parse({"kind": "clean"}, "plain")), labels_folder("given", "plain")
    )
    scatter = np.random.default_rng(0).normal(size=(len(known.train_labels), 10))
    np.save(tmp_path / "features.npy", 8 * np.eye(10)[known.train_labels] + scatter)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["noise", *map(str, arguments), "--steps", "200"])
    program.main()


def test_command_prints_and_writes_the_estimate_and_its_errors(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = project / "new" / "estimate.json"
    features = project / "features.npy"
    run(monkeypatch, "estimate", "small", "sym30", "--features", features, "--out", out)
    shown = capsys.readouterr().out
    written = json.loads(out.read_text())
    counted = np.array(open_table(labels_folder("small", "sym30")).card.transition)
    np.testing.assert_allclose(written["counted"], counted, atol=1e-6)
    errors = np.abs(np.array(written["T"]) - counted)
    assert written["max_error"] == pytest.approx(errors.max(), abs=1e-5)
    assert written["row_error"] == pytest.approx(errors.sum(axis=1).mean(), abs=1e-5)
    assert written["row_error"] < 0.35
    assert shown.count("T[clean, noisy]:") == 2
    assert f"largest error of an entry  {written['max_error']:.4f}" in shown


def test_command_takes_pixels_and_labels_without_clean_ones(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = project / "estimate.json"
    run(monkeypatch, "estimate", "given", "plain", "--out", out)
    assert "nothing to compare with" in capsys.readouterr().out
    assert json.loads(out.read_text())["max_error"] is None


def test_command_refuses_features_of_other_images(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(project / "short.npy", np.ones((999, 2)))
    with pytest.raises(SystemExit):
        run(monkeypatch, "estimate", "small", "sym30", "--features", project / "short.npy")
    assert "1000, one per training image" in capsys.readouterr().err
