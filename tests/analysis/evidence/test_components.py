"""Components of variance: the textbook where it has an answer, and what intervals promise."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from analysis.evidence.components import REST, components, is_complete


def cross(*shape: int) -> dict[str, np.ndarray]:
    """Levels of a complete cross of sources a, b, ... with one run for each choice."""
    return dict(zip("abc", np.indices(shape).reshape(len(shape), -1), strict=False))


def drawn(rng, shape, stds, pair, rest):
    """Values of a cross: an effect of each source, of each pair, and a rest."""
    found = rng.normal(0, rest, shape)
    for axis, std in enumerate(stds):
        found += rng.normal(0, std, [n if at == axis else 1 for at, n in enumerate(shape)])
    for axes in combinations(range(len(shape)), 2):
        found += rng.normal(0, pair, [n if at in axes else 1 for at, n in enumerate(shape)])
    return found.ravel()


def test_two_sources_are_the_analysis_of_variance_of_the_textbook() -> None:
    table = np.random.default_rng(0).normal(size=(4, 3)) + np.arange(4)[:, None]
    rows = 3 * ((table.mean(1) - table.mean()) ** 2).sum() / 3
    columns = 4 * ((table.mean(0) - table.mean()) ** 2).sum() / 2
    left = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    rest = (left**2).sum() / 6
    found = components(table.ravel(), cross(4, 3))
    assert [one.name for one in found] == ["a", "b", REST]
    assert [one.n_levels for one in found] == [4, 3, 12]
    expected = [(rows - rest) / 3, (columns - rest) / 4, rest]
    assert [one.variance for one in found] == pytest.approx(expected, rel=1e-9)
    order = np.random.default_rng(1).permutation(12)
    again = components(table.ravel()[order], {k: v[order] for k, v in cross(4, 3).items()})
    assert [one.variance for one in again] == pytest.approx(expected, rel=1e-9)


def test_effects_without_a_rest_are_found_whole() -> None:
    effects = np.array([0.0, 1.0, 5.0])
    values = (effects[:, None] + np.zeros(4)).ravel()
    a, b, rest = components(values, cross(3, 4))
    assert a.variance == pytest.approx(effects.var(ddof=1))
    assert (b.variance, rest.variance) == pytest.approx((0.0, 0.0), abs=1e-12)
    assert b.high == pytest.approx(0.0, abs=1e-12)
    assert a.low < a.variance < a.high


def test_what_cannot_be_told_apart_is_not_told() -> None:
    levels = np.arange(6) % 3
    assert components(np.arange(6.0), {"a": levels, "b": levels}) is None
    assert components(np.arange(3.0), {"a": np.arange(3)}) is None
    two = {"a": np.array([0, 0, 1]), "b": np.array([0, 1, 0])}
    assert components(np.arange(3.0), two) is None


def test_one_source_with_runs_of_equal_seeds() -> None:
    levels = {"a": np.repeat(np.arange(3), 4)}
    values = np.random.default_rng(2).normal(size=12)
    groups = values.reshape(3, 4)
    rest = groups.var(axis=1, ddof=1).mean()
    found = components(values, levels)
    assert found[1].variance == pytest.approx(rest)
    assert found[0].variance == pytest.approx(groups.mean(1).var(ddof=1) - rest / 4)


def test_missing_runs_leave_estimates_unbiased_and_without_interval() -> None:
    rng, shape = np.random.default_rng(3), (4, 5)
    levels = cross(*shape)
    kept = np.ones(20, dtype=bool)
    kept[[1, 7, 13]] = False
    fewer = {name: own[kept] for name, own in levels.items()}
    assert is_complete(levels)
    assert not is_complete(fewer)
    trials = [components(drawn(rng, shape, (1, 0.5), 0, 0.5)[kept], fewer) for _ in range(100)]
    assert {(one.low, one.high) for one in trials[0]} == {(None, None)}
    means = np.mean([[one.variance for one in trial] for trial in trials], axis=0)
    # The first has 3 degrees of freedom: its estimates deviate by about 1.1 * sqrt(2 / 3).
    assert means == pytest.approx([1.0, 0.25, 0.25], abs=3 * 0.9 / 100**0.5)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(3, 3), (5, 4), (3, 3, 3)])
def test_intervals_hold_the_truth_in_95_of_100_trials(shape) -> None:
    rng, stds, pair, rest = np.random.default_rng(4), (1.0, 0.4, 0.0), 0.3, 0.5
    several = len(shape) > 2
    truth = [std**2 for std in stds[: len(shape)]] + [pair**2] * 3 * several
    truth.append(rest**2 + (0 if several else pair**2))
    inside, found = np.zeros(len(truth)), np.zeros(len(truth))
    n = 600
    for _ in range(n):
        trial = components(drawn(rng, shape, stds, pair, rest), cross(*shape))
        inside += [one.low <= true <= one.high for one, true in zip(trial, truth, strict=True)]
        found += [one.variance for one in trial]
    # Standard error of a share: sqrt(0.05 * 0.95 / 600) = 0.009. Near 0 they hold it more often.
    assert (inside / n >= 0.95 - 3 * 0.009).all(), inside / n
    # With two degrees of freedom an estimate of 1 deviates by 1.
    assert found / n == pytest.approx(truth, abs=4 / n**0.5)
