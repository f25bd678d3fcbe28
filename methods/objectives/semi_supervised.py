"""Targets and losses of DivideMix and PES: guesses, co-refinement, MixMatch, weights of classes.

Definitions are those of Li, Socher, Hoi: DivideMix: learning with noisy labels as semi-supervised
learning (ICLR 2020) and its official code (d9d3058), and of the official code of PES (ec5290d).
Targets take no gradient.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from methods.losses.common import at_least_single, one_hot, require, require_weights, widened
from methods.losses.robust import ce


def negative_entropy(logits: Tensor) -> Tensor:
    """Mean of sum p ln p, a scalar <= 0: added to a loss it holds confidence down.

    The official code takes the logarithm of p, which is NaN where p underflows.
    """
    wide = at_least_single(logits)
    return (wide.softmax(1) * functional.log_softmax(wide, 1)).sum(1).mean()


def sharpened(p: Tensor, temperature: float) -> Tensor:
    """p^(1 / temperature), rows [B, K] divided by their sums."""
    require(0 < temperature < math.inf, "temperature > 0", temperature=temperature)
    powers = p ** (1 / temperature)
    return powers / powers.sum(1, keepdim=True)


def co_guessed(logits: Sequence[Tensor], *, temperature: float) -> Tensor:
    """Targets [B, K] of unlabelled samples: the sharpened mean prediction over views and networks.

    Args:
        logits: [B, K] each.
        temperature: > 0.
    """
    return sharpened(mean_prediction(logits), temperature)


def co_refined(logits: Sequence[Tensor], y: Tensor, w: Tensor, *, temperature: float) -> Tensor:
    """Targets [B, K] of labelled samples: sharpened w onehot(y) + (1 - w) mean prediction.

    Args:
        logits: [B, K] each, of the views by the network that learns.
        y: int64 [B].
        w: floating [B], probability that the label is right.
        temperature: > 0.
    """
    p = mean_prediction(logits)
    share = w.to(p)[:, None]
    return sharpened(share * one_hot(y, p) + (1 - share) * p, temperature)


def mean_prediction(logits: Sequence[Tensor]) -> Tensor:
    """Mean of the softmaxes of logits [B, K] each: [B, K], without gradient, float32 or better."""
    wide = [at_least_single(z.detach()) for z in logits]
    return torch.stack([z.softmax(1) for z in wide]).mean(0)


def balancing_weights(counts: Tensor, *, cap: float = math.inf) -> Tensor:
    """Weights that make classes count alike: mean count of those that occur / own count.

    Args:
        counts: int64 [K], samples per class.
        cap: highest weight.

    Returns:
        float32 [K]; 0 for a class without samples.
    """
    require(cap > 0, "cap > 0", cap=cap)
    occurs = counts > 0
    mean = counts.sum() / occurs.sum().clamp(min=1)
    return torch.where(occurs, mean / counts.clamp(min=1), 0.0).clamp(max=cap)


def part_sizes(n_labelled: int, n_unlabelled: int, batch_size: int) -> tuple[int, int]:
    """How many labelled and unlabelled samples a step of PES takes, 1 or more of each.

    Their shares of all samples, but no more than half of the step is unlabelled.
    """
    share = min(n_unlabelled / (n_labelled + n_unlabelled), 0.5)
    unlabelled = max(int(share * batch_size), 1)
    return max(batch_size - unlabelled, 1), unlabelled


def unlabelled_weight(progress: float, *, weight: float, warmup: int, ramp: float = 16.0) -> float:
    """Weight of the unlabelled term, rising from 0 to `weight` over `ramp` epochs.

    Args:
        progress: epochs that lie behind, the fraction of the current one included.
        weight: in the end.
        warmup: epochs before the rise begins.
        ramp: length of the rise in epochs.
    """
    require_weights(weight=weight)
    return weight * min(max((progress - warmup) / ramp, 0.0), 1.0)


def unlabelled_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of (p - target)^2 over rows and classes."""
    return (widened(logits, targets).softmax(1) - targets).square().mean()


def uniform_penalty(logits: Tensor) -> Tensor:
    """KL of the uniform distribution from the mean prediction, over all rows: a scalar >= 0."""
    wide = at_least_single(logits)
    mean = wide.softmax(1).mean(0)
    return -(mean.log() + math.log(len(mean))).mean()


def mixmatch(
    logits: Tensor, targets: Tensor, *, n_labelled: int, weight: float, penalty: bool = True
) -> tuple[Tensor, Tensor, Tensor]:
    """MixMatch's loss of mixed rows: labelled term + weight unlabelled term + penalty.

    Args:
        logits: [R, K]; the first `n_labelled` rows count as labelled, whatever they are mixed with.
        targets: floating [R, K].
        n_labelled: at least 1; R where no unlabelled rows were passed.
        weight: of the unlabelled term.
        penalty: whether the mean prediction over all rows is held near the uniform one.

    Returns:
        The loss, and its labelled and unlabelled term.
    """
    wide = widened(logits, targets)
    labelled = ce(wide[:n_labelled], targets[:n_labelled])
    unlabelled = wide.new_zeros(())
    if n_labelled < len(wide):
        unlabelled = unlabelled_loss(wide[n_labelled:], targets[n_labelled:])
    total = labelled + weight * unlabelled
    return (total + uniform_penalty(wide) if penalty else total), labelled, unlabelled
