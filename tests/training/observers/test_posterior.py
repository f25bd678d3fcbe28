"""Softmax outputs of every training sample."""

import numpy as np
import pytest
import torch

from pipeline.training.observers import Posterior, Sighted, posterior_address


def shown(rows, logits, n=4):
    """An epoch that saw some of n samples."""
    full, seen = torch.zeros(n, 3), torch.zeros(n, dtype=torch.bool)
    full[rows], seen[rows] = logits, True
    return Sighted(full, seen)


def test_a_posterior_keeps_what_was_seen_last_and_the_mean_of_what_was_seen(lab):
    posterior = Posterior(4, 3, torch.device("cpu"), keeps_last=True)
    first, second = torch.eye(3) * 2, torch.eye(3) * -1
    posterior.close_epoch(shown([0, 1], first[:2]))
    posterior.close_epoch(shown([1, 2], second[:2]))
    posterior.save("k")
    last, mean = (np.load(f"{posterior_address('k')}/{name}.npy") for name in ("last", "mean"))
    p, q = first.softmax(dim=1).numpy(), second.softmax(dim=1).numpy()
    third = np.full(3, 1 / 3)
    expected = {"last": [p[0], q[0], q[1], third], "mean": [p[0], (p[1] + q[0]) / 2, q[1], third]}
    np.testing.assert_allclose(last, expected["last"], rtol=1e-6)
    np.testing.assert_allclose(mean, expected["mean"], rtol=1e-6)


def test_without_the_last_ones_there_is_a_mean_and_no_file(lab):
    posterior = Posterior(4, 3, torch.device("cpu"), keeps_last=False)
    posterior.close_epoch(shown([0], torch.zeros(1, 3)))
    assert posterior.mean()[0].tolist() == pytest.approx([1 / 3] * 3)
    assert posterior.mean()[1:].isnan().all()
    with pytest.raises(ValueError, match="not kept"):
        posterior.save("k")
