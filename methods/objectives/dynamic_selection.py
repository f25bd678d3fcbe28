"""How DISC divides samples: by thresholds of their own, which follow their confidence.

Definitions are those of Li, Han, Shan, Chen: DISC: learning from noisy labels via dynamic
instance-specific selection and correction (CVPR 2023) and its official code (a21e910). W and S are
the softmax outputs of all samples on a weak and on a strong view, as last seen in training.
"""

import math
from typing import NamedTuple

from torch import Tensor

from methods.losses.common import at_label, at_least_single, require, require_weights, widened
from methods.losses.robust import ce, gce

HIGHEST = 0.99
"""No correction asks for more confidence than this."""
GCE_Q, GCE_CLAMP = 0.7, 1e-7
"""Of the generalised cross entropy of hard samples."""


class Sets(NamedTuple):
    """Where samples belong.

    Args:
        clean: bool [N], both views are confident of the given label.
        hard: bool [N], one of them is.
        corrected: bool [N], neither is, and both together are confident of another class.
        predicted: int64 [N], that class; the largest of both views' mean for all samples.
    """

    clean: Tensor
    hard: Tensor
    corrected: Tensor
    predicted: Tensor


def divided(
    weak: Tensor,
    strong: Tensor,
    y: Tensor,
    *,
    weak_threshold: Tensor,
    strong_threshold: Tensor,
    sigma: float,
) -> Sets:
    """Divide samples by the thresholds that held before this look at them.

    With a = W_y > tau_w, b = S_y > tau_s and A = (W + S) / 2: clean is a and b, hard is a xor b,
    corrected is max A > min((tau_w + tau_s) / 2 + sigma, 0.99) of the rest.

    Args:
        weak: [N, K], W.
        strong: [N, K], S.
        y: int64 [N], given labels.
        weak_threshold: [N], tau_w.
        strong_threshold: [N], tau_s.
        sigma: >= 0, by how much a correction has to be surer.
    """
    require(0 <= sigma < math.inf, "sigma >= 0", sigma=sigma)
    by_weak, by_strong = at_label(weak, y) > weak_threshold, at_label(strong, y) > strong_threshold
    most, predicted = ((weak + strong) / 2).max(1)
    needed = ((weak_threshold + strong_threshold) / 2 + sigma).clamp(max=HIGHEST)
    corrected = (most > needed) & ~(by_weak | by_strong)
    return Sets(by_weak & by_strong, by_weak ^ by_strong, corrected, predicted)


def moved_threshold(threshold: Tensor, p: Tensor, *, momentum: float) -> Tensor:
    """Thresholds [N] after a look, momentum threshold + (1 - momentum) max_c p, of p [N, K].

    0 <= momentum < 1. They follow the largest probability, not that of the label.
    """
    require(0 <= momentum < 1, "0 <= momentum < 1", momentum=momentum)
    return momentum * threshold + (1 - momentum) * p.max(1).values


def of_clean_and_hard(
    weak: Tensor, strong: Tensor, y: Tensor, *, clean: Tensor, hard: Tensor, hard_weight: float
) -> Tensor:
    """Mean over the batch: CE of both views where clean, hard_weight GCE of both where hard.

    Args:
        weak: [B, K], logits.
        strong: [B, K], logits.
        y: int64 [B], given labels.
        clean: bool [B].
        hard: bool [B].
        hard_weight: >= 0.

    Returns:
        Scalar; samples that are neither count as 0.
    """
    require_weights(hard_weight=hard_weight)
    total = at_least_single(weak).new_zeros(len(y))
    for logits in (weak, strong):
        wide = widened(logits, y)
        generalised = gce(wide, y, q=GCE_Q, clamp=GCE_CLAMP, reduction="none")
        total = total + clean * ce(wide, y, reduction="none") + hard_weight * hard * generalised
    return total.mean()
