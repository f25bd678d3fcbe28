"""Losses that correct for label noise: by the prediction, a running target, T, or other batches.

Definitions, down to the constants, are those of the baselines in "Mitigating Memorization of Noisy
Labels via Regularization between Representations" (RRR, arXiv 2110.09022) and its official code
(snapshot 6f953a4); each function names the work that introduced it. p = softmax(logits).
"""

import math

import torch
from torch import Tensor

from methods.losses.common import (
    Reduction,
    at_label,
    exact,
    one_hot,
    probabilities,
    reduce,
    require,
    require_weights,
    widened,
)
from methods.losses.robust import ce

ELR_CLAMP = 1e-4
"""Probabilities of `elr` lie in [1e-4, 1 - 1e-4]."""


def hard_bootstrap(
    logits: Tensor, y: Tensor, *, beta: float = 0.8, reduction: Reduction = "mean"
) -> Tensor:
    """Hard bootstrapping, beta CE(y) + (1 - beta) CE(argmax p) (arXiv 1412.6596).

    0 <= beta <= 1. The predicted class is taken as a label, without gradient.
    """
    require(0 <= beta <= 1, "0 <= beta <= 1", beta=beta)
    wide = widened(logits, y)
    given = ce(wide, y, reduction=reduction)
    return beta * given + (1 - beta) * ce(wide, wide.argmax(1), reduction=reduction)


def forward_correction(
    logits: Tensor,
    y: Tensor,
    *,
    transition: Tensor,
    eps: float = 1e-12,
    reduction: Reduction = "mean",
) -> Tensor:
    """Forward-corrected cross entropy, -ln q_y with q ~ p T + eps summing to 1 (arXiv 1609.03683).

    transition [K, K], T[i, j] = P(noisy = j | clean = i), not negative; multiples of T give the
    same loss. eps >= 0 keeps the logarithm finite where T has zeros; the official code has none.
    """
    require(0 <= eps < math.inf, "eps >= 0", eps=eps)
    p = probabilities(logits, y)
    shape = list(transition.shape)
    require(shape == [p.shape[1]] * 2, f"transition {[p.shape[1]] * 2}", transition=shape)
    with exact(p):
        noisy = p @ transition.to(p)
    return ce((noisy + eps).log(), y, reduction=reduction)


def elr(
    logits: Tensor,
    y: Tensor,
    *,
    target: Tensor,
    beta: float = 0.7,
    weight: float = 3.0,
    reduction: Reduction = "mean",
) -> tuple[Tensor, Tensor]:
    """Early-learning regularisation, CE + weight ln(1 - <t, c>) (arXiv 2007.00151).

    With c = clamp(p, 1e-4, 1 - 1e-4), the running targets move first, without gradient:
    t = beta target + (1 - beta) c / sum(c); the loss takes the moved ones.

    Args:
        logits: [B, K].
        y: int64 [B].
        target: [B, K], targets of these samples so far; zeros for one not seen before.
        beta: momentum of the targets, in [0, 1).
        weight: >= 0.
        reduction: of the loss.

    Returns:
        The loss, and the moved targets [B, K] to be kept for the samples.
    """
    require(0 <= beta < 1, "0 <= beta < 1", beta=beta)
    require_weights(weight=weight)
    wide = widened(logits, y)
    require(target.shape == wide.shape, f"target {list(wide.shape)}", target=list(target.shape))
    clamped = wide.softmax(1).clamp(ELR_CLAMP, 1 - ELR_CLAMP)
    shares = clamped.detach() / clamped.detach().sum(1, keepdim=True)
    moved = beta * target.to(wide) + (1 - beta) * shares
    penalty = (1 - (moved * clamped).sum(1)).log()
    loss = ce(wide, y, reduction="none") + weight * penalty
    return reduce(loss, reduction), moved


def stable_ce(
    logits: Tensor, y: Tensor, *, eps: float = 1e-5, reduction: Reduction = "mean"
) -> Tensor:
    """Cross entropy with an offset, -ln(p_y + eps), eps >= 0: the parts of `peer`."""
    require(0 <= eps < math.inf, "eps >= 0", eps=eps)
    return reduce(-(at_label(probabilities(logits, y), y) + eps).log(), reduction)


def peer(
    logits: Tensor, y: Tensor, *, peer_logits: Tensor, y_peer: Tensor, weight: float = 1.0
) -> Tensor:
    """Peer loss, mean `stable_ce` of a batch minus weight times that of its peers (1910.03231).

    peer_logits [M, K] are of samples drawn independently of the labels y_peer [M] int64 that they
    are paired with; M need not be B. Always a scalar: peers belong to the batch, not to a sample.
    """
    require_weights(weight=weight)
    return stable_ce(logits, y) - weight * stable_ce(peer_logits, y_peer)


def confidence_regularised(
    logits: Tensor,
    y: Tensor,
    *,
    weight: float,
    prior: Tensor | None = None,
    keep: Tensor | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """CE - weight sum_c prior_c a_c with a = -ln(p + 1e-8): `peer` in expectation (2010.02347).

    Args:
        logits: [B, K].
        y: int64 [B].
        weight: >= 0, see `peer_schedule`.
        prior: floating [K], how likely each given label is; None for all alike.
        keep: bool [B], samples that count; None for all. The mean is over them, 0 where there are
            none; the loss of a sample that does not count is 0.
        reduction: of the loss.

    Returns:
        The mean, or the loss of each sample.
    """
    require_weights(weight=weight)
    wide = widened(logits, y)
    for name, given, shape in (("prior", prior, wide.shape[1:]), ("keep", keep, y.shape)):
        if given is not None:
            require(given.shape == shape, f"{name} {list(shape)}", **{name: list(given.shape)})
    surprises = _surprises(wide)
    expected = surprises.mean(1) if prior is None else (prior.to(wide) * surprises).sum(1)
    values = ce(wide, y, reduction="none") - weight * expected
    if keep is None:
        return reduce(values, reduction)
    kept = values.where(keep, 0)
    return kept.sum() / keep.sum().clamp(min=1) if reduction == "mean" else reduce(kept, reduction)


def _surprises(wide: Tensor) -> Tensor:
    """Loss of each possible label, -ln(p + 1e-8): [B, K]."""
    return -(wide.softmax(1) + 1e-8).log()


@torch.no_grad()
def sieve_statistic(logits: Tensor, y: Tensor) -> Tensor:
    """CE - mean_c -ln(p_c + 1e-8) of each sample [B]: above 0, CORES2 takes the label for wrong.

    Labels y int64 [B]. The mean is over all classes alike, whatever prior the loss has
    (arXiv 2010.02347).
    """
    wide = widened(logits, y)
    return ce(wide, y, reduction="none") - _surprises(wide).mean(1)


def peer_schedule(epoch: int, *, start: int = 10, length: int = 30, top: float = 2.0) -> float:
    """Weight of `peer` or `confidence_regularised` in an epoch, counted from 0 (official RRR code).

    0 up to epoch `start`, from there to `top` in equal steps over `length` epochs, then `top`.
    """
    require(epoch >= 0, "epoch >= 0", epoch=epoch)
    require(start >= 0, "start >= 0", start=start)
    require(length >= 1, "length >= 1", length=length)
    require_weights(top=top)
    return top * min(max(epoch - start, 0) / max(length - 1, 1), 1.0)


def dmi(logits: Tensor, y: Tensor) -> Tensor:
    """Determinant-based mutual information, -ln(|det(Y^T P)| + 0.001) (arXiv 1909.03388).

    Y [B, K] one-hot labels, P [B, K] predictions. Always a scalar: a function of the whole batch.
    A class without samples makes the determinant zero.
    """
    p = probabilities(logits, y)
    with exact(p):
        joint = one_hot(y, p).T @ p
        return -(torch.linalg.det(joint).abs() + 0.001).log()
