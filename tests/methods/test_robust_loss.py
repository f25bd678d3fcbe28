"""Robust-loss training without a run: terms of the whole, clipped logits, settings, keys."""

import pytest
import torch

from methods import losses
from methods.losses.choice import ROBUST
from methods.robust_loss import RobustLoss, RobustLossSettings
from pipeline.config import key_facts, validated
from pipeline.errors import LabError
from pipeline.training.gather import Gather
from pipeline.training.method import Batch
from tests.support.one_step import INDEX, X, Y, build, first_epoch, one_step
from tests.support.two_processes import on_processes

ENTROPY = {"loss": "anl_ce_er", "delta": 0.0, "alpha": 0.0, "beta": 0.0, "entropy_weight": 3.0}


def settings(**values):
    return RobustLossSettings(**({"backbone": "small-cnn"} | values))


def begun(**values):
    method = build(RobustLoss, settings(**values))
    first_epoch(method)
    return method


def batch(rows=INDEX, gather=None):
    more = {} if gather is None else {"gather": gather}
    return Batch((X[rows],), Y[rows], rows, **more)


@pytest.mark.parametrize("loss", ["anl_ce", "anl_fl", "anl_ce_er"])
def test_active_negative_losses_add_the_l1_norm_of_every_weight(loss):
    gradients = {}
    for delta in (0.0, 0.25):
        method = begun(loss=loss, delta=delta)
        # Weights of norms and biases that are neither 0 nor of one sign.
        for i, weight in enumerate(method.parameters()):
            weight.data += 0.1 * torch.sin(i + torch.arange(weight.numel())).view(weight.shape)
        one_step(method)
        gradients[delta] = {name: p.grad for name, p in method.named_parameters()}
    for name, weight in method.named_parameters():
        added = gradients[0.25][name] - gradients[0.0][name]
        torch.testing.assert_close(added, 0.25 * weight.detach().sign(), rtol=0, atol=1e-5)
    assert any("bias" in name for name in gradients[0.0])


def test_the_l1_norm_is_in_the_loss_that_is_reported():
    method = begun(loss="anl_ce", alpha=0.0, beta=0.0, delta=0.5)
    norm = sum(p.abs().sum() for p in method.parameters())
    torch.testing.assert_close(method(batch()).total, 0.5 * norm.detach())


def test_the_entropy_term_is_of_the_whole_batch():
    method = begun(**ENTROPY)
    output = method(batch())
    assert output.loss.item() == 0
    assert output.coupled is not None
    torch.testing.assert_close(output.coupled, 3 * losses.class_imbalance(output.logits))


def test_other_losses_have_no_term_of_the_whole():
    assert begun(loss="dal")(batch()).coupled is None


def gradients_of_half(rank):
    """Gradients averaged over two processes with unequal shares of a batch."""
    shares = INDEX[:30], INDEX[30:]
    method = begun(**(ENTROPY | {"delta": 0.01}))
    gather = Gather(tuple(map(len, shares)), rank)
    output = method(batch(shares[rank], gather))
    output.coupled.backward()
    for weight in method.parameters():
        torch.distributed.all_reduce(weight.grad)
    return output.coupled.detach(), [weight.grad / 2 for weight in method.parameters()]


@pytest.mark.slow
def test_two_processes_get_the_terms_of_the_whole_that_one_gets():
    method = begun(**(ENTROPY | {"delta": 0.01}))
    output = method(batch())
    output.coupled.backward()
    expected = [weight.grad for weight in method.parameters()]
    for value, gradients in on_processes(2, gradients_of_half):
        torch.testing.assert_close(value, output.coupled.detach())
        torch.testing.assert_close(gradients, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["ce", "gce", "nlnl", "nce_and_rce", "eps_ce_and_mae"])
def test_any_loss_sees_clipped_logits_and_predictions_do_not(loss):
    values = {"logit_clip_threshold": 0.05, "logit_clip_length": 2.0}
    clipped = begun(loss=loss, logit_clip=True, **values)
    plain = begun(loss=loss)
    found, expected = clipped(batch()), plain(batch())
    near = losses.clipped_logits(expected.logits, threshold=0.05, length=2.0)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.loss, plain.epoch_loss(near, Y, INDEX))
    assert not torch.equal(found.loss, expected.loss)
    torch.testing.assert_close(clipped.predict(X), plain.predict(X))
    assert RobustLoss.variant(clipped.settings) == f"{loss}+logit_clip"
    assert RobustLoss.variant(plain.settings) == loss


def test_clipping_has_one_number_unless_two_are_given():
    assert settings(logit_clip=True).logit_clip_length == 1
    half = settings(logit_clip=True, logit_clip_threshold=0.5)
    assert half.logit_clip_length == 0.5
    whole = settings(logit_clip=True, logit_clip_threshold=0.5, logit_clip_length=0.5)
    assert key_facts(half) == key_facts(whole)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"loss": "ce", "gamma": 1.0}, "loss ce takes no gamma"),
        ({"loss": "anl_ce", "entropy_weight": 1.0}, "loss anl_ce takes no entropy_weight"),
        ({"loss": "ce", "logit_clip_threshold": 1.0}, "without logit_clip takes no logit_clip_t"),
        ({"loss": "aul", "a": 1.0}, "a > 1"),
        ({"loss": "nce_and_aul", "a": 0.5}, "a > 1"),
        ({"loss": "anl_fl", "clamp": 0.5}, "0 < clamp < 0.5"),
        ({"loss": "eps_ce", "clamp": 0.0}, "0 < clamp < 1"),
    ],
)
def test_settings_that_do_not_fit_are_refused(values, complaint):
    with pytest.raises(LabError, match=complaint):
        validated(RobustLossSettings, values, "settings")


def test_parameters_that_came_later_leave_old_keys_as_they_were():
    added = {"clamp", "gamma", "delta", "entropy_weight", "m", "mae_scale", "margin", "rotation",
             "logit_clip", "logit_clip_threshold", "logit_clip_length"}  # fmt: skip
    for loss in ("ce", "gce", "sce", "rce", "nce_and_rce", "dal", "sr"):
        assert not added & set(key_facts(settings(loss=loss)))
    for loss, own in ROBUST.items():
        expected = {name for name, value in own.items() if value is not None and name in added}
        assert added & set(key_facts(settings(loss=loss))) == expected
    clamped = key_facts(settings(loss="gce", clamp=1e-7))
    assert clamped == key_facts(settings(loss="gce")) | {"clamp": 1e-7}


def test_a_clamp_reaches_the_loss():
    logits = torch.tensor([[30.0, 0.0]])
    y = torch.tensor([1])
    for loss in ("gce", "rce", "sce", "nce_and_rce"):
        usual = begun(loss=loss).epoch_loss(logits, y, INDEX[:1])
        raised = begun(loss=loss, clamp=0.1).epoch_loss(logits, y, INDEX[:1])
        expected = getattr(losses, loss)(logits, y, **settings(loss=loss, clamp=0.1).parameters())
        torch.testing.assert_close(raised, expected)
        assert (usual != raised).item() == (loss == "gce")
