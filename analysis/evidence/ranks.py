"""Mean ranks of methods over data sets and noises, and how far apart they must be (Demsar 2006)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.evidence.paired_test import LEVEL

FEWEST_ROWS, FEWEST_PLACES = 3, 2
"""What Friedman's test compares at least."""
RELIABLE_PLACES = 11
"""Places from which both tests keep to their level closely; below they are approximate."""


class Ranking(NamedTuple):
    """Rows by their mean rank, 1 being the best."""

    labels: tuple[str, ...]
    """Names of the rows, the best first."""
    mean_ranks: tuple[float, ...]
    """Of each row."""
    n_places: int
    p: float
    """Of Friedman's test: that all rows are equal."""
    critical_difference: float
    """Of Nemenyi's test: mean ranks closer than this are not separable at 5 %."""
    groups: tuple[tuple[int, int], ...]
    """First and last row of each largest group of rows that are not separable; all rows are one
    where Friedman's test finds no difference."""


def complete_part(
    is_there: NDArray[np.bool_],
) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """The largest complete part of a table with holes.

    Args:
        is_there: whether a row has a number in a place [N, k].

    Returns:
        Numbers of its places, which are all that some two rows share, and of its rows; of parts of
        one size the one with more places. None if no part has three rows and two places.
    """
    if len(is_there) < FEWEST_PLACES:
        return None
    of_rows = np.unique(is_there.T, axis=0)
    shared = np.unique((of_rows[:, None] & of_rows).reshape(-1, len(is_there)), axis=0)
    parts = [(places, is_there[places].all(axis=0)) for places in shared]
    large = [
        (places.sum() * rows.sum(), places.sum(), number)
        for number, (places, rows) in enumerate(parts)
        if places.sum() >= FEWEST_PLACES and rows.sum() >= FEWEST_ROWS
    ]
    if not large:
        return None
    places, rows = parts[max(large)[-1]]
    return np.flatnonzero(places), np.flatnonzero(rows)


def rank_rows(
    scores: NDArray[np.float64], labels: Sequence[str], lower_is_better: bool
) -> Ranking | None:
    """Rank rows in each place and compare their mean ranks: Friedman's test, then Nemenyi's.

    Args:
        scores: a number of each row in each place [N, k], without holes.
        labels: names of the k rows.
        lower_is_better: whether the smallest number has rank 1.

    Returns:
        The ranking; None for fewer than three rows or two places, or if all are tied everywhere.
    """
    n_places, n_rows = scores.shape
    if n_rows < FEWEST_ROWS or n_places < FEWEST_PLACES:
        return None
    # Equal means are equal in whatever order they were added up.
    costs = np.round(scores if lower_is_better else -scores, 12)
    ranks = stats.rankdata(costs, axis=1)
    if (ranks == ranks[0, 0]).all():
        return None
    means = ranks.mean(axis=0)
    order = sorted(range(n_rows), key=lambda row: (means[row], labels[row]))
    p = float(stats.friedmanchisquare(*ranks.T).pvalue)
    difference = float(
        stats.studentized_range.isf(LEVEL, n_rows, np.inf)
        * np.sqrt(n_rows * (n_rows + 1) / (12 * n_places))
    )
    sorted_means = tuple(float(means[row]) for row in order)
    return Ranking(
        tuple(labels[row] for row in order),
        sorted_means,
        n_places,
        p,
        difference,
        _groups(sorted_means, difference) if p < LEVEL else ((0, n_rows - 1),),
    )


def _groups(means: Sequence[float], difference: float) -> tuple[tuple[int, int], ...]:
    """Runs of rows that lie closer than the difference, none within another."""
    groups: list[tuple[int, int]] = []
    for first, mean in enumerate(means):
        last = max(row for row, other in enumerate(means) if other - mean < difference)
        if last > first and (not groups or last > groups[-1][1]):
            groups.append((first, last))
    return tuple(groups)
