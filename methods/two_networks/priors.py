"""Margins against a bias of the classes: running priors of predictions, and what they correct.

Definitions are those of Xiao et al.: ProMix (IJCAI 2023) and its official code (40d8378). Samples
that are selected and samples that are not have a prior each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from methods.losses.common import at_least_single
from methods.objectives.semi_supervised import sharpened


def with_margin(logits: Tensor, prior: Tensor, strength: float) -> Tensor:
    """Logits as a loss sees them, z + strength ln(prior): [B, K] in float32 or better."""
    wide = at_least_single(logits)
    return wide + strength * prior.to(wide).log()


def without_bias(logits: Tensor, prior: Tensor, strength: float) -> Tensor:
    """Probabilities [B, K] that guess labels, softmax(z - strength ln(prior)), without gradient."""
    return with_margin(logits.detach(), prior, -strength).softmax(1)


def soft_guesses(logits: Tensor, prior: Tensor, strength: float, *, temperature: float) -> Tensor:
    """Targets [B, K] of samples that are not selected: sharpened probabilities without bias."""
    return sharpened(without_bias(logits, prior, strength), temperature)


def moved_prior(prior: Tensor, p: Tensor, chosen: Tensor, *, momentum: float) -> Tensor:
    """A prior [K] after a step, momentum prior + (1 - momentum) mean p of the chosen rows.

    Args:
        prior: of the classes.
        p: probabilities [B, K].
        chosen: bool [B]; where it chooses none the prior stays. There, the official code takes the
            mean of nothing, which is no number and stays one.
        momentum: from 0 to below 1.
    """
    weight = chosen.to(p)
    mean = weight @ p / weight.sum().clamp(min=1)
    moved = momentum * prior + (1 - momentum) * mean.to(prior)
    return torch.where(chosen.any(), moved, prior)
