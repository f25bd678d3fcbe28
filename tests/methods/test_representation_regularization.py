"""RRR without a run: terms of the loss, phases, views, state, gradients, refusals."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from methods import losses
from methods.losses.choice import EVERY
from methods.representation_regularization import RepresentationRegularization
from pipeline.errors import LabError
from pipeline.noise.estimation.anchor import anchor_transition
from pipeline.noise.estimation.hoc import estimate
from pipeline.training.optimisation import make_optimizer
from tests.support.rrr_method import (
    PROBLEM,
    N,
    Y,
    batch,
    begun,
    context,
    encoder,
    images,
    make,
    settings,
)

WARM = {"forward": {"warmup_base": 0}, "hoc": {"warmup_base": 0, "hoc_steps": 20}}


def total(output):
    return output.loss if output.coupled is None else output.loss + output.coupled


def gradients(method, part):
    return [p.grad for name, p in method.named_parameters() if name.startswith(part)]


@pytest.mark.parametrize("kind", ["rkd_dis", "rkd_angle"])
def test_the_loss_is_the_weighted_sum_of_its_terms(kind):
    weights = {"base_weight": 0.5, "info_nce_weight": 2.0, "reg_weight": 3.0}
    method = begun(make(weights, loss="gce", regulariser=kind, temperature=0.2))
    assert method.views == ("weak", "strong", "strong")
    given = batch(method)
    output = method(given)
    f = [method.network.features(view) for view in given.views]
    z, g = method.network.linear(f[0]), [method.projection(rows) for rows in f]
    torch.testing.assert_close(output.logits, z)
    terms = {
        "base_loss": 0.5 * losses.gce(z, Y, q=0.7, clamp=1e-7),
        "info_nce": 2 * losses.info_nce(g[1], g[2], temperature=0.2),
        "regulariser": 3 * getattr(losses, kind)(z, g[0]),
    }
    assert output.scalars.keys() == terms.keys()
    for name, term in terms.items():
        torch.testing.assert_close(output.scalars[name], term)
    torch.testing.assert_close(output.total, sum(terms.values()).detach())


def test_the_switches_of_the_regulariser_reach_it():
    switches = {"w_feature": 1.0, "w_output": 2.0, "pair_mean": "offdiag", "detach_teacher": True}
    method = begun(make(switches))
    given = batch(method)
    f = method.network.features(given.x)
    expected = losses.rkd_dis(method.network.linear(f), method.projection(f), **switches)
    torch.testing.assert_close(method(given).scalars["regulariser"], expected)


@pytest.mark.parametrize("loss", sorted(EVERY))
def test_every_loss_can_be_regularised(loss):
    method = begun(make(loss=loss, **WARM.get(loss, {})), epoch=3)
    if loss in WARM:
        method.epoch_start(context(method, epoch=1))
    output = method(batch(method))
    total(output).backward()
    assert bool(output.total.isfinite())
    assert all(bool(g.isfinite().all()) and bool(g.any()) for g in gradients(method, "projection"))
    assert all(bool(g.isfinite().all()) for g in gradients(method, "network"))
    assert method.variant(method.settings) == f"{loss}+rkd_dis"


def test_the_regulariser_alone_trains_classifier_projection_and_encoder():
    alone = {"base_weight": 0.0, "info_nce_weight": 0.0}
    method = begun(make(alone))
    total(method(batch(method))).backward()
    for part in ("network.linear.weight", "projection", "network.body"):
        assert all(float(g.abs().max()) > 0 for g in gradients(method, part)), part
    assert method.idle_parameters() == []
    detached = begun(make(alone, detach_teacher=True))
    total(detached(batch(detached))).backward()
    assert set(gradients(detached, "projection")) == {None}
    assert detached.idle_parameters() == list(detached.projection.parameters())
    assert float(detached.network.linear.weight.grad.abs().max()) > 0


def test_warm_up_has_neither_terms_nor_gradients_of_the_strong_views():
    method = make(loss="elr", warmup_base=0, warmup_reg=1)
    phases = {}
    for epoch in range(3):
        begun(method, epoch)
        output = method(batch(method))
        phases[epoch] = (method.base, output.coupled is not None)
        if not phases[epoch][1]:
            method.zero_grad()
            output.loss.backward()
            assert set(gradients(method, "projection")) == {None}
            assert method.idle_parameters() == list(method.projection.parameters())
    assert phases == {0: ("ce", False), 1: ("elr", False), 2: ("elr", True)}
    assert method.idle_parameters() == []


def test_an_optimiser_first_steps_the_projection_when_its_terms_begin():
    method = make(warmup_reg=0, optimizer="adam", lr=0.01)
    optimizer = make_optimizer(method, method.settings)
    counts = []
    for epoch in (0, 1):
        begun(method, epoch)
        total(method(batch(method))).backward()
        optimizer.step()
        optimizer.zero_grad()
        state = [optimizer.state[p] for p in method.projection.parameters()]
        counts.append([int(s["step"]) if s else 0 for s in state])
    assert set(counts[0]) == {0}
    assert set(counts[1]) == {1}


@pytest.mark.parametrize(
    ("values", "views"),
    [
        ({"regulariser": "none"}, 1),
        ({"regulariser": "none", "extra_views_in_baseline": True}, 3),
        ({"regulariser": "none", "info_nce_weight": 0.5}, 3),
        ({}, 3),
        ({"tune": "fc"}, 1),
    ],
)
def test_batch_norm_sees_each_view_once(values, views):
    method = begun(make(values, backbone="wrn28-2"))
    assert len(method.views) == views
    given = batch(method, torch.arange(6))
    method(given)
    seen = 0 if values.get("tune") == "fc" else views
    assert int(method.network.bn1.num_batches_tracked) == seen


@pytest.mark.parametrize("regulariser", ["none", "rkd_dis"])
def test_a_fixed_encoder_stays_as_it_is_to_the_last_bit(regulariser):
    method = make(tune="fc", regulariser=regulariser, backbone="wrn28-2", lr=0.1)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = make_optimizer(method, method.settings)
    for epoch in range(2):
        begun(method, epoch)
        assert not any(module.training for module in method.modules())
        total(method(batch(method, torch.arange(8)))).backward()
        optimizer.step()
        optimizer.zero_grad()
    changed = {
        name for name, old in before.items() if not torch.equal(old, method.state_dict()[name])
    }
    assert changed == {"network.linear.weight", "network.linear.bias"}
    assert method.variant(method.settings).endswith("-fc")


def test_elr_keeps_targets_of_the_samples_it_saw_and_of_no_others():
    method = make(loss="elr", warmup_base=0)
    index = torch.tensor([3, 17, 4])
    begun(method, 0)(batch(method, index))
    assert not bool(method.targets.any())
    begun(method, 1)
    given = batch(method, index)
    for _ in range(2):
        before = method.targets[index].clone()
        output = method(given)
        loss, moved = losses.elr(output.logits, Y[index], target=before)
        torch.testing.assert_close(output.loss, loss)
        torch.testing.assert_close(method.targets[index], moved)
    unseen = torch.ones(N, dtype=torch.bool).index_fill(0, index, False)
    assert not bool(method.targets[unseen].any())
    assert method.targets.shape == (N, 10)


def test_peer_loss_takes_images_and_labels_of_the_partners():
    method = begun(make(loss="peer", weight=0.5, regulariser="none"))
    assert method.partner_views == ("weak",)
    given = batch(method)
    output = method(given)
    peers = given.partners
    expected = losses.peer(
        output.logits, Y, peer_logits=method.network(peers.views[0]), y_peer=peers.y_noisy,
        weight=0.5,
    )  # fmt: skip
    torch.testing.assert_close(output.loss, expected)
    ramped = make(loss="peer", ramp=True, regulariser="none")
    begun(ramped, 3)
    torch.testing.assert_close(ramped(given).loss, losses.stable_ce(output.logits, Y))


@pytest.mark.parametrize("in_train_mode", [False, True])
@pytest.mark.parametrize("loss", ["forward", "hoc"])
def test_the_transition_matrix_is_estimated_once_and_used(loss, in_train_mode):
    method = make(
        WARM[loss], loss=loss, regulariser="none", estimate_in_train_mode=in_train_mode,
        backbone="wrn28-2",
    )  # fmt: skip
    begun(method, 0)
    assert not bool(method.transition.any())
    statistics = method.network.bn1.running_mean.clone()
    method.train(in_train_mode)
    with torch.no_grad():
        x = images(shift=5.0 if in_train_mode else 0.0)
        rows = method.network.features(x)
        p = method.network.linear(rows).softmax(1)
    method.network.bn1.running_mean.copy_(statistics)
    begun(method, 1)
    if loss == "forward":
        expected = anchor_transition(p.double().numpy())
    else:
        seed = context(method).method_seed("hoc")
        expected = estimate(rows, Y.numpy(), 10, steps=20, seed=seed).T
    np.testing.assert_allclose(method.transition.numpy(), expected, atol=1e-4)
    assert torch.equal(method.network.bn1.running_mean, statistics) != in_train_mode

    held = method.transition.clone()
    begun(method, 2)
    method.epoch_start(context(method, 1, resumed=True))
    assert torch.equal(method.transition, held)
    output = method(batch(method, torch.arange(8)))
    expected_loss = losses.forward_correction(output.logits, Y[:8], transition=held)
    torch.testing.assert_close(output.loss, expected_loss)


def test_a_matrix_of_a_random_network_is_refused():
    for loss in ("forward", "hoc"):
        with pytest.raises(LabError, match="still random.*--warmup-base"):
            make(loss=loss)
    trained = make(loss="ce").encoder_state()
    features = {k: v for k, v in trained.items() if not k.startswith("classifier.")}
    make(loss="forward", start=encoder(trained))
    make(loss="hoc", start=encoder(features))
    with pytest.raises(LabError, match="still random"):
        make(loss="forward", start=encoder(features))


def test_a_start_hands_over_encoder_and_the_heads_it_has():
    torch.manual_seed(1)
    donor = RepresentationRegularization(settings(), PROBLEM)
    whole = donor.encoder_state()
    taken = make(start=encoder(whole)).encoder_state()
    assert all(torch.equal(taken[name], value) for name, value in whole.items())
    features = {k: v for k, v in whole.items() if k.startswith("encoder.")}
    other = make(start=encoder(features)).encoder_state()
    same = {name for name, value in whole.items() if torch.equal(other[name], value)}
    assert {name for name in whole if name.startswith("encoder.")} <= same
    assert "classifier.linear.weight" not in same
    assert "projection.0.weight" not in same
    with pytest.raises(LabError, match="projection head of start_from warm.*layer norm"):
        make(projection_norm="layer", start=encoder(whole))
    with pytest.raises(LabError, match="small-cnn"):
        make(backbone="wrn28-2", start=encoder(whole))
    make(regulariser="none", start=encoder(whole))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"loss": "ce", "q": 0.5}, "loss ce takes no q"),
        ({"loss": "peer", "clamp": 0.0}, "loss peer takes no clamp"),
        ({"regulariser": "none", "reg_weight": 1.0}, "regulariser none takes no reg_weight"),
        ({"regulariser": "rkd_angle", "w_output": 1.0}, "rkd_angle takes no w_output"),
        ({"regulariser": "none", "warmup_reg": 3}, "without pair terms takes no warmup_reg"),
        ({"extra_views_in_baseline": True}, "with pair terms takes no extra_views_in_baseline"),
        ({"info_nce_weight": 0.0, "temperature": 1.0}, "takes no temperature"),
        ({"tune": "fc", "info_nce_weight": 1.0}, "tune fc, which trains the classifier"),
        ({"loss": "dal", "q_start": 1.2}, "q_start < 1 < q_end"),
    ],
)
def test_a_setting_without_meaning_is_refused(values, words):
    with pytest.raises((ValidationError, LabError), match=words):
        settings(**values)


def test_defaults_are_those_of_the_official_code():
    defaults = settings()
    expected = {
        "loss": "ce", "regulariser": "rkd_dis", "reg_weight": 1, "w_feature": 2, "w_output": 1,
        "pair_mean": "all", "detach_teacher": False, "info_nce_weight": 1, "temperature": 0.5,
        "base_weight": 1, "projection_norm": "batch", "tune": "all", "drop_last": True,
    }  # fmt: skip
    assert {name: getattr(defaults, name) for name in expected} == expected
    assert settings(loss="sce").parameters() == {"alpha": 6.0, "beta": 1.0, "clamp": 1e-7}
    assert settings(loss="gce").parameters() == {"q": 0.7, "clamp": 1e-7}
    assert settings(tune="fc").info_nce_weight == 0


def test_the_head_and_the_encoder_have_the_published_size():
    problem = PROBLEM._replace(image_shape=(32, 32, 3))
    method = RepresentationRegularization(settings(backbone="resnet34-simclr"), problem)

    def count(part):
        return sum(p.numel() for name, p in method.named_parameters() if name.startswith(part))

    assert count("network.linear") == 5_130
    assert count("network") - count("network.linear") == 21_276_992
    assert count("projection") == 328_832
