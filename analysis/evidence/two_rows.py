"""Two rows of a table against each other: place by place, and over all places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from scipy import stats

from analysis.evidence.bootstrap import Bootstrap, bootstrap
from analysis.evidence.correction import holm
from analysis.evidence.paired_test import paired_tests
from analysis.evidence.pairs import PAIRED_ON, distinct_places
from analysis.evidence.power import seeds_needed
from pipeline.errors import LabError, quoted, suggest

NO_DRAW, ONE_DRAW, NO_SPREAD = "no shared seed", "one shared seed", "differences do not vary"
"""Why nothing can be told in a place."""
_NUMBERS = {
    "n": pl.Int64, "mean_first": pl.Float64, "mean_second": pl.Float64, "difference": pl.Float64,
    "low": pl.Float64, "high": pl.Float64, "p": pl.Float64, "bootstrap_low": pl.Float64,
    "bootstrap_high": pl.Float64, "bootstrap_method": pl.String, "seeds_needed": pl.Int64,
    "untold": pl.String,
}  # fmt: skip


class Overall(NamedTuple):
    """The difference over all places with a shared draw; places of one content count once."""

    n_places: int
    difference: float
    """Mean of the differences of the places."""
    bootstrap: Bootstrap | None
    """Interval of this mean, over places."""
    p: float | None
    """Of Wilcoxon's signed-rank test, two-sided; None without a difference anywhere."""


class TwoRows(NamedTuple):
    """First less second."""

    first: str
    second: str
    places: pl.DataFrame
    """One row per place in which both have a number: the columns that name it; n shared draws of
    labels and seed, the means over these and their difference; low and high, the 95 % interval of
    the paired t-test, its p, and p_corrected (Holm) over the places; the bootstrap interval and its
    method; seeds_needed (`power.seeds_needed`); untold, why nothing can be told; null where there
    is nothing."""
    overall: Overall | None
    """None for a single place."""
    n_apart: int
    """Places in which only one of the two has a number."""


def compare_rows(values: pl.DataFrame, place: Sequence[str], first: str, second: str) -> TwoRows:
    """Compare two rows on the draws that they share.

    Args:
        values: one row per run; columns of `place`, label, `PAIRED_ON` and value.
        place: columns that name a place of the table, such as data set and noise.
        first: label of one row.
        second: label of the other.

    Returns:
        The comparison, places in order.

    Raises:
        LabError: for a label that no row has, the same label twice, and rows that share no draw.
    """
    labels = values["label"].unique()
    for label in (first, second):
        if label not in labels:
            raise LabError(f"no row {quoted(label)} with a number", *suggest(label, labels))
    if first == second:
        raise LabError(
            f"row {quoted(first)} twice", "two rows", *suggest("", set(labels) - {first})[:1]
        )
    one, other = (values.filter(label=label).drop("label") for label in (first, second))
    key = list(dict.fromkeys((*place, *PAIRED_ON)))
    pairs = one.join(other, on=key, suffix="_second", nulls_equal=True).sort(key)
    if pairs.is_empty():
        raise LabError(
            f"{quoted(first)} and {quoted(second)} share no label table and seed",
            "runs of both on the same data set, label table and seed",
            "the missing seeds of one of them",
        )
    of_one, of_other = (part.select(place).unique() for part in (one, other))
    met = of_one.join(of_other, on=place, nulls_equal=True).sort(place)
    of_place = pairs.partition_by(place, as_dict=True)
    found = [_place(of_place.get(name)) for name in met.rows()]
    places = met.hstack(pl.DataFrame(found, schema=_NUMBERS))
    corrected = holm(places["p"].cast(pl.Float64).to_numpy())
    return TwoRows(
        first,
        second,
        places.with_columns(p_corrected=pl.Series(corrected).fill_nan(None)),
        _overall(pairs, place),
        len(of_one) + len(of_other) - 2 * len(met),
    )


def _place(pairs: pl.DataFrame | None) -> dict[str, Any]:
    """What one place tells."""
    if pairs is None:
        return {"n": 0, "untold": NO_DRAW}
    one, other = pairs["value"].to_numpy(), pairs["value_second"].to_numpy()
    test = paired_tests(one[None], other[None])
    difference, std = float(test.difference[0]), float(test.std[0])
    seen = {
        "n": len(pairs),
        "mean_first": one.mean(),
        "mean_second": other.mean(),
        "difference": difference,
    }
    if not std > 0:
        return seen | {"untold": ONE_DRAW if len(pairs) == 1 else NO_SPREAD}
    low, high, method = bootstrap(one - other) or (None, None, None)
    return seen | {
        "low": float(test.low[0]),
        "high": float(test.high[0]),
        "p": float(test.p[0]),
        "bootstrap_low": low,
        "bootstrap_high": high,
        "bootstrap_method": method,
        "seeds_needed": seeds_needed(difference, std),
    }


def _overall(pairs: pl.DataFrame, place: Sequence[str]) -> Overall | None:
    """The difference over places; one label table under two names is one place."""
    found = (
        pairs.join(distinct_places(pairs, place), on=place, how="semi", nulls_equal=True)
        .group_by(place, maintain_order=True)
        .agg(difference=(pl.col("value") - pl.col("value_second")).mean())
    )
    # Rounded, so that equal differences are equal however they came about.
    differences = np.round(found["difference"].to_numpy(), 12)
    if len(differences) < 2:
        return None
    varies = np.ptp(differences) > 0
    return Overall(
        len(differences),
        float(differences.mean()),
        bootstrap(differences) if varies else None,
        float(stats.wilcoxon(differences).pvalue) if differences.any() else None,
    )
