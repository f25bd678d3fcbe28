"""Sets by thresholds of their own, at their edges; trainings with them: tests/methods/test_disc.py.

reference/disc_reference.npz, `gce`: the loss of hard samples and its gradient.
"""

import pytest
import torch

from methods.losses.robust import gce
from methods.objectives.dynamic_selection import (
    GCE_CLAMP,
    GCE_Q,
    divided,
    moved_threshold,
    of_clean_and_hard,
)
from pipeline.errors import LabError
from tests.support.reference_arrays import case_of


def sets_of(weak, strong, y, *thresholds, sigma):
    rows = [torch.tensor([values]) for values in (weak, strong)]
    taus = [torch.tensor([tau]) for tau in thresholds]
    found = divided(
        *rows, torch.tensor([y]), weak_threshold=taus[0], strong_threshold=taus[1], sigma=sigma
    )
    names = [name for name in ("clean", "hard", "corrected") if bool(getattr(found, name))]
    return names, int(found.predicted)


@pytest.mark.parametrize(
    ("weak", "strong", "sigma", "expected"),
    [
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], 0.5, ["clean"]),
        ([0.5, 0.5, 0.0], [0.25, 0.75, 0.0], 0.5, ["hard"]),
        ([0.25, 0.75, 0.0], [0.5, 0.5, 0.0], 0.0, ["hard"]),
        # As sure as the threshold is not surer.
        ([0.25, 0.75, 0.0], [0.25, 0.75, 0.0], 0.5, []),
        ([0.25, 0.75, 0.0], [0.25, 0.75, 0.0], 0.375, ["corrected"]),
        # No correction asks for more than 0.99.
        ([0.0, 1.0, 0.0], [0.0, 1.0, 0.0], 1.0, ["corrected"]),
        ([0.0, 0.98, 0.02], [0.0, 0.98, 0.02], 1.0, []),
    ],
)
def test_a_sample_is_in_at_most_one_set(weak, strong, sigma, expected):
    assert sets_of(weak, strong, 0, 0.25, 0.25, sigma=sigma)[0] == expected


def test_the_corrected_class_is_that_of_the_mean_of_both_views():
    # The weak view's own is 1, the strong one's 2.
    weak, strong = [0.0, 0.5, 0.5], [0.0, 0.25, 0.75]
    assert sets_of(weak, strong, 0, 0.1, 0.1, sigma=0.25) == (["corrected"], 2)


def test_thresholds_follow_the_largest_probability():
    p = torch.tensor([[0.2, 0.8], [0.6, 0.4]])
    found = moved_threshold(torch.tensor([0.0, 1.0]), p, momentum=0.75)
    torch.testing.assert_close(found, torch.tensor([0.2, 0.9]))


def test_the_loss_of_hard_samples_is_that_of_the_official_code():
    case = case_of("disc", "gce")
    logits = case["logits"].requires_grad_()
    loss = gce(logits, case["labels"], q=GCE_Q, clamp=GCE_CLAMP)
    loss.backward()
    assert float(loss.detach()) == pytest.approx(case["loss"], rel=1e-6)
    torch.testing.assert_close(logits.grad, case["grad"], rtol=1e-6, atol=1e-9)


def test_the_loss_is_a_mean_over_the_whole_batch():
    stream = torch.Generator().manual_seed(0)
    weak, strong = torch.randn(2, 6, 3, generator=stream)
    y, clean = torch.arange(6) % 3, torch.tensor([1, 1, 0, 0, 0, 0]).bool()
    hard = torch.tensor([0, 0, 1, 0, 0, 0]).bool()
    found = of_clean_and_hard(weak, strong, y, clean=clean, hard=hard, hard_weight=0.5)
    expected = torch.zeros(())
    for logits in (weak, strong):
        ce = torch.nn.functional.cross_entropy(logits[clean], y[clean])
        of_hard = gce(logits[hard], y[hard], q=GCE_Q, clamp=GCE_CLAMP)
        expected = expected + 2 / 6 * ce + 0.5 * 1 / 6 * of_hard
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_outside_its_range_is_refused(momentum):
    with pytest.raises(LabError, match="0 <= momentum < 1"):
        moved_threshold(torch.ones(1), torch.ones(1, 2), momentum=momentum)
