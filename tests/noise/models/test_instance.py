"""Instance-dependent noise: RRR's labels exactly, and the properties of the family."""

import hashlib
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pipeline.noise import noise_spec
from pipeline.noise.models import instance
from pipeline.noise.published.streams import instance_legacy
from tests.support.noise_cases import REFERENCE, balanced, integers

Generator = Callable[..., Any]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (6000, 8, 8, 3), dtype=np.uint8)
CLEAN = balanced(6000, 10)


def _projector(variant: str, images: Any = IMAGES) -> instance.Projector:
    return instance.Projector(images, instance.VARIANTS[variant])


@pytest.mark.parametrize(("case", "rate"), [("inst_04", 0.4), ("inst_06", 0.6)])
def test_every_label_of_rrr_is_reproduced(case: str, rate: float) -> None:
    images = REFERENCE[f"{case}_images"].repeat(8, axis=1).repeat(8, axis=2)
    noisy = instance_legacy(integers(f"{case}_clean"), _projector("rrr", images), 10, rate, seed=0)
    assert (noisy == integers(f"{case}_noisy")).all()


@pytest.mark.parametrize(
    ("rate", "mean"), [(0.1, 0.12876), (0.2, 0.20552), (0.4, 0.40001), (0.8, 0.79448)]
)
def test_mean_flip_rate_of_the_truncated_normal(rate: float, mean: float) -> None:
    """A regular grid of a million quantiles gives the mean to 1e-5."""
    q = instance.flip_rates(rate, (np.arange(1_000_000) + 0.5) / 1_000_000)
    assert abs(q.mean() - mean) < 1e-5
    assert q.min() >= 0
    assert q.max() <= 1


@pytest.mark.parametrize("variant", ["xia2020", "dal", "rrr", "cifarn"])
@pytest.mark.parametrize("generator", [instance.generate, instance_legacy])
def test_realised_rate(variant: str, generator: Generator) -> None:
    """4.5 standard deviations: a false alarm in 7e-6 of cases."""
    noisy = generator(CLEAN, _projector(variant), 10, 0.4, 1)
    assert abs((noisy != CLEAN).mean() - 0.4) < 4.5 * np.sqrt(0.24 / len(CLEAN))
    assert noisy.min() >= 0
    assert noisy.max() <= 9


@pytest.mark.parametrize("generator", [instance.generate, instance_legacy])
def test_zero_rate_flips_nothing(generator: Generator) -> None:
    assert (generator(CLEAN, _projector("rrr"), 10, 0.0, 0) == CLEAN).all()


def test_flips_are_nested_in_the_rate_and_keep_their_target() -> None:
    low, high = (instance.generate(CLEAN, _projector("dal"), 10, r, 5) for r in (0.2, 0.4))
    flipped = low != CLEAN
    assert (high != CLEAN)[flipped].mean() > 0.97
    assert (high == low)[flipped].mean() > 0.95


def test_targets_follow_the_pixels() -> None:
    """Equal images of one class flip to one class almost always; shuffled ones do not."""
    doubled = np.concatenate([IMAGES[:2000]] * 2)
    labels = np.concatenate([CLEAN[:2000]] * 2)
    noisy = instance.generate(labels, _projector("xia2020", doubled), 10, 0.8, 0).reshape(2, 2000)
    both = (noisy != CLEAN[:2000]).all(axis=0)
    assert (noisy[0] == noisy[1])[both].mean() > 0.9


def test_a_shared_projection_concentrates_the_flips() -> None:
    """Images have a mean in common; one projection sends it to one class for all of them."""
    alike = IMAGES // 4 + np.uint8(150)
    shares = {}
    for variant in ("rrr", "dal"):
        noisy = instance.generate(CLEAN, _projector(variant, alike), 10, 0.5, 0)
        shares[variant] = np.bincount(noisy[noisy != CLEAN]).max() / (noisy != CLEAN).sum()
    assert shares["rrr"] > 2 * shares["dal"]


def test_layouts_agree_when_the_weights_follow() -> None:
    """Channel-first and channel-last scores are one product with rows of W moved."""
    weights = np.random.default_rng(1).normal(size=(192, 10))
    moved = weights.reshape(8, 8, 3, 10).transpose(2, 0, 1, 3).reshape(192, 10)
    rows = np.arange(50)
    with instance._workers() as workers:
        last = _projector("cifarn").scores(rows, weights, workers)
        first = _projector("xia2020").scores(rows, moved, workers)
    np.testing.assert_allclose(first, last)
    np.testing.assert_allclose(last, IMAGES[:50].reshape(50, -1) @ weights, atol=0.01)


def test_scores_are_exact_so_that_labels_are_the_same_on_every_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Float32 sums equal whole-number arithmetic, in whatever order BLAS adds."""
    images = np.random.default_rng(2).integers(0, 256, (400, 32, 32, 3), dtype=np.uint8)
    projector, plain = _projector("cifarn", images), instance.Projector.scores
    compared = []

    def spy(self: instance.Projector, rows: Any, weights: Any, workers: Any) -> Any:
        found = plain(self, rows, weights, workers)
        whole = images[rows].reshape(len(rows), -1).astype(np.int64) @ (weights * 128).astype(int)
        compared.append((found == whole / 128).all())
        return found

    monkeypatch.setattr(instance.Projector, "scores", spy)
    instance.generate(balanced(400, 10), projector, 10, 0.5, 0)
    assert compared == [True]


def test_features_take_the_place_of_pixels() -> None:
    features = np.random.default_rng(0).normal(size=(6000, 5)).astype(np.float32)
    noisy = instance.generate(CLEAN, _projector("xia2020", features), 10, 0.4, 0)
    assert abs((noisy != CLEAN).mean() - 0.4) < 4.5 * np.sqrt(0.24 / len(CLEAN))


def test_a_class_may_be_absent() -> None:
    only = np.full(500, 3)
    noisy = instance.generate(only, _projector("xia2020", IMAGES[:500]), 10, 0.5, 0)
    assert 150 < (noisy != 3).sum() < 350


def test_version_1_of_the_generator() -> None:
    """Raise the VERSION of noise_spec.Instance together with this digest."""
    noisy = instance.generate(CLEAN[:1000], _projector("xia2020", IMAGES[:1000]), 10, 0.4, 0)
    content = hashlib.sha256(noisy.astype("<i8").tobytes()).hexdigest()[:16]
    assert (noise_spec.Instance.VERSION, content) == (1, "dcfbd38e126a05c7")


def test_memory_stays_far_below_the_float_images() -> None:
    images = np.zeros((5000, 32, 32, 3), np.uint8)
    tracemalloc.start()
    instance.generate(balanced(5000, 10), _projector("rrr", images), 10, 0.4, 0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.size * 4 / 2
