"""Mixing: shares and pairs that depend on what is mixed, and on no number of processes."""

import numpy as np
import pytest
import torch

from pipeline.training.gather import Gather
from pipeline.training.method import Batch
from pipeline.training.mixing import Mixing, beta_share, low_frequency_mask, mixed, random_partners
from tests.support.two_processes import on_processes

N, U = 9, 5
INDEX = torch.tensor([40, 3, 17, 8, 30, 1, 22, 11, 5])


def rows_of(index, view):
    return torch.sin(index[:, None].double() * (view + 1) + torch.arange(3.0))


def test_shares_are_draws_of_a_beta_distribution():
    draws = np.array([beta_share(seed, 4.0, at_least_half=False) for seed in range(2000)])
    # Beta(4, 4) has mean 1/2 and variance 1/36; three standard errors.
    assert abs(draws.mean() - 0.5) < 3 / 6 / 2000**0.5
    assert draws.var() == pytest.approx(1 / 36, rel=0.12)
    folded = [beta_share(seed, 4.0) for seed in range(50)]
    assert folded == [max(draw, 1 - draw) for draw in draws[:50]]


def test_partners_are_a_permutation_that_follows_the_keys():
    partners = random_partners(3, INDEX)
    assert sorted(partners.tolist()) == list(range(N))
    shuffled = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    again = random_partners(3, INDEX[shuffled])
    pairs = dict(zip(INDEX.tolist(), INDEX[partners].tolist(), strict=True))
    found = dict(zip(INDEX[shuffled].tolist(), INDEX[shuffled][again].tolist(), strict=True))
    assert found == pairs
    assert random_partners(4, INDEX).tolist() != partners.tolist()


def test_a_mixed_row_is_the_weighted_mean_of_both():
    batch = Batch((), INDEX, INDEX, seed=5)
    mixing = Mixing(batch.seed, 1.0, batch)
    (x,) = mixing(rows_of(INDEX, 0))
    (one_hot,) = mixing(torch.eye(N))
    assert 0.5 <= mixing.share <= 1
    torch.testing.assert_close(one_hot.sum(dim=1), torch.ones(N))
    # The targets tell the pairs; the inputs are mixed with the same.
    torch.testing.assert_close(x, one_hot.double() @ rows_of(INDEX, 0), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(mixed(torch.ones(2), torch.zeros(2), 0.7), torch.full((2,), 0.7))


def test_a_mask_says_which_pixels_are_whose():
    batch = Batch((), INDEX, INDEX, seed=5)
    mixing = Mixing(batch.seed, 1.0, batch, at_least_half=False)
    images = torch.arange(N * 1.0)[:, None, None, None].expand(N, 2, 4, 4)
    mask = torch.zeros(4, 4)
    mask[:2] = 1
    (found,) = mixing(images, mask=mask)
    (targets,) = mixing(torch.eye(N))
    partners = (targets - mixing.share * torch.eye(N)).argmax(dim=1)
    assert torch.equal(found[:, :, :2], images[:, :, :2])
    assert torch.equal(found[:, :, 2:], images[partners][:, :, 2:])
    assert torch.equal(mixing.of_all(torch.eye(N)), targets)


def test_masks_have_the_share_that_is_asked_for_and_few_pieces():
    for share in (0.0, 0.3, 0.7, 1.0):
        masks = [low_frequency_mask(seed, 32, 24, share) for seed in range(20)]
        assert {*torch.stack(masks).unique().tolist()} <= {0.0, 1.0}
        taken = [int(mask.sum()) for mask in masks]
        assert min(taken) >= int(share * 32 * 24)
        assert max(taken) <= int(share * 32 * 24) + 1
    # Neighbours that differ: about half of them, if pixels were drawn one by one.
    smooth, rough = (
        torch.stack([low_frequency_mask(seed, 32, 32, 0.5, decay) for seed in range(20)])
        for decay in (3.0, 0.0)
    )
    edges = [float((m.diff(dim=1) != 0).double().mean()) for m in (smooth, rough)]
    assert edges[0] < 0.1
    assert edges[1] == pytest.approx(0.5, abs=0.03)
    assert torch.equal(low_frequency_mask(3, 8, 8, 0.5), low_frequency_mask(3, 8, 8, 0.5))


def test_mixings_of_a_step_have_seeds_of_their_own():
    batch = Batch((), INDEX, INDEX, seed=5)
    shares = {Mixing(Mixing.named(batch, name), 4.0, batch).share for name in "ab"}
    assert len(shares) == 2


def test_a_sample_that_comes_twice_has_a_partner_for_each_turn():
    index = torch.tensor([7, 3, 7, 7, 5])
    batch = Batch((), index, index)
    for seed in range(20):
        (one_hot,) = Mixing(seed, 4.0, batch)(torch.eye(len(index)))
        torch.testing.assert_close(one_hot.sum(dim=0), torch.ones(len(index)))
    # Turns are told by their order among alike samples alone.
    shuffled = torch.tensor([1, 0, 4, 2, 3])
    moved = Batch((), index[shuffled], index[shuffled])
    whole, again = (Mixing(3, 4.0, b)(rows)[0] for b, rows in (
        (batch, torch.eye(len(index))), (moved, torch.eye(len(index))[shuffled])
    ))  # fmt: skip
    assert torch.equal(again, whole[shuffled])


def shared(rank, n_processes, repeated=False):
    """Rows of two views of one stream and one of another, mixed on one of several processes."""
    everyone = torch.where(INDEX > 20, 30, INDEX) if repeated else INDEX, INDEX[:U] + 100
    parts = []
    for index in everyone:
        counts = tuple(len(index[r::n_processes]) for r in range(n_processes))
        own = index[rank::n_processes]
        parts.append(Batch((), own, own, Gather(counts, rank)))
    first, second = parts
    mixing = Mixing(77, 4.0, first, first, second)
    return mixing.share, first.index, second.index, mixing(
        rows_of(first.index, 0), rows_of(first.index, 1), rows_of(second.index, 2)
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("n_processes", [2, 3])
def test_any_number_of_processes_mixes_the_same_rows(n_processes, repeated):
    share, _, _, expected = shared(0, 1, repeated)
    found = on_processes(n_processes, shared, n_processes, repeated)
    assert {one[0] for one in found} == {share}
    for part, whole in enumerate(expected):
        for rank, (_, _, _, rows) in enumerate(found):
            assert torch.equal(rows[part], whole[rank::n_processes])
