"""Weighted vote of neighbours, beside that of the official RRR code."""

import pytest
import torch

from pipeline.encoders.knn import NeighbourVote
from pipeline.errors import LabError
from tests.support.rrr_cases import VIEWS


@pytest.mark.parametrize("case", ["knn", "knn_k5"])
def test_weighted_neighbours_equal_the_reference(case: str) -> None:
    bank, labels, query, truth = (
        torch.from_numpy(VIEWS[f"{case}.{name}"])
        for name in ("bank", "bank_labels", "query", "query_labels")
    )
    k, temperature = int(VIEWS[f"{case}.k"]), float(VIEWS[f"{case}.temperature"])
    n_classes = int(labels.max()) + 1
    vote = NeighbourVote(bank, labels, n_classes, k=k, temperature=temperature, max_bytes=2**16)
    scores = vote(3 * query)
    assert vote(3 * query).equal(scores)
    ranked = scores.argsort(dim=1, descending=True)
    for top in (1, 5):
        hits = (ranked[:, :top] == truth[:, None]).any(dim=1).double().mean()
        assert 100 * hits.item() == pytest.approx(float(VIEWS[f"{case}.top{top}"]))
    cosine = query.double() @ bank.double().T
    nearest = cosine.topk(k, dim=1)
    votes = torch.nn.functional.one_hot(labels[nearest.indices], n_classes)
    expected = ((nearest.values / temperature).exp()[:, :, None] * votes).sum(1)
    torch.testing.assert_close(scores, expected.float(), rtol=1e-5, atol=1e-6)


def test_weighted_neighbours_refuse_what_does_not_fit() -> None:
    bank, labels = torch.eye(3), torch.arange(3)
    with pytest.raises(LabError, match="one label per row"):
        NeighbourVote(bank, labels[:2], 3, k=1)
    with pytest.raises(LabError, match="temperature > 0"):
        NeighbourVote(bank, labels, 3, k=1, temperature=0)
