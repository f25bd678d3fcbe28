"""Votes of neighbours by features from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from analysis.suspects.neighbours import Features, features_for
from pipeline.errors import LabError
from pipeline.fingerprints import content_digest
from tests.support.suspects import DATASET, laid_out


def test_each_sample_has_the_votes_of_the_others_by_angle() -> None:
    degrees = np.array([0, 10, 25, 90, 95, 180])
    rows = np.stack([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))], axis=1)
    # Lengths do not matter, and rows that are not named do not vote.
    rows = np.concatenate([[[1.0, 0.0]], rows * np.arange(1, 7)[:, None]])
    features = Features(rows, "d", 2)
    votes = features.votes(np.arange(1, 7), np.array([0, 1, 1, 2, 2, 0]), 3)
    assert votes.tolist() == [
        [0, 1, 0], [0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0.5, 0.5], [0, 0.5, 0.5], [0, 0, 1],
    ]  # fmt: skip


def test_runs_on_the_same_samples_share_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, index = np.random.default_rng(0).normal(size=(30, 4)), np.arange(20)
    given, others = index % 3, index % 2
    expected = Features(rows, "d", 4).votes(index, others, 3)
    features = Features(rows, "d", 4)
    features.votes(index, given, 3)
    features.votes(index + 10, given, 3)
    monkeypatch.delattr("sklearn.neighbors.NearestNeighbors.fit")
    assert (features.votes(index, others, 3) == expected).all()


@pytest.mark.parametrize("k", [0, 6])
def test_more_voters_than_there_are_others_are_refused(k: int) -> None:
    with pytest.raises(LabError, match=f"{k} neighbours among 6 samples; expected: 1 to 5"):
        Features(np.eye(6), "d", k).votes(np.arange(6), np.zeros(6, np.int64), 3)


def test_a_file_needs_a_row_per_training_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LNL_ROOT", str(tmp_path))
    laid_out()
    n = DATASET.card.n_train
    np.save(tmp_path / "whole.npy", np.eye(n, 5, dtype=np.float32))
    found = features_for(tmp_path / "whole.npy", "small", 10)
    assert (found.rows.shape, found.digest) == ((n, 5), content_digest(tmp_path / "whole.npy"))
    np.save(tmp_path / "part.npy", np.eye(n - 1, 5))
    with pytest.raises(LabError, match=rf"has {n - 1} rows; expected: {n}, one per training"):
        features_for(tmp_path / "part.npy", "small", 10)
