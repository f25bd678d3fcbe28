"""Labels drawn from neighbours, against the official code (snapshot 231e587, torch 2.15, CPU).

reference/lra_knn_reference.npz: prior [N, D] with prior_labels, query [M, D] with query_labels,
k, recorded position -> knn_index, knn_dist, sampled_label, weight, mean_label; the case precomputed
holds labels of the k + 1 nearest points of every point.
"""

import numpy as np
import pytest
import torch

from pipeline.diffusion.retrieval import candidates, label_shares, take
from pipeline.encoders.neighbours import nearest
from tests.support.paths import REFERENCES

ARRAYS = np.load(REFERENCES / "lra_knn_reference.npz")


def case(name):
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): torch.from_numpy(ARRAYS[key])
        for key in ARRAYS.files
        if key.startswith(prefix)
    }


@pytest.mark.parametrize("name", ["c10_k10_self", "c10_k10_aug", "c14_k20"])
def test_neighbours_labels_and_weights_equal_the_reference(name):
    given = case(name)
    found = nearest(given["query"], given["prior"], int(given["k"]))
    assert found.row.sort(dim=1).values.equal(given["knn_index"].sort(dim=1).values)
    torch.testing.assert_close(found.distance.float(), given["knn_dist"], atol=2e-2, rtol=0)
    options = candidates(given["prior_labels"][found.row], given["query_labels"])
    shares = label_shares(options, int(given["n_class"]))
    torch.testing.assert_close(shares, given["mean_label"])
    # Positions were recorded for the official order of the neighbours.
    official = candidates(given["prior_labels"][given["knn_index"]], given["query_labels"])
    drawn = take(official, given["position"])
    assert drawn.label.equal(given["sampled_label"])
    weight = drawn.n_agree / drawn.n_agree.sum()
    torch.testing.assert_close(weight, given["weight"], rtol=1e-6, atol=0)


def test_a_table_that_holds_the_own_label_equals_the_reference():
    given = case("precomputed")
    found = nearest(given["features"], given["features"], int(given["k"]) + 1)
    labels = given["labels"][found.row]
    assert labels.equal(given["neighbours"].long())
    drawn = take(candidates(labels[given["indices"]], None), given["position"])
    assert drawn.label.equal(given["sampled_label"])
    weight = drawn.n_agree / drawn.n_agree.sum()
    torch.testing.assert_close(weight, given["weight"], rtol=1e-6, atol=0)


def test_the_published_example():
    bank = torch.tensor([[0, 0], [0.1, 0], [0.25, 0], [5, 5], [5.1, 5], [5.25, 5]])
    labels = torch.tensor([0, 0, 1, 2, 2, 0])
    options = candidates(labels[nearest(bank, bank, 2).row], labels)
    expected = [[0, 0, 0], [0, 0, 0], [0, 1, 1], [2, 2, 2], [2, 2, 2], [0, 0, 2]]
    assert options.sort(dim=1).values.tolist() == expected
    drawn = take(options, torch.full((6,), 2))
    assert drawn.label.equal(labels)
    weight = drawn.n_agree / drawn.n_agree.sum()
    assert weight.tolist() == [0.1875, 0.1875, 0.125, 0.1875, 0.1875, 0.125]


def test_labels_are_drawn_by_their_share():
    options = torch.tensor([[0, 1, 1, 2, 2, 2, 2]])
    n = 100_000
    position = torch.randint(7, (n,), generator=torch.Generator().manual_seed(0))
    drawn = take(options.expand(n, -1), position)
    share = drawn.label.bincount(minlength=3) / n
    p = label_shares(options, 3)[0]
    assert p.tolist() == pytest.approx([1 / 7, 2 / 7, 4 / 7])
    assert ((share - p).abs() <= 3 * (p * (1 - p) / n).sqrt()).all()
    assert drawn.n_agree.equal(torch.tensor([1, 2, 4])[drawn.label])
    # Consensus dominates: expected weight of a class grows with the square of its count.
    mass = torch.zeros(3).scatter_add_(0, drawn.label, drawn.n_agree / drawn.n_agree.sum())
    torch.testing.assert_close(mass, torch.tensor([1, 4, 16]) / 21, atol=0.01, rtol=0)
