"""DISC as a method: whole trainings of the official code, and what holds for any.

reference/disc_reference.npz: per case five or six epochs of a linear network on vectors, with all
draws; after each, the sets, thresholds and weights.
"""

import pytest
import torch
from torch import nn

from methods.disc import SETS, Disc, DiscSettings
from pipeline.config import read_params
from pipeline.errors import LabError
from pipeline.runs.settings.resolve import resolve
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.lab import PARAMS, write_params
from tests.support.recorded_mixing import recorded_mixing
from tests.support.reference_arrays import case_of, cases, close_to

TRAININGS = cases("disc", "c")


def disc(n_classes, n_train, **settings):
    own = DiscSettings(backbone="small-cnn", epochs=9, **settings)
    return Disc(own, Problem(n_classes, n_train, (8, 8, 1)))


def context_of(method, y, epoch=0):
    k = method.n_classes
    return Context("disc", frozenset(), y, None, k, 9, 0, torch.empty, epoch=epoch)


def as_official(case):
    """The method with the linear network and the recorded settings of a case."""
    hp = {name.removeprefix("hp."): v for name, v in case.items() if name.startswith("hp.")}
    method = disc(
        int(hp["n_classes"]), len(case["noisy"]), warm_up=int(hp["start_epoch"]),
        threshold_momentum=hp["momentum"], sigma=hp["sigma"], hard_weight=hp["lamd_h"],
        mix_alpha=hp["alpha"],
    )  # fmt: skip
    method.network = nn.Linear(case["weight0"].shape[1], method.n_classes)
    with torch.no_grad():
        method.network.weight.copy_(case["weight0"])
        method.network.bias.zero_()
    optimizer = torch.optim.SGD(method.parameters(), lr=hp["lr"], weight_decay=1e-3)
    return method, optimizer, int(hp["batch"])


def recorded_mixings(of_epoch):
    """In place of the method's own: shares and pairs as they were drawn, one after the other."""
    sizes = of_epoch("mix_sizes").tolist()
    pairs = iter(of_epoch("mix_perm").split(sizes))
    shares = iter(of_epoch("mix_lambda_raw").tolist())

    def mixing(part, name):
        drawn, own = next(shares), next(pairs)
        assert len(own) == len(part.index)
        mix = recorded_mixing(drawn, own)
        return lambda rows: mix(rows)[0]

    return mixing


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_equals_that_of_the_official_code(name):
    case = case_of("disc", name)
    method, optimizer, size = as_official(case)
    y = case["noisy"]
    epochs = sum(key.endswith(".clean") for key in case)
    for epoch in range(epochs):

        def of_epoch(what, epoch=epoch):
            return case[f"e{epoch}.{what}"]

        context = context_of(method, y, epoch)
        method._mixing = recorded_mixings(of_epoch)
        method.epoch_start(context)
        for rows in of_epoch("order").split(size):
            views = of_epoch("weak")[rows], of_epoch("strong")[rows]
            output = method(Batch(views, y[rows], rows))
            optimizer.zero_grad()
            (output.loss if output.coupled is None else output.loss + output.coupled).backward()
            if output.learns:
                optimizer.step()
        method.epoch_end(context)
        for what in SETS:
            assert torch.equal(getattr(method, what), of_epoch(what)), (epoch, what)
        assert torch.equal(method.labels, of_epoch("mix_labels"))
        for view, letter in enumerate("ws"):
            at_label = method.p[view].gather(1, y[:, None])[:, 0]
            assert close_to(at_label, of_epoch(f"{letter}_prob_label"), 1e-4)
            assert close_to(method.thresholds[view], of_epoch(f"{letter}_threshold_next"), 1e-4)
        assert close_to(method.network.weight.detach(), of_epoch("weight"), 1e-4)
        assert close_to(method.network.bias.detach(), of_epoch("bias"), 1e-4)
    assert epochs >= 5
    for view, letter in enumerate("ws"):
        assert close_to(method.p[view], of_epoch(f"{letter}_probs"), 1e-4)


def trained_once(method, y, epoch=0, rows=None):
    """One step of an epoch on images of one's own, and its end."""
    rows = torch.arange(len(y)) if rows is None else rows
    x = torch.sin(rows[:, None] * 0.7 + torch.arange(64.0)).view(-1, 1, 8, 8)
    context = context_of(method, y, epoch)
    method.epoch_start(context)
    output = method(Batch((x, x.flip(3)), y[rows], rows))
    method.epoch_end(context)
    return output


Y = torch.arange(12) % 3


def test_sets_of_an_epoch_are_by_the_thresholds_before_it_which_move_in_the_warm_up_too():
    method = disc(3, 12, warm_up=2, threshold_momentum=0.5)
    torch.testing.assert_close(method.thresholds, torch.full((2, 12), 1 / 12))
    trained_once(method, Y)
    # One of three classes has more than a twelfth: by the thresholds that have moved, few would.
    assert method.clean.all()
    torch.testing.assert_close(method.thresholds, 0.5 / 12 + 0.5 * method.p.max(dim=2).values)
    assert method.corrected_labels() is None
    trained_once(method, Y, epoch=1)
    assert not method.clean.all()
    trained_once(method, Y, epoch=2)
    assert torch.equal(method.corrected_labels(), method.labels)


def test_a_sample_that_an_epoch_leaves_out_keeps_what_was_predicted_of_it():
    method = disc(3, 12, warm_up=2)
    trained_once(method, Y, rows=torch.arange(5))
    assert method.p[:, 5:].eq(0).all()
    assert not (method.clean | method.hard | method.corrected)[5:].any()
    before = method.p[:, :5].clone()
    trained_once(method, Y, epoch=1, rows=torch.arange(5, 12))
    assert torch.equal(method.p[:, :5], before)


def test_a_batch_without_a_sample_of_the_sets_is_not_learned_from():
    method = disc(3, 12, warm_up=1)
    output = trained_once(method, Y, epoch=1)
    assert not output.learns
    assert float(output.loss.detach()) == 0
    assert output.coupled is None
    assert method.p.gt(0).all()


def test_mixing_depends_on_the_samples_of_the_sets_alone():
    method = disc(3, 12, warm_up=1)
    trained_once(method, Y)
    method.clean[:4], method.hard[:4], method.corrected[:4] = False, False, False
    method.epoch_start(context_of(method, Y, 1))
    x = torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for rows in (torch.arange(12), torch.arange(12).flip(0)):
        output = method(Batch((x[rows], x[rows]), Y[rows], rows, seed=7))
        found.append(float((output.loss + output.coupled).detach()))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    other = method(Batch((x, x), Y, torch.arange(12), seed=8))
    assert float((other.loss + other.coupled).detach()) != pytest.approx(found[0], rel=1e-4)


def test_one_sample_to_mix_passes_a_network_that_takes_two():
    method = disc(3, 12, warm_up=1)
    method.network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 3))
    trained_once(method, Y)
    for name in SETS:
        getattr(method, name).fill_(False)
    method.corrected[3], method.labels[3] = True, 2
    assert trained_once(method, Y, epoch=1).coupled.isfinite()


def test_an_epoch_of_selection_is_left():
    assert DiscSettings(epochs=200).warm_up == 20
    assert DiscSettings(epochs=25).warm_up == 5
    assert DiscSettings(epochs=1).warm_up == 1
    with pytest.raises(LabError, match="leaves none of 10 epochs"):
        DiscSettings(epochs=10, warm_up=10)


def test_the_rate_of_adam_may_come_with_a_late_decay():
    falling = {"optimizer": "adam", "schedule": "linear", "lr_decay_from": 5, "late_beta1": 0.1}
    method = disc(3, 12, **falling)
    names = {group["name"] for group in method.parameter_groups()}
    assert not method.phase_start(context_of(method, Y, 4)).options
    late = method.phase_start(context_of(method, Y, 5)).options
    assert late == {name: {"betas": (0.1, 0.999)} for name in names}


PUBLISHED = {
    "sym20": {"kind": "symmetric-inclusive", "rate": 0.2},
    "sym60": {"kind": "symmetric-inclusive", "rate": 0.6},
    "sym80": {"kind": "symmetric-inclusive", "rate": 0.8},
    "asym": {"kind": "asymmetric", "rate": 0.4, "map": "cifar10"},
    "pair": {"kind": "pair", "rate": 0.4},
    "inst": {"kind": "instance", "rate": 0.4},
    "human": {"kind": "file", "path": "labels.npy"},
}


@pytest.mark.parametrize(
    ("dataset", "noise", "changed", "status"),
    [
        ("cifar10", "sym20", {}, "published"),
        ("cifar10", "human", {}, "extrapolated"),
        ("cifar10", "asym", {"threshold_momentum": 0.95}, "published"),
        ("cifar100", "pair", {"threshold_momentum": 0.95}, "published"),
        ("cifar100", "inst", {"backbone": "resnet34", "warm_up": 15}, "published"),
        ("cifar10", "sym60", {"threshold_momentum": 0.95, "hard_weight": 0.2}, "published"),
        (
            "cifar100", "sym80",
            {"threshold_momentum": 0.95, "hard_weight": 0.2, "optimizer": "adam", "lr": 0.001,
             "weight_decay": 0.0, "schedule": "linear", "lr_decay_from": 120, "late_beta1": 0.1},
            "published",
        ),
    ],
)  # fmt: skip
def test_what_the_recipe_chooses_by_the_noise_is_marked(lab, dataset, noise, changed, status):
    write_params(lab, PARAMS | {"noise": PUBLISHED})
    values = {"dataset": dataset, "noise": noise, "recipe": "paper"}
    found = resolve(Disc, values, read_params())
    assert (found.recipe_status, found.by_noise) == (status, frozenset(changed))
    usual = {
        "backbone": "resnet18", "warm_up": 20, "threshold_momentum": 0.99, "hard_weight": 1.0,
        "sigma": 0.5, "optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "schedule": "step",
        "epochs": 200, "drop_last": True, "normalisation": dataset, "weak_view": "weak-reflect",
        "strong_view": "disc-cifar10" if dataset == "cifar10" else "disc",
    }  # fmt: skip
    assert {name: getattr(found.settings, name) for name in usual | changed} == usual | changed
