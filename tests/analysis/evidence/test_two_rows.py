"""Two rows against each other: what is paired, tested and corrected, and what is not told."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis.evidence.bootstrap import bootstrap
from analysis.evidence.pairs import STREAMS
from analysis.evidence.power import seeds_needed
from analysis.evidence.two_rows import NO_DRAW, NO_SPREAD, ONE_DRAW, TwoRows, compare_rows
from pipeline.errors import LabError

PLACE = ("dataset", "noise")
FIRST, SECOND = (0.81, 0.84, 0.79, 0.86, 0.80), (0.78, 0.80, 0.79, 0.81, 0.78)


def runs(label: str, values, noise: str = "sym", labels: str = "table", seeds=None):
    """A row in one place, with a run for each seed."""
    return pl.DataFrame(
        {
            "dataset": "digits",
            "noise": noise,
            "label": label,
            "data_digest": "images",
            "labels_digest": f"{noise} {labels}",
            "seed": range(len(values)) if seeds is None else seeds,
            **dict.fromkeys(STREAMS),
            "value": values,
        },
        schema_overrides=dict.fromkeys(("seed", *STREAMS), pl.Int64) | {"value": pl.Float64},
    )


def against(*parts: pl.DataFrame, first: str = "a", second: str = "b") -> TwoRows:
    return compare_rows(pl.concat(parts), PLACE, first, second)


def test_numbers_of_a_place_are_those_of_the_paired_test() -> None:
    [row] = against(runs("a", FIRST), runs("b", SECOND)).places.to_dicts()
    expected = stats.ttest_rel(FIRST, SECOND)
    interval = expected.confidence_interval(0.95)
    differences = np.array(FIRST) - np.array(SECOND)
    assert row == {
        "dataset": "digits",
        "noise": "sym",
        "n": 5,
        "mean_first": pytest.approx(0.82),
        "mean_second": pytest.approx(0.792),
        "difference": pytest.approx(0.028),
        "low": pytest.approx(interval.low),
        "high": pytest.approx(interval.high),
        "p": pytest.approx(expected.pvalue),
        "p_corrected": pytest.approx(expected.pvalue),
        "bootstrap_low": None,
        "bootstrap_high": None,
        "bootstrap_method": None,
        "seeds_needed": seeds_needed(differences.mean(), differences.std(ddof=1)),
        "untold": None,
    }


def test_pairs_are_made_by_seed_and_label_table() -> None:
    one, other = runs("a", FIRST), runs("b", SECOND)
    known = against(one, other).places
    assert against(other.reverse(), one.sample(fraction=1, shuffle=True, seed=0)).places.equals(
        known
    )
    # The same numbers with other seeds are other pairs: the mean stays, the test does not.
    turned = against(one, runs("b", SECOND, seeds=[1, 2, 3, 4, 0])).places
    assert turned["difference"][0] == pytest.approx(known["difference"][0])
    assert turned["p"][0] > 5 * known["p"][0]
    # The same seeds on labels drawn anew share nothing; on both tables each pair counts.
    anew = runs("b", SECOND, labels="drawn anew")
    with pytest.raises(LabError, match="'a' and 'b' share no label table and seed"):
        against(one, anew)
    both = against(one, runs("a", FIRST[:3], labels="drawn anew"), other, anew)
    assert both.places["n"].to_list() == [8]


def test_means_are_over_shared_seeds_only() -> None:
    [row] = against(runs("a", FIRST), runs("b", SECOND[:3])).places.to_dicts()
    assert (row["n"], row["mean_first"]) == (3, pytest.approx(np.mean(FIRST[:3])))


def test_the_bootstrap_is_of_the_differences() -> None:
    one, other = np.random.default_rng(0).random((2, 12))
    [row] = against(runs("a", one), runs("b", other)).places.to_dicts()
    found = (row["bootstrap_low"], row["bootstrap_high"], row["bootstrap_method"])
    assert found == bootstrap(one - other)


def test_p_values_are_corrected_over_the_places() -> None:
    parts = [
        runs(label, np.array(values) + shift, noise)
        for noise, shift in (("pair", [0.0, 0.01, 0, 0, 0]), ("sym", [0, 0, 0.03, 0, 0.02]))
        for label, values in (("a", FIRST + np.array(shift) - shift), ("b", SECOND))
    ]
    parts += [runs("a", FIRST[:1], "one"), runs("b", SECOND[:1], "one")]
    found = against(*parts).places.sort("p", nulls_last=True)
    smaller, larger = found["p"].to_list()[:2]
    assert found["p_corrected"].to_list() == [
        pytest.approx(2 * smaller), pytest.approx(max(2 * smaller, larger)), None,
    ]  # fmt: skip


def test_what_cannot_be_told_is_said() -> None:
    found = against(
        runs("a", [0.5, 0.6], "constant"), runs("b", [0.4, 0.5], "constant"),
        runs("a", [0.5, 0.6], "one"), runs("b", [0.4], "one"),
        runs("a", [0.5, 0.6], "none", seeds=[0, 1]), runs("b", [0.4, 0.7], "none", seeds=[2, 3]),
        runs("a", [0.5], "alone"), runs("b", [0.5], "also alone"),
    )  # fmt: skip
    assert found.places.select("noise", "n", "untold").rows() == [
        ("constant", 2, NO_SPREAD), ("none", 0, NO_DRAW), ("one", 1, ONE_DRAW),
    ]  # fmt: skip
    assert found.places["difference"].to_list() == [pytest.approx(0.1), None, pytest.approx(0.1)]
    told = found.places.select("low", "high", "p", "p_corrected", "seeds_needed")
    assert told.null_count().row(0) == (3, 3, 3, 3, 3)
    assert found.n_apart == 2


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a", "bb", "no row 'bb' with a number; expected: one of a, b; try: b"),
        ("c", "b", "no row 'c' with a number; expected: one of a, b"),
        ("a", "a", "row 'a' twice; expected: two rows; try: one of b"),
    ],
)
def test_names_that_are_no_two_rows(first: str, second: str, said: str) -> None:
    with pytest.raises(LabError) as error:
        against(runs("a", FIRST), runs("b", SECOND), first=first, second=second)
    assert str(error.value) == said


def several(differences: list[float]) -> TwoRows:
    parts = [
        runs(label, [value, value + 0.1], f"noise {number}")
        for number, difference in enumerate(differences)
        for label, value in (("a", 0.5 + difference), ("b", 0.5))
    ]
    return against(*parts)


def test_over_places_it_is_wilcoxons_test_of_their_differences() -> None:
    differences = [0.03, 0.01, -0.02, 0.05, 0.04, 0.06, 0.07, 0.08, -0.09, 0.1]
    overall = several(differences).overall
    assert overall is not None
    assert overall.n_places == 10
    assert overall.difference == pytest.approx(np.mean(differences))
    assert overall.p == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert overall.bootstrap is not None
    tied = several([0.02] * 6).overall
    assert tied is not None
    # Exact in spite of ties: all signs agree in 2 of 2^6 cases.
    assert (tied.p, tied.bootstrap) == (pytest.approx(2 / 2**6), None)
    nothing = several([0.0, 0.0]).overall
    assert nothing is not None
    assert nothing.p is None
    assert several([0.1]).overall is None


def test_one_label_table_under_two_names_counts_once_over_places() -> None:
    parts = [runs(label, values) for label, values in (("a", FIRST), ("b", SECOND))]
    again = [part.with_columns(noise=pl.lit("alias")) for part in parts]
    assert against(*parts, *again).overall is None
    assert against(*parts, *again).places.height == 2
