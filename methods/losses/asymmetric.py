"""Asymmetric losses: the most likely label alone decides what minimises them.

Zhou, Liu, Jiang, Gao, Ji: Asymmetric Loss Functions for Learning with Noisy Labels (ICML 2021,
arXiv 2106.03110) and its official code (snapshot 61245e9). Written with p_y, the softmax at the
label; none of them has a clamp.
"""

import math

from torch import Tensor

from methods.losses.common import Reduction, at_label, probabilities, reduce, require


def agce(logits: Tensor, y: Tensor, *, a: float, q: float, reduction: Reduction = "mean") -> Tensor:
    """Asymmetric generalised cross entropy, ((a + 1)^q - (a + p_y)^q) / q.

    a > 0 bounds the slope at p_y = 0, which is a^(q - 1); q > 0.
    """
    require(0 < a < math.inf and 0 < q < math.inf, "a > 0 and q > 0", a=a, q=q)
    p_y = at_label(probabilities(logits, y), y)
    return reduce(((a + 1) ** q - (a + p_y).pow(q)) / q, reduction)


def aul(logits: Tensor, y: Tensor, *, a: float, q: float, reduction: Reduction = "mean") -> Tensor:
    """Asymmetric unhinged loss, ((a - p_y)^q - (a - 1)^q) / q (AUE in the official code).

    a > 1 keeps the base positive; q > 0. The slope is -(a - p_y)^(q - 1).
    """
    require(1 < a < math.inf and 0 < q < math.inf, "a > 1 and q > 0", a=a, q=q)
    p_y = at_label(probabilities(logits, y), y)
    return reduce(((a - p_y).pow(q) - (a - 1) ** q) / q, reduction)


def ael(logits: Tensor, y: Tensor, *, a: float, reduction: Reduction = "mean") -> Tensor:
    """Asymmetric exponential loss, exp(-p_y / a), a > 0. Its minimum is exp(-1 / a), not 0."""
    require(0 < a < math.inf, "a > 0", a=a)
    return reduce((-at_label(probabilities(logits, y), y) / a).exp(), reduction)
