"""Schedules and backbones, each by itself."""

import numpy as np
import pytest
import torch

from pipeline.backbones import make_backbone
from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.training.optimisation import learning_rate
from tests.support.filled_weights import filled
from tests.support.paths import REFERENCES
from tests.support.reference_arrays import case_of, cases


def test_learning_rates_of_the_published_schedules():
    # DAL: cosine over 150 epochs from 0.01, and 0.4 * 0.97^i over 250.
    cosine = RunSettings(lr=0.01, epochs=150, schedule="cosine")
    assert learning_rate(cosine, 0) == 0.01
    assert learning_rate(cosine, 149) == pytest.approx(1.0966e-6, rel=1e-4)
    falling = RunSettings(lr=0.4, lr_decay=0.97, epochs=250, schedule="exponential")
    assert learning_rate(falling, 249) == pytest.approx(2.0334e-4, rel=1e-4)
    steps = RunSettings(lr=1.0, lr_decay=0.1, lr_milestones=(2, 4), schedule="step")
    assert [learning_rate(steps, e) for e in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert learning_rate(RunSettings(lr=0.3, schedule="constant"), 99) == 0.3


def rates_of(**settings):
    chosen = RunSettings(**settings)
    return torch.tensor([learning_rate(chosen, e) for e in range(chosen.epochs)]).double()


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("elr_cifar10", {"schedule": "cosine-restarts", "lr_cycle": 10, "lr_min": 0.001}),
        ("elr_cifar10_asym", {"schedule": "step", "lr_milestones": (40, 80), "lr_decay": 0.01}),
        ("elr_cifar100", {"schedule": "step", "lr_milestones": (80, 120), "lr_decay": 0.01}),
        ("elr_plus_cifar100", {"schedule": "step", "lr_milestones": (200,), "lr_decay": 0.1}),
    ],
)
def test_learning_rates_of_elr_equal_the_official_schedules(case, settings):
    expected = case_of("elr", f"lr_{case}")["lr"]
    found = rates_of(lr=0.02, epochs=len(expected), **settings)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("case", cases("co_teaching", "schedule_"))
def test_rates_of_co_teaching_equal_the_official_plan(case):
    """Which trains from epoch 1 on: ours are counted from 0, and one fewer."""
    plan = case_of("co_teaching", case)
    start = plan["epoch_decay_start"] - 1
    found = rates_of(lr=0.001, epochs=plan["n_epoch"] - 1, schedule="linear", lr_decay_from=start)
    torch.testing.assert_close(found, plan["lr"][1:], rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("name", "file"), [("resnet18", "resnet18_reference"), ("wrn28-2", "wrn28_2_reference")]
)
def test_networks_equal_the_reference(name, file):
    """Output of the authors' networks on weights filled by rule (tests/data)."""
    reference = np.load(REFERENCES / f"{file}.npz")
    network = make_backbone(name, 10, 3)
    state = network.state_dict()
    assert list(state) == reference["state_keys"].tolist()
    shapes = [value.shape for value in state.values()]
    network.load_state_dict(filled(state, shapes, reference["seed"]))
    network.eval()
    with torch.no_grad():
        features = network.features(torch.from_numpy(reference["input"]))
        out = network.linear(features)
    found = {"out": out, "feat": features}
    for part in set(found) & set(reference):
        expected = reference[part]
        np.testing.assert_allclose(found[part], expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("name", "classes", "parameters"),
    [
        ("resnet18", 10, 11_173_962),
        ("resnet18", 100, 11_220_132),
        ("resnet34", 100, 21_328_292),
        ("wrn28-2", 10, 1_469_642),
        ("wrn28-2", 100, 1_481_252),
        ("timm/resnet50.tv_in1k", 14, 23_536_718),
    ],
)
def test_parameter_counts(name, classes, parameters):
    network = make_backbone(name, classes, 3)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize(
    ("name", "size"), [("small-cnn", 8), ("resnet34", 32), ("timm/resnet10t", 64)]
)
def test_backbones_give_logits(name, size):
    network = make_backbone(name, 7, 3)
    assert network(torch.zeros(2, 3, size, size)).shape == (2, 7)


def test_an_unknown_backbone_is_answered_with_the_nearest():
    with pytest.raises(LabError, match="try: resnet18"):
        make_backbone("resnet81", 10, 3)
    with pytest.raises(LabError, match="try: resnet50"):
        make_backbone("timm/resnet05", 10, 3)
