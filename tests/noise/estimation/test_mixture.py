"""Mixtures of two: the authors' divisions, known components, and what has no two components."""

import numpy as np
import pytest

from pipeline.errors import LabError
from pipeline.noise.estimation.mixture import fit_mixture, rescaled
from tests.support.paths import REFERENCES

REFERENCE = np.load(REFERENCES / "mixture_reference.npz")
"""Losses, k-means starts and posteriors of the official DivideMix and C2D scripts."""
CASES = sorted({name.split(".")[0] for name in REFERENCE.files})


def case(name):
    return {
        field.removeprefix(f"{name}."): REFERENCE[field]
        for field in REFERENCE.files
        if field.startswith(f"{name}.")
    }


@pytest.mark.parametrize("name", CASES)
def test_divisions_equal_those_of_the_authors_from_their_start(name):
    expected = case(name)
    limit = int(expected["max_iter"])
    found = fit_mixture(
        expected["fitted_input"], 0, max_iterations=limit,
        start=expected["start_labels"].astype(np.int64),
    )  # fmt: skip
    assert found.n_iterations == expected["n_iter"]
    order = expected["means"][:, 0].argsort()
    # The start is handed over in float32 parameters, as the values are.
    np.testing.assert_allclose(found.low, expected["prob_clean"], atol=2e-6)
    np.testing.assert_allclose(found.means, expected["means"][order, 0], rtol=1e-6)
    np.testing.assert_allclose(found.variances, expected["variances"][order, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(found.weights, expected["weights"][order], rtol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_start_of_ones_own_stays_within_what_starts_change(name):
    expected = case(name)
    found = fit_mixture(expected["fitted_input"], 7, max_iterations=int(expected["max_iter"]))
    again = fit_mixture(expected["fitted_input"], 7, max_iterations=int(expected["max_iter"]))
    assert np.array_equal(found.low, again.low)
    deviation = np.abs(found.low - expected["prob_clean"]).max()
    assert deviation <= 1.5 * float(expected["deviation_other_start"]) + 1e-5


def test_rescaled_values_are_those_of_the_authors():
    expected = case("bimodal")
    np.testing.assert_allclose(
        rescaled(expected["raw_loss"]), expected["normalised"], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("family", ["gaussian", "beta"])
def test_two_beta_distributions_are_found_again(family):
    draw = np.random.default_rng(0)
    low, high = draw.beta(2, 12, 1400), draw.beta(9, 3, 600)
    found = fit_mixture(np.concatenate([low, high]), 3, family, max_iterations=200, tolerance=1e-7)
    assert found.weights == pytest.approx([0.7, 0.3], abs=0.03)
    assert found.means == pytest.approx([2 / 14, 9 / 12], abs=0.03)  # a Gaussian is none of them
    assert found.low[:1400].mean() > 0.95
    assert found.low[1400:].mean() < 0.05


def test_a_beta_component_has_the_moments_of_its_samples():
    values = np.array([0.1, 0.2, 0.3, 0.2, 0.7, 0.8, 0.9, 0.8])
    start = np.array([1, 1, 1, 1, 0, 0, 0, 0])
    found = fit_mixture(values, 0, "beta", max_iterations=0, start=start)
    assert found.means == pytest.approx([0.2, 0.8])
    assert found.variances == pytest.approx([0.005, 0.005])
    assert found.weights == pytest.approx([0.5, 0.5])
    # 0.1 is to the one what 0.9 is to the other.
    mirrored = [6, 5, 4, 7, 2, 1, 0, 3]
    np.testing.assert_allclose(found.low, 1 - found.low[mirrored], atol=1e-9)


@pytest.mark.parametrize("family", ["gaussian", "beta"])
@pytest.mark.parametrize(
    "values",
    [
        [0.0, 1.0],
        [0.0, 0.0, 1.0],
        [0.5, 0.5, 0.5, 0.5 + 1e-7],
        [0.0] * 50 + [1.0],
        [0.0, 1.0] * 20,
        np.float32([0.25] * 9 + [0.75]),
    ],
)
def test_few_or_repeated_values_give_probabilities(family, values):
    found = fit_mixture(np.asarray(values), 0, family)
    assert np.isfinite(found.low).all()
    assert ((found.low >= 0) & (found.low <= 1)).all()
    assert found.means[0] <= found.means[1]
    assert found.weights.sum() == pytest.approx(1)
    assert found.low[np.argmin(values)] >= found.low[np.argmax(values)]


@pytest.mark.parametrize("use", [rescaled, lambda values: fit_mixture(values, 0)])
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.1, np.nan, 0.3], r"1 of 3 values \[3\] are NaN or infinite"),
        ([np.inf, 0.0], "NaN or infinite"),
        ([0.5, 0.5, 0.5], "3 values that are all equal.*longer warm-up"),
        ([0.5], "1 values that are all equal"),
        ([], "0 values"),
    ],
)
def test_what_has_no_two_components_is_refused(use, values, words):
    with pytest.raises(LabError, match=words):
        use(np.array(values, dtype=np.float64))
