"""How well a ranking finds the wrong labels, where these are known."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.suspects.evidence import Floats, Labels
from pipeline.noise.suspects import n_flagged

Wrong = npt.NDArray[np.bool_]


class Measure(NamedTuple):
    """A number that says how well a ranking does."""

    title: str
    """Heading of its column."""
    meaning: str
    """What it is; shown in the documentation."""


MEASURES: dict[str, Measure] = {
    "auroc": Measure("AUROC", "probability that a wrong label scores higher than a right one"),
    "auprc": Measure("AUPRC", "average precision over all cuts"),
    "precision_at_true": Measure(
        "P = R, true rate",
        "precision when as many labels are flagged as are wrong; the recall is the same there",
    ),
    "fnr_at_true": Measure("FNR", "share of the wrong labels that such a cut misses"),
    "precision_at_estimated": Measure(
        "P, estimated", "precision when the estimated share is flagged"
    ),
    "recall_at_estimated": Measure("R, estimated", "recall there"),
    "precision_at_1": Measure("P, first 1 %", "precision among the most suspect 1 %"),
    "precision_at_5": Measure("P, first 5 %", "precision among the most suspect 5 %"),
}
"""Fractions."""
LOWER_IS_BETTER = {"fnr_at_true"}
"""Measures of which the smaller is the better; of all others it is the larger."""


def ranked(score: Floats) -> Labels:
    """Positions from the most to the least suspect.

    Equal scores are in a fixed random order: that of the samples may tell their class.

    Args:
        score: float64 [n]; NaN for a sample without one.

    Returns:
        int64 [n]; samples without a score come last.
    """
    lots = np.random.Generator(np.random.PCG64(0)).permutation(len(score))
    return np.lexsort((lots, -np.nan_to_num(score, nan=-np.inf)))


def measured(score: Floats, wrong: Wrong, estimated_rate: float | None) -> dict[str, Any]:
    """Every measure of a ranking, by scikit-learn.

    Args:
        score: float64 [n], finite, larger for the more suspect.
        wrong: bool [n].
        estimated_rate: share to flag as well; None where nothing estimated it.

    Returns:
        `MEASURES` as fractions, n, n_wrong, and false_negatives: how many wrong labels are missed
        when exactly as many labels are flagged as are wrong. None for what is not defined: without
        a wrong label, a right one or an estimated rate.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    n, n_wrong = len(wrong), int(wrong.sum())
    order = ranked(score)
    true_cut = _at(order, wrong, n_wrong)
    estimated_cut = _at(
        order, wrong, None if estimated_rate is None else n_flagged(estimated_rate, n)
    )
    some = 0 < n_wrong < n
    return {
        "n": n,
        "n_wrong": n_wrong,
        "auroc": float(roc_auc_score(wrong, score)) if some else None,
        "auprc": float(average_precision_score(wrong, score)) if n_wrong else None,
        "precision_at_true": true_cut.precision,
        "fnr_at_true": None if true_cut.recall is None else 1.0 - true_cut.recall,
        "false_negatives": true_cut.false_negatives,
        "precision_at_estimated": estimated_cut.precision,
        "recall_at_estimated": estimated_cut.recall,
        **{
            f"precision_at_{percent}": _at(
                order, wrong, max(1, n_flagged(percent / 100, n))
            ).precision
            for percent in (1, 5)
        },
    }


class _Cut(NamedTuple):
    precision: float | None = None
    recall: float | None = None
    false_negatives: int | None = None


def _at(order: Labels, wrong: Wrong, n: int | None) -> _Cut:
    """What flagging the first n finds."""
    from sklearn.metrics import precision_recall_fscore_support

    if n is None:
        return _Cut()
    flagged = np.zeros(len(wrong), bool)
    flagged[order[:n]] = True
    precision, recall, _, _ = precision_recall_fscore_support(
        wrong, flagged, average="binary", zero_division=np.nan
    )
    return _Cut(
        precision=None if np.isnan(precision) else float(precision),
        recall=None if np.isnan(recall) else float(recall),
        false_negatives=int((wrong & ~flagged).sum()),
    )
