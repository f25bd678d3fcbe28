"""Averaged weights: the formula, the state of a run, and that training does not notice them."""

import numpy as np
import pytest
import torch
from polars.testing import assert_frame_equal
from torch import nn

from methods import losses
from pipeline.errors import Interrupted
from pipeline.training.optimisation import WeightAverage
from tests.support.runs import numbers, run, stop_at_step
from tests.support.sln_cases import REFERENCE, reference


class OneWeight(nn.Module):
    """A weight and nothing else."""

    def __init__(self, start):
        super().__init__()
        self.weight = nn.Parameter(start.clone())


def averages_of(module, average):
    """State of the module with the averaged weights in it."""
    with average.applied():
        return {name: value.clone() for name, value in module.state_dict().items()}


def test_the_average_of_a_network_that_stands_still():
    # After n steps: w1 + decay^n (w0 - w1); n = 391 is one epoch of CIFAR-10 at 128 a batch.
    module = OneWeight(torch.tensor([0.0, 3.0]))
    average = WeightAverage(module, 0.999)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([1.0, 1.0]))
    for _ in range(391):
        average.update()
    share = 0.67625
    expected = torch.tensor([1 - share, 1 + 2 * share])
    torch.testing.assert_close(averages_of(module, average)["weight"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "start", "decay", "sequence", "expected"),
    [
        ("train.ema_a0999", "start", "alpha", "sequence", "ema"),
        ("train.ema_a09", "start", "alpha", "sequence", "ema"),
        ("ema.mu09999", "start_weight", "mu", "sequence", "shadow"),
        ("ema.mu09", "start_weight", "mu", "sequence", "shadow"),
    ],
)
def test_averages_equal_those_of_the_official_codes(case, start, decay, sequence, expected):
    module = OneWeight(reference(f"{case}.{start}"))
    average = WeightAverage(module, float(REFERENCE[f"{case}.{decay}"]))
    steps = zip(reference(f"{case}.{sequence}"), reference(f"{case}.{expected}"), strict=True)
    for weight, averaged in steps:
        module.weight.data.copy_(weight)
        average.update()
        torch.testing.assert_close(
            averages_of(module, average)["weight"], averaged, rtol=0, atol=1e-6
        )


NETWORKS = {
    "lin": lambda: nn.Linear(12, 10),
    "bn": lambda: nn.Sequential(nn.Linear(12, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10)),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_three_steps_of_training_equal_the_official_code(case):
    """Perturbed targets, SGD and averages, the running statistics of batch norm among them."""
    network = NETWORKS[case]()
    # The official code starts from the initial weights of the averaged network.
    names = list(network.state_dict())
    network.load_state_dict({name: reference(f"train.{case}.ema_init.{name}") for name in names})
    average = WeightAverage(network, 0.999)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.001, momentum=0.9, weight_decay=5e-4)
    x, y, noise = (reference(f"train.{case}.{name}") for name in ("x", "y", "noise"))
    sigma = float(REFERENCE[f"train.{case}.sigma"])
    for step in range(3):
        target = losses.perturbed_targets(y[step], noise[step], sigma=sigma)
        loss = losses.ce(network(x[step]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update()
        at = f"train.{case}.step{step}."
        assert float(loss.detach()) == pytest.approx(float(REFERENCE[at + "loss"]), rel=1e-5)
        plain, averaged = network.state_dict(), averages_of(network, average)
        for name in names:
            torch.testing.assert_close(plain[name], reference(f"{at}net.{name}"), rtol=0, atol=1e-6)
            if not name.endswith("num_batches_tracked"):  # a count is not averaged
                torch.testing.assert_close(
                    averaged[name], reference(f"{at}ema.{name}"), rtol=0, atol=1e-6
                )


def trained_a_little():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    module.register_buffer("targets", torch.zeros(5, 2))
    module[0].bias.requires_grad_(False)
    averages = {buffers: WeightAverage(module, 0.5, buffers) for buffers in (True, False)}
    module(torch.randn(6, 3))
    with torch.no_grad():
        for tensor in (*module.parameters(), module.targets):
            tensor.add_(1)
    for average in averages.values():
        average.update()
    return module, averages


def test_state_per_sample_counters_and_frozen_weights_are_not_averaged():
    module, averages = trained_a_little()
    plain = {name: value.clone() for name, value in module.state_dict().items()}
    moved = {"0.weight", "1.weight", "1.bias"}
    statistics = {"1.running_mean", "1.running_var"}
    for buffers, changed in ((True, moved | statistics), (False, moved)):
        averaged = averages_of(module, averages[buffers])
        assert {name for name in plain if not torch.equal(plain[name], averaged[name])} == changed
        torch.testing.assert_close(averaged["0.weight"], plain["0.weight"] - 0.5)


def fail_with(module, average, plain):
    """Fail while the module has the averaged weights."""
    with average.applied():
        assert not torch.equal(module[0].weight, plain["0.weight"])
        _ = 1 / 0


def test_the_module_has_its_own_weights_again_whatever_happens_in_between():
    module, averages = trained_a_little()
    plain = {name: value.clone() for name, value in module.state_dict().items()}
    stored = [value.clone() for value in averages[True].state()]
    with pytest.raises(ZeroDivisionError):
        fail_with(module, averages[True], plain)
    for name, value in module.state_dict().items():
        assert torch.equal(value, plain[name])
    for before, after in zip(stored, averages[True].state(), strict=True):
        assert torch.equal(before, after)


def test_a_run_records_both_and_training_does_not_notice(lab):
    averaged, _ = numbers(run(averaging=0.9, val_rate=0.2).key)
    plain, _ = numbers(run(val_rate=0.2).key)
    columns = [name for name in plain.columns if not name.startswith("averaged_") and name != "key"]
    assert_frame_equal(averaged.select(columns), plain.select(columns), check_exact=True)
    for name in ("test_loss", "test_accuracy", "test_top5", "val_noisy_accuracy"):
        assert plain[f"averaged_{name}"].null_count() == 2
        assert averaged[f"averaged_{name}"].null_count() == 0
        assert averaged[f"averaged_{name}"][1] != averaged[name][1]
    # Far behind after two epochs, the average is another network.
    slow, _ = numbers(run(averaging=0.9999, val_rate=0.2).key)
    assert slow["averaged_test_loss"][1] == pytest.approx(np.log(10), abs=0.5)


def test_a_resumed_run_goes_on_with_its_average(lab, monkeypatch):
    settings = {"averaging": 0.95}
    whole = numbers(run(**settings).key)
    monkeypatch.setenv("LNL_STORE", str(lab / "second"))
    stop_at_step(monkeypatch, 30)
    with pytest.raises(Interrupted):
        run(**settings)
    resumed = numbers(run(**settings).key)
    for one, other in zip(whole, resumed, strict=True):
        assert_frame_equal(one, other, check_exact=True)
