"""What is bold: the best, and what the seeds cannot separate from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.evidence.marks import Marks, mark

NAN = np.nan
NEAR = [0.80, 0.82, 0.81, 0.79]
BEST = [0.81, 0.81, 0.83, 0.80]
FAR = [0.50, 0.52, 0.515, 0.49]


def marks(*rows: list[float], lower_is_better: bool = False) -> Marks:
    values = np.array(rows, dtype=float)
    means = [None if np.isnan(row).all() else float(np.nanmean(row)) for row in values]
    return mark(values, means, lower_is_better)


def test_what_cannot_be_separated_from_the_best_is_marked_too() -> None:
    assert marks(NEAR, BEST, FAR) == Marks([True, True, False], told=2, untold=0)
    assert marks(NEAR, BEST, FAR, lower_is_better=True) == Marks([False, False, True], 2, 0)
    assert marks(BEST, FAR) == Marks([True, False], 1, 0)


def test_the_correction_is_over_all_pairs_of_rows() -> None:
    below = [0.79, 0.80, 0.80, 0.78]
    p = stats.ttest_rel(BEST, below).pvalue
    assert 0.05 / 6 < p < 0.05 / 3
    assert marks(BEST, below).marked == [True, False]
    # Three more pairs among equals, and it can no longer be told.
    equals = [[0.80, 0.83, 0.79, 0.82], [0.82, 0.79, 0.81, 0.82]]
    assert marks(BEST, below, *equals).marked == [True, True, True, True]


@pytest.mark.parametrize(
    "rows",
    [
        [[0.8], [0.5], [0.7]],
        [[0.8, NAN, NAN], [0.5, 0.5, 0.6], [NAN, 0.7, 0.5]],
        [[0.8, 0.7, 0.9], [0.7, 0.6, 0.8], [0.6, 0.5, 0.7]],  # the same difference each time
    ],
)
def test_where_nothing_can_be_told_only_the_best_mean_is_marked(rows) -> None:
    assert marks(*rows) == Marks([True, False, False], told=0, untold=2)


def test_rows_without_a_number_and_single_rows_are_not_marked() -> None:
    assert marks([NAN, NAN], [NAN, NAN]) == Marks([False, False], 0, 0)
    assert marks([0.5, 0.6], [NAN, NAN]) == Marks([False, False], 0, 0)
    assert marks([0.5, 0.6, NAN], [0.5, 0.6, NAN]) == Marks([True, True], 0, 0)


def test_order_of_rows_and_draws_does_not_matter() -> None:
    random = np.random.default_rng(0)
    values = random.normal([[0.8], [0.8], [0.79], [0.75], [0.7]], 0.01, size=(5, 6))
    values[1, 2] = values[3, 5] = NAN
    expected = marks(*values)
    for _ in range(10):
        rows, draws = random.permutation(5), random.permutation(6)
        found = marks(*values[rows][:, draws])
        assert found.marked == [expected.marked[row] for row in rows]
        assert found[1:] == expected[1:]


@pytest.mark.parametrize(
    ("n_rows", "n", "n_columns"),
    [
        (10, 3, 100),
        *(
            pytest.param(*sizes, 2000, marks=pytest.mark.slow)
            for sizes in ((2, 3), (5, 5), (10, 3))
        ),
    ],
)
def test_of_equal_rows_one_is_left_out_in_five_of_a_hundred_columns_at_most(
    n_rows: int, n: int, n_columns: int
) -> None:
    random = np.random.default_rng(n_rows)
    columns = random.normal(size=(n_columns, n_rows, n)) + random.normal(size=(n_columns, 1, n))
    left_out = np.mean([not all(marks(*column).marked) for column in columns])
    assert left_out < 0.05 + 3 * np.sqrt(0.05 * 0.95 / n_columns)
