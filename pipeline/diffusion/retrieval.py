"""Training labels drawn from the labels of an image's neighbours (arXiv 2305.19518).

Candidates of a sample are the labels of its k neighbours and its own: L [B, k + 1]. One of them is
drawn uniformly, and how many candidates agree with it is its weight before normalisation.
Weighted training divides these counts by their sum over the whole batch, that of all processes.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot


class Retrieved(NamedTuple):
    """Labels drawn for a batch.

    Args:
        label: int64 [B], the drawn labels.
        n_agree: int64 [B], candidates that carry the drawn label, itself included.
    """

    label: Tensor
    n_agree: Tensor


def candidates(neighbour_labels: Tensor, own: Tensor | None) -> Tensor:
    """The labels to draw from.

    Args:
        neighbour_labels: int64 [B, k], given labels of the neighbours.
        own: int64 [B], given labels of the samples, appended as last candidate. None if the table
            of neighbours holds each sample itself already. A sample that is its own neighbour and
            is appended counts twice, as in the official code for embeddings without augmentation.

    Returns:
        int64 [B, k + 1], or [B, k] without own labels.
    """
    if own is None:
        return neighbour_labels
    return torch.cat([neighbour_labels, own[:, None]], dim=1)


def take(candidates: Tensor, position: Tensor) -> Retrieved:
    """The candidates [B, k + 1] at `position`, int64 [B], and how many agree with each."""
    label = candidates.gather(1, position[:, None])
    return Retrieved(label[:, 0], (candidates == label).sum(dim=1))


def label_shares(candidates: Tensor, n_classes: int) -> Tensor:
    """Share of each class among the candidates, float32 [B, K]; rows sum to one."""
    return one_hot(candidates, n_classes).float().mean(dim=1)
