"""Which convention label counts show."""

import numpy as np
import pytest

from pipeline.noise.detect import detect
from pipeline.noise.models import class_maps, transitions
from pipeline.noise.noise_card import confusion, realised
from tests.support.noise_cases import REFERENCE, balanced, integers


@pytest.mark.parametrize(
    ("file", "nominal", "expected"),
    [
        ("label_symmetric_cifar10_20", 0.2, {"symmetric-inclusive"}),
        ("label_symmetric_cifar10_60", 0.6, {"symmetric-inclusive"}),
        ("label_symmetric_cifar100_60", 0.6, {"symmetric-inclusive", "symmetric"}),
        ("data_CIFAR10_label_noisy_sym0.4", 0.4, {"symmetric"}),
        ("label_asymmetric_cifar10_20", 0.2, {"asymmetric/cifar10"}),
        ("data_CIFAR10_label_noisy_asym0.4", 0.4, {"asymmetric/cifar10"}),
        ("label_asymmetric_cifar100_20", 0.2, {"asymmetric/superclass_next"}),
        ("label_instance_cifar10_20", 0.2, {"uneven"}),
        ("data_CIFAR100_label_noisy_dependent0.4", 0.4, {"uneven"}),
        ("noise_label_cifar10-1-0.35", 0.35, {"uneven"}),
        ("noise_label_cifar100-1-0.35_A_0.3", None, {"uneven"}),
    ],
)
def test_published_counts_show_their_convention(
    file: str, nominal: float | None, expected: set[str]
) -> None:
    counts = integers(f"files_{file}")
    assert set(detect(counts, nominal).conventions) == expected
    found = realised(counts)
    assert found.rate == pytest.approx(float(REFERENCE[f"files_{file}_rate"]), abs=1e-12)
    rates = np.array(found.per_class, float)
    np.testing.assert_allclose(rates, REFERENCE[f"files_{file}_rates"], atol=1e-6)


@pytest.mark.parametrize("kind", ["next_class", "block5"])
def test_the_other_maps_are_recognised_too(kind: str) -> None:
    clean = balanced(50_000, 100)
    matrix = transitions.along_map(0.4, class_maps.named_map(kind, 100))
    found = detect(confusion(clean, transitions.draw(clean, matrix, 0), 100))
    assert found.conventions[0] == f"asymmetric/{kind}"
    assert ("pair" in found.conventions) == (kind == "next_class")


def test_clean_labels_and_unknown_maps_have_names() -> None:
    assert detect(np.diag([5, 5, 5])).conventions == ("clean",)
    assert detect(np.array([[5, 0, 2], [0, 5, 0], [0, 0, 5]])).conventions == ("asymmetric",)


def test_uniform_detection_rarely_errs() -> None:
    """300 draws at a false alarm of 1e-5 each: one failure in 330 runs of other seeds."""
    clean = balanced(5000, 10)
    for seed in range(300):
        noisy = transitions.draw(clean, transitions.symmetric(0.4, 10), seed)
        assert "symmetric" in detect(confusion(clean, noisy, 10), 0.4).conventions
