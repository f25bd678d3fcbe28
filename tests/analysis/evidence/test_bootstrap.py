"""Bootstrap intervals: SciPy's, the same twice, and none for a few values."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.evidence.bootstrap import bootstrap

VALUES = np.random.default_rng(0).exponential(size=24)


@pytest.mark.parametrize(("n", "method"), [(10, "percentile"), (19, "percentile"), (20, "BCa")])
def test_the_interval_is_that_of_scipy(n: int, method: str) -> None:
    found = bootstrap(VALUES[:n])
    expected = stats.bootstrap(
        (np.sort(VALUES[:n]),), np.mean, method=method, rng=np.random.default_rng(0)
    ).confidence_interval
    assert found is not None
    assert (found.low, found.high, found.method) == (expected.low, expected.high, method)
    assert found.low < VALUES[:n].mean() < found.high


def test_a_few_values_have_no_interval() -> None:
    assert bootstrap(VALUES[:9]) is None


def test_order_of_the_values_does_not_matter() -> None:
    assert bootstrap(VALUES) == bootstrap(VALUES[::-1].copy()) == bootstrap(VALUES)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "share"), [(10, 0.90), (20, 0.92)])
def test_the_interval_holds_the_mean_somewhat_less_often_than_it_says(n: int, share: float) -> None:
    held = []
    for values in np.random.default_rng(n).normal(size=(1000, n)):
        found = bootstrap(values)
        assert found is not None
        held.append(found.low < 0 < found.high)
    assert np.mean(held) == pytest.approx(share, abs=3 * 0.0095)
