"""How much of a spread comes from which random stream: components of variance of crossed runs.

A value is a mean plus an effect of each source (the draw of the labels, the start, ...), an effect
of each pair of sources, and a rest. Effects are independent, with a variance for each source: a
random-effects model. Estimates are those of the analysis of variance (method of moments): mean
squares within levels, set equal to what they are expected to be, as Henderson (1953, method 1) does
it where runs are missing. They are unbiased, so one may be negative where a variance is near 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.evidence.paired_test import LEVEL

REST = "rest"
"""What no source and no pair of them accounts for."""
_DRAWS = 20_000
_SEED = 0

Floats = NDArray[np.float64]
Levels = NDArray[np.int64]


class Component(NamedTuple):
    """The part of a variance that one source has."""

    sources: tuple[str, ...]
    """The source, or the two that act together; none for the rest."""
    n_levels: int
    """How many levels were seen; of two sources, how many pairs; of the rest, how many runs."""
    variance: float
    """Unbiased estimate; negative by chance where the variance is small."""
    low: float | None
    """Lower end of the 95 % interval of the variance, at least 0; None where runs are missing."""
    high: float | None

    @property
    def name(self) -> str:
        """Its sources, in words."""
        return " x ".join(self.sources) or REST


def components(values: Floats, levels: Mapping[str, Levels]) -> list[Component] | None:
    """Estimate the components of the variance of values.

    Intervals are generalised confidence intervals (Weerahandi 1993) of a complete cross: each mean
    square is replaced by what it would be had chance fallen otherwise, a chi-square draw, and the
    estimate made again. They take effects to be normal, and hold for few levels, where resampling
    these fails: three levels, drawn again, never spread as three new ones may.

    Args:
        values: [n], one a run.
        levels: by source, which level a run has: int64 [n] with at least two levels.

    Returns:
        Each source, each pair of them where there are three or more, and the rest; None where the
        runs cannot tell them apart.
    """
    terms = _terms(list(levels))
    codes = [_codes([levels[source] for source in term], len(values)) for term in terms]
    forms = np.array([_between(values, code) for code in codes])
    expected = np.array([[_expected(form, of) for of in codes] for form in codes])
    if np.linalg.matrix_rank(expected) < len(terms) or not _rest_is_free(codes[:-1], len(values)):
        return None
    solved = np.linalg.solve(expected, forms)
    intervals: list[tuple[float | None, float | None]] = [(None, None)] * len(terms)
    if is_complete(levels):
        drawn = np.linalg.solve(expected, _drawn_forms(terms, codes, forms))
        ends = np.quantile(drawn, [LEVEL / 2, 1 - LEVEL / 2], axis=1).clip(min=0)
        intervals = [(float(low), float(high)) for low, high in ends.T]
    return [
        Component(term, int(code.max()) + 1, float(variance), *interval)
        for term, code, variance, interval in zip(terms, codes, solved, intervals, strict=True)
    ]


def is_complete(levels: Mapping[str, Levels]) -> bool:
    """Whether each choice of levels has a run, and all have equally many."""
    cells = _codes(list(levels.values()), 0)
    counts = np.bincount(cells)
    n_cells = np.prod([len(np.unique(own)) for own in levels.values()])
    return bool(len(counts) == n_cells and (counts == counts[0]).all())


def _terms(sources: Sequence[str]) -> list[tuple[str, ...]]:
    """Sets of sources that have a component; of two sources the pair is the rest."""
    pairs = list(combinations(sources, 2)) if len(sources) > 2 else []
    return [*((source,) for source in sources), *pairs, ()]


def _codes(levels: Sequence[Levels], n: int) -> Levels:
    """One number for each choice of levels, from 0; each run is one of its own for no levels."""
    if not levels:
        return np.arange(n)
    found: Levels = np.unique(np.stack(levels), axis=1, return_inverse=True)[1].reshape(-1)
    return found


def _between(values: Floats, code: Levels) -> float:
    """Sum of squares between the means of levels."""
    counts = np.bincount(code)
    means = np.bincount(code, values - values.mean()) / counts
    return float(counts @ means**2)


def _expected(form: Levels, of: Levels) -> float:
    """How often the sum of squares between levels of one term holds the variance of another."""
    both, n_both = np.unique(np.stack([form, of]), axis=1, return_counts=True)
    within = (n_both**2 / np.bincount(form)[both[0]]).sum()
    return float(within - (np.bincount(of) ** 2).sum() / len(of))


def _rest_is_free(codes: Sequence[Levels], n: int) -> bool:
    """Whether effects of all sources and pairs could not explain any `n` values whatever."""
    effects = [code[:, None] == np.arange(code.max() + 1) for code in codes]
    return bool(np.linalg.matrix_rank(np.hstack(effects).astype(float)) < n)


def _drawn_forms(
    terms: Sequence[tuple[str, ...]], codes: Sequence[Levels], forms: Floats
) -> Floats:
    """Sums of squares as they might be, [terms, draws], of a complete cross."""
    rng = np.random.default_rng(_SEED)
    parts = [[other for other, part in enumerate(terms) if _lies_in(part, term)] for term in terms]
    own, freedom = np.zeros(len(terms)), np.zeros(len(terms))
    for number, inside in enumerate(parts):
        own[number] = forms[number] - own[inside].sum()
        freedom[number] = codes[number].max() - freedom[inside].sum()
    chances = stats.chi2.rvs(freedom[:, None], size=(len(terms), _DRAWS), random_state=rng)
    drawn = (freedom * own)[:, None] / chances
    return np.stack([drawn[[*inside, number]].sum(axis=0) for number, inside in enumerate(parts)])


def _lies_in(part: tuple[str, ...], term: tuple[str, ...]) -> bool:
    """Whether one term is a proper part of another; all are parts of the rest."""
    return part not in {term, ()} and (term == () or set(part) < set(term))
