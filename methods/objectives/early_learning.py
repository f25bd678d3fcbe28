"""Early-learning regularisation with two networks (ELR+): history of targets, ramps, averages.

Definitions are those of Liu et al.: Early-learning regularization prevents memorization of noisy
labels (NeurIPS 2020, arXiv 2007.00151) and its official code (934af53). ELR itself is `elr`.
"""

import math

import torch
from torch import Tensor, nn

from methods.losses.common import at_least_single, require, require_weights, widened
from methods.losses.correction import ELR_CLAMP
from methods.losses.robust import ce


def sigmoid_ramp(step: int, length: int) -> float:
    """exp(-5 (1 - step / length)^2), from e^-5 at step 0 to 1 from `length` on; 1 for length 0."""
    if length == 0:
        return 1.0
    behind = min(max(step, 0), length) / length
    return math.exp(-5.0 * (1.0 - behind) ** 2)


def average_decay(step: int, *, decay: float, ramp: int | None) -> float:
    """Share of the average that a step leaves, of steps that count from 1.

    decay sigmoid_ramp(step + 1, ramp); without a ramp the smaller of decay and 1 - 1 / (step + 1).
    """
    if ramp is None:
        return min(1 - 1 / (step + 1), decay)
    return decay * sigmoid_ramp(step + 1, ramp)


@torch.no_grad()
def follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Average <- decay average + (1 - decay) network, without the statistics of batch norm."""
    for mean, weight in zip(average.parameters(), network.parameters(), strict=True):
        mean.mul_(decay).add_(weight, alpha=1 - decay)


def moved_history(history: Tensor, logits: Tensor, *, beta: float) -> Tensor:
    """History [B, K] after a visit, beta history + (1 - beta) softmax(logits), without gradient."""
    require(0 <= beta < 1, "0 <= beta < 1", beta=beta)
    p = at_least_single(logits.detach()).softmax(1)
    return beta * history.to(p) + (1 - beta) * p


def elr_plus(
    logits: Tensor, y: Tensor, *, target: Tensor, weight: float, label_times_target: bool = False
) -> Tensor:
    """Mean soft cross entropy + weight mean ln(1 - <target, clamp(p, 1e-4, 1 - 1e-4)>).

    Args:
        logits: [B, K], of mixed images.
        y: floating [B, K], mixed labels.
        target: floating [B, K], mixed history of the targets.
        weight: >= 0, the ramp included.
        label_times_target: multiply labels by targets and divide by the sum, as for 100 classes.

    Returns:
        Scalar; it may be negative.
    """
    require_weights(weight=weight)
    wide = widened(logits, y)
    labels, held = y.to(wide), target.detach().to(wide)
    if label_times_target:
        labels = labels * held
        labels = labels / labels.sum(1, keepdim=True)
    clamped = wide.softmax(1).clamp(ELR_CLAMP, 1 - ELR_CLAMP)
    penalty = (1 - (held * clamped).sum(1)).log().mean()
    return ce(wide, labels) + weight * penalty
