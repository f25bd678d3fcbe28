"""Scores by hand, from one run's ledger."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from analysis.suspects.detectors import DETECTORS, beliefs, suggestions
from analysis.suspects.evidence import Evidence
from analysis.suspects.quality import measured
from pipeline.results.schema import SAMPLES
from tests.support.noise_cases import softmax_rows

VECTORS = [[0.7, 0.2, 0.1], [0.5, 0.25, 0.25], [0.1, 0.3, 0.6], [0.0, 0.0, 1.0]]
GIVEN = [0, 1, 1, 0]


def evidence(**columns: object) -> Evidence:
    """Four samples of three classes, the last of which no epoch saw."""
    known = {
        "key": ["r"] * 4, "index": [3, 5, 8, 9], "y_noisy": GIVEN, "y_clean": [0, 0, 2, 0],
        "prediction": [0, 0, 2, -1], "seen": [10, 10, 8, 0], "wrong_events": [1, 5, 8, 0],
        "mean_loss": [0.5, 1.5, 2.5, 0.0], "last_loss": [0.1, 0.2, 0.1, 0.0],
        "average_loss": [0.4, 1.0, 2.0, None], "mean_margin": [2.0, -0.5, -1.0, 0.0],
        "mean_probabilities": VECTORS,
    }  # fmt: skip
    frame = pl.DataFrame(
        [
            pl.Series(name, (known | columns).get(name, [None] * 4), dtype=dtype, strict=False)
            for name, dtype in SAMPLES.items()
        ]
    )
    votes = np.array([[0.8, 0.1, 0.1], [0.6, 0.4, 0.0], [0.0, 0.0, 1.0], [0.9, 0.1, 0.0]])
    return Evidence(3, frame, votes)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("margin", [-0.5, 0.25, 0.3]),
        ("wrong-events", [0.1, 0.5, 1.0]),
        ("aum", [-2.0, 0.5, 1.0]),
        ("mean-loss", [0.5, 1.5, 2.5]),
        ("last-loss", [0.1, 0.2, 0.1]),
        ("average-loss", [0.4, 1.0, 2.0]),
    ],
)
def test_scores_from_the_ledger(name: str, expected: list[float]) -> None:
    found = DETECTORS[name].score(evidence())
    # Averaged probabilities are stored as float16.
    assert found[:3] == pytest.approx(expected, abs=1e-3)
    assert np.isnan(found[3])


def test_the_votes_of_neighbours_need_no_run() -> None:
    found = DETECTORS["encoder-knn"].score(evidence())
    assert found == pytest.approx([-0.7, 0.2, 1.0, -0.8])
    assert DETECTORS["encoder-knn"].needs == ()


@pytest.mark.parametrize("name", ["confident", "knn-vote"])
def test_cleanlab_suspects_what_another_class_claims(name: str) -> None:
    clean = np.arange(200) % 3
    wrong = np.arange(200) % 5 == 0
    rows = softmax_rows(clean, 3)
    columns = {
        "y_noisy": np.where(wrong, (clean + 1) % 3, clean),
        "prediction": rows.argmax(axis=1),
    }
    samples = pl.DataFrame(columns | {"mean_probabilities": rows.tolist()})
    unseen = pl.DataFrame({"y_noisy": [0], "prediction": [-1], "mean_probabilities": [None]})
    held = Evidence(3, pl.concat([samples, unseen], how="vertical_relaxed"), rows)
    if name == "knn-vote":
        held = Evidence(3, samples, rows)
    found = DETECTORS[name].score(held)
    assert measured(found[:200], wrong, None)["auroc"] > 0.95
    assert np.isnan(found[200:]).all()


def test_the_margin_is_what_cleanlab_calls_normalised() -> None:
    from cleanlab.rank import get_label_quality_scores

    rows = np.random.default_rng(0).dirichlet(np.ones(3), 4).astype(np.float16)
    held = evidence(mean_probabilities=rows.tolist(), prediction=[0] * 4)
    theirs = get_label_quality_scores(held.given, held.probabilities, method="normalized_margin")
    assert DETECTORS["margin"].score(held) == pytest.approx(1 - 2 * theirs, abs=1e-9)


def test_the_suggested_label_is_the_best_other_class() -> None:
    held = evidence()
    found = suggestions(beliefs(held, DETECTORS["margin"]), held.given)
    assert found.tolist() == [1, 0, 2, -1]
    by_votes = suggestions(beliefs(held, DETECTORS["encoder-knn"]), held.given)
    assert by_votes[:3].tolist() == [1, 0, 2]


def test_without_probabilities_the_last_prediction_is_suggested() -> None:
    held = evidence(mean_probabilities=[None] * 4)
    assert held.lacking(["mean_probabilities", "mean_loss"]) == ["mean_probabilities"]
    found = suggestions(beliefs(held, DETECTORS["aum"]), held.given)
    assert found.tolist() == [-1, 0, 2, -1]


def test_evidence_knows_what_is_wrong_and_what_was_seen() -> None:
    held = evidence()
    assert held.index.tolist() == [3, 5, 8, 9]
    assert held.wrong is not None
    assert held.wrong.tolist() == [False, True, True, False]
    assert held.unseen.tolist() == [False, False, False, True]
    assert held.probabilities[:3].sum(axis=1) == pytest.approx([1, 1, 1], abs=1e-12)
    assert evidence(y_clean=[0, None, 1, 2]).wrong is None
