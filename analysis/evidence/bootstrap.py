"""Bootstrap: an interval of a mean that assumes no bell curve, where there are values enough."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.evidence.paired_test import LEVEL

FEWEST = 10
"""Values below which there is no interval. Of ten normal values the 95 % interval holds the mean in
90 of 100 trials, of five in 83: resamples spread less than new samples would."""
FEWEST_BCA = 20
"""Values from which the skewness that BCa corrects for can be estimated."""
_RESAMPLES = 9999
_SEED = 0


class Bootstrap(NamedTuple):
    """A 95 % interval."""

    low: float
    high: float
    method: str
    """percentile or BCa."""


def bootstrap(values: NDArray[np.float64]) -> Bootstrap | None:
    """Bootstrap the mean of values; the same values in any order give the same interval.

    Args:
        values: values [n] that vary.

    Returns:
        The interval; None for fewer than `FEWEST` values.
    """
    if len(values) < FEWEST:
        return None
    method = "BCa" if len(values) >= FEWEST_BCA else "percentile"
    interval = stats.bootstrap(
        (np.sort(values),),
        np.mean,
        n_resamples=_RESAMPLES,
        confidence_level=1 - LEVEL,
        method=method,
        rng=np.random.default_rng(_SEED),
    ).confidence_interval
    return Bootstrap(float(interval.low), float(interval.high), method)
