"""Active negative losses: a normalised loss plus a negative one that learns from other classes.

Ye, Li, Dai, Liu, Sun, Tong: Active Negative Loss Functions for Learning with Noisy Labels (NeurIPS
2023); the form with entropy is of arXiv 2412.02373. The official code is that of snapshot 0c50009.
Written with p = softmax(logits) and m = `clamp`, the least probability that a class passes gradient
at. The published losses add delta `l1` of all weights in place of weight decay, and in the form
with entropy a multiple of `class_imbalance`.
"""

import math
from collections.abc import Iterable
from functools import partial

import torch
from torch import Tensor

from methods.losses.common import (
    Reduction,
    at_label,
    at_least_single,
    probabilities,
    reduce,
    require,
    weighted_sum,
    widened,
)
from methods.losses.focal import focal_terms, nfl
from methods.losses.robust import nce

M = 1e-7
"""Least probability of the official code."""


def nnce(
    logits: Tensor,
    y: Tensor,
    *,
    clamp: float = M,
    reduction: Reduction = "mean",
) -> Tensor:
    """Normalised negative cross entropy, 1 - s_y / sum_c s_c, s_c = ln max(p_c, m) - ln m.

    0 < m < 1/2.
    """
    _require_inner(clamp)
    support = probabilities(logits, y).clamp(min=clamp).log() - math.log(clamp)
    return reduce(1 - at_label(support, y) / support.sum(1), reduction)


def nnfl(
    logits: Tensor, y: Tensor, *, gamma: float, clamp: float = M, reduction: Reduction = "mean"
) -> Tensor:
    """Normalised negative focal loss, 1 - (A - w_y) / sum_c (A - w_c), A = -(1 - m)^gamma ln m.

    w_c = -(1 - p_c)^gamma ln p_c with p_c at least m; the power passes no gradient. 0 < m < 1/2.
    """
    _require_inner(clamp)
    log_p = widened(logits, y).log_softmax(1).clamp(min=math.log(clamp))
    support = -((1 - clamp) ** gamma) * math.log(clamp) - focal_terms(log_p, gamma)
    return reduce(1 - at_label(support, y) / support.sum(1), reduction)


def anl_ce(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    clamp: float = M,
    reduction: Reduction = "mean",
) -> Tensor:
    """Active negative loss of cross entropy, alpha `nce` + beta `nnce`, both >= 0."""
    negative = partial(nnce, clamp=clamp)
    return weighted_sum(logits, y, alpha, nce, beta, negative, reduction)


anl_ce_er = anl_ce
"""What the form with entropy has of single samples. Its code clamps p_c at 1 - m as well, which
changes nothing: where one class is above, all others are below m, and the ratio is 0 or 1."""


def anl_fl(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    clamp: float = M,
    reduction: Reduction = "mean",
) -> Tensor:
    """Active negative loss of focal loss, alpha `nfl` + beta `nnfl`, both >= 0."""
    active, negative = partial(nfl, gamma=gamma), partial(nnfl, gamma=gamma, clamp=clamp)
    return weighted_sum(logits, y, alpha, active, beta, negative, reduction)


def l1(parameters: Iterable[Tensor]) -> Tensor:
    """Sum of the absolute values of all weights given, biases and batch norm included; scalar."""
    return torch.stack([weight.abs().sum() for weight in parameters]).sum()


def class_imbalance(logits: Tensor, *, clamp: float = M) -> Tensor:
    """How far the classes that a batch is predicted as are from even: ln K + sum_c r_c ln r_c.

    r_c is the share of class c in the sum of all predictions; both are kept within [m, 1 - m].

    Args:
        logits: [B, K], of the batch of all processes.
        clamp: m, between 0 and 1/2.

    Returns:
        Scalar in [0, ln K], up to m; 0 for even shares.
    """
    _require_inner(clamp)
    totals = at_least_single(logits).softmax(1).clamp(clamp, 1 - clamp).sum(0)
    shares = (totals / totals.sum()).clamp(clamp, 1 - clamp)
    return math.log(len(shares)) + (shares * shares.log()).sum()


def _require_inner(clamp: float) -> None:
    require(0 < clamp < 0.5, "0 < clamp < 0.5", clamp=clamp)
