"""Weighted vote of nearest neighbours: what an encoder's features are worth while it trains."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from pipeline.encoders.neighbours import MAX_BYTES, NeighbourSearch
from pipeline.errors import LabError


class NeighbourVote:
    """Votes exp(cosine / temperature) of the k most similar rows of a bank (arXiv 1805.01978).

    Args:
        bank: floating [N, D].
        labels: int64 [N], in [0, K).
        n_classes: K.
        k: voters, at most N.
        temperature: > 0; the smaller, the more the nearest decide.
        max_bytes: working memory of the search beside copies of the arguments.

    Raises:
        LabError: for labels of another number, a temperature that is not positive, or what
            `NeighbourSearch` refuses.
    """

    def __init__(
        self,
        bank: Tensor,
        labels: Tensor,
        n_classes: int,
        *,
        k: int = 200,
        temperature: float = 0.5,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        if len(labels) != len(bank):
            raise LabError(
                f"{len(labels)} labels for a bank of {len(bank)}",
                "one label per row",
                "the labels of the images that the bank holds",
            )
        if not temperature > 0:
            raise LabError(f"temperature = {temperature}", "temperature > 0", "--temperature 0.5")
        self.labels, self._n_classes, self._temperature = labels, n_classes, temperature
        # Of rows of length 1, the most similar are the nearest: distance^2 = 2 - 2 cosine.
        self.bank = normalize(bank.float(), dim=1)
        self._search = NeighbourSearch(self.bank, k, max_bytes=max_bytes)

    def __call__(self, features: Tensor) -> Tensor:
        """Sums of votes, float32 [B, K], of features [B, D]; the class is their argmax."""
        found = self._search.nearest(normalize(features.float(), dim=1))
        votes = ((1 - found.distance.square() / 2) / self._temperature).exp().float()
        scores = torch.zeros(len(features), self._n_classes, device=votes.device)
        return scores.scatter_add_(1, self.labels.to(votes.device)[found.row], votes)
