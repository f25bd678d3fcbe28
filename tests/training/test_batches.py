"""Steps of an epoch: shares of the processes, and partners drawn independently of the batch."""

import numpy as np
import pytest
import torch

from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.training.batches import (
    TrainSamples,
    batches_of_steps,
    check_batch_size,
    steps_of_epoch,
)
from pipeline.training.method import Method
from tests.support.share import Share

N = 23
Y = torch.arange(N) % 4


class Positions:
    """Images that show where they come from: their position and the seed of the view."""

    def batches(self, requests, views, seeds):
        """One row of positions and one of seeds per view."""
        for index in requests:
            yield tuple(torch.stack([index, index * 0 + seed % 1000]) for seed in seeds)


def steps(rank=0, n_processes=1, epoch=0, partners=True, **values):
    settings = RunSettings(batch_size=5, **values)
    return steps_of_epoch(settings, epoch, Y, Share(rank, n_processes), partners)


def test_partners_visit_every_sample_once_in_orders_of_their_own():
    for epoch in range(3):
        found = steps(epoch=epoch)
        images, labels = torch.cat([step.partners for step in found], dim=1)
        samples = torch.cat([step.samples for step in found])
        orders = {tuple(order.tolist()) for order in (samples, images, labels)}
        assert len(orders) == 3
        assert all(sorted(order) == list(range(N)) for order in orders)
        alone = torch.cat([step.samples for step in steps(epoch=epoch, partners=False)])
        assert torch.equal(samples, alone)


def test_images_and_labels_of_partners_are_independent():
    pairs = np.zeros((2, N, N))
    for epoch in range(400):
        for step in steps(epoch=epoch):
            images, labels = step.partners.numpy()
            np.add.at(pairs[0], (images, labels), 1)
            np.add.at(pairs[1], (step.samples.numpy(), images), 1)
    # Counts of 400 independent draws per sample: mean 400 / 23, all pairs alike.
    for counts in pairs:
        chi_squared = ((counts - 400 / N) ** 2 / (400 / N)).sum()
        assert 380 < chi_squared < 590  # 484 degrees of freedom, three standard deviations


@pytest.mark.parametrize("values", [{}, {"drop_last": True}, {"sampling": "balanced"}])
def test_processes_share_samples_and_partners_alike(values):
    whole = steps(**values)
    parts = [steps(rank, 3, **values) for rank in range(3)]
    for step, *shares in zip(whole, *parts, strict=True):
        assert sum(share.weight for share in shares) == step.weight == step.n_samples
        for rank, share in enumerate(shares):
            if share.weight:
                assert torch.equal(share.samples, step.samples[rank::3])
                assert torch.equal(share.partners, step.partners[:, rank::3])
            assert len(share.samples) == share.partners.shape[1] >= 1


@pytest.mark.parametrize(
    ("n_processes", "values", "words"),
    [
        (3, {"batch_size": 64}, "batch_size 64 on 3 processes.*--batch-size 63"),
        (1, {"batch_size": 24, "drop_last": True}, "24 with drop_last.* 23 .*--batch-size 23 or"),
        (2, {"batch_size": 24, "drop_last": True}, "--batch-size 22 or --no-drop-last"),
        (32, {"batch_size": 32, "drop_last": True}, "try: --no-drop-last"),
        # Five samples have label 3: balanced epochs have 20.
        (1, {"batch_size": 21, "drop_last": True, "sampling": "balanced"}, "epoch has 20 samples"),
    ],
)
def test_a_batch_that_is_never_full_is_refused(n_processes, values, words):
    with pytest.raises(LabError, match=words):
        check_batch_size(RunSettings(**values), Y, n_processes)


def test_a_batch_that_is_full_once_or_may_be_smaller_is_fine():
    check_batch_size(RunSettings(batch_size=23, drop_last=True), Y, 1)
    check_batch_size(RunSettings(batch_size=512), Y, 2)


def test_a_batch_holds_views_of_its_samples_and_partners():
    index = torch.arange(N).flip(0)
    train = TrainSamples(Positions(), index, Y, None)
    method = Method()
    method.views, method.partner_views = ("weak", "strong"), ("weak",)
    found = steps()
    for step, batch in zip(
        found, batches_of_steps(found, method, train, 0, 7, Share(0, 1)), strict=True
    ):
        assert all(torch.equal(view[0], index[step.samples]) for view in batch.views)
        assert torch.equal(batch.y_noisy, Y[step.samples])
        assert torch.equal(batch.partners.views[0][0], index[step.partners[0]])
        assert torch.equal(batch.partners.y_noisy, Y[step.partners[1]])
        seeds = {int(view[1][0]) for view in (*batch.views, *batch.partners.views)}
        assert len(seeds) == 3
    method.partner_views = ()
    plain = steps(partners=False)
    assert all(
        batch.partners is None
        for batch in batches_of_steps(plain, method, train, 0, 7, Share(0, 1))
    )
