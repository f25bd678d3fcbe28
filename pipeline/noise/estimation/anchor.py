"""Estimation of T from anchor points: the samples a classifier is surest of."""

import numpy as np

from pipeline.errors import LabError
from pipeline.noise.arrays import Floats


def anchor_transition(p: Floats) -> Floats:
    """Row i of T is the prediction for the sample with the largest probability of class i.

    Patrini et al.: Making Deep Neural Networks Robust to Label Noise (arXiv 1609.03683), without
    its percentile, as in the official RRR code.

    Args:
        p: floating [N, K], class probabilities for the training samples by a network that was
            trained on the noisy labels.

    Returns:
        float64 [K, K], T[i, j] = P(noisy = j | clean = i); of equally sure ones the first.

    Raises:
        LabError: if there are no samples or no classes.
    """
    if p.ndim != 2 or not p.size:
        raise LabError(
            f"probabilities {list(p.shape)}", "[N, K] with N, K >= 1", "give predictions"
        )
    return np.asarray(p[p.argmax(axis=0)], np.float64)
