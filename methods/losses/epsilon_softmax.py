"""Losses on the epsilon-softmax: a prediction that is pushed towards its own largest class.

Wang et al.: epsilon-Softmax: Approximating One-Hot Vectors for Mitigating Label Noise
(NeurIPS 2024) and its official code (snapshot f81685c). With p = softmax(logits), k = arg max p
(the first of equal ones) and m >= 0, it is p' = (p + m e_k) / (m + 1). The losses clamp p' from
below at `clamp`: where the label is not the arg max and p_y < (m + 1) clamp, cross entropy passes
no gradient. That is part of the method, not a guard, so no algebra in log space replaces it.
"""

import math
from functools import partial

from torch import Tensor

from methods.losses.common import (
    Reduction,
    at_label,
    one_hot,
    probabilities,
    reduce,
    require,
    require_clamp,
    require_weights,
    weighted_sum,
)
from methods.losses.focal import focal_terms
from methods.losses.robust import mae

LEAST = 1e-8
"""Lower end of p' in the official code."""


def epsilon_softmax(logits: Tensor, y: Tensor, *, m: float) -> Tensor:
    """Predictions p', [B, K] in float32 at least; m >= 0, at 0 they are the softmax."""
    require(0 <= m < math.inf, "m >= 0", m=m)
    p = probabilities(logits, y)
    return (p + m * one_hot(p.argmax(1), p)) / (m + 1)


def eps_ce(
    logits: Tensor, y: Tensor, *, m: float, clamp: float = LEAST, reduction: Reduction = "mean"
) -> Tensor:
    """Cross entropy on the epsilon-softmax, -ln max(p'_y, clamp)."""
    return eps_fl(logits, y, m=m, gamma=0.0, clamp=clamp, reduction=reduction)


def eps_fl(
    logits: Tensor,
    y: Tensor,
    *,
    m: float,
    gamma: float,
    clamp: float = LEAST,
    reduction: Reduction = "mean",
) -> Tensor:
    """Focal loss on the epsilon-softmax, with u = max(p'_y, clamp): -(1 - u)^gamma ln u.

    The power passes no gradient. gamma >= 0; 0 < clamp < 1.
    """
    require_clamp(clamp)
    require(clamp > 0, "clamp > 0", clamp=clamp)
    log_u = at_label(epsilon_softmax(logits, y, m=m), y).clamp(min=clamp).log()
    return reduce(focal_terms(log_u, gamma), reduction)


def eps_ce_and_mae(
    logits: Tensor,
    y: Tensor,
    *,
    m: float,
    alpha: float,
    beta: float,
    mae_scale: float = 2.0,
    clamp: float = LEAST,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `eps_ce` + beta mae_scale `mae`, all weights >= 0.

    The absolute error of the official code is the L1 distance to the one-hot label, 2 (1 - p_y):
    mae_scale 2. Whether the paper's beta counts the 2 is not known; the published settings do.
    """
    return eps_fl_and_mae(
        logits, y, m=m, alpha=alpha, beta=beta, gamma=0.0, mae_scale=mae_scale, clamp=clamp,
        reduction=reduction,
    )  # fmt: skip


def eps_fl_and_mae(
    logits: Tensor,
    y: Tensor,
    *,
    m: float,
    alpha: float,
    beta: float,
    gamma: float,
    mae_scale: float = 2.0,
    clamp: float = LEAST,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `eps_fl`(gamma) + beta mae_scale `mae`; see `eps_ce_and_mae`."""
    require_weights(mae_scale=mae_scale)
    fitting = partial(eps_fl, m=m, gamma=gamma, clamp=clamp)
    return weighted_sum(logits, y, alpha, fitting, mae_scale * beta, mae, reduction)
