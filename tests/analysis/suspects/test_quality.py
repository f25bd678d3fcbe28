"""Measures of rankings, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.suspects.quality import MEASURES, measured, ranked


def test_a_perfect_ranking_finds_all() -> None:
    wrong = np.arange(100) < 20
    found = measured(-np.arange(100.0), wrong, 0.3)
    assert (found["n"], found["n_wrong"], found["false_negatives"]) == (100, 20, 0)
    for name in ("auroc", "auprc", "precision_at_true"):
        assert found[name] == pytest.approx(1, abs=1e-12)
    assert found["fnr_at_true"] == 0
    assert found["precision_at_estimated"] == pytest.approx(20 / 30)
    assert found["recall_at_estimated"] == 1
    assert found["precision_at_1"] == found["precision_at_5"] == 1


def test_numbers_by_hand() -> None:
    """Of ten samples the second, third and seventh are wrong."""
    wrong = np.isin(np.arange(10), [1, 2, 6])
    found = measured(-np.arange(10.0), wrong, 0.2)
    # Pairs of wrong and right: 6 + 6 + 3 of 21 in the right order.
    assert found["auroc"] == pytest.approx(15 / 21)
    assert found["auprc"] == pytest.approx((1 / 2 + 2 / 3 + 3 / 7) / 3)
    assert found["precision_at_true"] == pytest.approx(2 / 3)
    assert found["fnr_at_true"] == pytest.approx(1 / 3)
    assert found["false_negatives"] == 1
    assert found["precision_at_estimated"] == pytest.approx(1 / 2)
    assert found["recall_at_estimated"] == pytest.approx(1 / 3)
    assert found["precision_at_1"] == 0
    assert set(MEASURES) <= set(found)


def test_what_is_not_defined_is_none() -> None:
    score = np.arange(10.0)
    all_right = measured(score, np.zeros(10, bool), None)
    assert all_right["auroc"] is all_right["auprc"] is all_right["fnr_at_true"] is None
    assert all_right["precision_at_true"] is all_right["precision_at_estimated"] is None
    assert all_right["precision_at_1"] == 0
    assert measured(score, np.ones(10, bool), 0.0)["auroc"] is None
    assert measured(score, np.ones(10, bool), 0.0)["precision_at_estimated"] is None


def test_equal_scores_are_in_a_fixed_order_that_is_not_that_of_the_samples() -> None:
    score = np.repeat([0.0, 1.0, np.nan], 200)
    order = ranked(score)
    assert (np.sort(order[:200]) == np.arange(200, 400)).all()
    assert (np.sort(order[200:400]) == np.arange(200)).all()
    assert (np.sort(order[400:]) == np.arange(400, 600)).all()
    assert (order == ranked(score)).all()
    # A random order of 200 has about 50 of the first half in its first half; sorted has 100.
    assert 30 < (order[:100] < 300).sum() < 70
