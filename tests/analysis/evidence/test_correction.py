"""Holm's correction: known numbers, and the chance of any false finding."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.evidence.correction import holm

P = [0.01, 0.04, 0.03, 0.005, 0.5, 0.04]


def test_numbers_of_statsmodels() -> None:
    # multipletests(P, method="holm")[1] of statsmodels 0.15
    expected = [0.05, 0.12, 0.12, 0.03, 0.5, 0.12]
    assert holm(np.array(P)) == pytest.approx(expected, rel=1e-12)


def test_what_tells_nothing_does_not_count() -> None:
    found = holm(np.array([np.nan, *P, np.nan]))
    assert np.isnan(found[[0, -1]]).all()
    assert found[1:-1].tolist() == holm(np.array(P)).tolist()
    assert holm(np.array([])).shape == (0,)
    assert holm(np.array([0.7, 0.9])).tolist() == [1.0, 1.0]


def test_order_does_not_matter() -> None:
    random = np.random.default_rng(1)
    p_values = random.random(30) ** 3
    order = random.permutation(30)
    assert holm(p_values)[order].tolist() == holm(p_values[order]).tolist()


def test_any_false_finding_is_as_rare_as_one_was() -> None:
    # Standard error of the share: sqrt(0.05 * 0.95 / 4000) = 0.0034; independent tests are the
    # case in which the bound is nearly met: 1 - (1 - 0.05 / 10)^10 = 0.049.
    p_values = np.random.default_rng(2).random((4000, 10))
    false = np.mean([(holm(row) < 0.05).any() for row in p_values])
    assert false == pytest.approx(0.049, abs=3 * 0.0035)
