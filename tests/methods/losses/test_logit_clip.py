"""Logits of bounded norm, under any loss."""

import math

import pytest
import torch

from methods import losses
from pipeline.errors import LabError
from tests.support.losses_cases import evaluate, wave

PAIRS = [(1.0, 1.0), (1.5, 1 / 1.5), (1 / 1.5, 1.5), (10.0, 3.0)]


@pytest.mark.parametrize(("threshold", "length"), PAIRS)
def test_what_is_longer_than_the_threshold_gets_the_length(threshold, length):
    logits = wave(10, 4)[0].double() * torch.linspace(0, 2, 8).double()[:, None]
    found = losses.clipped_logits(logits, threshold=threshold, length=length)
    norms, cut = logits.norm(dim=1), logits.norm(dim=1) > threshold
    assert cut.any()
    assert not cut.all()
    assert torch.equal(found[~cut], logits[~cut])
    # eps, 1e-7, is part of the norm that is divided by.
    torch.testing.assert_close(
        found[cut], logits[cut] * (length / norms[cut])[:, None], rtol=1e-6, atol=0
    )
    assert found.norm(dim=1).max() <= max(threshold, length)


def test_an_infinite_threshold_clips_nothing():
    logits = wave(10, 40)[0]
    found = losses.clipped_logits(logits, threshold=math.inf, length=1)
    assert torch.equal(found, logits)


def test_the_gradient_of_clipped_logits_is_across_them():
    logits, y = wave(10, 4)
    gradient = evaluate(clipped_ce, logits.double(), y)[1]
    along = (gradient * logits).sum(1)
    assert gradient.norm(dim=1).min() > 0
    assert along.abs().max() < 1e-7


def clipped_ce(logits, y):
    return losses.ce(losses.clipped_logits(logits, threshold=1, length=1), y)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_any_logits_give_finite_values_and_gradients(dtype):
    for scale in (0.0, 1e-3, 1.0, 50.0, 6e4):
        logits, y = wave(10, scale)
        value, gradient = evaluate(clipped_ce, logits.to(dtype), y)
        assert value.dtype == torch.float32
        assert value.isfinite()
        assert gradient.isfinite().all()


def test_autocast_changes_nothing():
    logits, y = wave(10, 4)
    outside = evaluate(clipped_ce, logits, y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = evaluate(clipped_ce, logits, y)
    assert all(torch.equal(a, b) for a, b in zip(outside, inside, strict=True))


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"threshold": 0, "length": 1}, "threshold > 0"),
        ({"threshold": 1, "length": math.inf}, "length > 0"),
        ({"threshold": 1, "length": 1, "p": 0.5}, "p >= 1"),
        ({"threshold": 1, "length": 1, "eps": 0}, "eps > 0"),
    ],
)
def test_parameters_outside_their_domain(parameters, complaint):
    with pytest.raises(LabError, match=complaint):
        losses.clipped_logits(wave(10, 4)[0], **parameters)
