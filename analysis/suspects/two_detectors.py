"""Two detectors against each other on the same runs: `--compare` of the label errors."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from analysis.evidence.pairs import PAIRED_ON
from analysis.evidence.two_rows import TwoRows, compare_rows
from analysis.layouts.layout import Layout
from analysis.layouts.paired import lay_out_pairs
from analysis.suspects.quality import LOWER_IS_BETTER, MEASURES

PLACE = {"dataset": "data set", "noise": "noise", "method": "method"}
"""Columns that name a place, and their headings: detectors are compared on runs of one method."""


def two_detectors(
    rows: pl.DataFrame, runs: pl.DataFrame, measure: str, detectors: Sequence[str]
) -> TwoRows:
    """Compare two detectors on the ledgers that both have ranked.

    Args:
        rows: columns `scoring.ROW`.
        runs: from `scoring.runs_to_rank`, which say the images, labels and seeds of each.
        measure: which of `quality.MEASURES`.
        detectors: names of the two.

    Returns:
        Their comparison for each data set, noise and method.

    Raises:
        LabError: for a detector without a number, the same one twice, and two that share no run.
    """
    drawn = rows.join(runs.select("key", *PAIRED_ON).unique("key"), on="key", suffix="_of_run")
    values = drawn.rename({"label": "method", "detector": "label", measure: "value"})
    first, second = detectors
    return compare_rows(values.drop_nulls("value"), tuple(PLACE), first, second)


def lay_out_two_detectors(rows: TwoRows, measure: str) -> Layout:
    """Arrange the comparison of two detectors: a line per data set, noise and method.

    Args:
        rows: from `two_detectors`.
        measure: that was compared.
    """
    better = ", lower is better" if measure in LOWER_IS_BETTER else ""
    what = f"{rows.first} less {rows.second}, {MEASURES[measure].title}"
    return lay_out_pairs(rows, PLACE, measure, [f"{what}: {MEASURES[measure].meaning}{better}"])
