"""Two networks that learn from samples of small loss: Co-teaching, Co-teaching+ and JoCoR.

Definitions are those of Co-teaching (Han et al., NeurIPS 2018), Co-teaching+ (Yu et al., ICML
2019) and JoCoR (Wei et al., CVPR 2020) and of their official codes (7c7fbe2, a68ed61, 86db359). A
batch is seen by both networks; what each keeps is decided before either learns.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from methods.losses.common import require, widened
from methods.losses.robust import ce


class PairLoss(NamedTuple):
    """Losses of two networks on one batch.

    Args:
        first: scalar, of the first network.
        second: scalar, of the second network.
        used_by_first: int64 [k], rows of the batch that the first network learns from.
        used_by_second: int64 [k].
    """

    first: Tensor
    second: Tensor
    used_by_first: Tensor
    used_by_second: Tensor


def forget_rate(epoch: int, *, rate: float, gradual: int = 10, exponent: float = 1.0) -> float:
    """Share of a batch that is left out in an epoch, from 0 to `rate` (official code).

    `gradual` equal steps from 0 in epoch 0 to rate^exponent in epoch gradual - 1, then `rate`. The
    official scripts train from epoch 1 on: 0 is never used.
    """
    require(epoch >= 0, "epoch >= 0", epoch=epoch)
    require(0 <= rate < 1, "0 <= rate < 1", rate=rate)
    require(gradual >= 1, "gradual >= 1", gradual=gradual)
    require(0 < exponent < math.inf, "exponent > 0", exponent=exponent)
    if epoch >= gradual:
        return rate
    return rate**exponent * epoch / max(gradual - 1, 1)


def n_kept(n: int, rate: float) -> int:
    """How many of n samples are kept: the whole part of (1 - rate) n, and at least one.

    The product is a floating-point one, as in the official codes, which keep none of ten at a rate
    of 0.9 and then divide by zero.
    """
    return max(1, int((1 - rate) * n))


def smallest(values: Tensor, n: int) -> Tensor:
    """Positions int64 [n] of the n smallest values [B]; of equal ones the first.

    The official codes sort without a rule for equal values.
    """
    return values.detach().argsort(stable=True)[:n]


def co_teaching(
    logits1: Tensor, logits2: Tensor, y: Tensor, *, rate: float, divide_twice: bool = False
) -> PairLoss:
    """Each network's mean cross entropy over the samples of smallest loss of the other one.

    Args:
        logits1: [B, K], of the first network.
        logits2: [B, K], of the second network.
        y: int64 [B].
        rate: share of the batch that is left out.
        divide_twice: divide the means by the number kept once more, as the official code does.

    Returns:
        Both losses and what they are of.
    """
    first, second = (ce(widened(z, y), y, reduction="none") for z in (logits1, logits2))
    n = n_kept(len(y), rate)
    return _exchanged(first, second, n, n if divide_twice else 1)


def co_teaching_plus(
    logits1: Tensor,
    logits2: Tensor,
    y: Tensor,
    *,
    rate: float,
    double_softmax: bool = False,
    divide_twice: bool = False,
    learn_agreed: bool = True,
    index: Tensor | None = None,
) -> PairLoss:
    """`co_teaching` on the samples whose predicted classes differ between the networks.

    Where the rate would leave none of them, all are used. Where the networks agree on the whole
    batch, each takes the mean over it, or nothing.

    Args:
        logits1: [B, K], of the first network.
        logits2: [B, K], of the second network.
        y: int64 [B].
        rate: share of the differing samples that is left out.
        double_softmax: take the cross entropy of softmax(softmax(z)), as the official code does.
        divide_twice: as in `co_teaching`.
        learn_agreed: whether a batch without a differing sample is learned from.
        index: int64 [B], positions in the data set. If given, the last differing sample is dropped
            where that at position 0 is among them, as the official code does.

    Returns:
        Both losses and what they are of.
    """
    wide = [widened(z, y) for z in (logits1, logits2)]
    differs = wide[0].argmax(1) != wide[1].argmax(1)
    if index is not None:
        differs = differs & ~(_last(differs) & (differs & (index == 0)).any())
    differing = differs.nonzero().squeeze(1)
    first, second = (ce(z.softmax(1) if double_softmax else z, y, reduction="none") for z in wide)
    if len(differing):
        n = int((1 - rate) * len(differing)) or len(differing)
        found = _exchanged(first[differing], second[differing], n, n if divide_twice else 1)
        return found._replace(
            used_by_first=differing[found.used_by_first],
            used_by_second=differing[found.used_by_second],
        )
    everyone, weight = torch.arange(len(y), device=y.device), float(learn_agreed)
    used = everyone if learn_agreed else everyone[:0]
    return PairLoss(weight * first.mean(), weight * second.mean(), used, used)


def _last(mask: Tensor) -> Tensor:
    """Where a mask [B] is true for the last time: bool [B]."""
    count = mask.cumsum(0)
    return mask & (count == count[-1:])


def _exchanged(first: Tensor, second: Tensor, n: int, divisor: int) -> PairLoss:
    """Means over the n samples that the other network keeps, by losses [B] of both."""
    by_first, by_second = smallest(first, n), smallest(second, n)
    means = first[by_second].mean() / divisor, second[by_first].mean() / divisor
    return PairLoss(*means, by_second, by_first)


def joint(logits1: Tensor, logits2: Tensor, y: Tensor, *, weight: float) -> Tensor:
    """JoCoR's loss of each sample, (1 - w) (CE1 + CE2) + w (KL(p2 | p1) + KL(p1 | p2)): [B].

    0 <= weight <= 1. The gradient flows through both arguments of both divergences.
    """
    require(0 <= weight <= 1, "0 <= weight <= 1", weight=weight)
    wide = [widened(z, y) for z in (logits1, logits2)]
    given = ce(wide[0], y, reduction="none") + ce(wide[1], y, reduction="none")
    log_p, log_q = (functional.log_softmax(z, 1) for z in wide)
    # KL(p2 | p1) + KL(p1 | p2), term by term.
    apart = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)
    return (1 - weight) * given + weight * apart
