"""Seeds needed to separate two methods: numbers of statsmodels, and what simulation says."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.evidence.paired_test import paired_tests
from analysis.evidence.power import MOST_SEEDS, seeds_needed


@pytest.mark.parametrize(
    ("effect", "n"),
    # ceil(tt_solve_power(effect, alpha=0.05, power=0.8)) of statsmodels 0.15
    [(0.1, 787), (0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)],
)
def test_numbers_of_statsmodels(effect: float, n: int) -> None:
    assert seeds_needed(effect, 1.0) == seeds_needed(-3 * effect, 3.0) == n


def test_ends_of_the_scale() -> None:
    assert seeds_needed(0.0, 1.0) is None
    assert seeds_needed(1e-9, 1.0) == MOST_SEEDS + 1
    assert seeds_needed(1.0, 1e-9) == 2
    needed = [seeds_needed(effect, 1.0) for effect in np.geomspace(0.01, 1000, 60)]
    assert needed == sorted(needed, reverse=True)


def test_so_many_seeds_find_the_difference_in_eighty_of_a_hundred_trials() -> None:
    for effect in (0.5, 1.0, 2.0):
        n = seeds_needed(effect, 1.0)
        assert n is not None
        draws = np.random.default_rng(n).normal(effect, size=(4000, n))
        power = (paired_tests(draws, np.zeros_like(draws)).p < 0.05).mean()
        fewer = (paired_tests(draws[:, 1:], np.zeros_like(draws[:, 1:])).p < 0.05).mean()
        # Standard error of a share: 0.0063.
        assert fewer < 0.8 + 3 * 0.0064
        assert power > 0.8 - 3 * 0.0064
        assert fewer < power
