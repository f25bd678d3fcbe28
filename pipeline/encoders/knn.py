"""Weighted vote of nearest neighbours: what an encoder's features are worth while it trains."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.encoders.neighbours import MAX_BYTES, nearest
from pipeline.errors import LabError


def weighted_knn(
    features: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    n_classes: int,
    *,
    k: int = 200,
    temperature: float = 0.5,
    max_bytes: int = MAX_BYTES,
) -> Tensor:
    """Votes exp(cosine / temperature) of the k most similar rows of a bank (arXiv 1805.01978).

    Args:
        features: floating [B, D].
        bank: floating [N, D].
        bank_labels: int64 [N], in [0, K).
        n_classes: K.
        k: voters, at most N.
        temperature: > 0; the smaller, the more the nearest decide.
        max_bytes: working memory of the search beside copies of the arguments.

    Returns:
        Sums of votes, float32 [B, K], on the device of the bank; the class is their argmax.

    Raises:
        LabError: for labels of another number, a temperature that is not positive, or what
            `neighbours.nearest` refuses.
    """
    if len(bank_labels) != len(bank):
        raise LabError(f"{len(bank_labels)} labels for a bank of {len(bank)}", "one label per row")
    if not temperature > 0:
        raise LabError(f"temperature = {temperature}", "temperature > 0")
    # Of rows of length 1, the most similar are the nearest: distance^2 = 2 - 2 cosine.
    queries, rows = normalize(features.float(), dim=1), normalize(bank.float(), dim=1)
    found = nearest(queries, rows, k, max_bytes=max_bytes)
    votes = ((1 - found.distance.square() / 2) / temperature).exp().float()
    scores = torch.zeros(len(features), n_classes, device=votes.device)
    return scores.scatter_add_(1, bank_labels.to(votes.device)[found.row], votes)
