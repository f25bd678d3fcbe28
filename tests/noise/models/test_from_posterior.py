"""Noise that follows a posterior: published vectors, exact counts, calibration."""

import hashlib

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise import noise_spec
from pipeline.noise.arrays import Floats
from pipeline.noise.models import from_posterior as posterior
from pipeline.noise.models import open_set
from tests.support.noise_cases import balanced, softmax_rows


def _toy() -> Floats:
    """Ten samples of three classes with margins 1/11 .. 10/11, float32."""
    margins = (np.arange(10, dtype=np.float32) + 1) / np.float32(11)
    eta = np.zeros((10, 3), np.float32)
    for i, margin in enumerate(margins):
        first = i % 2
        eta[i, first], eta[i, first + 1] = (1 + margin) / 2, (1 - margin) / 2
    return eta


@pytest.mark.parametrize(
    ("noise_type", "factor", "keep", "labels"),
    [
        ("I", 1.43, (0.352540, 0.638618), "0 2 1 2 0 2 0 2 0 1"),
        ("II", 1.32, (0.000569, 0.569178), "1 2 1 2 1 2 0 2 1 1"),
        ("III", 1.35, (0.024673, 0.614038), "1 2 1 2 1 2 0 1 0 1"),
        ("I", 3.40, (0.148274, 0.268595), "1 2 1 2 1 2 0 2 1 2"),
    ],
)
def test_pmd_as_published(
    noise_type: str, factor: float, keep: tuple[float, float], labels: str
) -> None:
    m = posterior.margins(_toy(), noise_type)
    rates = posterior.keep_rates(m, factor)
    np.testing.assert_allclose(rates[[0, -1]], keep, atol=1e-6)
    drawn = posterior.pmd(m, factor, np.random.RandomState(123))
    assert drawn.tolist() == [int(label) for label in labels.split()]


@pytest.mark.parametrize("noise_type", ["I", "II", "III"])
@pytest.mark.parametrize("rate", [0.2, 0.35, 0.7])
def test_calibration_reaches_the_wanted_rate(noise_type: str, rate: float) -> None:
    """The draw may be 4.5 standard deviations off: a false alarm in 7e-6 of cases."""
    clean = balanced(20_000, 10)
    m = posterior.margins(softmax_rows(clean, 10, sharpness=6.0), noise_type)
    factor = posterior.calibrate(clean, m, rate)
    assert abs(posterior.expected_rate(clean, m, factor) - rate) < 1e-9
    drawn = posterior.pmd(m, factor, np.random.default_rng(0))
    assert abs((drawn != clean).mean() - rate) < 4.5 * np.sqrt(rate * (1 - rate) / len(clean))
    assert ((drawn == m.first) | (drawn == m.second)).all()


def test_a_rate_out_of_reach_names_the_reachable_ones() -> None:
    clean = balanced(1000, 10)
    m = posterior.margins(softmax_rows(clean, 10, sharpness=1.0), "I")
    with pytest.raises(LabError, match=r"a rate between 0\.6530 and 0\.8160"):
        posterior.calibrate(clean, m, 0.1)


def test_dependent_counts_are_exact_and_nested() -> None:
    clean = balanced(1003, 10)
    average = softmax_rows(clean, 10)
    flips = {r: posterior.dependent(clean, average, r) for r in (0.1, 0.2, 0.4)}
    for rate, noisy in flips.items():
        assert (noisy != clean).sum() == int(rate * 1003)
    inner, outer = flips[0.1] != clean, flips[0.4] != clean
    assert outer[inner].all()
    assert (flips[0.1] == flips[0.4])[inner].all()


def test_dependent_flips_the_most_confusable_to_their_best_wrong_class() -> None:
    clean = np.array([0, 0, 1, 1])
    average = np.array([[0.9, 0.1, 0.0], [0.4, 0.25, 0.35], [0.3, 0.5, 0.2], [0.0, 0.99, 0.01]])
    assert posterior.dependent(clean, average, 0.5).tolist() == [0, 2, 0, 1]
    assert posterior.dependent(clean, average, 1.0).tolist() == [1, 2, 0, 2]


def test_dependent_at_rate_zero_flips_nothing() -> None:
    clean = balanced(100, 10)
    assert (posterior.dependent(clean, softmax_rows(clean, 10), 0.0) == clean).all()


def test_version_1_of_the_generators() -> None:
    """Raise the VERSION of noise_spec.Pmd together with this digest."""
    clean = balanced(1000, 10)
    eta = softmax_rows(clean, 10, sharpness=6.0)
    source = np.random.Generator(np.random.PCG64(0))
    drawn = posterior.pmd(posterior.margins(eta, "III"), 1.35, source)
    both = np.concatenate([drawn, posterior.dependent(clean, eta, 0.3)])
    content = hashlib.sha256(both.astype("<i8").tobytes()).hexdigest()[:16]
    assert (noise_spec.Pmd.VERSION, content) == (1, "c0c3e30959992c0f")


@pytest.mark.parametrize("legacy", [False, True])
def test_open_set_draws_each_image_once_and_an_exact_count(legacy: bool) -> None:
    index, source = open_set.replace(1000, 300, 0.25, 0, legacy)
    assert len(index) == len(source) == 250
    assert len(set(index)) == len(set(source)) == 250
    assert (np.diff(index) > 0).all()
    assert source.max() < 300
    assert (open_set.replace(1000, 300, 0.25, 1, legacy)[0] != index).any()


def test_open_set_at_rate_zero_replaces_nothing() -> None:
    assert len(open_set.replace(1000, 300, 0.0, 0, False)[0]) == 0
