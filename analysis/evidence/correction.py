"""Many comparisons: p-values that keep the chance of any false finding among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correct p-values so that all findings together are false as seldom as one was before.

    It holds however the tests depend on each other (Holm 1979). SciPy corrects the share of false
    findings only.

    Args:
        p_values: p-values [P]; NaN for a comparison that told nothing and does not count.

    Returns:
        Corrected p-values [P], NaN where they were.
    """
    told = np.flatnonzero(np.isfinite(p_values))
    order = told[np.argsort(p_values[told], kind="stable")]
    raised = p_values[order] * np.arange(len(order), 0, -1)
    corrected = np.full_like(p_values, np.nan)
    corrected[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected
