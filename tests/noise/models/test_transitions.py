"""Class-conditional noise: matrices, maps, exact published vectors, and statistics.

Statistical tests allow 4.5 standard deviations (two-sided false alarm 7e-6 each); the chi-square
test of uniformity rejects below p = 1e-5. Seeds are fixed, so a passing test keeps passing.
"""

import hashlib

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise import noise_spec
from pipeline.noise.arrays import Floats
from pipeline.noise.detect import FALSE_ALARM, uniformity
from pipeline.noise.models import class_maps, transitions
from pipeline.noise.noise_card import confusion
from tests.support.noise_cases import CIFAR10_HEAD, CIFAR100_HEAD, balanced, integers

SIGMAS = 4.5


@pytest.mark.parametrize("n_classes", [2, 10, 100])
@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_matrices_are_stochastic_and_keep_their_promise(n_classes: int, rate: float) -> None:
    target = class_maps.named_map("next_class", n_classes)
    promised = {
        "symmetric": (transitions.symmetric(rate, n_classes), rate),
        "inclusive": (
            transitions.symmetric_inclusive(rate, n_classes),
            rate * (n_classes - 1) / n_classes,
        ),
        "map": (transitions.along_map(rate, target), rate),
    }
    for matrix, wrong in promised.values():
        np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
        np.testing.assert_allclose(1.0 - np.diag(matrix), wrong, atol=1e-12)
        assert (matrix >= 0).all()


def test_zero_rate_flips_nothing_in_any_mode() -> None:
    labels = balanced(5000, 10)
    for matrix in (transitions.symmetric(0.0, 10), transitions.symmetric_inclusive(0.0, 10)):
        assert (transitions.draw(labels, matrix, 0) == labels).all()
        assert (transitions.draw_legacy(labels, matrix, 0) == labels).all()


@pytest.mark.parametrize("n_classes", [10, 100])
@pytest.mark.parametrize("rate", [0.2, 0.8])
def test_draws_have_the_rate_and_uniform_targets(n_classes: int, rate: float) -> None:
    labels = balanced(50_000, n_classes)
    noisy = transitions.draw(labels, transitions.symmetric(rate, n_classes), seed=3)
    counts = confusion(labels, noisy, n_classes)
    wrong = 1 - np.diag(counts).sum() / len(labels)
    assert abs(wrong - rate) < SIGMAS * np.sqrt(rate * (1 - rate) / len(labels))
    per_class = 1 - np.diag(counts) / counts.sum(axis=1)
    limit = (SIGMAS + 1) * np.sqrt(rate * (1 - rate) * n_classes / len(labels))
    assert abs(per_class - rate).max() < limit  # 4e-8 for each of up to 100 classes
    assert uniformity(counts) > FALSE_ALARM


def test_draws_follow_any_matrix() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(5) * 0.5, size=5)
    matrix[2] = [0, 0, 1, 0, 0]
    labels = balanced(100_000, 5)
    shares = confusion(labels, transitions.draw(labels, matrix, 1), 5) / 20_000
    assert abs(shares - matrix).max() < SIGMAS * np.sqrt(0.25 / 20_000)
    assert (shares[matrix == 0] == 0).all()


def test_class_sizes_may_differ_and_classes_may_be_absent() -> None:
    labels = np.array([3] * 10 + [0] * 1000)
    noisy = transitions.draw(labels, transitions.along_map(1.0, np.array([1, 2, 3, 0])), 0)
    assert noisy.tolist() == [0] * 10 + [1] * 1000


def test_same_seed_same_labels_whatever_was_drawn_before() -> None:
    labels, matrix = balanced(2000, 10), transitions.symmetric(0.4, 10)
    first = transitions.draw(labels, matrix, 7)
    np.random.seed(1)
    np.random.random(100)
    assert (transitions.draw(labels, matrix, 7) == first).all()
    assert (transitions.draw(labels, matrix, 8) != first).any()


def test_version_1_of_the_generator() -> None:
    """Raise the VERSION of noise_spec.Symmetric together with this digest."""
    labels = balanced(1000, 10)
    noisy = transitions.draw(labels, transitions.symmetric(0.4, 10), seed=0)
    content = hashlib.sha256(noisy.astype("<i8").tobytes()).hexdigest()[:16]
    assert (noise_spec.Symmetric.VERSION, content) == (1, "b87e84c201809b50")


@pytest.mark.parametrize(
    ("kind", "rate", "expected"),
    [
        ("symmetric", 0.2, "6 9 4 4 8 1 2 7 4 3 4 7"),
        ("symmetric", 0.4, "6 1 9 2 1 1 6 6 8 3 0 7"),
        ("symmetric", 0.6, "6 1 4 5 0 6 8 1 8 4 4 7"),
        ("symmetric", 0.8, "7 0 4 4 1 6 9 1 8 4 8 6"),
        ("next_class", 0.2, "6 9 9 4 1 1 2 8 8 3 4 7"),
        ("next_class", 0.45, "6 0 0 4 1 2 3 7 9 3 5 7"),
        ("cifar10", 0.4, "6 1 1 4 1 1 2 7 8 5 4 7"),
    ],
)
def test_published_stream_on_cifar10(kind: str, rate: float, expected: str) -> None:
    drawn = transitions.draw_legacy(CIFAR10_HEAD, _matrix(kind, rate, 10), seed=0)
    assert drawn.tolist() == [int(label) for label in expected.split()]


@pytest.mark.parametrize(
    ("kind", "rate", "expected"),
    [
        ("symmetric", 0.2, "52 29 0 11 1 51 90 28 23 31 39 96"),
        ("symmetric", 0.6, "19 32 94 1 1 86 90 90 30 26 83 32"),
        ("symmetric", 0.8, "19 32 94 1 1 58 75 90 23 45 3 26"),
        ("next_class", 0.45, "19 30 0 11 2 87 90 29 24 31 39 96"),
        ("block5", 0.4, "19 25 0 11 2 87 90 29 23 32 39 97"),
    ],
)
def test_published_stream_on_cifar100(kind: str, rate: float, expected: str) -> None:
    drawn = transitions.draw_legacy(CIFAR100_HEAD, _matrix(kind, rate, 100), seed=0)
    assert drawn.tolist() == [int(label) for label in expected.split()]


@pytest.mark.parametrize(
    ("case", "kind", "rate", "n_classes"),
    [
        ("sym_06", "symmetric", 0.6, 10),
        ("pair_04", "next_class", 0.4, 10),
        ("sym100_08", "symmetric", 0.8, 100),
    ],
)
def test_every_label_of_rrr_is_reproduced(
    case: str, kind: str, rate: float, n_classes: int
) -> None:
    drawn = transitions.draw_legacy(integers(f"{case}_clean"), _matrix(kind, rate, n_classes), 0)
    assert (drawn == integers(f"{case}_noisy")).all()


def test_the_three_cifar100_maps() -> None:
    superclass = class_maps.named_map("superclass_next", 100)
    assert (class_maps.CIFAR100_COARSE[superclass] == class_maps.CIFAR100_COARSE).all()
    assert superclass[:10].tolist() == [51, 32, 11, 42, 30, 20, 7, 14, 13, 10]
    assert sorted(superclass) == list(range(100))
    assert (superclass != np.arange(100)).all()
    assert class_maps.named_map("next_class", 100)[[0, 99]].tolist() == [1, 0]
    assert class_maps.named_map("block5", 100)[[0, 4, 95, 99]].tolist() == [1, 0, 96, 95]


def test_the_cifar10_map_leaves_five_classes_alone() -> None:
    target = class_maps.named_map("cifar10", 10)
    assert target.tolist() == [0, 1, 0, 5, 7, 3, 6, 7, 8, 1]
    labels = balanced(10_000, 10)
    noisy = transitions.draw(labels, transitions.along_map(0.4, target), 0)
    flipped = noisy != labels
    assert (noisy[flipped] == target[labels[flipped]]).all()
    assert abs(flipped.mean() - 0.2) < SIGMAS * np.sqrt(0.2 * 0.8 / len(labels))


@pytest.mark.parametrize(
    ("name", "n_classes", "message"),
    [
        ("superclass_next", 10, "superclass_next on 10 classes"),
        ("cifar10", 100, "cifar10 on 100 classes"),
        ("block5", 12, "block5 on 12 classes"),
        ("next", 10, "try: next_class"),
    ],
)
def test_a_map_that_does_not_fit_is_named(name: str, n_classes: int, message: str) -> None:
    with pytest.raises(LabError, match=message):
        class_maps.named_map(name, n_classes)


def test_a_map_naming_an_absent_class_is_refused() -> None:
    with pytest.raises(LabError, match="names class 12; expected: classes 0 to 9"):
        class_maps.custom_map({3: 12}, 10)


def _matrix(kind: str, rate: float, n_classes: int) -> Floats:
    if kind == "symmetric":
        return transitions.symmetric(rate, n_classes)
    return transitions.along_map(rate, class_maps.named_map(kind, n_classes))
