"""Weights of samples as methods use them: which losses they follow, when, and what is refused."""

import json

import pytest
import torch
from polars.testing import assert_frame_equal

from methods.elr import ElrSettings
from methods.parts.sample_weights import RrmSettings, SampleWeights
from methods.robust_loss import RobustLoss, RobustLossSettings
from pipeline.config.key_facts import key_facts
from pipeline.errors import LabError
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.runs import numbers, row, run

N = 10
ROWS = torch.arange(N)
Y = ROWS % 3
C = torch.linspace(0.1, 1.0, N)


def weights(**settings):
    return SampleWeights(RrmSettings(rrm=True, **settings), N)


def batch_of(rows):
    return Batch((), rows, rows)


def epoch(number):
    return Context("toy", frozenset(), Y, None, 3, 9, 0, torch.empty, epoch=number)


def test_a_mean_is_weighted_by_the_weights_before_and_its_losses_make_the_next():
    own = weights(rrm_rate=0.2)
    assert float(own.mean(C, batch_of(ROWS))) == pytest.approx(float(C.mean()))
    own.epoch_end(epoch(0))
    # The two largest give their weight to the smallest.
    expected = torch.tensor([3.0, 1, 1, 1, 1, 1, 1, 1, 0, 0]).double()
    torch.testing.assert_close(own.relative, expected)
    assert float(own.scalars()["rrm_left_out"]) == pytest.approx(0.2)
    assert float(own.mean(C, batch_of(ROWS))) == pytest.approx(float((expected * C).mean()))


def test_weights_are_renewed_every_so_many_epochs():
    own = weights(rrm_gamma=0.3, rrm_every=3)
    own.mean(C, batch_of(ROWS))
    for number in (0, 1):
        own.epoch_end(epoch(number))
        assert own.u.eq(0).all()
    own.epoch_end(epoch(2))
    assert own.relative.eq(0).sum() == 6


def test_samples_that_were_never_seen_keep_an_equal_weight():
    own = weights(rrm_rate=0.2)
    own.mean(C[:5], batch_of(ROWS[:5]))
    own.renew()
    torch.testing.assert_close(own.relative[5:], torch.ones(5).double())
    torch.testing.assert_close(own.relative[:5], torch.tensor([2.0, 1, 1, 1, 0]).double())
    assert float(own.relative.mean()) == pytest.approx(1)
    own.mean(C[5:], batch_of(ROWS[5:]))
    own.renew()
    assert int(own.relative.eq(0).sum()) == 2


def test_half_steps_among_the_samples_that_were_seen():
    own = weights(rrm_rate=0.2, rrm_step=0.5)
    own.mean(C[:5], batch_of(ROWS[:5]))
    for _ in range(2):
        own.renew()
    torch.testing.assert_close(own.relative[:5], torch.tensor([1.75, 1, 1, 1, 0.25]).double())


def test_a_weighted_loss_has_the_gradient_of_the_weighted_samples():
    settings = RobustLossSettings(backbone="small-cnn", loss="ce", rrm=True, rrm_rate=0.5, epochs=9)
    torch.manual_seed(0)
    method = RobustLoss(settings, Problem(3, N, (8, 8, 1)))
    x = torch.randn(N, 1, 8, 8)
    method.epoch_start(epoch(0))
    method(Batch((x,), Y, ROWS))
    method.epoch_end(epoch(0))
    assert method.weights.relative.eq(0).sum() == 5
    output = method(Batch((x,), Y, ROWS))
    output.loss.backward()
    found = method.network.linear.weight.grad.clone()
    method.zero_grad()
    each = torch.nn.functional.cross_entropy(method.network(x), Y, reduction="none")
    (method.weights.relative.float() @ each / N).backward()
    torch.testing.assert_close(method.network.linear.weight.grad, found)


@pytest.mark.parametrize("loss", sorted(RobustLossSettings.LOSSES))
def test_every_loss_of_robust_training_can_be_weighted(loss):
    settings = RobustLossSettings(backbone="small-cnn", loss=loss, rrm=True, rrm_rate=0.5, epochs=9)
    method = RobustLoss(settings, Problem(3, N, (8, 8, 1)))
    method.epoch_start(epoch(0))
    output = method(Batch((torch.randn(N, 1, 8, 8),), Y, ROWS))
    noted = method.weights.losses
    assert noted.isfinite().all()
    assert float(output.loss.detach()) == pytest.approx(float(noted.mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rrm": True}, "neither of rrm_gamma and rrm_rate"),
        ({"rrm": True, "rrm_gamma": 1.0, "rrm_rate": 0.2}, "both of rrm_gamma and rrm_rate"),
        ({"rrm_rate": 0.2}, "takes no rrm_rate"),
        ({"rrm": True, "rrm_rate": 0.2, "plus": True}, "rrm with plus"),
    ],
)
def test_settings_that_contradict_each_other(settings, words):
    with pytest.raises(LabError, match=words):
        ElrSettings(**settings)


def test_without_weights_a_key_is_as_before():
    assert not [name for name in key_facts(RobustLossSettings()) if name.startswith("rrm")]
    own = RobustLossSettings(rrm=True, rrm_gamma=1.0)
    found = {name for name in key_facts(own) if name.startswith("rrm")}
    assert found == {"rrm", "rrm_gamma", "rrm_every", "rrm_step"}
    assert RobustLoss.variant(own) == "dal+rrm"


SMALL = {"epochs": 2, "batch_size": 64, "backbone": "small-cnn", "crop_padding": 0}


@pytest.mark.slow
def test_a_run_is_the_unweighted_one_until_the_weights_move(lab):
    plain, _ = numbers(run(loss="ce", **SMALL).key)
    key = run(loss="ce", rrm=True, rrm_rate=0.3, **SMALL).key
    found, _ = numbers(key)
    assert row(key)["variant"] == "ce+rrm"
    columns = [name for name in plain.columns if name not in {"key", "scalars", "seconds"}]
    assert_frame_equal(found[:1].select(columns), plain[:1].select(columns), rel_tol=1e-4)
    left_out = [json.loads(text)["rrm_left_out"] for text in found["scalars"]]
    assert left_out == pytest.approx([0, 0.3], abs=0.01)
    assert found["train_loss"][1] != plain["train_loss"][1]
