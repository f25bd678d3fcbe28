"""Active passive losses: a normalised loss that fits labels plus one that spares wrong ones.

Ma, Huang, Wang, Romano, Erfani, Bailey: Normalized Loss Functions for Deep Learning with Noisy
Labels (arXiv 2006.13554). Each is alpha times its first loss plus beta times its second, both
weights >= 0, with the parameters of the two; further pairs are of arXiv 2106.03110.
"""

from functools import partial

from torch import Tensor

from methods.losses.asymmetric import ael, agce, aul
from methods.losses.common import Reduction, weighted_sum
from methods.losses.focal import nfl
from methods.losses.robust import P_MIN, mae, nce, rce


def nce_and_rce(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    clamp: float = P_MIN,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `nce` + beta `rce`(clamp)."""
    passive = partial(rce, clamp=clamp)
    return weighted_sum(logits, y, alpha, nce, beta, passive, reduction)


def nfl_and_rce(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    gamma: float,
    clamp: float = 1e-7,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `nfl`(gamma) + beta `rce`(clamp)."""
    passive = partial(rce, clamp=clamp)
    active = partial(nfl, gamma=gamma)
    return weighted_sum(logits, y, alpha, active, beta, passive, reduction)


def nce_and_mae(
    logits: Tensor, y: Tensor, *, alpha: float, beta: float, reduction: Reduction = "mean"
) -> Tensor:
    """Weighted sum, alpha `nce` + beta `mae`."""
    return weighted_sum(logits, y, alpha, nce, beta, mae, reduction)


def nce_and_agce(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    a: float,
    q: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `nce` + beta `agce`(a, q)."""
    passive = partial(agce, a=a, q=q)
    return weighted_sum(logits, y, alpha, nce, beta, passive, reduction)


def nce_and_aul(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    a: float,
    q: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `nce` + beta `aul`(a, q)."""
    passive = partial(aul, a=a, q=q)
    return weighted_sum(logits, y, alpha, nce, beta, passive, reduction)


def nce_and_ael(
    logits: Tensor,
    y: Tensor,
    *,
    alpha: float,
    beta: float,
    a: float,
    reduction: Reduction = "mean",
) -> Tensor:
    """Weighted sum, alpha `nce` + beta `ael`(a)."""
    passive = partial(ael, a=a)
    return weighted_sum(logits, y, alpha, nce, beta, passive, reduction)
