"""Paired t-tests: is the difference of two rows more than their spread over shared draws?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05
"""Chance of seeing a difference where there is none that every test here allows."""
_ROUNDING = 1e-12
"""Spread of differences, beside the values they are of, that is rounding and nothing else."""


class PairedTests(NamedTuple):
    """P tests of first less second; NaN where it cannot be told."""

    n: NDArray[np.int64]
    """Draws that both have [P]."""
    difference: NDArray[np.float64]
    """Mean over these [P]; NaN without any."""
    std: NDArray[np.float64]
    """Sample standard deviation of the differences [P]; zero where they do not vary but for
    rounding, NaN for fewer than two."""
    low: NDArray[np.float64]
    """Lower end of the 95 % interval of the difference [P]."""
    high: NDArray[np.float64]
    """Upper end [P]."""
    p: NDArray[np.float64]
    """Two-sided p-values [P]."""


def paired_tests(first: NDArray[np.float64], second: NDArray[np.float64]) -> PairedTests:
    """Test P pairs of rows at once.

    Nothing is told from fewer than two shared draws, nor from differences that do not vary: the
    test would divide by zero.

    Args:
        first: values [P, D] over D draws, NaN where there is none.
        second: those that they are compared with [P, D].

    Returns:
        The tests, in the order of the pairs.
    """
    first, second = (np.where(np.isfinite(own), own, np.nan) for own in (first, second))
    # Differences that are there come first: rows that share as many draws are tested together.
    differences = np.sort(first - second, axis=1)
    counts = np.isfinite(differences).sum(axis=1)
    sizes = np.fmax(np.abs(first), np.abs(second))
    found = PairedTests(counts, *np.full((5, len(counts)), np.nan))
    for n in np.unique(counts[counts > 0]):
        at = np.flatnonzero(counts == n)
        own = differences[at, :n]
        found.difference[at] = own.mean(axis=1)
        if n < 2:
            continue
        varies = np.ptp(own, axis=1) > _ROUNDING * np.nanmax(sizes[at], axis=1)
        found.std[at] = np.where(varies, own.std(axis=1, ddof=1), 0.0)
        at, own = at[varies], own[varies]
        test = stats.ttest_1samp(own, 0.0, axis=1)
        interval = test.confidence_interval(1 - LEVEL)
        found.low[at], found.high[at], found.p[at] = interval.low, interval.high, test.pvalue
    return found
