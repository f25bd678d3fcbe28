"""Focal loss and its normalised form, with weights that pass no gradient.

Written with p = softmax(logits), and powers marked [.] that count as constants in the gradient.
That is how the official codes of asymmetric losses (snapshot 61245e9), active negative losses
(0c50009) and epsilon-softmax (f81685c) have them; in the usual focal loss (arXiv 1708.02002) the
gradient runs through the weight as well.
"""

import math

from torch import Tensor

from methods.losses.common import Reduction, at_label, reduce, require, widened


def fl(logits: Tensor, y: Tensor, *, gamma: float, reduction: Reduction = "mean") -> Tensor:
    """Focal loss, -[(1 - p_y)^gamma] ln p_y; gamma >= 0, at 0 it is cross entropy."""
    return reduce(at_label(focal_terms(widened(logits, y).log_softmax(1), gamma), y), reduction)


def nfl(logits: Tensor, y: Tensor, *, gamma: float, reduction: Reduction = "mean") -> Tensor:
    """Normalised focal loss, w_y / sum_c w_c with w_c = -[(1 - p_c)^gamma] ln p_c.

    In [0, 1]; gamma >= 0, at 0 it is `nce` (arXiv 2006.13554).
    """
    terms = focal_terms(widened(logits, y).log_softmax(1), gamma)
    return reduce(at_label(terms, y) / terms.sum(1), reduction)


def focal_terms(log_p: Tensor, gamma: float) -> Tensor:
    """What each class contributes, -[(1 - exp(log_p))^gamma] log_p, in the shape of `log_p`."""
    require(0 <= gamma < math.inf, "gamma >= 0", gamma=gamma)
    return -(1 - log_p.detach().exp()).pow(gamma) * log_p
