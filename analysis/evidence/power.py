"""How many seeds it takes to separate two methods."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from scipy import stats

from analysis.evidence.paired_test import LEVEL

POWER = 0.8
"""Chance that the paired t-test finds the difference."""
MOST_SEEDS = 10_000
"""Where the search ends."""
_CERTAIN = 100.0
"""Differences, in deviations, beyond which two seeds are enough."""


def seeds_needed(difference: float, std: float) -> int | None:
    """Smallest number of shared seeds at which a difference is found with power 0.8 at 5 %.

    Args:
        difference: true mean difference of a pair, taken from what was seen.
        std: standard deviation of the differences, larger than zero.

    Returns:
        At least 2; `MOST_SEEDS` + 1 for more than these; None without a difference.
    """
    if difference == 0:
        return None
    effect = min(abs(difference) / std, _CERTAIN)
    choices = range(2, MOST_SEEDS + 1)
    return 2 + bisect_left(choices, True, key=lambda n: _power(effect, n) >= POWER)


def _power(effect: float, n: int) -> float:
    """Power of the two-sided test; a finding of the wrong sign does not count."""
    critical = stats.t.isf(LEVEL / 2, n - 1)
    return float(stats.nct.sf(critical, n - 1, effect * np.sqrt(n)))
