"""SLN: noise per sample and epoch, correction at the start of epochs, and what a run records."""

import json

import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal

from methods import losses
from methods.sln import Sln, SlnSettings
from pipeline.config import read_params
from pipeline.errors import Interrupted, LabError
from pipeline.runs.settings.resolve import resolve
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.data_files import write_class_folders
from tests.support.lab import PARAMS, write_params
from tests.support.programs import finish, launch
from tests.support.runs import numbers, row, run, stop_at_step

SMALL = {"epochs": 3, "batch_size": 64, "backbone": "small-cnn", "crop_padding": 1}
CORRECTED = SMALL | {"correction": True, "correct_from": 1, "averaging": 0.9, "val_rate": 0.0}


def scalars(epochs, name):
    return [json.loads(text).get(name) for text in epochs["scalars"]]


def same(one, other, columns):
    assert_frame_equal(one.select(columns), other.select(columns), check_exact=True)


# --- the noise


def test_without_noise_a_run_equals_cross_entropy_bit_for_bit(lab):
    plain, plain_samples = numbers(run(loss="ce", averaging=0.9, **SMALL).key)
    own, own_samples = numbers(run("sln", sigma=0.0, averaging=0.9, **SMALL).key)
    same(own, plain, [name for name in plain.columns if name not in {"key", "scalars"}])
    same(own_samples, plain_samples, [name for name in plain_samples.columns if name != "key"])
    assert scalars(own, "sigma") == [0.0] * 3


def made(n_train=40, **settings):
    """A method on hand-made images, and the context of an epoch."""
    own = SlnSettings(backbone="small-cnn", **({"epochs": 10} | settings))
    torch.manual_seed(0)
    method = Sln(own, Problem(n_classes=5, n_train=n_train, image_shape=(8, 8, 1)))
    stream = torch.Generator().manual_seed(1)
    images = torch.randn(n_train, 1, 8, 8, generator=stream)
    y = torch.randint(5, (n_train,), generator=stream)
    asked = []

    def predict_pass(augmented, averaged, samples, function, *_):
        asked.append((augmented, averaged, samples))
        with torch.no_grad():
            return function(images[samples])

    context = Context(
        method="sln", knows=frozenset(), y_noisy=y, y_clean=None, n_classes=5,
        n_epochs=own.epochs, seed=own.seed, predict_pass=predict_pass,
    )  # fmt: skip
    return method, context, images, asked


def in_epoch(method, context, epoch, resumed=False):
    context.epoch, context.resumed = epoch, resumed
    method.epoch_start(context)


def test_the_noise_belongs_to_sample_and_epoch_not_to_the_batch():
    method, context, images, _ = made(sigma=1.0)

    def targets(index):
        return method._targets(Batch((images[index],), context.y_noisy[index], index), 5)

    everyone = torch.arange(40)
    in_epoch(method, context, 0)
    first = targets(everyone)
    assert torch.equal(first[7:9], targets(torch.tensor([7, 8])))
    in_epoch(method, context, 0, resumed=True)
    assert torch.equal(first, targets(everyone))
    in_epoch(method, context, 1)
    assert not torch.equal(first, targets(everyone))
    one_hot = torch.nn.functional.one_hot(context.y_noisy, 5)
    assert (first - one_hot).std() == pytest.approx(1, abs=0.2)
    context.seed = 5
    in_epoch(method, context, 0)
    assert not torch.equal(first, targets(everyone))


def test_the_loss_is_cross_entropy_of_the_perturbed_targets():
    method, context, images, _ = made(sigma=0.5)
    in_epoch(method, context, 3)
    batch = Batch((images,), context.y_noisy, torch.arange(40))
    output = method(batch)
    expected = -(method._targets(batch, 5) * method.network(images).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(output.loss, expected)
    assert {name: float(value) for name, value in output.scalars.items()} == {
        "sigma": 0.5, "correcting": 0.0,
    }  # fmt: skip


# --- the correction


def test_targets_change_at_the_start_of_an_epoch_and_never_within():
    method, context, images, asked = made(correction=True, correct_from=4, sigma=0.5)
    for epoch in range(4):
        in_epoch(method, context, epoch)
        assert (method.sigma, method.correcting) == (0.5, False)
        assert method.corrected_labels() is None
    assert asked == []
    everyone = torch.arange(40)
    expected = None
    for epoch in (4, 5):
        in_epoch(method, context, epoch)
        assert (method.sigma, method.correcting) == (0.0, True)
        logits = method.network(images).detach()
        # The loss behind the second correction is against the targets of the first.
        expected = losses.corrected_targets(logits, context.y_noisy, current=expected)
        torch.testing.assert_close(method.targets, expected)
        assert torch.equal(method.corrected_labels(), method.targets.argmax(1))
        batch = Batch((images,), context.y_noisy, everyone)
        assert torch.equal(method._targets(batch, 5), method.targets)
        for weight in method.parameters():
            weight.data += 0.01 * torch.sin(torch.arange(weight.numel() * 1.0)).view_as(weight)
        before = method.targets.clone()
        in_epoch(method, context, epoch, resumed=True)
        assert torch.equal(method.targets, before)
    assert [(augmented, averaged) for augmented, averaged, _ in asked] == [(True, True)] * 2


def test_switches_of_the_correction():
    method, context, images, asked = made(
        correction=True, correct_from=4, pseudo_labels="soft", loss_target="noisy",
        correct_on="plain", averaging=None,
    )  # fmt: skip
    for epoch in (4, 5):
        in_epoch(method, context, epoch)
    logits = method.network(images).detach()
    expected = losses.corrected_targets(logits, context.y_noisy, pseudo_labels="soft")
    torch.testing.assert_close(method.targets, expected)
    assert [(augmented, averaged) for augmented, averaged, _ in asked] == [(False, False)] * 2


def test_losses_are_weighed_within_a_balanced_epoch():
    method, context, images, asked = made(
        correction=True, correct_from=1, sampling="balanced", per_class=3
    )
    in_epoch(method, context, 1)
    samples = asked[0][2]
    assert context.y_noisy[samples].bincount(minlength=5).tolist() == [3] * 5
    expected = torch.nn.functional.one_hot(context.y_noisy, 5).float()
    logits = method.network(images[samples]).detach()
    expected[samples] = losses.corrected_targets(logits, context.y_noisy[samples])
    torch.testing.assert_close(method.targets, expected)


def test_a_run_records_noise_correction_and_corrected_labels(lab):
    longer = CORRECTED | {"epochs": 7, "correct_from": 5, "crop_padding": 0}
    key = run("sln", sigma=0.5, **longer).key
    epochs, samples = numbers(key)
    assert row(key)["variant"] == "sln-lc"
    assert scalars(epochs, "sigma") == [0.5] * 5 + [0.0] * 2
    assert scalars(epochs, "correcting") == [0.0] * 5 + [1.0] * 2
    accuracy = scalars(epochs, "corrected_label_accuracy")
    assert accuracy[:5] == [None] * 5
    found = samples.filter(pl.col("corrected_label") == pl.col("y_clean"))
    assert accuracy[6] == pytest.approx(len(found) / len(samples), abs=1e-9)
    # Better than the given labels, of which 60 % are right.
    assert accuracy[6] > 0.75
    assert epochs["averaged_test_accuracy"].null_count() == 0


def test_before_the_correction_a_run_is_the_same_without_it(lab):
    plain, _ = numbers(run("sln", **SMALL, averaging=0.9, val_rate=0.0).key)
    corrected, _ = numbers(run("sln", **CORRECTED).key)
    columns = [name for name in plain.columns if name != "key"]
    same(plain[:1], corrected[:1], columns)
    assert plain["train_loss"][1] != corrected["train_loss"][1]


@pytest.mark.parametrize(
    "stop_at",
    [pytest.param(23, marks=pytest.mark.slow), 30, pytest.param(46, marks=pytest.mark.slow)],
)
def test_a_stop_inside_a_corrected_epoch_leaves_no_trace(lab, monkeypatch, stop_at):
    # 23 steps an epoch: just before the first corrected one, within it and at its end.
    whole = numbers(run("sln", **CORRECTED).key)
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    steps = stop_at_step(monkeypatch, stop_at)
    with pytest.raises(Interrupted):
        run("sln", **CORRECTED)
    key = run("sln", **CORRECTED).key
    assert row(key)["resumed"] == 1
    assert len(steps) == 69
    for uninterrupted, resumed in zip(whole, numbers(key), strict=True):
        assert_frame_equal(uninterrupted, resumed, check_exact=True)


@pytest.mark.slow
def test_two_processes_give_the_rows_of_one(lab, monkeypatch):
    """Noise, averages and corrected targets do not depend on who computes them."""
    write_params(lab, PARAMS | {"methods": {"sln": CORRECTED | {"epochs": 2}}})
    key = run("sln").key
    one, one_samples = numbers(key)
    monkeypatch.setenv("LNL_STORE", str(lab / "two"))
    code, out, err = finish(*launch(2, "--no-tracking", method="sln"), lab=lab)
    assert code == 0, err
    assert (out.split()[1], row(key)["n_processes"]) == (key, 2)
    two, two_samples = numbers(key)
    # Sums over two processes round differently, and a few labels stand on a knife's edge.
    for name in ("train_loss", "test_loss", "averaged_test_loss"):
        assert two[name].to_list() == pytest.approx(one[name].to_list(), rel=1e-3)
    assert scalars(two, "corrected_label_accuracy")[1] == pytest.approx(
        scalars(one, "corrected_label_accuracy")[1], abs=0.01
    )
    assert (one_samples["corrected_label"] == two_samples["corrected_label"]).mean() > 0.99


# --- settings


def settings_of(**values):
    return resolve(Sln, values, read_params())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"pseudo_labels": "soft"}, "pseudo_labels means nothing without correction"),
        ({"correct_from": 3}, "correct_from means nothing without correction"),
        ({"correction": True, "correct_from": 20}, "expected: 1 to 19"),
        ({"correction": True, "epochs": 1}, "beyond the last of 1 epochs"),
        ({"sigma": -0.1}, "sigma = -0.1"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(lab, values, said):
    with pytest.raises(LabError, match=said):
        settings_of(**({"epochs": 20} | values))


def test_the_correction_begins_after_five_sixths_of_the_epochs(lab):
    found = settings_of(epochs=30, correction=True).settings
    assert (found.correct_from, found.pseudo_labels, found.loss_target, found.correct_on) == (
        25, "hard", "current", "augmented",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("sigma", "correction", "name"),
    [(0.5, False, "sln"), (0.0, False, "ce"), (0.5, True, "sln-lc"), (0.0, True, "ce-lc")],
)
def test_the_variant_names_what_is_on(lab, sigma, correction, name):
    assert Sln.variant(settings_of(sigma=sigma, correction=correction).settings) == name


PUBLISHED = {
    "sym": {"kind": "symmetric", "rate": 0.4},
    "asym": {"kind": "asymmetric", "rate": 0.4, "map": "cifar10"},
    "dep": {"kind": "dependent", "rate": 0.4, "posterior": "mean.npy"},
    "open": {"kind": "openset", "rate": 0.4, "source": "cifar100"},
    "file": {"kind": "file", "path": "sym0.4.npy", "convention": "symmetric", "rate": 0.4},
    "next": {"kind": "file", "path": "x.npy", "convention": "asymmetric/next_class", "rate": 0.4},
    "half": {"kind": "symmetric", "rate": 0.5},
    "clean": {"kind": "clean"},
}


@pytest.mark.parametrize(
    ("dataset", "noise", "sigma", "status"),
    [
        ("cifar10", "sym", 1.0, "published"),
        ("cifar10", "asym", 0.5, "published"),
        ("cifar10", "dep", 0.5, "published"),
        ("cifar10", "open", 0.5, "published"),
        ("cifar10", "file", 1.0, "published"),
        ("cifar100", "sym", 0.2, "published"),
        ("cifar100", "next", 0.2, "published"),
        ("cifar100", "dep", 0.1, "published"),
        ("cifar10", "half", 1.0, "extrapolated"),
        ("cifar100", "open", 0.5, "extrapolated"),
        ("clothing1m", "clean", 0.2, "published"),
    ],
)
def test_the_paper_recipe_per_data_set_and_noise(lab, dataset, noise, sigma, status):
    write_params(lab, PARAMS | {"noise": PUBLISHED})
    for correction in (False, True):
        found, said, *_ = settings_of(
            dataset=dataset, noise=noise, recipe="paper", correction=correction
        )
        assert (found.sigma, said) == (sigma, status)
        assert (found.averaging, found.momentum, found.nesterov) == (0.999, 0.9, False)
        if dataset == "clothing1m":
            assert (found.epochs, found.batch_size, found.sampling) == (10, 32, "balanced")
            assert (found.lr_milestones, found.weight_decay) == ((5,), 1e-3)
        else:
            assert (found.epochs, found.lr, found.schedule) == (300, 0.001, "constant")
            assert (found.backbone, found.normalisation) == ("wrn28-2", dataset)
        if correction:
            start, pseudo = (1, "soft") if dataset == "clothing1m" else (250, "hard")
            assert (found.correct_from, found.pseudo_labels) == (start, pseudo)


def test_the_momentum_of_the_last_batch_norm_is_a_switch():
    def momenta(**settings):
        own = SlnSettings(backbone="wrn28-2", **settings)
        network = Sln(own, Problem(3, 4, (32, 32, 3))).network
        return [m.momentum for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]

    assert momenta() == [0.1] * 24 + [0.9]
    assert momenta(head_bn_momentum=0.1) == [0.1] * 25
    with pytest.raises(LabError, match="without batch norm"):
        made(head_bn_momentum=0.1)


# --- open-set noise


def test_a_run_on_images_of_another_data_set(lab, tmp_path):
    """Two tiny sets of colour images: 40 % of the first one's training images are exchanged."""
    stream = torch.Generator().manual_seed(0)
    sets = {}
    for name, brightness in (("inside", (30, 220)), ("outside", (120, 125))):
        folder = tmp_path / "images" / name
        for split, n in (("train", 50), ("test", 20)):
            labels = ["dark", "light"] * (n // 2)
            noise = torch.randint(0, 30, (n, 8, 8, 3), generator=stream, dtype=torch.uint8)
            levels = torch.tensor(brightness, dtype=torch.uint8).repeat(n // 2)
            images = noise + levels[:, None, None, None]
            write_class_folders(folder / split, images.numpy(), labels)
        sets[name] = {
            "kind": "imagefolder", "root": str(folder), "image_size": 8, "labels": "clean",
        }  # fmt: skip
    noise = {"open": {"kind": "openset", "rate": 0.4, "source": "outside", "seed": 3}}
    write_params(lab, PARAMS | {"datasets": sets, "noise": noise, "methods": {}})
    settings = SMALL | {"dataset": "inside", "noise": "open", "batch_size": 10}
    key = run("sln", sigma=0.5, averaging=0.9, correction=True, correct_from=2, **settings).key
    stored = row(key)
    assert (stored["status"], stored["noise_kind"], stored["realised_rate"]) == (
        "done", "openset", 0.0,
    )  # fmt: skip
    assert json.loads(stored["noise_card"])["details"]["openset_rate"] == 0.4
    epochs, samples = numbers(key)
    assert epochs["averaged_test_accuracy"].null_count() == 0
    assert samples["corrected_label"].null_count() == 0
