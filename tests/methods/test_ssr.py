"""SSR as a method: selection and steps of the official code, and what holds for any samples.

reference/ssr_reference.npz (849530d): `c5_*`, `c6_*` and `missing_c4` are whole selections, with
the counts of the balanced sampler; `step_*` steps with linear layers and recorded draws.
"""

import numpy as np
import pytest
import torch
from torch import nn

from methods import ssr
from methods.ssr import Ssr, SsrSettings, agrees, balanced_votes, relabelled
from pipeline.backbones import Backbone
from pipeline.data.balanced import repeated_to_balance
from pipeline.errors import LabError
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.recorded_mixing import recorded_mixing
from tests.support.reference_arrays import case_of, cases, close_to

FILE = "ssr"
N, K = 40, 4


@pytest.mark.parametrize("name", [case for case in cases(FILE) if "step" not in case])
def test_relabelling_and_selection_are_those_of_the_official_code(name):
    case = case_of(FILE, name)
    labels = relabelled(case["logits"], case["noisy"], above=case["hp.theta_r"])
    assert torch.equal(labels, case["modified"])
    k, n_classes = int(case["hp.k"]), int(case["hp.n_classes"])
    votes = balanced_votes(case["features"], labels, n_classes, k=k)
    torch.testing.assert_close(votes, case["vote"].double(), rtol=1e-5, atol=1e-6)
    selected = agrees(votes, labels, share=case["hp.theta_s"])
    assert torch.equal(selected.nonzero()[:, 0], case["clean_id"])
    assert torch.equal((~selected).nonzero()[:, 0], case["noisy_id"])
    balanced = repeated_to_balance(labels[selected].numpy(), 3)
    assert len(balanced) == case["balanced.length"]
    counts = labels[selected][balanced].bincount(minlength=n_classes)
    assert torch.equal(counts, case["balanced.class_counts"].long())
    # Which samples of a label come once more is a draw: as many of them do.
    times = torch.from_numpy(np.bincount(balanced, minlength=len(labels[selected])))
    assert sorted(times.tolist()) == sorted(spread(labels[selected]).tolist())


def spread(labels):
    """How often each sample comes, the first ones of a label once more where it does not go up."""
    counts = labels.bincount()
    times = torch.zeros(len(labels), dtype=torch.int64)
    for label, own in enumerate(counts.tolist()):
        if own:
            whole, rest = divmod(int(counts.max()), own)
            times[labels == label] = whole + (torch.arange(own) < rest)
    return times


class Linear(Backbone):
    """A linear encoder and classifier with given weights."""

    def __init__(self, encoder, classifier):
        super().__init__()
        self.encoder, self.linear = with_weights(encoder), with_weights(classifier)
        self.n_features = len(encoder)

    def features(self, x):
        """Of rows x."""
        return self.encoder(x)


def with_weights(weights):
    layer = nn.Linear(*weights.T.shape, bias=False)
    layer.weight.data = weights.clone().float()
    return layer


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_step_is_that_of_the_official_code(monkeypatch, weight):
    case = case_of(FILE, f"step_lambda{weight:.0f}")
    mix = recorded_mixing(case["beta_draw"], case["perm"])
    monkeypatch.setattr(ssr, "Mixing", lambda *_: mix)
    method = method_with(consistency_weight=weight or 1.0)
    method.network = Linear(case["enc"], case["cls"])
    method.projection, method.prediction = with_weights(case["proj"]), with_weights(case["pred"])
    method.labels = case["labels"]
    index = case["index"]
    everyone = Batch((case["u1"], case["u2"]), index, index)
    batch = Batch((case["x1"], case["x2"]), index, index, parts={"all": everyone})
    output = method(batch)
    assert float(output.loss.detach()) == pytest.approx(case["ce"], rel=1e-5)
    assert float(output.scalars["consistency_loss"]) == pytest.approx(case["fc"], rel=1e-5)
    (output.loss + weight * output.terms["all"]).backward()
    layers = {
        "enc": method.network.encoder, "cls": method.network.linear, "proj": method.projection,
        "pred": method.prediction,
    }  # fmt: skip
    for name, layer in layers.items():
        assert close_to(layer.weight.grad, case[f"grad_{name}"].float(), 1e-5) or (
            not weight and not layer.weight.grad.any()
        )


def method_with(**settings):
    values = {"backbone": "small-cnn", "batch_size": 4, "neighbours": 5, "epochs": 3} | settings
    torch.manual_seed(0)
    return Ssr(SsrSettings(**values), Problem(K, N, (8, 8, 1)))


X, Y = torch.sin(torch.arange(N * 64.0)).view(N, 1, 8, 8), torch.arange(N) % K


def context_of(method, passed=None, **facts):
    asked = []

    def predict(_augmented, _averaged, samples, function, views, training):
        asked.append((views, training))
        with torch.no_grad():
            return function(X[samples]) if passed is None else passed[samples]

    context = Context("ssr", frozenset(), Y, None, K, 3, 0, predict, **facts)
    return context, asked


def seen(method, predicted, sureness):
    """Features that lie apart by class, and logits of the same sureness everywhere."""
    width = method.network.n_features
    features = nn.functional.one_hot(predicted, width).float()
    logits = torch.zeros(N, K)
    logits[torch.arange(N), predicted] = sureness
    return torch.cat([features + 0.01 * torch.arange(N)[:, None] / N, logits], dim=1)


def test_samples_are_looked_at_once_in_a_weak_view_in_evaluation_mode():
    method = method_with()
    context, asked = context_of(method)
    method.phase_start(context)
    assert asked == [(("weak",), False)]


def test_labels_are_those_of_the_last_look_and_of_the_given_ones():
    method = method_with()
    shifted = (Y + 1) % K
    method.phase_start(context_of(method, seen(method, shifted, 5.0))[0])
    assert torch.equal(method.corrected_labels(), shifted)
    # Unsure in the next epoch: the given labels are back, not those of the epoch before.
    context, _ = context_of(method, seen(method, shifted, 0.1), epoch=1)
    phase = method.phase_start(context)
    assert torch.equal(method.corrected_labels(), Y)
    # Neighbours share a given label, so that all samples are selected, in equal numbers.
    assert sorted(phase.streams["selected"].samples.tolist()) == list(range(N))


def test_a_sample_votes_for_itself():
    features = torch.randn(30, 6, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(30) % 3
    votes = balanced_votes(features, labels, 3, k=1)
    assert torch.equal(votes.argmax(dim=1), labels)
    assert torch.equal(votes.max(dim=1).values, torch.ones(30).double())


def test_ties_are_selected_and_rare_labels_count_more():
    # Twelve alike samples: each sees all others, and the shares of votes are those of the labels.
    features, labels = torch.ones(12, 3), torch.tensor([0] * 9 + [1] * 3)
    votes = balanced_votes(features, labels, 4, k=12)
    torch.testing.assert_close(votes[0], torch.tensor([0.5, 0.5, 0, 0]).double())
    assert agrees(votes, labels, share=1.0).all()


def test_a_phase_has_the_selected_in_balance_and_all():
    method = method_with()
    method.selected[:] = torch.arange(N) < 10
    method.labels[:] = torch.where(torch.arange(N) < 7, 0, 2)
    context, asked = context_of(method, resumed=True)
    phase = method.phase_start(context)
    assert not asked
    chosen, everyone = phase.streams["selected"], phase.streams["all"]
    counts = chosen.samples.bincount(minlength=N)
    assert counts[:7].tolist() == [1] * 7
    # Three samples fill seven places; labels 1 and 3 have no sample and are left out.
    assert sorted(counts[7:10].tolist()) == [2, 2, 3]
    assert counts[10:].sum() == 0
    assert everyone.samples.tolist() == list(range(N))
    assert everyone.views == ("weak", "weak-autoaugment")
    assert phase.steps == N // 4
    again, _ = context_of(method, resumed=True)
    assert torch.equal(method.phase_start(again).streams["selected"].samples, chosen.samples)


def test_without_consistency_there_are_no_heads_and_one_view_of_all():
    method = method_with(consistency_weight=0.0, drop_last=False, batch_size=16)
    assert Ssr.variant(method.settings) == "ssr"
    assert not hasattr(method, "projection")
    phase = method.phase_start(context_of(method)[0])
    assert phase.streams["all"].views == ("weak",)
    assert phase.steps == 3
    weak = Batch((X[:5],), Y[:5], torch.arange(5))
    output = method(Batch((X[:3], X[1:4]), Y[:3], torch.arange(3), parts={"all": weak}))
    assert output.terms == {}
    assert not output.logits["all"].requires_grad


def test_an_epoch_without_a_selected_sample_names_it():
    from pipeline.training.phases import check_streams

    method = method_with()
    method.selected.zero_()
    phase = method.phase_start(context_of(method, resumed=True, epoch=2)[0])
    with pytest.raises(LabError, match="no sample is selected in epoch 2"):
        check_streams(phase.streams, N, "epoch 2", whole=False)
