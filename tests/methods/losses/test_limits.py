"""Losses: identities, precision, extreme logits, and what they refuse."""

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from methods import losses
from pipeline.errors import LabError
from tests.support.active_losses_cases import ACTIVE_DEFAULTS
from tests.support.losses_cases import DEFAULTS, Loss, evaluate, wave

EVERY: dict[str, Loss] = {
    **DEFAULTS,
    **ACTIVE_DEFAULTS,
    "dal_hard": partial(losses.dal, q=1.2, bootstrap_weight=0.4, bootstrap="hard"),
}


def nlnl_for(n_classes: int, batch: int) -> Loss:
    """`nlnl` with as many labels as classes, and one class that no sample has."""
    y = torch.arange(batch) % (n_classes - 1)
    uniform = torch.rand(batch, n_classes, generator=torch.Generator().manual_seed(0))
    weights = losses.class_weights(torch.bincount(y, minlength=n_classes))
    complementary = losses.complementary_labels(uniform, y, n_classes)
    return partial(losses.nlnl, y_complementary=complementary, weights=weights)


def test_orders_and_exponents_of_one_are_the_absolute_error() -> None:
    logits, y = wave(10, 4)
    expected = losses.mae(logits.double(), y)
    assert torch.allclose(losses.tce(logits.double(), y, t=1), expected, atol=1e-14)
    assert torch.allclose(losses.gce(logits.double(), y, q=1), expected, atol=1e-14)


def test_limits_are_cross_entropy() -> None:
    logits, y = wave(10, 1)
    z, ce = logits.double(), losses.ce(logits.double(), y)
    assert torch.allclose(losses.gce(z, y, q=1e-7), ce, rtol=1e-6)
    assert torch.allclose(losses.tce(z, y, t=5000), ce, rtol=1e-6)
    assert torch.allclose(losses.js(z, y, pi=1e-9), ce, rtol=1e-6)


def test_dal_without_bootstrap_is_gce() -> None:
    logits, y = wave(100, 40)
    dal = losses.dal(logits, y, q=1.3, bootstrap_weight=0)
    assert torch.equal(dal, losses.gce(logits, y, q=1.3))


def test_composites_are_weighted_sums() -> None:
    z, y = wave(10, 4)
    ce, rce, nce = losses.ce(z, y), losses.rce(z, y), losses.nce(z, y)
    agce = losses.agce(z, y, a=2, q=1.5)
    assert torch.allclose(losses.sce(z, y, alpha=2, beta=3), 2 * ce + 3 * rce)
    assert torch.allclose(losses.nce_and_rce(z, y, alpha=2, beta=3), 2 * nce + 3 * rce)
    both = losses.nce_and_agce(z, y, alpha=2, beta=3, a=2, q=1.5)
    assert torch.allclose(both, 2 * nce + 3 * agce)


@pytest.mark.parametrize("scale", [0.01, 1, 4, 40])
def test_normalised_cross_entropy_lies_in_the_unit_interval(scale: float) -> None:
    each = losses.nce(*wave(10, scale), reduction="none")
    assert ((each >= 0) & (each <= 1)).all()


def test_sparse_regularisation_ignores_the_length_of_logits() -> None:
    logits, y = wave(10, 4)
    loss = partial(DEFAULTS["sr"], y=y, reduction="none")
    for factor in (1e-6, 7.0):
        assert torch.allclose(loss(logits), loss(logits * factor), rtol=1e-6)


@pytest.mark.parametrize("name", ["gce", "tce", "dal"])
def test_a_label_below_the_clamp_passes_no_gradient_from_the_fitting_term(name: str) -> None:
    logits, y = torch.tensor([[0.0, 20.0, -20.0]]), torch.tensor([2])
    loss = partial(losses.dal, q=1.2, bootstrap_weight=0) if name == "dal" else DEFAULTS[name]
    assert torch.equal(evaluate(loss, logits, y)[1], torch.zeros(1, 3))
    assert evaluate(losses.ce, logits, y)[1].abs().max() > 0.9


def test_a_certain_prediction_of_a_complementary_label_costs_a_bounded_amount() -> None:
    parameters = {"y_complementary": torch.tensor([[0]]), "weights": torch.ones(3)}
    logits = torch.tensor([[20.0, 0.0, 0.0]])
    value, gradient = evaluate(losses.nlnl, logits, torch.tensor([1]), **parameters)
    assert value.item() == pytest.approx(-math.log(1e-5))
    assert torch.equal(gradient, torch.zeros(1, 3))


@pytest.mark.parametrize("name", EVERY)
def test_the_mean_is_that_of_the_samples(name: str) -> None:
    logits, y = wave(10, 4)
    each = EVERY[name](logits, y, reduction="none")
    alone = [EVERY[name](logits[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    assert each.shape == y.shape
    assert torch.allclose(each, torch.stack(alone), rtol=1e-6)
    assert torch.allclose(each.mean(), EVERY[name](logits, y), rtol=1e-6)


def test_soft_targets_of_any_weights() -> None:
    logits, y = wave(10, 4)
    one_hot = torch.eye(10)[y]
    assert torch.allclose(losses.ce(logits, one_hot), losses.ce(logits, y))
    target = one_hot - 0.3 * torch.ones(10).double()
    expected = -(target * logits.log_softmax(1)).sum(1)
    assert torch.equal(losses.ce(logits, target, reduction="none"), expected)


def test_hard_bootstrap_of_a_certain_prediction_is_nothing() -> None:
    logits, y = torch.tensor([[60.0, 0.0, 0.0]]), torch.tensor([1])
    hard = losses.dal(logits, y, q=1.2, bootstrap_weight=1, bootstrap="hard")
    assert torch.equal(hard, losses.gce(logits, y, q=1.2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
@pytest.mark.parametrize("name", EVERY)
def test_half_precision_is_computed_in_single(name: str, dtype: torch.dtype) -> None:
    logits, y = wave(10, 4)
    half = logits.to(dtype)
    value, gradient = evaluate(EVERY[name], half, y)
    expected, expected_gradient = evaluate(EVERY[name], half.float(), y)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert torch.equal(gradient, expected_gradient.to(dtype))


@pytest.mark.parametrize("name", EVERY)
def test_autocast_changes_nothing(name: str) -> None:
    logits, y = wave(100, 4)
    outside = evaluate(EVERY[name], logits, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = evaluate(EVERY[name], logits, y)
    assert all(torch.equal(a, b) for a, b in zip(outside, inside, strict=True))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("n_classes", [2, 10, 100])
@pytest.mark.parametrize("name", [*EVERY, "nlnl"])
def test_extreme_logits_give_finite_values_and_gradients(
    name: str, n_classes: int, batch: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(1)
    signs = torch.randint(0, 2, (batch, n_classes), generator=generator) * 2.0 - 1
    spike = torch.full((batch, n_classes), -50.0)
    spike[:, 0] = 50
    equal = torch.full((batch, n_classes), 3.0)
    # Class n_classes - 1 has no sample.
    y = torch.arange(batch) % (n_classes - 1)
    loss = nlnl_for(n_classes, batch) if name == "nlnl" else EVERY[name]
    for logits in (50 * signs, spike, -spike, equal, 0 * equal):
        if name == "sr" and dtype == torch.float16 and not logits.any():
            continue  # Its gradient there, of order 1e12, is no number of half precision.
        value, gradient = evaluate(loss, logits.to(dtype), y)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("t2", [1.001, 1.01, 1.5, 4.0])
@pytest.mark.parametrize("t1", [-1.0, 0.0, 0.7, 0.999])
def test_bi_tempered_loss_is_finite_for_any_temperatures(t1: float, t2: float) -> None:
    logits = torch.tensor([[50.0, -50, 0], [-50, 50, 50], [1e4, 0, -1e4]])
    value, gradient = evaluate(partial(losses.btl, t1=t1, t2=t2), logits, torch.tensor([1, 0, 2]))
    assert value.isfinite()
    assert gradient.isfinite().all()


def test_bi_tempered_loss_approaches_cross_entropy_at_temperatures_of_one() -> None:
    logits, y = wave(10, 1)
    btl = losses.btl(logits.double(), y, t1=1 - 1e-5, t2=1 + 1e-5)
    # Five steps leave P with a sum other than 1, but at t2 = 1 the first one is exact.
    assert torch.allclose(btl, losses.ce(logits.double(), y), rtol=1e-4)


def test_negative_learning_sums_labels_and_weighs_by_given_class() -> None:
    logits, y = torch.zeros(2, 4), torch.tensor([0, 1])
    complementary = torch.tensor([[1, 1, 2], [0, 2, 3]])
    weights = torch.tensor([1.0, 5.0, 0.0, 0.0])
    each = losses.nlnl(logits, y, y_complementary=complementary, weights=weights, reduction="none")
    surprise = -3 * math.log(0.75)
    assert each.tolist() == pytest.approx([surprise, 5 * surprise])


@pytest.mark.parametrize(
    ("loss", "parameters", "complaint"),
    [
        (losses.gce, {"q": 0}, "q > 0"),
        (losses.gce, {"q": math.nan}, "q > 0"),
        (losses.dal, {"q": -1, "bootstrap_weight": 0.5}, "q > 0"),
        (losses.dal, {"q": 1, "bootstrap_weight": -0.5}, "bootstrap_weight >= 0"),
        (losses.dal, {"q": 1, "bootstrap_weight": 0, "bootstrap": "sof"}, "try: soft"),
        (losses.sce, {"alpha": -1, "beta": 1}, "alpha >= 0"),
        (losses.nce_and_rce, {"alpha": 1, "beta": math.inf}, "beta >= 0"),
        (losses.nce_and_agce, {"alpha": math.nan, "beta": 1, "a": 1, "q": 1}, "alpha >= 0"),
        (losses.nce_and_agce, {"alpha": 1, "beta": 1, "a": 0, "q": 1}, "a > 0"),
        (losses.agce, {"a": 1, "q": 0}, "q > 0"),
        (losses.tce, {"t": 0}, "whole number"),
        (losses.tce, {"t": 1.5}, "whole number"),
        (losses.js, {"pi": 0}, "0 < pi < 1"),
        (losses.js, {"pi": 1}, "0 < pi < 1"),
        (losses.btl, {"t1": 1, "t2": 1.5}, "t1 < 1 < t2"),
        (losses.btl, {"t1": 1.5, "t2": 0.7}, "t1 < 1 < t2"),
        (losses.sr, {"tau": 0, "p": 0.1, "weight": 1}, "tau > 0"),
        (losses.sr, {"tau": 1, "p": 0, "weight": 1}, "p > 0"),
        (losses.sr, {"tau": 1, "p": 0.1, "weight": -1}, "weight >= 0"),
        (losses.ce, {"reduction": "maen"}, "try: mean"),
    ],
)
def test_parameters_outside_their_domain(
    loss: Loss, parameters: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(LabError, match=complaint):
        loss(*wave(10, 4), **parameters)


def test_negative_learning_refuses_what_does_not_fit() -> None:
    logits, y = wave(10, 4)
    labels, weights = torch.zeros(8, 3, dtype=torch.long), torch.ones(10)
    for shape in ((8, 0), (7, 3), (8,)):
        wrong = torch.zeros(shape, dtype=torch.long)
        with pytest.raises(LabError, match="N >= 1"):
            losses.nlnl(logits, y, y_complementary=wrong, weights=weights)
    with pytest.raises(LabError, match=r"weights \[10\]"):
        losses.nlnl(logits, y, y_complementary=labels, weights=weights[:9])


@pytest.mark.parametrize(
    ("logits_shape", "y"),
    [
        ((8, 10), torch.zeros(7, dtype=torch.long)),
        ((8, 10), torch.zeros(8, 10, dtype=torch.long)),
        ((8, 10), torch.zeros(8)),
        ((8, 1), torch.zeros(8, dtype=torch.long)),
        ((10,), torch.zeros(10, dtype=torch.long)),
    ],
)
def test_shapes_that_do_not_belong_together(logits_shape: tuple[int, ...], y: Tensor) -> None:
    with pytest.raises(LabError, match="logits"):
        losses.mae(torch.zeros(logits_shape), y)
