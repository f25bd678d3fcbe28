"""Perturbed and corrected targets, against reference numbers and by their properties.

reference/sln_reference.npz holds inputs and outputs of the official SLN code (snapshot 6a10a31,
torch 2.15, CPU), under these names:
  loss.CASE.{logits, labels, sigma, noise, target, loss64, loss32, grad64}, and loss.soft.{logits,
  target, loss} with a target [24, 10] that is no one-hot label plus noise;
  correction.{c10, c100}.{cifar, cloth}.{noisy, eE.ema_logits, eE.weight, eE.target}: two epochs E
  of correction, targets rounded to float32, `cifar` with hard and `cloth` with soft predictions;
  train.MODEL.*: three steps of training with averaged weights (test_training_averaging.py), there
  too train.ema_* and, of the official LRA-Diffusion code, ema.*.
"""

import pytest
import torch

from methods import losses
from pipeline.data.randomness import sample_normals
from pipeline.errors import LabError
from tests.support.sln_cases import REFERENCE, reference

PREDICTED = torch.tensor(
    [
        [0.9, 0.05, 0.03, 0.02],
        [0.6, 0.2, 0.1, 0.1],
        [0.25, 0.25, 0.3, 0.2],
        [0.97, 0.01, 0.01, 0.01],
    ]
)
GIVEN = torch.arange(4)


@pytest.mark.parametrize("case", ["c10_s10", "c10_s05", "c10_s0", "c100_s02"])
def test_perturbed_targets_loss_and_gradient_equal_the_reference(case):
    at = f"loss.{case}."
    y, noise, sigma = (
        reference(at + "labels"),
        reference(at + "noise"),
        float(REFERENCE[at + "sigma"]),
    )
    target = losses.perturbed_targets(y, noise, sigma=sigma)
    torch.testing.assert_close(target, reference(at + "target"), rtol=0, atol=1e-6)
    for dtype, tolerance in ((torch.float64, 1e-6), (torch.float32, 1e-5)):
        logits = reference(at + "logits").to(dtype).requires_grad_()
        loss = losses.ce(logits, target)
        loss.backward()
        expected = float(REFERENCE[f"{at}loss{64 if dtype == torch.float64 else 32}"])
        assert float(loss.detach()) == pytest.approx(expected, rel=tolerance)
        gradient = reference(at + "grad64")
        assert (logits.grad - gradient).abs().max() <= tolerance * gradient.abs().max()


def test_cross_entropy_of_soft_targets_equals_the_reference():
    logits, target = reference("loss.soft.logits").float(), reference("loss.soft.target")
    expected = float(REFERENCE["loss.soft.loss"])
    assert float(losses.ce(logits, target)) == pytest.approx(expected, rel=1e-6)
    assert float(losses.ce(logits, target.float())) == pytest.approx(expected, rel=1e-6)


def test_the_noise_of_the_gradient_has_mean_zero_and_the_published_covariance():
    # Eq.: sigma (s p - z) with s the sum of z; covariance sigma^2 (K p p' - p 1' - 1 p' + I).
    n, n_classes, sigma = 200_000, 5, 0.5
    logits = torch.tensor([0.3, -1.0, 0.5, 0.0, 1.2])
    y = torch.full((n,), 2)
    rows = logits.expand(n, -1).clone().requires_grad_()
    noise = sample_normals(7, torch.arange(n), n_classes)
    losses.ce(
        rows, losses.perturbed_targets(y, noise, sigma=sigma), reduction="none"
    ).sum().backward()
    p = logits.softmax(0)
    own = (rows.grad - (p - torch.nn.functional.one_hot(y[0], n_classes))) / sigma
    expected = n_classes * torch.outer(p, p) - p[:, None] - p + torch.eye(n_classes)
    # Five standard deviations of a mean and of a covariance of n draws.
    assert (own.mean(0).abs() < 5 * (expected.diag() / n).sqrt()).all()
    assert (own.T.cov() - expected).abs().max() < 5 * 2**0.5 * float(expected.diag().max()) / n**0.5


def test_noise_may_make_the_loss_negative():
    target = losses.perturbed_targets(torch.tensor([0]), torch.tensor([[0.0, -40.0]]), sigma=1.0)
    assert target.tolist() == [[1.0, -40.0]]
    assert losses.ce(torch.zeros(1, 2), target) < 0


@pytest.mark.parametrize(
    ("case", "pseudo_labels"),
    [("c10.cifar", "hard"), ("c100.cifar", "hard"), ("c10.cloth", "soft")],
)
def test_corrected_targets_equal_the_reference_over_two_epochs(case, pseudo_labels):
    y, current = reference(f"correction.{case}.noisy").long(), None
    for epoch in ("e0", "e1"):
        at = f"correction.{case}.{epoch}."
        target = losses.corrected_targets(
            reference(at + "ema_logits"), y, current=current, pseudo_labels=pseudo_labels
        )
        torch.testing.assert_close(target, reference(at + "target"), rtol=0, atol=1e-5)
        # The CIFAR script takes the loss of the second epoch against the targets of the first.
        current = target if pseudo_labels == "hard" else None


def test_the_weights_of_a_worked_example():
    values = losses.ce(PREDICTED.log(), GIVEN, reduction="none")
    assert values.tolist() == pytest.approx([0.10536, 1.60944, 1.20397, 4.60517], abs=1e-5)
    weights = [0, 0.334254, 0.244146, 1]
    assert losses.relative_losses(values).tolist() == pytest.approx(weights, abs=1e-6)
    hard = losses.corrected_targets(PREDICTED.log(), GIVEN)
    assert hard[1].tolist() == pytest.approx([0.665746, 0.334254, 0, 0], abs=1e-6)
    # The sample of the largest loss keeps its label, though the network is sure of another one.
    assert hard[[0, 2, 3]].argmax(1).tolist() == [0, 2, 3]
    soft = losses.corrected_targets(PREDICTED.log(), GIVEN, pseudo_labels="soft")
    assert soft[1].tolist() == pytest.approx([0.399448, 0.467403, 0.066575, 0.066575], abs=1e-6)
    assert soft[2].tolist() == pytest.approx([0.188963, 0.188963, 0.470902, 0.151171], abs=1e-6)


def drawn(n, n_classes, seed):
    stream = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(n, n_classes, generator=stream)
    return logits, torch.randint(n_classes, (n,), generator=stream)


@pytest.mark.parametrize("pseudo_labels", ["hard", "soft"])
@pytest.mark.parametrize(("n", "n_classes"), [(1, 2), (2, 3), (50, 7), (300, 100)])
def test_corrected_targets_are_distributions_between_label_and_prediction(
    n, n_classes, pseudo_labels
):
    logits, y = drawn(n, n_classes, seed=n)
    target = losses.corrected_targets(logits, y, pseudo_labels=pseudo_labels)
    torch.testing.assert_close(target.sum(1), torch.ones(n))
    assert (target >= 0).all()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    shuffled = losses.corrected_targets(logits[order], y[order], pseudo_labels=pseudo_labels)
    torch.testing.assert_close(shuffled, target[order])
    values = losses.ce(logits, y, reduction="none")
    one_hot = torch.nn.functional.one_hot(y, n_classes).float()
    if n > 1:
        assert torch.equal(target[values.argmax()], one_hot[values.argmax()])
    predicted = logits[values.argmin()].softmax(0)
    if pseudo_labels == "hard":
        predicted = torch.nn.functional.one_hot(predicted.argmax(), n_classes).float()
    torch.testing.assert_close(target[values.argmin()], predicted)


@pytest.mark.parametrize("n", [1, 4])
def test_where_all_losses_are_equal_every_target_is_the_prediction(n):
    logits, y = torch.tensor([[2.0, 0.0, 1.0]]).repeat(n, 1), torch.full((n,), 1)
    target = losses.corrected_targets(logits, y)
    assert target.tolist() == [[1.0, 0.0, 0.0]] * n


def test_half_precision_is_raised_and_no_gradient_flows():
    logits, y = drawn(20, 5, seed=1)
    half = logits.half().requires_grad_()
    target = losses.corrected_targets(half, y, current=torch.full((20, 5), 0.2))
    assert target.dtype == torch.float32
    assert not target.requires_grad
    raised = losses.corrected_targets(logits.half().float(), y, current=torch.full((20, 5), 0.2))
    assert torch.equal(target, raised)


def test_what_does_not_fit_is_refused():
    logits, y = drawn(3, 4, seed=0)
    for call, said in (
        (lambda: losses.perturbed_targets(y, torch.zeros(3, 4), sigma=-1.0), "sigma >= 0"),
        (lambda: losses.perturbed_targets(y[:2], torch.zeros(3, 4), sigma=1.0), "noise"),
        (lambda: losses.corrected_targets(logits, y, pseudo_labels="sof"), "try: soft"),
        (lambda: losses.corrected_targets(logits, y, current=torch.zeros(3, 5)), "y"),
        (lambda: losses.corrected_targets(logits[:0], y[:0]), "N >= 1"),
    ):
        with pytest.raises(LabError, match=said):
            call()
