"""Which samples ProMix learns from: small losses of each class, sure predictions, agreement.

Definitions are those of Xiao et al.: ProMix: combating label noise via maximizing clean sample
utility (IJCAI 2023) and its official code (40d8378).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from methods.losses.common import at_label, require
from methods.objectives.small_loss import smallest
from pipeline.training.streams import turns_of


def smallest_of_each_class(values: Tensor, y: Tensor, *, n_classes: int, rate: float) -> Tensor:
    """The same number of samples of each given label, those of smallest loss.

    Args:
        values: floating [N], losses.
        y: int64 [N], given labels.
        n_classes: K.
        rate: in (0, 1]; ceil(rate N / K) samples of each label are kept, or all that it has.

    Returns:
        bool [N]; of equal losses the first are kept.
    """
    require(0 < rate <= 1, "0 < rate <= 1", rate=rate)
    quota = math.ceil(rate * len(y) / n_classes)
    order = smallest(values, len(values))
    kept = torch.zeros_like(y, dtype=torch.bool)
    kept[order] = turns_of(y[order]) < quota
    return kept


def sure_of_label(p: Tensor, y: Tensor, *, threshold: float) -> Tensor:
    """Whether the probability [B, K] of the given label is above a threshold: bool [B]."""
    return at_label(p, y) > threshold


def guessed_too(
    selected: Tensor, p1: Tensor, p2: Tensor, *, threshold: float, up_to: float
) -> Tensor:
    """The selected samples, and of the others those on whose class both networks are sure.

    Args:
        selected: bool [B], of a whole batch.
        p1: probabilities [B, K] by one network.
        p2: probabilities [B, K] by the other network.
        threshold: above which both largest probabilities have to be.
        up_to: share of the batch that is selected in the end, at most: those of the largest mean
            probability come first.

    Returns:
        bool [B].
    """
    (sure1, class1), (sure2, class2) = p1.max(1), p2.max(1)
    fits = (sure1 > threshold) & (sure2 > threshold) & (class1 == class2) & ~selected
    room = int(up_to * len(selected)) - selected.sum()
    # Their places in the order of all; those that do not fit come last.
    order = smallest(torch.where(fits, -(sure1 + sure2), torch.inf), len(selected))
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), device=order.device)
    return selected | (fits & (places < room))
