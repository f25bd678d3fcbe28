"""Which rows of a column stand out: the best, and those that cannot be separated from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.evidence.correction import holm
from analysis.evidence.paired_test import LEVEL, paired_tests


class Marks(NamedTuple):
    """What is marked in a column of a block of rows."""

    marked: list[bool]
    """Of each row."""
    told: int
    """Rows, besides the best, of which the tests tell whether they are separable from it."""
    untold: int
    """Rows of which they cannot: fewer than two draws shared with the best, or no spread."""


def mark(
    values: NDArray[np.float64], means: Sequence[float | None], lower_is_better: bool
) -> Marks:
    """Mark the best mean and what is not separable from it.

    The best is chosen by looking at all rows, so the correction is over all pairs of rows, not only
    over those with the best: where all rows are equal, one is left out in 5 % of columns at most.

    Args:
        values: values [R, D] of the rows over D shared draws (`pairs.by_draw`).
        means: what the table shows of each row; None for a row without a number.
        lower_is_better: whether the smallest mean is the best.

    Returns:
        The marks; none for a column with a single number. Order of rows does not matter.
    """
    rows = [row for row, mean in enumerate(means) if mean is not None]
    marked = [False] * len(means)
    if len(rows) < 2:
        return Marks(marked, 0, 0)
    best = (min if lower_is_better else max)(mean for mean in means if mean is not None)
    leaders = [row for row in rows if means[row] == best]
    testable = np.flatnonzero(np.isfinite(values).sum(axis=1) > 1)
    first, second = testable[np.array(np.triu_indices(len(testable), k=1))]
    p_values = np.full((len(means), len(means)), np.nan)
    p_values[first, second] = holm(paired_tests(values[first], values[second]).p)
    p_values = np.fmax(p_values, p_values.T)
    told = 0
    for row in rows:
        beside = p_values[leaders, row]
        marked[row] = row in leaders or bool((beside >= LEVEL).any())
        told += row not in leaders and bool(np.isfinite(beside).any())
    return Marks(marked, told, len(rows) - len(leaders) - told)
