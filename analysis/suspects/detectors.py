"""Detectors: each gives every given label a score, the larger the more suspect.

All but those of neighbours read what the training pass itself told (table `samples`), so they cost
no run. They see the samples that the network learned from: in-sample, as AUM and the counts of
wrong events are meant; cleanlab advises held-out probabilities for confident learning.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from analysis.suspects.evidence import Evidence, Floats, Labels
from pipeline.noise.suspects import NO_SUGGESTION


class Detector(NamedTuple):
    """One way to suspect labels."""

    meaning: str
    """What the score is, and its source."""
    score: Callable[[Evidence], Floats]
    """float64 [n], NaN for a sample of which nothing is known."""
    needs: tuple[str, ...] = ()
    """Columns of the samples table without which there is no score."""
    by_neighbours: bool = False
    """Whether it needs features, and no run."""


def _margin(evidence: Evidence) -> Floats:
    return _lead(evidence.probabilities, evidence.given)


def _wrong_events(evidence: Evidence) -> Floats:
    with np.errstate(invalid="ignore"):
        return evidence.column("wrong_events") / evidence.column("seen")


def _column(evidence: Evidence, name: str, sign: float = 1.0) -> Floats:
    return sign * evidence.column(name)


def _confident(evidence: Evidence) -> Floats:
    return _suspicion(evidence.probabilities, evidence.given)


def _neighbour_vote(evidence: Evidence) -> Floats:
    return _suspicion(_votes(evidence), evidence.given)


def _neighbour_margin(evidence: Evidence) -> Floats:
    return _lead(_votes(evidence), evidence.given)


def _suspicion(probabilities: Floats, given: Labels) -> Floats:
    """One less cleanlab's label quality, where the probabilities are known."""
    from cleanlab.rank import get_label_quality_scores

    known = np.isfinite(probabilities).all(axis=1)
    scores = np.full(len(given), np.nan)
    scores[known] = 1.0 - get_label_quality_scores(
        given[known], probabilities[known], method="normalized_margin", adjust_pred_probs=True
    )
    return scores


def _votes(evidence: Evidence) -> Floats:
    assert evidence.neighbours is not None  # detectors of neighbours run with features only
    return evidence.neighbours


def _lead(probabilities: Floats, given: Labels) -> Floats:
    """How much likelier the most likely other class is than the given one."""
    return _best_other(probabilities, given)[1] - _own(probabilities, given)


def _own(probabilities: Floats, given: Labels) -> Floats:
    return probabilities[np.arange(len(given)), given]


def _best_other(probabilities: Floats, given: Labels) -> tuple[Labels, Floats]:
    """The most likely class beside the given one, and how likely it is."""
    others = probabilities.copy()
    others[np.arange(len(given)), given] = -np.inf
    best = others.argmax(axis=1)
    return best, _own(others, best)


DETECTORS: dict[str, Detector] = {
    "margin": Detector(
        "largest averaged probability of another class less that of the given one",
        _margin,
        ("mean_probabilities",),
    ),
    "wrong-events": Detector(
        "share of the epochs whose prediction was not the given label",
        _wrong_events,
        ("wrong_events", "seen"),
    ),
    "aum": Detector(
        "area under the margin (arXiv 2001.10528), negative",
        partial(_column, name="mean_margin", sign=-1.0),
        ("mean_margin",),
    ),
    "mean-loss": Detector(
        "loss of the given label, mean over the epochs",
        partial(_column, name="mean_loss"),
        ("mean_loss",),
    ),
    "last-loss": Detector(
        "loss of the given label in the last epoch",
        partial(_column, name="last_loss"),
        ("last_loss",),
    ),
    "average-loss": Detector(
        "loss of the given label, moving average over the epochs",
        partial(_column, name="average_loss"),
        ("average_loss",),
    ),
    "confident": Detector(
        "confident learning (arXiv 1911.00068) on averaged probabilities: cleanlab's normalised "
        "margin less the thresholds of the classes",
        _confident,
        ("mean_probabilities",),
    ),
    "knn-vote": Detector(
        "the same score of cleanlab, on the votes of the nearest samples by given features",
        _neighbour_vote,
        by_neighbours=True,
    ),
    "encoder-knn": Detector(
        "largest share of another class among the nearest samples less that of the given one",
        _neighbour_margin,
        by_neighbours=True,
    ),
}


def suggestions(beliefs: Floats, given: Labels) -> Labels:
    """The most likely class beside the given one.

    Args:
        beliefs: float64 [n, K], probabilities or votes; a row may be NaN.
        given: int64 [n].

    Returns:
        int64 [n]; NO_SUGGESTION where nothing speaks for another class.
    """
    best, value = _best_other(np.nan_to_num(beliefs), given)
    return np.where(value > 0, best, NO_SUGGESTION)


def beliefs(evidence: Evidence, detector: Detector) -> Floats:
    """What a suggestion is made from: float64 [n, K], NaN for samples that nothing is known of.

    The votes of neighbours, or averaged probabilities; of a run that stored none, its last
    predictions.
    """
    if detector.by_neighbours:
        return _votes(evidence)
    if not evidence.lacking(["mean_probabilities"]):
        return evidence.probabilities
    predicted = np.full((len(evidence.given), evidence.n_classes), np.nan)
    seen = ~evidence.unseen
    predicted[seen] = np.eye(evidence.n_classes)[
        evidence.samples["prediction"].cast(int).to_numpy()[seen]
    ]
    return predicted
