"""Logit clipping: logits of bounded length, on which any loss is bounded.

Wei, Zhuang, Xie, Feng, Niu, An, Li: Mitigating Memorization of Noisy Labels by Clipping the Model
Prediction (ICML 2023). In the paper, threshold and length are one number. Their code (snapshot
7e45730) has threshold t and length 1 / t; the code of epsilon-softmax (f81685c) has threshold 1 / d
and length d, so that d > 1 lengthens logits of middling norm.
"""

import math

import torch
from torch import Tensor

from methods.losses.common import at_least_single, require


def clipped_logits(
    logits: Tensor, *, threshold: float, length: float, p: float = 2.0, eps: float = 1e-7
) -> Tensor:
    """Logits whose norm exceeds the threshold, brought to a length; the others as they are.

    Args:
        logits: [B, K]; half precision is raised to float32.
        threshold: norm above which logits are clipped, > 0; infinity clips none.
        length: of the norm of clipped logits, > 0.
        p: order of the norm, >= 1.
        eps: added to the norm before it is compared and divided by, > 0.

    Returns:
        [B, K]. The gradient runs through the norm: what is clipped has none along itself.
    """
    require(threshold > 0, "threshold > 0", threshold=threshold)
    require(0 < length < math.inf, "length > 0", length=length)
    require(p >= 1 and 0 < eps < math.inf, "p >= 1 and eps > 0", p=p, eps=eps)
    wide = at_least_single(logits)
    norm = torch.linalg.vector_norm(wide, ord=p, dim=1, keepdim=True) + eps
    return torch.where(norm > threshold, wide * (length / norm), wide)
