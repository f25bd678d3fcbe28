"""Mean ranks: Demsar's critical values, ties, groups, and the complete part of a table."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analysis.evidence.ranks import complete_part, rank_rows


@pytest.mark.parametrize(
    ("n_rows", "q"),
    # Critical values of the two-tailed Nemenyi test at 5 %, as published (Demsar 2006, table 5).
    [(3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (7, 2.949), (8, 3.031), (9, 3.102),
     (10, 3.164)],
)  # fmt: skip
def test_critical_difference(n_rows: int, q: float) -> None:
    scores = np.random.default_rng(0).random((15, n_rows))
    found = rank_rows(scores, "abcdefghij"[:n_rows], lower_is_better=False)
    assert found is not None
    expected = q * np.sqrt(n_rows * (n_rows + 1) / (6 * 15))
    assert found.critical_difference == pytest.approx(expected, abs=5e-4 * np.sqrt(n_rows))


def test_ranks_by_hand_and_the_test_of_scipy() -> None:
    scores = np.array([[0.9, 0.8, 0.7], [0.9, 0.9, 0.6], [0.5, 0.8, 0.4], [0.7, 0.6, 0.1]])
    found = rank_rows(scores, ["a", "b", "c"], lower_is_better=False)
    assert found is not None
    assert found.labels == ("a", "b", "c")
    assert found.mean_ranks == (1.375, 1.625, 3.0)
    assert (found.n_places, found.p) == (4, stats.friedmanchisquare(*scores.T).pvalue)
    turned = rank_rows(scores, ["a", "b", "c"], lower_is_better=True)
    assert turned is not None
    assert turned.labels == ("c", "b", "a")
    assert turned.mean_ranks == (1.0, 2.375, 2.625)


def test_bars_join_what_lies_within_the_critical_difference() -> None:
    random = np.random.default_rng(0)
    # Two pairs of rows that take turns, far apart: 30 places.
    scores = np.array([[4, 3, 2, 1]] * 15 + [[3, 4, 1, 2]] * 15) / 10
    found = rank_rows(scores, ["a", "b", "c", "d"], lower_is_better=False)
    assert found is not None
    assert found.critical_difference < 2
    assert (found.p < 0.05, found.groups) == (True, ((0, 1), (2, 3)))
    chain = rank_rows(scores[:, [0, 0, 2]] + random.random((30, 3)) / 3, "abc", False)
    assert chain is not None
    means, reach = chain.mean_ranks, chain.critical_difference
    joined = {(i, j) for i in range(3) for j in range(i + 1, 3) if means[j] - means[i] < reach}
    covered = {(i, j) for first, last in chain.groups for i in range(first, last + 1)
               for j in range(i + 1, last + 1)}  # fmt: skip
    assert covered == joined


def test_where_friedman_finds_nothing_all_rows_are_one_group() -> None:
    # The first row wins clearly, but the others are alike: Nemenyi's test alone would separate it.
    scores = np.random.default_rng(25).integers(0, 50, size=(8, 6)) / 50
    scores[:, 0] += 0.35
    found = rank_rows(scores, "abcdef", lower_is_better=False)
    assert found is not None
    assert found.mean_ranks[-1] - found.mean_ranks[0] > found.critical_difference
    assert (found.p > 0.05, found.groups) == (True, ((0, 5),))


def test_equal_means_share_a_rank_however_they_were_summed() -> None:
    scores = np.array([[0.1 + 0.2, 0.3, 0.1], [0.6, 0.1 + 0.5, 0.1]])
    found = rank_rows(scores, "abc", lower_is_better=False)
    assert found is not None
    assert found.mean_ranks == (1.5, 1.5, 3.0)


def test_too_little_has_no_ranking() -> None:
    assert rank_rows(np.array([[0.1, 0.2], [0.3, 0.4]]), "ab", False) is None
    assert rank_rows(np.array([[0.1, 0.2, 0.3]]), "abc", False) is None
    assert rank_rows(np.full((4, 3), 0.5), "abc", False) is None


def test_order_of_rows_and_places_does_not_matter() -> None:
    random = np.random.default_rng(5)
    scores = random.random((9, 6)) + np.arange(6) / 4
    expected = rank_rows(scores, "abcdef", False)
    places, rows = random.permutation(9), random.permutation(6)
    found = rank_rows(scores[places][:, rows], ["abcdef"[row] for row in rows], False)
    assert found is not None
    assert expected is not None
    assert (found.labels, found.groups) == (expected.labels, expected.groups)
    assert found.mean_ranks == pytest.approx(expected.mean_ranks, rel=1e-12)
    assert found.p == pytest.approx(expected.p, rel=1e-9)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (["111", "111", "111"], ([0, 1, 2], [0, 1, 2])),
        # Without the last row two more places.
        (["1110", "1110", "1111", "1111"], ([0, 1, 2, 3], [0, 1, 2])),
        # Without the places of a few rows three more rows.
        (["11111", "11111", "11000", "10100"], ([0, 1], [0, 1, 2, 3, 4])),
        # No row has just the places that all share.
        (["111", "111", "100", "010", "001"], ([0, 1], [0, 1, 2])),
        (["11", "11"], None),
        (["111"], None),
        ([], None),
    ],
)
def test_the_largest_complete_part(table: list[str], expected) -> None:
    is_there = np.array([[letter == "1" for letter in row] for row in table], dtype=bool)
    found = complete_part(is_there.reshape(len(table), -1) if table else np.zeros((0, 3), bool))
    assert (None if found is None else tuple(part.tolist() for part in found)) == expected
