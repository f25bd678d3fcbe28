"""How fast a run trained: what it takes of a device, and what is said of it."""

import pytest

from pipeline.runs.speed import in_words, nominal_peak, share_of_peak, training_operations
from tests.support.runs import row, run
from tests.support.tiny_session import tiny_session


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L40S", 362e12),
        ("x86_64", None),
    ],
)
def test_the_peak_of_a_gpu_is_that_of_its_longest_name(name, expected):
    assert nominal_peak(name) == expected


def test_resnet18_trains_an_image_of_32_pixels_at_three_and_a_third_gigaflop():
    assert training_operations("resnet18", 10, (3, 32, 32)) == pytest.approx(3.34e9, rel=0.01)


def test_a_share_is_of_the_peak_of_all_devices(monkeypatch):
    session = tiny_session(backbone="resnet18")
    session.progress.speeds = [1.0, 10_000.0, 12_000.0]
    monkeypatch.setattr(type(session.processes), "kind", "NVIDIA H100 80GB HBM3")
    assert share_of_peak(session, (32, 32, 3)) is None  # it has no network of the laboratory
    monkeypatch.setattr("pipeline.runs.speed.Backbone", type(session.method.network))
    expected = 10_000 * training_operations("resnet18", 3, (3, 32, 32)) / 989e12
    assert share_of_peak(session, (32, 32, 3)) == pytest.approx(expected)
    session.processes.n_processes = 2
    assert share_of_peak(session, (32, 32, 3)) == pytest.approx(expected / 2)


def test_nothing_is_said_of_a_speed_that_is_unknown():
    assert in_words(None, None) == ""
    assert in_words(12_345.6, None) == "12,346 training images a second"
    assert in_words(12_345.6, 0.0412).endswith(", 4.1% of the device's bf16 peak")


def test_a_run_ends_with_its_speed(lab):
    outcome = run(epochs=2)
    stored = row(outcome.key)
    of_epochs = [stored["n_train"] / seconds for seconds in (0.001, stored["seconds"])]
    assert of_epochs[1] < stored["images_per_second"] < of_epochs[0]
    assert stored["share_of_peak"] is None
    assert stored["compiled"] == "off"
    assert outcome.speed == f"{stored['images_per_second']:,.0f} training images a second"
    assert run(epochs=2).speed == ""
