"""Schedules of losses, complementary labels and class weights."""

import math
from fractions import Fraction

import pytest
import torch

from methods import losses
from pipeline.errors import LabError


@pytest.mark.parametrize(
    ("n_epochs", "q_start", "q_end"), [(150, "0.6", "1.5"), (250, "0.4", "1.5")]
)
def test_dal_schedule_is_the_published_one(n_epochs: int, q_start: str, q_end: str) -> None:
    first, last = Fraction(q_start), Fraction(q_end)
    crossing = n_epochs * (1 - first) / (last - first)
    for epoch in range(n_epochs):
        q, weight = losses.dal_schedule(epoch, n_epochs, float(first), float(last))
        assert q == pytest.approx(float(first + (last - first) * epoch / n_epochs), abs=1e-12)
        expected = max(Fraction(0), (epoch - crossing) / (n_epochs - crossing))
        assert weight == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(
    ("epoch", "n_epochs", "q_start", "q", "weight"),
    [
        (66, 150, 0.6, 0.996, 0.0),
        (67, 150, 0.6, 1.002, 0.004),
        (100, 150, 0.6, 1.2, 0.4),
        (149, 150, 0.6, 1.494, 0.988),
        (136, 250, 0.4, 0.9984, 0.0),
        (137, 250, 0.4, 1.0028, 0.0056),
        (200, 250, 0.4, 1.28, 0.56),
        (249, 250, 0.4, 1.4956, 0.9912),
    ],
)
def test_dal_schedule_in_single_epochs(
    epoch: int, n_epochs: int, q_start: float, q: float, weight: float
) -> None:
    found = losses.dal_schedule(epoch, n_epochs, q_start, 1.5)
    assert found == pytest.approx((q, weight), abs=1e-12)


def test_sr_schedule_multiplies_once_per_epoch() -> None:
    assert losses.sr_schedule(0, 8.0, 1.02) == 8.0
    assert losses.sr_schedule(149, 8.0, 1.02) == pytest.approx(152.93806, abs=1e-5)
    assert losses.sr_schedule(249, 2.0, 1.02) == pytest.approx(276.9955323, abs=1e-7)


@pytest.mark.parametrize(
    ("q_start", "q_end"), [(0.6, 0.9), (0.6, 1.0), (1.2, 1.5), (1.2, 1.2), (1.5, 0.6), (1.0, 1.0)]
)
def test_a_schedule_that_does_not_rise_through_one(q_start: float, q_end: float) -> None:
    with pytest.raises(LabError, match="q_start < 1 < q_end"):
        losses.dal_schedule(0, 20, q_start, q_end)
    for epoch in range(20):
        q, weight = losses.dal_schedule(epoch, 20, q_start, q_end, strict=False)
        assert 0 <= weight <= 1
        assert (weight > 0) == (q > 1)


def test_the_lenient_schedule_keeps_the_published_weights() -> None:
    assert losses.dal_schedule(0, 20, 1.2, 1.5, strict=False)[1] == pytest.approx(0.4, abs=1e-12)
    for epoch in range(20):
        strict = losses.dal_schedule(epoch, 20, 0.6, 1.5)
        assert losses.dal_schedule(epoch, 20, 0.6, 1.5, strict=False) == strict


def test_complementary_labels_hit_every_other_class_alike() -> None:
    n_classes = 7
    y = torch.arange(n_classes)
    uniform = (torch.arange(2 * (n_classes - 1)) + 0.5).expand(n_classes, -1) / (2 * n_classes - 2)
    found = losses.complementary_labels(uniform, y, n_classes)
    for label, drawn in zip(y.tolist(), found, strict=True):
        counts = torch.bincount(drawn, minlength=n_classes).tolist()
        assert counts == [0 if other == label else 2 for other in range(n_classes)]


@pytest.mark.parametrize("n_classes", [2, 10, 100, 1000])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_complementary_labels_at_the_ends_of_the_interval(
    dtype: torch.dtype, n_classes: int
) -> None:
    # 1.0 is what rounding a draw to a shorter type can make of it.
    ends = torch.tensor([[0.0, 1 - torch.finfo(dtype).eps / 2, 1.0]], dtype=dtype)
    found = losses.complementary_labels(ends, torch.tensor([1]), n_classes)
    assert found.tolist() == [[2 % n_classes, 0, 0]]


def test_class_weights_of_a_class_without_samples() -> None:
    found = losses.class_weights(torch.tensor([4, 0, 1]))
    assert torch.equal(found, torch.tensor([1.0, 0.0, 4.0]))


def test_schedules_and_draws_refuse_what_does_not_fit() -> None:
    y = torch.zeros(2, dtype=torch.long)
    for epoch in (-1, 20):
        with pytest.raises(LabError, match="0 <= epoch < n_epochs"):
            losses.dal_schedule(epoch, 20, 0.6, 1.5)
    with pytest.raises(LabError, match="q_start > 0"):
        losses.dal_schedule(0, 20, 0.0, 1.5, strict=False)
    with pytest.raises(LabError, match="q_end > 0"):
        losses.dal_schedule(0, 20, 0.6, math.nan, strict=False)
    with pytest.raises(LabError, match="growth > 0"):
        losses.sr_schedule(0, 8, 0)
    with pytest.raises(LabError, match="initial >= 0"):
        losses.sr_schedule(0, -8, 1.02)
    with pytest.raises(LabError, match="epoch >= 0"):
        losses.sr_schedule(-1, 8, 1.02)
    with pytest.raises(LabError, match="n_classes >= 2"):
        losses.complementary_labels(torch.zeros(2, 1), y, 1)
    with pytest.raises(LabError, match="N >= 1"):
        losses.complementary_labels(torch.zeros(2, 0), y, 10)
