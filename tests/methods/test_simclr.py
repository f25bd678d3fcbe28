"""SimCLR as a method: its loss, its monitored figure, its weights, its processes."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from methods import losses
from methods.simclr import Simclr, SimclrSettings
from pipeline.backbones import make_backbone
from pipeline.backbones.heads import projection_head
from pipeline.encoders.artefact import load_encoder, read_encoder_card
from pipeline.encoders.kept import kept_weights_folder
from pipeline.errors import Interrupted, LabError
from pipeline.training.gather import Gather
from pipeline.training.method import Batch, Problem
from tests.support.lab import PARAMS, write_params
from tests.support.programs import finish, launch
from tests.support.rrr_cases import VIEWS
from tests.support.runs import numbers, row, run, stop_at_step
from tests.support.two_processes import on_processes

PROBLEM = Problem(n_classes=3, n_train=24, image_shape=(8, 8, 1))
SHORT = {"noise": "clean", "epochs": 2, "batch_size": 256}


@pytest.mark.parametrize("case", ["knn", "knn_k5"])
def test_predictions_are_the_weighted_votes_of_the_authors_code(case):
    """The bank and queries take the place of features: accuracy as published, votes sum to 1."""
    bank, query = (torch.from_numpy(VIEWS[f"{case}.{name}"]) for name in ("bank", "query"))
    labels, truth = (torch.from_numpy(VIEWS[f"{case}.{name}_labels"]) for name in ("bank", "query"))
    settings = SimclrSettings(
        backbone="small-cnn",
        k=int(VIEWS[f"{case}.k"]),
        temperature=float(VIEWS[f"{case}.temperature"]),
    )
    method = Simclr(settings, PROBLEM._replace(n_classes=int(labels.max()) + 1))
    method._features = lambda features: features
    method.epoch_end(SimpleNamespace(predict_train=lambda **_: bank, y_noisy=labels))
    p = method.predict(query)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(len(query)))
    percent = 100 * (p.argmax(dim=1) == truth).double().mean()
    assert float(percent) == pytest.approx(float(VIEWS[f"{case}.top1"]), abs=1e-9)


def test_parameters_are_as_many_as_published():
    network = make_backbone("resnet34-simclr", 1, 3)
    own = [p for name, p in network.named_parameters() if not network.in_classifier(name)]
    assert sum(p.numel() for p in own) == 21_276_992
    assert sum(p.numel() for p in projection_head(512).parameters()) == 328_832


def test_the_random_start_is_torchvisions():
    """Standard deviations of the first draws: Kaiming by fan-out, but PyTorch's in the stem."""
    torch.manual_seed(0)
    network = make_backbone("resnet34-simclr", 1, 3)
    # 4 sd of an estimated deviation of n normals: 4 / sqrt(2 n).
    for layer in (network.layer1[0].conv1, network.layer4[0].shortcut[0]):
        weight = layer.weight
        fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
        expected = (2 / fan_out) ** 0.5
        assert float(weight.detach().std()) == pytest.approx(
            expected, rel=4 / (2 * weight.numel()) ** 0.5
        )
    stem = network.conv1.weight
    assert float(stem.detach().abs().max()) <= (1 / 27) ** 0.5
    assert float(stem.detach().abs().max()) > 0.95 * (1 / 27) ** 0.5


def make(**settings):
    torch.manual_seed(0)
    return Simclr(SimclrSettings(backbone="small-cnn", **settings), PROBLEM)


def views(seed=0):
    stream = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(24, 1, 8, 8, generator=stream) for _ in range(2))


def test_a_step_is_the_loss_of_both_views_each_by_itself():
    method = make(temperature=0.3)
    first, second = views()
    output = method(Batch((first, second), torch.zeros(24).long(), torch.arange(24)))
    by_hand = [method.projection(method.network.features(view)) for view in (first, second)]
    expected = losses.info_nce(*by_hand, temperature=0.3)
    torch.testing.assert_close(output.total, expected.detach())
    assert output.logits is None
    output.coupled.backward()
    for name, parameter in method.named_parameters():
        in_classifier = name.startswith("network.linear")
        assert parameter.requires_grad != in_classifier
        assert in_classifier or parameter.grad.abs().sum() > 0


def test_averaged_weights_are_refused():
    with pytest.raises(LabError, match=r"averaging 0\.99.*plain weights.*; try: averaging: null"):
        SimclrSettings(averaging=0.99)


def test_a_run_improves_the_neighbours_and_keeps_an_encoder(lab):
    key = run("simclr", noise="clean", epochs=4).key
    epochs, samples = numbers(key)
    assert epochs["test_accuracy"][3] > 0.93
    assert epochs["test_accuracy"][3] > epochs["test_accuracy"][0]
    assert epochs["train_loss"][3] < epochs["train_loss"][0]
    assert epochs["train_accuracy"].to_list() == [None] * 4
    assert samples["prediction"].to_list() == [-1] * 1437
    card = read_encoder_card(kept_weights_folder(key))
    assert (card.run_key, card.kind, card.network) == (key, "run", "small-cnn")
    assert (card.n_features, card.unit_length, card.external) == (64, True, False)
    assert card.data_digest == row(key)["data_digest"]
    assert card.settings["method"] == "simclr"
    assert card.settings["strong_scale"] == 0.4
    encoder = load_encoder(kept_weights_folder(key))
    assert {name.split(".")[0] for name in encoder.state} == {"encoder", "projection"}
    assert run("simclr", noise="clean", epochs=4).ending == "stored"


def test_labels_decide_the_figure_but_not_the_encoder(lab):
    write_params(lab, PARAMS)
    clean = run("simclr", **SHORT).key
    noisy = run("simclr", **SHORT | {"noise": "symmetric-40"}).key
    assert clean != noisy
    digests = {read_encoder_card(kept_weights_folder(key)).weights_digest for key in (clean, noisy)}
    assert len(digests) == 1
    assert numbers(noisy)[0]["test_accuracy"][1] < numbers(clean)[0]["test_accuracy"][1]


@pytest.mark.parametrize("stop_at", [3, 6, 9])
def test_a_stopped_and_resumed_run_makes_the_same_encoder(lab, monkeypatch, stop_at):
    whole = run("simclr", **SHORT).key
    expected, weights = numbers(whole)[0], read_encoder_card(kept_weights_folder(whole))
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    steps = stop_at_step(monkeypatch, stop_at)
    with pytest.raises(Interrupted):
        run("simclr", **SHORT)
    key = run("simclr", **SHORT).key
    assert len(steps) == 10  # 2 epochs of 5 whole batches
    assert numbers(key)[0].equals(expected)
    assert read_encoder_card(kept_weights_folder(key)) == weights


def test_the_encoder_is_written_before_the_run_counts(lab, monkeypatch):
    def fail(*_):
        raise LabError("the disk is full", "room")

    monkeypatch.setattr("pipeline.encoders.artefact.save_file", fail)
    with pytest.raises(LabError, match="disk is full"):
        run("simclr", **SHORT)
    monkeypatch.undo()
    monkeypatch.setenv("LNL_ROOT", str(lab))
    assert run("simclr", **SHORT).ending == "done"


def gradients(rank, *, counts):
    """Loss and gradients of one process for its share of the first sum(counts) samples."""
    method = make(head_norm="layer", temperature=0.4)
    first, second = views()
    share = torch.arange(sum(counts))[rank :: len(counts)]
    mine = share if len(share) else torch.tensor([0])
    output = method(Batch((first[mine], second[mine]), mine * 0, mine, Gather(counts, rank)))
    output.coupled.backward()
    state = {name: p.grad for name, p in method.named_parameters() if p.grad is not None}
    return output.total, state


def gradients_of_batches(rank, all_counts):
    return [gradients(rank, counts=counts) for counts in all_counts]


def test_processes_compute_the_gradient_of_one():
    """Mean of the gradients of three processes, whose shares may differ in size or be empty."""
    sizes = (24, 5, 2)
    all_counts = [tuple(len(range(rank, n, 3)) for rank in range(3)) for n in sizes]
    parts = on_processes(3, gradients_of_batches, all_counts)
    for n, of_batch in zip(sizes, zip(*parts, strict=True), strict=True):
        alone_loss, alone = gradients(0, counts=(n,))
        for loss, _ in of_batch:
            torch.testing.assert_close(loss, alone_loss)
        for name, expected in alone.items():
            mean = torch.stack([state[name] for _, state in of_batch]).mean(dim=0)
            torch.testing.assert_close(mean, expected, atol=1e-6, rtol=1e-4)


def test_a_head_without_batch_norm_is_one_for_each_sample():
    head = projection_head(8, norm="layer")
    rows = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(head(rows)[2:3], head(rows[2:3]))
    assert any(isinstance(layer, nn.BatchNorm1d) for layer in projection_head(8))


@pytest.mark.slow
def test_two_processes_train_the_encoder_of_one(lab, monkeypatch):
    settings = {"noise": "clean", "epochs": 2, "head_norm": "layer"}
    key = run("simclr", **settings).key
    one, weights = numbers(key)[0], load_encoder(kept_weights_folder(key)).state
    monkeypatch.setenv("LNL_STORE", str(lab / "two"))
    flags = ("--no-tracking", "--noise", "clean", "--epochs", "2", "--head-norm", "layer")
    code, out, err = finish(*launch(2, *flags, method="simclr"), lab=lab)
    assert code == 0, err
    assert (out.split()[1], row(key)["n_processes"]) == (key, 2)
    two = numbers(key)[0]
    # Sums over two processes round differently, and Adam takes the sign of small gradients.
    assert two["train_loss"].to_list() == pytest.approx(one["train_loss"].to_list(), rel=1e-4)
    assert two["test_accuracy"].to_list() == pytest.approx(one["test_accuracy"].to_list(), abs=0.02)
    for name, value in load_encoder(kept_weights_folder(key)).state.items():
        torch.testing.assert_close(value, weights[name], atol=5e-3, rtol=1e-2)
