"""ProMix as a method: whole steps of the official code, and what holds for any.

reference/promix_reference.npz (40d8378), `step_*`: one step with linear networks W and pseudo
classifiers V on flattened images, in epoch 20 and 400 of 600; draws of mixup (`mixup_*`) and FMix
(`fmix_*`) in the order first network, its pseudo classifier, second network, its pseudo one.
"""

import pytest
import torch
from torch import nn

from methods import promix
from methods.promix import PEERS, ProMix, ProMixSettings
from pipeline.backbones import Backbone
from pipeline.config import Params
from pipeline.errors import LabError
from pipeline.runs.settings.resolve import resolve
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.one_step import N_CLASSES, X, Y, build, first_epoch
from tests.support.reference_arrays import case_of, cases, close_to


class Linear(Backbone):
    """Logits that are linear in the pixels."""

    def __init__(self, weight):
        super().__init__()
        self.n_features = weight.shape[1]
        self.linear = linear(weight)

    def features(self, x):
        """[B, pixels]."""
        return x.flatten(1)


def linear(weight):
    layer = nn.Linear(*weight.shape[::-1], bias=False)
    layer.weight = nn.Parameter(weight.clone())
    return layer


def official(case, **settings):
    """The method as it stood before a recorded step, and the batch."""
    values = {
        "backbone": "small-cnn", "epochs": int(case["hp.num_epochs"]), "warm_up": 10,
        "threshold": case["hp.tau"], "margin": case["hp.debias_output"],
        "target_margin": case["hp.debias_pl"], "ramp": int(case["hp.warmup_ep"]),
        "temperature": case["hp.T"], "prior_momentum": case["hp.bias_m"],
        "guess_up_to": case["hp.threshold"], "stop_at_full_weight": True,
    }  # fmt: skip
    n, n_classes = len(case["labels"]), len(case["pi1"])
    method = ProMix(ProMixSettings(**(values | settings)), Problem(n_classes, n, (6, 6, 1)))
    assert method.settings.guess_from == case["hp.num_epochs"] - case["hp.start_expand"] + 1
    for number, peer in enumerate(method.pair, start=1):
        peer.network, peer.pseudo = (Linear(case[f"W{number}"]), linear(case[f"V{number}"]))
        peer.prior, peer.prior_of_others = case[f"pi{number}"], case[f"pi{number}_u"]
        method.kept[number - 1] = case[f"css{number}"] > 0
    method.epoch = int(case["hp.epoch"])
    return method, Batch((case["weak"], case["strong"]), case["labels"], torch.arange(n))


def replay(monkeypatch, case):
    """Let mixing draw what was recorded."""

    class Recorded:
        """In place of `Mixing`; a seed is the name of what is drawn."""

        def __init__(self, seed, _alpha, part, at_least_half=True):
            kind, at = position(seed)
            assert at_least_half == (kind == "mixup")
            drawn = float(case["mixup_draws" if kind == "mixup" else "fmix_lambda"][at])
            self.share = max(drawn, 1 - drawn) if kind == "mixup" else drawn
            self.pairs = case[f"mixup_perm{at}" if kind == "mixup" else f"fmix_index{at}"]
            assert len(self.pairs) == len(part.index)

        @staticmethod
        def named(_batch, name):
            return name

        def __call__(self, rows, mask=None):
            share = self.share if mask is None else mask
            return [share * rows + (1 - share) * rows[self.pairs]]

        def of_all(self, rows):
            return self(rows)[0]

    def position(seed):
        kind, name, head = seed.split()
        return kind, 2 * PEERS.index(name) + int(head)

    monkeypatch.setattr(promix, "Mixing", Recorded)
    masks = case["fmix_masks"].float()

    def recorded_mask(seed, *_, **__):
        return masks[position(seed)[1]].reshape(6, 6)

    monkeypatch.setattr(promix, "low_frequency_mask", recorded_mask)


def gradients(method, batch):
    output = method(batch)
    output.coupled.backward()
    return [
        layer.weight.grad for peer in method.pair for layer in (peer.network.linear, peer.pseudo)
    ]


@pytest.mark.parametrize("name", cases("promix", "step_"))
def test_a_step_equals_that_of_the_official_code(monkeypatch, name):
    case = case_of("promix", name)
    method, batch = official(case)
    replay(monkeypatch, case)
    found = gradients(method, batch)
    for weight, gradient in zip(("W1", "V1", "W2", "V2"), found, strict=True):
        assert close_to(gradient, case[f"grad_{weight}"], 1e-5), weight
    for number, peer in enumerate(method.pair, start=1):
        assert close_to(peer.prior, case[f"pi{number}_next"], 1e-6)
        assert close_to(peer.prior_of_others, case[f"pi{number}_u_next"], 1e-6)


def test_the_loss_on_samples_that_are_not_selected_stays_unless_asked(monkeypatch):
    case = case_of("promix", "step_guess")
    for stops, weight in ((True, 0.0), (False, 0.1)):
        method, batch = official(case, stop_at_full_weight=stops)
        assert method.unselected_weight == pytest.approx(weight)
        replay(monkeypatch, case)
        pseudo = gradients(method, batch)[1::2]
        for gradient, name in zip(pseudo, ("V1", "V2"), strict=True):
            assert close_to(gradient, case[f"grad_{name}"], 1e-5) == stops


def test_the_weight_rises_and_their_code_drops_it_at_its_height():
    method, _ = official(case_of("promix", "step_ramp"))
    weights = []
    for epoch in (0, 50, 99, 100, 599):
        method.epoch = epoch
        weights.append(method.unselected_weight)
    assert weights == pytest.approx([0.0, 0.05, 0.099, 0.0, 0.0])


def test_strong_and_mixed_images_and_the_rate_follow_the_official_ramp():
    method, _ = official(case_of("promix", "step_ramp"))
    expected = case_of("promix", "ramp")["linear50"]
    for epoch, risen in enumerate(expected.tolist()):
        method.epoch = epoch
        assert method.risen == pytest.approx(risen)


def test_the_rate_of_the_recipe_is_the_official_one():
    from pipeline.training.optimisation import learning_rate

    settings = resolve(ProMix, {"dataset": "cifar10", "recipe": "paper"}, Params()).settings
    found = [learning_rate(settings, epoch) for epoch in range(settings.epochs)]
    assert found == pytest.approx(case_of("promix", "lr")["cosine600"].tolist()[:600], rel=1e-6)


def small(**settings):
    values = {"backbone": "small-cnn", "epochs": 20, "warm_up": 0, "guess_from": 5} | settings
    return build(ProMix, ProMixSettings(**values))


ROWS = torch.arange(12)


def batch_of(rows, seed=3):
    return Batch((X[rows], X[rows].flip(3)), Y[rows], rows, seed=seed)


def test_where_nothing_is_selected_the_priors_of_selected_samples_stay():
    for everyone in (False, True):
        method = small(threshold=0.999)
        method.epoch = 3
        method.kept.fill_(everyone)
        before = [(peer.prior, peer.prior_of_others) for peer in method.pair]
        output = method(batch_of(ROWS))
        output.coupled.backward()
        assert float(output.scalars["selected_share"]) == everyone
        assert output.coupled.isfinite()
        for (prior, others), peer in zip(before, method.pair, strict=True):
            assert torch.equal(prior, peer.prior) == (not everyone)
            assert torch.equal(others, peer.prior_of_others) == everyone
            # Several processes wait for a gradient of every parameter.
            assert all(p.grad is not None and p.grad.isfinite().all() for p in peer.parameters())


def test_the_order_of_a_batch_changes_nothing():
    found = []
    for rows in (ROWS, ROWS.flip(0)):
        method = small(keep_rate=0.3)
        first_epoch(method, epoch=3)
        found.append(method(batch_of(rows)).coupled)
    torch.testing.assert_close(*found)
    other = small(keep_rate=0.3)
    first_epoch(other, epoch=3)
    assert not torch.isclose(other(batch_of(ROWS, seed=4)).coupled, found[0])


def test_each_network_selects_by_its_own_losses_and_a_resumed_epoch_goes_on_with_them():
    method = small(keep_rate=0.3)
    context = first_epoch(method, epoch=3)
    for kept in method.kept:
        assert Y[kept].bincount(minlength=N_CLASSES).tolist() == [2] * N_CLASSES
    assert not torch.equal(*method.kept)
    again = small(keep_rate=0.3, seed=5)
    again.load_state_dict(method.state_dict())
    context.resumed, context.predict_pass = True, None
    again.epoch_start(context)
    assert torch.equal(again.kept, method.kept)
    assert again.epoch == 3


def test_the_rate_moves_from_the_first_one():
    method = small(keep_rate=1 / 3, first_keep_rate=1.0, ramp=10)
    for epoch, n in ((0, 60), (5, 40), (10, 20), (15, 20)):
        first_epoch(method, epoch)
        assert method.kept.sum(dim=1).tolist() == [n, n]


def test_labels_are_guessed_late_and_up_to_a_share_of_the_batch():
    sure = torch.full((12, N_CLASSES), 1e-4)
    sure[range(12), (Y[:12] + 1) % N_CLASSES] = 1.0
    method = small(threshold=0.9, guess_up_to=0.5)
    method.kept.fill_(False)
    for epoch, n in ((4, 0), (5, 6)):
        method.epoch = epoch
        given, selected = method._selection(0, [sure, sure], Y[:12], ROWS)
        assert (int(given.sum()), int(selected.sum())) == (0, n)


def test_a_warm_up_trains_the_primary_classifiers_on_all_labels():
    method = small(warm_up=5, warm_up_penalty=True)
    first_epoch(method, epoch=4)
    method(batch_of(ROWS)).loss.backward()
    for peer in method.pair:
        assert peer.network.linear.weight.grad.abs().sum() > 0
        assert peer.pseudo.weight.grad is None
    assert len(list(method.idle_parameters())) == 4
    first_epoch(method, epoch=5)
    assert list(method.idle_parameters()) == []


@pytest.mark.parametrize(
    ("kind", "marked"),
    [
        ({"kind": "symmetric", "rate": 0.2}, {"keep_rate"}),
        ({"kind": "asymmetric", "rate": 0.4, "map": "cifar10"}, {"keep_rate", "warm_up_penalty"}),
        ({"kind": "file", "path": "labels.npy", "convention": "human"}, set()),
    ],
)
def test_settings_that_were_chosen_by_the_noise_are_marked(kind, marked):
    values = {"dataset": "cifar10", "recipe": "paper", "noise": "labels"}
    found = resolve(ProMix, values, Params(noise={"labels": kind}))
    assert found.by_noise == marked
    given = resolve(ProMix, values | {"keep_rate": 0.6}, Params(noise={"labels": kind}))
    assert given.by_noise == marked - {"keep_rate"}


def test_it_is_told_nothing_of_the_noise():
    y = torch.tensor([0, 1])
    context = Context("promix", ProMix.knows, y, 1 - y, 2, 1, 0, torch.empty)
    for ask in (context.true_noise_rate, context.clean_labels):
        with pytest.raises(LabError, match="without declaring it"):
            ask()


def test_an_encoder_of_a_run_is_the_first_network_without_its_pseudo_classifier():
    method = small()
    other = small(start_from="warm")
    state = method.encoder_state()
    assert not [name for name in state if "pseudo" in name]
    assert set(state) == set(other.encoder_state())
