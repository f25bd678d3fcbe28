"""Robust losses, with the schedules and draws that go with them.

Written with p = softmax(logits), p_y its entry at the label, clip(u) = clamp(u, 1e-6, 1). The
clamps belong to the definitions: outside of them a sample passes no gradient, so none may be
replaced by algebra in log space. Definitions, down to these constants, are those compared in
"Dynamics-Aware Loss for Learning with Label Noise" (DAL, arXiv 2303.11562) and its official code
(snapshot 3f5acc7); each function names the work that introduced it.
"""

import math
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from methods.losses.common import (
    Reduction,
    at_label,
    one_hot,
    probabilities,
    reduce,
    require,
    require_clamp,
    require_columns,
    require_weights,
    weighted_sum,
    widened,
)
from pipeline.errors import LabError, suggest

Bootstrap: TypeAlias = Literal["soft", "hard"]

P_MIN = 1e-6
"""Lower end of `clip`, and the offset inside the logarithm of DAL's entropy."""

LOG_OF_ZERO = math.log(1e-4)
"""What reverse cross entropy takes for ln 0."""

BTL_ITERATIONS = 5
"""Fixed-point steps of the bi-tempered normalisation; the gradient runs through all of them."""


def ce(logits: Tensor, y: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Cross entropy, -ln p_y; for soft targets y [B, K] of any weights, -sum_c y_c ln p_c."""
    log_p = widened(logits, y).log_softmax(1)
    losses = -(y * log_p).sum(1) if y.is_floating_point() else -at_label(log_p, y)
    return reduce(losses, reduction)


def mae(logits: Tensor, y: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Mean absolute error, 1 - p_y: half the L1 distance to the one-hot label (1712.09482)."""
    return reduce(1 - at_label(probabilities(logits, y), y), reduction)


def gce(
    logits: Tensor,
    y: Tensor,
    *,
    q: float,
    clamp: float = P_MIN,
    reduction: Reduction = "mean",
) -> Tensor:
    """Generalised cross entropy, (1 - clip(p_y)^q) / q (arXiv 1805.07836).

    q > 0: towards 0 it is cross entropy, at 1 it is `mae`, above 1 it favours easy samples.
    0 <= clamp < 1 is the lower end of clip; 0 as in the official code of RRR, whose gradient is NaN
    where p_y underflows: here it is the limit, 0.
    """
    require(0 < q < math.inf, "q > 0", q=q)
    require_clamp(clamp)
    p_y = at_label(probabilities(logits, y), y).clamp(clamp, 1)
    return reduce((1 - p_y.pow(q)) / q, reduction)


def rce(
    logits: Tensor, y: Tensor, *, clamp: float = P_MIN, reduction: Reduction = "mean"
) -> Tensor:
    """Reverse cross entropy, -ln(1e-4) sum_{c != y} clip(p_c) (arXiv 1908.06112).

    0 <= clamp < 1 is the lower end of clip.
    """
    require_clamp(clamp)
    p = probabilities(logits, y).clamp(clamp, 1)
    return reduce(-LOG_OF_ZERO * (p * (1 - one_hot(y, p))).sum(1), reduction)


def nce(logits: Tensor, y: Tensor, *, reduction: Reduction = "mean") -> Tensor:
    """Normalised cross entropy, ln p_y / sum_c ln p_c, in [0, 1] (arXiv 2006.13554)."""
    log_p = widened(logits, y).log_softmax(1)
    return reduce(at_label(log_p, y) / log_p.sum(1), reduction)


def sce(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    clamp: float = P_MIN,
    reduction: Reduction = "mean",
) -> Tensor:
    """Symmetric cross entropy, alpha `ce` + beta `rce`(clamp), both >= 0 (arXiv 1908.06112)."""
    reverse = partial(rce, clamp=clamp)
    return weighted_sum(logits, y, alpha, ce, beta, reverse, reduction)


def tce(logits: Tensor, y: Tensor, *, t: int, reduction: Reduction = "mean") -> Tensor:
    """Taylor cross entropy of order t, sum_{k=1..t} (1 - clip(p_y))^k / k (Feng, IJCAI 2020).

    t >= 1: at 1 it is `mae`, with growing t it approaches cross entropy.
    """
    require(t >= 1 and float(t).is_integer(), "a whole number t >= 1", t=t)
    missing = 1 - at_label(probabilities(logits, y), y).clamp(P_MIN, 1)
    orders = torch.arange(1, t + 1, dtype=missing.dtype, device=missing.device)
    return reduce((missing[:, None].pow(orders) / orders).sum(1), reduction)


def js(logits: Tensor, y: Tensor, *, pi: float, reduction: Reduction = "mean") -> Tensor:
    """Generalised Jensen-Shannon divergence of label and prediction (arXiv 2105.04522).

    With e the one-hot label and m = clip(pi e + (1 - pi) p), it is pi KL(e || m) +
    (1 - pi) KL(p || m), divided by -(1 - pi) ln(1 - pi); the logarithm of p is clamped as well.
    0 < pi < 1: towards 0 it is cross entropy, towards 1 `mae`, both slowly.
    """
    require(0 < pi < 1, "0 < pi < 1", pi=pi)
    p = probabilities(logits, y)
    log_m = (pi * one_hot(y, p) + (1 - pi) * p).clamp(P_MIN, 1).log()
    label_term = -at_label(log_m, y)
    prediction_term = (p * (p.clamp(min=P_MIN).log() - log_m)).sum(1)
    scale = -1 / ((1 - pi) * math.log1p(-pi))
    return reduce(scale * (pi * label_term + (1 - pi) * prediction_term), reduction)


def btl(
    logits: Tensor, y: Tensor, *, t1: float, t2: float, reduction: Reduction = "mean"
) -> Tensor:
    """Bi-tempered logistic loss, without label smoothing (arXiv 1906.03361).

    With ln_t(u) = (u^(1-t) - 1) / (1 - t), its inverse exp_t, and P = exp_t2(logits - lambda), it
    is ln_t1(1 + 1e-6) - ln_t1(P_y) - (1 - sum_c P_c^(2-t1)) / (2 - t1). The normaliser lambda
    comes from five fixed-point steps, so P sums to 1 only nearly. t1 < 1 < t2.
    """
    require(-math.inf < t1 < 1 < t2 < math.inf, "t1 < 1 < t2", t1=t1, t2=t2)
    wide = widened(logits, y)
    below_top = wide - wide.max(1, keepdim=True).values
    # Never below 1, as t2 > 1 and below_top <= 0: exp_t2 needs no guard against negative bases.
    stretched = (1 - t2) * below_top
    total = (1 + stretched).pow(1 / (1 - t2)).sum(1, keepdim=True)
    for _ in range(BTL_ITERATIONS):
        total = (1 + stretched * total.pow(1 - t2)).pow(1 / (1 - t2)).sum(1, keepdim=True)
    # P = base^(1 / (1 - t2)); powers of P are taken of base, as P itself may underflow.
    base = stretched + total.pow(t2 - 1)
    log_p_y = (at_label(base, y).pow((1 - t1) / (1 - t2)) - 1) / (1 - t1)
    log_one = ((1 + P_MIN) ** (1 - t1) - 1) / (1 - t1)
    mass = base.pow((2 - t1) / (1 - t2)).sum(1)
    return reduce(log_one - log_p_y - (1 - mass) / (2 - t1), reduction)


def nlnl(
    logits: Tensor,
    y: Tensor,
    *,
    y_complementary: Tensor,
    weights: Tensor,
    reduction: Reduction = "mean",
) -> Tensor:
    """Negative learning, -w_y sum_{k=1..N} ln clamp(1 - p at label k, 1e-5, 1) (arXiv 1908.07387).

    The sum over the N labels `y_complementary` [B, N] int64 (see `complementary_labels`) is not
    divided by N, and `weights` [K] (see `class_weights`) do not normalise the mean.
    """
    p = probabilities(logits, y)
    require_columns("y_complementary", y_complementary, y)
    require(weights.shape == p.shape[1:], f"weights [{p.shape[1]}]", weights=list(weights.shape))
    log_absent = (1 - p).gather(1, y_complementary).clamp(1e-5, 1).log()
    return reduce(-weights.to(p)[y] * log_absent.sum(1), reduction)


def sr(
    logits: Tensor, y: Tensor, *, tau: float, p: float, weight: float, reduction: Reduction = "mean"
) -> Tensor:
    """Cross entropy with sparse regularisation of the prediction (arXiv 2108.00192).

    With u = logits / max(|logits|_2, 1e-12) and s = softmax(u / tau), it is -ln s_y +
    weight sum_c clip(s_c)^p: the length of the logits does not matter, except that the gradient
    grows as its inverse (finite even at zero logits, there of order 1e12). tau > 0, p > 0, and
    weight >= 0, which `sr_schedule` raises with the epoch.
    """
    require(0 < tau < math.inf and 0 < p < math.inf, "tau > 0 and p > 0", tau=tau, p=p)
    require_weights(weight=weight)
    sharpened = functional.normalize(widened(logits, y), dim=1, eps=1e-12) / tau
    norm = sharpened.softmax(1).clamp(P_MIN, 1).pow(p).sum(1)
    return reduce(ce(sharpened, y, reduction="none") + weight * norm, reduction)


def dal(
    logits: Tensor,
    y: Tensor,
    *,
    q: float,
    bootstrap_weight: float,
    bootstrap: Bootstrap = "soft",
    reduction: Reduction = "mean",
) -> Tensor:
    """Dynamics-aware loss, `gce`(q) + bootstrap_weight B / (q ln K) (arXiv 2303.11562).

    The soft B is the entropy of the prediction, -sum_c p_c ln(p_c + 1e-6); the hard one, of the
    first upload of the official code, is cross entropy against the predicted class. Division by
    q ln K gives soft B the maximum of `gce`, 1/q. q > 0 and bootstrap_weight >= 0 move with the
    epoch: `dal_schedule`.
    """
    require_weights(bootstrap_weight=bootstrap_weight)
    wide = widened(logits, y)
    fitting = gce(wide, y, q=q, reduction="none")
    if bootstrap == "soft":
        p = wide.softmax(1)
        doubt = -(p * (p + P_MIN).log()).sum(1)
    elif bootstrap == "hard":
        doubt = ce(wide, wide.argmax(1), reduction="none")
    else:
        raise LabError(f"bootstrap = {bootstrap}", *suggest(bootstrap, ("soft", "hard"), "soft"))
    return reduce(fitting + bootstrap_weight * doubt / (q * math.log(wide.shape[1])), reduction)


def dal_schedule(
    epoch: int, n_epochs: int, q_start: float, q_end: float, *, strict: bool = True
) -> tuple[float, float]:
    """Exponent q and bootstrap weight of `dal` in one epoch (counted from 0; arXiv 2303.11562).

    q = q_start + (q_end - q_start) epoch / n_epochs, which never reaches q_end. The weight is 0
    until q passes 1, from there (q - 1) / (q_end - 1), which never reaches 1.

    strict demands 0 < q_start < 1 < q_end, where alone the published formula makes sense. Without
    it both need only be positive, and the weight is 0 wherever q <= 1, else
    (q - 1) / (max(q_start, q_end) - 1): within [0, 1], and as published where strict would agree.
    """
    require(0 <= epoch < n_epochs, "0 <= epoch < n_epochs", epoch=epoch, n_epochs=n_epochs)
    positive = 0 < q_start < math.inf and 0 < q_end < math.inf
    require(positive, "q_start > 0 and q_end > 0", q_start=q_start, q_end=q_end)
    crossing = "q_start < 1 < q_end, or any two with strict=False"
    require(not strict or q_start < 1 < q_end, crossing, q_start=q_start, q_end=q_end)
    q = q_start + (q_end - q_start) * epoch / n_epochs
    weight = (q - 1) / (max(q_start, q_end) - 1) if q > 1 else 0.0
    return q, weight


def sr_schedule(epoch: int, initial: float, growth: float) -> float:
    """Weight of `sr` in one epoch, initial * growth^epoch, counted from 0 (arXiv 2108.00192)."""
    require(epoch >= 0, "epoch >= 0", epoch=epoch)
    require(0 < growth < math.inf, "growth > 0", growth=growth)
    require_weights(initial=initial)
    return initial * growth**epoch


def complementary_labels(uniform: Tensor, y: Tensor, n_classes: int) -> Tensor:
    """Labels other than y, each as likely: (y + 1 + floor((K - 1) uniform)) mod K, [B, N] int64.

    uniform [B, N] in [0, 1) is drawn by the caller, with replacement between columns; y [B] int64.
    """
    require(n_classes >= 2, "n_classes >= 2", n_classes=n_classes)
    require_columns("uniform", uniform, y)
    # The cap holds off the label itself, should a uniform have been rounded up to 1.
    offset = 1 + (uniform * (n_classes - 1)).long().clamp(max=n_classes - 2)
    return (y[:, None] + offset) % n_classes


def class_weights(counts: Tensor) -> Tensor:
    """Weights of `nlnl`, max_k n_k / n_c from the counts n of given labels, [K] -> [K] floating.

    A class without samples gets 0: no label picks it. (arXiv 2303.11562, official code.)
    """
    return torch.where(counts > 0, counts.max() / counts, 0.0)
