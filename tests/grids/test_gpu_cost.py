"""What cells should cost on a GPU: more epochs, work and images cost more; encoders count once."""

from dataclasses import replace

import pytest

from pipeline.grids.gpu_cost import gpu_seconds
from tests.support.lab import PARAMS, write_params
from tests.support.runs import planned


def seconds(method: str = "robust_loss", **settings) -> float:
    cost = gpu_seconds([planned(method, **settings)])
    assert cost is not None
    return cost


def test_the_cost_grows_with_the_epochs_and_with_the_work_of_a_method(lab, monkeypatch) -> None:
    monkeypatch.setattr("pipeline.grids.gpu_cost._SECONDS_PER_LAUNCH", 0.0)
    one = seconds(epochs=1)
    assert seconds(epochs=4) == pytest.approx(4 * one)
    assert seconds("co_teaching", epochs=1, batch_size=64) == pytest.approx(2 * one)
    assert seconds(epochs=1, precision="bf16") < seconds(epochs=1, tf32=True) < one / 5


def test_a_small_network_waits_for_its_launches(lab) -> None:
    # Half as many steps, whatever the batch, up to one that is not full.
    plain = seconds(epochs=1, batch_size=64)
    assert seconds(epochs=1, batch_size=128) == pytest.approx(plain / 2, rel=0.1)


def test_an_encoder_that_several_cells_lack_counts_once(lab) -> None:
    made = {"kind": "run", "method": "robust_loss", "loss": "ce", "dataset": "digits",
            "noise": "clean", "seed": 0, "epochs": 1}  # fmt: skip
    write_params(lab, PARAMS | {"encoders": {"base": made}})
    run = planned("robust_loss", epochs=1, start_from="base")
    first, both = gpu_seconds([run]), gpu_seconds([run, replace(run, key="another")])
    assert first is not None
    assert both is not None
    assert both - first == pytest.approx(seconds(epochs=1))


def test_a_method_that_was_never_measured_has_no_cost(lab, monkeypatch) -> None:
    run = planned("robust_loss")
    monkeypatch.setattr(run.method, "name", classmethod(lambda cls: "mine"))
    assert gpu_seconds([run]) is None
