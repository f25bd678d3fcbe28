"""RRR as runs: recipes, resume, the same numbers on two processes and without its terms."""

import pytest
import torch
from polars.testing import assert_frame_equal

from methods.representation_regularization import RepresentationRegularization
from pipeline.config import Params
from pipeline.errors import Interrupted
from pipeline.results.store import Store
from pipeline.runs.settings.methods import load_method
from pipeline.runs.settings.resolve import resolve
from pipeline.training.gather import Gather
from pipeline.training.method import Batch
from pipeline.training.optimisation import learning_rate
from tests.support.programs import finish, launch
from tests.support.rrr_method import PROBLEM, N, batch, begun, context, make
from tests.support.runs import numbers, row, run, stop_at_step
from tests.support.two_processes import on_processes

NAME = "representation_regularization"
PUBLISHED = Params(noise={"sym": {"kind": "symmetric", "rate": 0.6}})


def paper(dataset, **values):
    values = {"dataset": dataset, "noise": "sym", "recipe": "paper"} | values
    found = resolve(load_method(NAME), values, PUBLISHED)
    return found.settings, found.recipe_status


def phase(settings, epoch):
    """Base loss of an epoch, and whether the pair terms count."""
    small = settings.model_copy(update={"backbone": "small-cnn"})
    method = RepresentationRegularization(small, PROBLEM)
    method.epoch_start(context(method, epoch))
    return method.base, method.regularising


@pytest.mark.parametrize(
    ("dataset", "loss", "boundaries"),
    [
        ("cifar100", "gce", {20: ("ce", False), 21: ("gce", False), 22: ("gce", False)}),
        ("cifar100", "sce", {20: ("ce", False), 21: ("sce", False), 23: ("sce", False)}),
        ("cifar100", "hard_bootstrap", {20: ("ce", False), 23: ("hard_bootstrap", False)}),
        ("cifar100", "elr", {1: ("ce", False), 2: ("elr", False), 25: ("elr", False)}),
        ("cifar10", "elr", {0: ("elr", False), 30: ("elr", False)}),
        ("cifar10", "ce", {}),
    ],
)
def test_phases_of_the_published_scripts(dataset, loss, boundaries):
    settings, status = paper(dataset, loss=loss)
    assert status == "published"
    for epoch, expected in boundaries.items():
        assert phase(settings, epoch) == expected
    first = max(boundaries, default=-1) + 1
    assert phase(settings, first) == (loss, True)
    baseline, _ = paper(dataset, loss=loss, regulariser="none")
    assert baseline.warmup_base == settings.warmup_base
    assert baseline.extra_views_in_baseline == (dataset == "cifar100" or loss == "elr")
    assert settings.drop_last
    assert baseline.drop_last == (dataset == "cifar100" or loss == "elr")
    assert settings.epochs == {"cifar10": 150, "cifar100": 100}[dataset]
    assert settings.batch_size == 256


@pytest.mark.parametrize(
    ("dataset", "values", "optimizer", "rates"),
    [
        ("cifar10", {"loss": "ce"}, "sgd", {0: 0.1, 49: 0.1, 50: 0.01, 149: 0.01}),
        ("cifar10", {"loss": "elr"}, "sgd", {49: 0.1, 50: 0.01}),
        ("cifar10", {"loss": "gce", "start_from": "simclr"}, "adam", {0: 0.001, 149: 0.001}),
        ("cifar10", {"loss": "ce", "start_from": "s", "tune": "fc"}, "adam", {149: 0.001}),
        ("cifar10", {"loss": "forward", "start_from": "ce"}, "sgd", {39: 0.01, 40: 0.001}),
        ("cifar10", {"loss": "hoc", "start_from": "ce"}, "sgd", {39: 0.01, 40: 0.001}),
        ("cifar10", {"loss": "peer", "start_from": "ce"}, "sgd", {49: 0.1, 50: 0.01}),
        ("cifar100", {"loss": "gce"}, "adam", {0: 0.001, 99: 0.001}),
    ],
)
def test_learning_rates_of_the_published_scripts(dataset, values, optimizer, rates):
    for regulariser in ("none", "rkd_dis"):
        settings, _ = paper(dataset, regulariser=regulariser, **values)
        assert settings.optimizer == optimizer
        assert (settings.momentum, settings.weight_decay) == (0.0, 0.0)
        found = {epoch: learning_rate(settings, epoch) for epoch in rates}
        assert found == pytest.approx(rates)


def test_losses_that_no_script_regularised_are_extrapolated():
    assert paper("cifar10", loss="dal")[1] == "extrapolated"
    assert paper("cifar100", loss="hoc", warmup_base=20)[1] == "extrapolated"


def test_without_its_terms_it_is_training_with_the_loss_alone(lab):
    same = {"loss": "dal", "epochs": 1, "recipe": "pocket", "backbone": "small-cnn"}
    ours = run(NAME, **same, regulariser="none", drop_last=False)
    other = run("robust_loss", **same, batch_size=64, val_rate=0.1)
    assert row(ours.key)["variant"] == "dal"
    for one, two in zip(numbers(ours.key), numbers(other.key), strict=True):
        assert_frame_equal(one.drop("key"), two.drop("key"), check_exact=True)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "elr", "warmup_reg": 0},
        pytest.param(
            {"loss": "hoc", "warmup_base": 0, "hoc_steps": 30, "hoc_rounds": 2, "hoc_sample": 300},
            marks=pytest.mark.slow,
        ),
        pytest.param({"loss": "peer", "regulariser": "none"}, marks=pytest.mark.slow),
    ],
    ids=["elr", "hoc", "peer"],
)
def test_a_stopped_and_resumed_run_equals_an_uninterrupted_one(lab, monkeypatch, settings):
    settings = settings | {"epochs": 2, "batch_size": 128, "crop_padding": 1}
    whole = numbers(run(NAME, **settings).key)
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    steps = stop_at_step(monkeypatch, 14)
    with pytest.raises(Interrupted):
        run(NAME, **settings)
    key = next(iter(Store().runs().collect()["key"]))
    assert run(NAME, **settings).ending == "done"
    assert len(steps) == 20  # 2 epochs of 10 steps: nothing was trained twice
    for uninterrupted, resumed in zip(whole, numbers(key), strict=True):
        assert_frame_equal(uninterrupted, resumed, check_exact=True)


def step(rank, values, n_samples, n_processes):
    """Loss, gradient and ELR targets after a step, as data-parallel training has them."""
    torch.set_num_threads(1)
    method = begun(make(values), epoch=1)
    index = torch.arange(N)[:n_samples]
    counts = tuple(len(index[r::n_processes]) for r in range(n_processes))
    share = index[rank::n_processes] if counts[rank] else index[:1]
    own = batch(method, share)
    gather = Gather(counts, rank)
    output = method(Batch(own.views, own.y_noisy, own.index, gather, own.partners))
    loss = output.loss * (counts[rank] * n_processes / n_samples)
    total = loss if output.coupled is None else loss + output.coupled
    total.backward()
    gradient = torch.cat([
        (torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in method.parameters()
    ])  # fmt: skip
    value = loss.detach().clone()
    if n_processes > 1:
        torch.distributed.all_reduce(gradient)
        torch.distributed.all_reduce(value)
    value = value / n_processes
    if output.coupled is not None:
        value = value + output.coupled.detach()
    targets = getattr(method, "targets", torch.zeros(()))
    return value, gradient / n_processes, targets


@pytest.mark.slow
@pytest.mark.parametrize("n_samples", [12, 7])
@pytest.mark.parametrize(
    "values",
    [
        {"loss": "elr"},
        {"loss": "gce", "regulariser": "rkd_angle", "info_nce_weight": 0.0},
        pytest.param({"loss": "dmi", "regulariser": "none"}, marks=pytest.mark.slow),
        pytest.param(
            {"loss": "peer", "regulariser": "none", "info_nce_weight": 1.0}, marks=pytest.mark.slow
        ),
    ],
    ids=lambda values: values["loss"],
)
def test_two_processes_get_the_loss_gradient_and_targets_of_one(values, n_samples):
    if values["loss"] != "dmi":
        values = values | {"projection_norm": "layer"}
    value, gradient, targets = step(0, values, n_samples, 1)
    for found in on_processes(2, step, values, n_samples, 2):
        torch.testing.assert_close(found[0], value)
        torch.testing.assert_close(found[1], gradient, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found[2], targets)


@pytest.mark.slow
def test_a_run_on_two_processes_gives_the_rows_of_one(lab, monkeypatch):
    # An epoch in which the projection head rests, then T is estimated and all terms count.
    settings = {
        "loss": "hoc", "warmup_base": 0, "warmup_reg": 0, "projection_norm": "layer",
        "hoc_steps": 50, "epochs": 2, "batch_size": 128,
    }  # fmt: skip
    one = run(NAME, **settings)
    monkeypatch.setenv("LNL_STORE", str(lab / "two"))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    code, out, err = finish(*launch(2, *flags, "--no-tracking", method=NAME), lab=lab)
    assert code == 0, err
    assert out.split()[1] == one.key
    assert row(one.key)["n_processes"] == 2
    two_epochs, two_samples = numbers(one.key)
    monkeypatch.delenv("LNL_STORE")
    one_epochs, one_samples = numbers(one.key)
    for column in ("train_loss", "test_loss"):
        assert two_epochs[column].to_list() == pytest.approx(one_epochs[column].to_list(), rel=1e-3)
    assert (two_samples["prediction"] == one_samples["prediction"]).mean() > 0.99
