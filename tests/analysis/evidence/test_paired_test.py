"""Paired t-tests: SciPy's numbers, the level they promise, and what they refuse to tell."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.evidence.paired_test import paired_tests

NAN = np.nan


def test_each_pair_is_the_paired_t_test_of_scipy_on_what_both_have() -> None:
    values = np.random.default_rng(0).random((2, 40, 7))
    values[:, ::3, 2] = NAN
    values[0, ::5, 6] = NAN
    found = paired_tests(*values)
    for number, (first, second) in enumerate(zip(*values, strict=True)):
        both = np.isfinite(first - second)
        expected = stats.ttest_rel(first[both], second[both])
        interval = expected.confidence_interval(0.95)
        assert found.n[number] == both.sum()
        assert found.difference[number] == pytest.approx((first - second)[both].mean(), rel=1e-12)
        assert found.std[number] == pytest.approx((first - second)[both].std(ddof=1), rel=1e-12)
        assert found.p[number] == pytest.approx(expected.pvalue, rel=1e-9)
        assert (found.low[number], found.high[number]) == pytest.approx(tuple(interval), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "second", "n", "difference"),
    [
        ([NAN, NAN, 0.3], [0.1, 0.2, NAN], 0, NAN),
        ([0.5, NAN, NAN], [0.4, 0.2, NAN], 1, 0.1),
        ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5], 3, 0.0),
        # Equal but for rounding: 0.8 - 0.7 and 0.7 - 0.6 differ in their last digits.
        ([0.8, 0.7, 0.6], [0.7, 0.6, 0.5], 3, 0.1),
        # What is not finite is no number.
        ([-np.inf, 0.5, np.inf], [0.1, 0.4, np.inf], 1, 0.1),
    ],
)
def test_nothing_is_told_from_one_draw_or_without_spread(first, second, n, difference) -> None:
    found = paired_tests(np.array([first]), np.array([second]))
    assert found.n.tolist() == [n]
    assert found.difference[0] == pytest.approx(difference, abs=1e-12, nan_ok=True)
    assert np.isnan([found.low[0], found.high[0], found.p[0]]).all()


@pytest.mark.parametrize("n", [2, 3, 5, 10])
def test_equal_methods_are_told_apart_in_five_of_a_hundred_trials(n: int) -> None:
    draws = np.random.default_rng(n).normal(size=(2, 4000, n))
    # What both share, such as a hard label table, is no difference.
    shared = np.random.default_rng(n + 100).normal(scale=5, size=(4000, n))
    found = paired_tests(*(draws + shared))
    # Standard error of the share: sqrt(0.05 * 0.95 / 4000) = 0.0034.
    assert (found.p < 0.05).mean() == pytest.approx(0.05, abs=3 * 0.0035)
    assert ((found.low < 0) & (found.high > 0)).mean() == pytest.approx(0.95, abs=3 * 0.0035)
