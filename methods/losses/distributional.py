"""The label-distributionally robust loss, LDR-KL.

Zhu, Ying, Yang: Label Distributionally Robust Losses for Multi-class Classification (ICML 2023),
as the code of epsilon-softmax (snapshot f81685c) has it.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from methods.losses.common import (
    Reduction,
    at_label,
    one_hot,
    reduce,
    require,
    require_weights,
    widened,
)


def ldr(
    logits: Tensor,
    y: Tensor,
    *,
    tau: float,
    margin: float = 0.1,
    reduction: Reduction = "mean",
) -> Tensor:
    """Label-distributionally robust loss, tau ln mean_c exp((margin [c != y] + s_c - s_y) / tau).

    The scores are s = softplus(z) / mean_c softplus(z_c) of the logits z. tau > 0 is the
    temperature at which the worst label distribution is sought, margin >= 0. Where softplus
    underflows in all classes, s is 0.
    """
    require(0 < tau < math.inf, "tau > 0", tau=tau)
    require_weights(margin=margin)
    wide = widened(logits, y)
    positive = functional.softplus(wide)
    tiny = torch.finfo(wide.dtype).tiny
    scores = positive / positive.mean(1, keepdim=True).clamp(min=tiny)
    gaps = margin * (1 - one_hot(y, wide)) + scores - at_label(scores, y)[:, None]
    return reduce(tau * ((gaps / tau).logsumexp(1) - math.log(wide.shape[1])), reduction)
