"""Estimation of T without clean labels: reference numbers, moments, neighbours, refusals.

reference/hoc_reference.npz holds inputs and outputs of the official RRR code (snapshot 6f953a4) on
two clustered sets, `c4_2d` (4 classes, 2 features) and `c10_16d`: features [N, D], labels, the
parts drawn (`samples`), frequencies p1, p2, p3, counts and neighbours of the first part (`round0`),
start P0 and estimates T_est, P_est after 10, 50, 300 and all steps; and two sets of exact moments.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from pipeline.errors import LabError
from pipeline.noise.estimation import consensus as consensus_module
from pipeline.noise.estimation.consensus import Moments, consensus, nearest_two
from pipeline.noise.estimation.hoc import _Objective, estimate, modelled, solve
from pipeline.noise.models import transitions
from tests.support.rrr_cases import DATA

REFERENCE = dict(np.load(DATA / "hoc_reference.npz"))
CASES = pytest.mark.parametrize("case", ["c4_2d", "c10_16d"])
# Absolute, on T and prior: the objective is not smooth at its minimum.
TOLERANCE = {10: 1e-5, 50: 1e-3, 300: 3e-2}


def observed(case: str) -> Moments:
    return Moments(*(np.asarray(REFERENCE[f"{case}.p{i}"], np.float64) for i in (1, 2, 3)))


def exact(transition: npt.NDArray[np.float64], prior: npt.NDArray[np.float64]) -> Moments:
    moments = modelled(torch.from_numpy(transition), torch.from_numpy(prior))
    return Moments(*(part.numpy() for part in moments))


def clusters(
    n: int, rate: float, n_classes: int = 4, seed: int = 0
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Features that tell the class, labels under symmetric noise, and its matrix."""
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, n_classes, n)
    features = 4 * np.eye(n_classes, 8)[clean] + rng.normal(size=(n, 8))
    matrix = np.asarray(transitions.symmetric(rate, n_classes), np.float64)
    return features.astype(np.float32), transitions.draw(clean, matrix, seed), matrix


ROUNDING = 1e-6
"""Of a cosine in two or sixteen dimensions: lengths and products of float32 (2^-24 each)."""


def _cosines(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    rows = features.astype(np.float64)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def _counted(
    y: npt.NDArray[np.int64], first: npt.NDArray[Any], second: npt.NDArray[Any], n_classes: int
) -> npt.NDArray[np.float64]:
    """How often three labels meet: [K, K, K]."""
    counts = np.zeros((n_classes, n_classes, n_classes))
    np.add.at(counts, (y, y[first], y[second]), 1)
    return counts


@CASES
def test_neighbours_equal_the_reference_but_for_ties(case: str) -> None:
    """Cosines that are equal up to rounding are ordered by the machine; as such they must agree."""
    part = REFERENCE[f"{case}.samples"][0]
    features, everyone = REFERENCE[f"{case}.features"][part], np.arange(len(part))
    cosines = _cosines(features)
    (found,) = nearest_two(features, [everyone], itself="nearest")
    for column in range(2):
        recorded = REFERENCE[f"{case}.round0.nn{column + 1}"]
        np.testing.assert_allclose(
            cosines[everyone, found[:, column]],
            cosines[everyone, recorded],
            rtol=0,
            atol=2 * ROUNDING,
        )


@CASES
def test_frequencies_are_counted_from_neighbours_as_in_the_reference(case: str) -> None:
    part = REFERENCE[f"{case}.samples"][0]
    features, y = (REFERENCE[f"{case}.{name}"][part] for name in ("features", "noisy"))
    n_classes, everyone = len(REFERENCE[f"{case}.prior"]), [np.arange(len(part))]
    recorded = [REFERENCE[f"{case}.round0.nn{i}"] for i in (1, 2)]
    np.testing.assert_array_equal(
        _counted(y, *recorded, n_classes),
        REFERENCE[f"{case}.round0.cnt3"].reshape((n_classes,) * 3),
    )
    (near,) = nearest_two(features, everyone, itself="nearest")
    found = consensus(features, y, n_classes, everyone, itself="nearest").three
    np.testing.assert_allclose(
        found * len(part), _counted(y, *near.T, n_classes), rtol=0, atol=1e-9
    )


def test_frequencies_of_the_recorded_parts_equal_the_reference() -> None:
    """In sixteen dimensions no two cosines tie; in two (c4_2d) most do, and chance orders them."""
    features, y = REFERENCE["c10_16d.features"], REFERENCE["c10_16d.noisy"]
    rounds = [
        consensus(features[part], y[part], 10, [np.arange(len(part))], itself="nearest")
        for part in REFERENCE["c10_16d.samples"]
    ]
    for i in range(3):
        found = np.mean([moments[i] for moments in rounds], axis=0)
        np.testing.assert_allclose(found, REFERENCE[f"c10_16d.p{i + 1}"], rtol=0, atol=1e-7)
        counts = REFERENCE[f"c10_16d.round0.cnt{i + 1}"]
        np.testing.assert_allclose(rounds[0][i] * counts.sum(), counts, rtol=0, atol=1e-3)


@CASES
@pytest.mark.parametrize("steps", TOLERANCE)
def test_estimates_equal_the_reference(case: str, steps: int) -> None:
    start = REFERENCE[f"{case}.P0"].ravel()
    last = solve(observed(case), start, steps=steps, returns="last")
    at = f"{case}.step{steps}"
    for found, name in ((last.T, "T_est"), (last.prior, "P_est")):
        expected = REFERENCE[f"{at}.{name}"].reshape(found.shape)
        np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[steps])
    best = solve(observed(case), start, steps=steps)
    assert best.objective == pytest.approx(float(REFERENCE[f"{at}.loss_min"]), rel=0.02)
    assert best.objective <= last.objective - (1e-4 if steps == 300 else 0)


def test_the_whole_fit_equals_the_reference() -> None:
    start, steps = REFERENCE["c10_16d.P0"].ravel(), int(REFERENCE["c10_16d.steps"])
    found = solve(observed("c10_16d"), start, steps=steps, returns="last")
    np.testing.assert_allclose(found.T, REFERENCE["c10_16d.T_est"], rtol=0, atol=3e-2)


@pytest.mark.parametrize("case", ["moments_c4", "moments_c10"])
def test_modelled_frequencies_equal_the_reference_and_the_plain_sums(case: str) -> None:
    matrix, prior = (torch.from_numpy(REFERENCE[f"{case}.{name}"]).double() for name in "TP")
    found = modelled(matrix, prior)
    sums = (
        torch.einsum("i,ia->a", prior, matrix),
        torch.einsum("i,ia,ib->ab", prior, matrix, matrix),
        torch.einsum("i,ia,ib,ic->abc", prior, matrix, matrix, matrix),
    )
    for order, (part, plain) in enumerate(zip(found, sums, strict=True), start=1):
        torch.testing.assert_close(part, plain, rtol=1e-12, atol=1e-15)
        reference = REFERENCE[f"{case}.p{order}"].reshape(part.shape)
        np.testing.assert_allclose(part, reference, rtol=0, atol=1e-6)


def test_slopes_of_the_objective_are_its_derivatives() -> None:
    rng = np.random.default_rng(0)
    moments = Moments(rng.random(3), rng.random((3, 3)), rng.random((3, 3, 3)))
    matrix = torch.rand(3, 3, generator=torch.Generator().manual_seed(0)).double()
    prior = matrix[0].clone()

    def plain(matrix: Tensor, prior: Tensor) -> Tensor:
        parts = zip(modelled(matrix, prior), moments, strict=True)
        return torch.stack([(part - torch.from_numpy(seen)).norm() for part, seen in parts]).sum()

    value, slopes = _Objective(moments)(matrix, prior)
    leaves = matrix.requires_grad_(), prior.requires_grad_()
    expected = plain(*leaves)
    assert value == pytest.approx(expected.item(), rel=1e-12)
    for found, slope in zip(slopes, torch.autograd.grad(expected, leaves), strict=True):
        torch.testing.assert_close(found, slope, rtol=1e-10, atol=1e-12)


def test_exact_moments_give_the_matrix_back() -> None:
    matrix = np.asarray(transitions.symmetric(0.6, 10), np.float64)
    start = 0.1 + 0.1 * np.random.default_rng(0).random(10)
    found = solve(exact(matrix, np.full(10, 0.1)), start)
    assert np.abs(found.T - matrix).max() < 0.01
    np.testing.assert_allclose(found.T.sum(axis=1), 1)
    assert found.prior.sum() == pytest.approx(1)
    assert found.objective < 0.01


def test_an_objective_of_zero_has_no_direction() -> None:
    """The best point there is must not turn into NaN."""
    value, slopes = _Objective(exact(np.eye(2), np.full(2, 0.5)))(
        torch.eye(2).double(), torch.full((2,), 0.5).double()
    )
    assert value == 0
    assert all(not slope.any() for slope in slopes)


def test_frequencies_are_those_of_a_loop_over_all_pairs() -> None:
    features, y, _ = clusters(60, 0.3)
    part = np.sort(np.random.default_rng(1).choice(60, 40, replace=False))
    counts = np.zeros((4, 4, 4))
    for i in part:
        cosines = [
            (-(features[i] @ features[j]) / np.linalg.norm(features[j]), j) for j in part if j != i
        ]
        (_, first), (_, second) = sorted(cosines)[:2]
        counts[y[i], y[first], y[second]] += 1 / len(part)
    found = consensus(features, y, 4, [part])
    np.testing.assert_allclose(found.three, counts, atol=1e-12)
    np.testing.assert_allclose(found.two, counts.sum(axis=2), atol=1e-12)
    np.testing.assert_allclose(found.one, counts.sum(axis=(1, 2)), atol=1e-12)


@pytest.mark.parametrize("itself", ["index", "nearest"])
def test_lists_and_blocks_give_what_a_search_in_each_part_gives(
    itself: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, y, _ = clusters(400, 0.3)
    features[100:120] = features[:20]
    rng = np.random.default_rng(2)
    parts = [np.sort(rng.choice(400, 120, replace=False)) for _ in range(15)]
    alone = [consensus(features, y, 4, [part], itself=itself).three for part in parts]
    # Short lists, so that some samples have to be sought directly, and blocks of three rows.
    monkeypatch.setattr(consensus_module, "_EXPECTED_IN_LIST", 2)
    monkeypatch.setattr(consensus_module, "_SIMILARITIES_AT_ONCE", 1200)
    together = consensus(features, y, 4, parts, itself=itself)
    np.testing.assert_allclose(together.three, np.mean(alone, axis=0), atol=1e-12)


def test_a_sample_is_its_own_neighbour_only_in_the_official_way() -> None:
    """All rows equal: the official code takes the first for every sample itself."""
    features, y = np.ones((4, 2), np.float32), np.array([0, 1, 2, 3])
    ours = consensus(features, y, 4, [np.arange(4)])
    official = consensus(features, y, 4, [np.arange(4)], itself="nearest")
    assert not np.diag(ours.two).any()
    assert official.two[1, 1] == 0.25
    np.testing.assert_allclose(ours.two[3, 0], 0.25)


@pytest.mark.parametrize("rate", [0.2, 0.35])
def test_clusters_give_their_matrix(rate: float) -> None:
    features, y, matrix = clusters(3000, rate)
    found = estimate(features, y, 4, rounds=4, sample=1000, steps=300)
    assert np.abs(found.T - matrix).max() < 0.08
    np.testing.assert_allclose(found.prior, np.full(4, 0.25), atol=0.06)


def test_an_estimate_is_that_of_its_seed() -> None:
    features, y, _ = clusters(300, 0.3)
    few = {"rounds": 3, "sample": 100, "steps": 20}
    first = estimate(features, y, 4, **few, seed=1)
    np.random.seed(5)
    torch.manual_seed(5)
    again = estimate(torch.from_numpy(features).double(), y, 4, **few, seed=1, progress=False)
    other = estimate(features, y, 4, **few, seed=2)
    np.testing.assert_allclose(again.T, first.T, rtol=1e-6)
    assert np.abs(other.T - first.T).max() > 1e-4


def test_fewer_samples_than_a_part_are_all_taken_once() -> None:
    features, y, _ = clusters(200, 0.3)
    found = estimate(features, y, 4, rounds=50, sample=15_000, steps=20)
    once = estimate(features, y, 4, rounds=1, sample=200, steps=20)
    np.testing.assert_array_equal(found.T, once.T)


def test_length_of_features_does_not_matter_and_zeros_do_not_break_it() -> None:
    features, y, _ = clusters(100, 0.3)
    lengths = np.random.default_rng(0).uniform(0.5, 50, (100, 1)).astype(np.float32)
    parts = [np.arange(100)]
    plain, scaled = (consensus(f, y, 4, parts).three for f in (features, features * lengths))
    np.testing.assert_array_equal(plain, scaled)
    features[7] = 0
    assert consensus(features, y, 4, parts).three.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"features": np.ones((9, 2))}, "one label per row"),
        ({"features": np.full((10, 2), np.nan)}, "finite"),
        ({"features": np.ones(10)}, r"\[N, D\]"),
        ({"y_noisy": np.arange(10)}, "0 to 3"),
        ({"n_classes": 1}, "2 to 512"),
        ({"sample": 2}, "3 to"),
        ({"rounds": 0}, "1 to"),
        ({"steps": 0}, "1 to"),
        ({"sample": -5}, "sample = -5"),
        ({"seed": -1}, "seed = -1"),
        ({"returns": "bets"}, "try: best"),
    ],
)
def test_what_does_not_fit_is_refused(changes: dict[str, object], complaint: str) -> None:
    given = {"features": np.ones((10, 2)), "y_noisy": np.arange(10) % 4, "n_classes": 4}
    with pytest.raises(LabError, match=complaint):
        estimate(**(given | changes))


def test_an_unknown_way_to_leave_itself_out() -> None:
    with pytest.raises(LabError, match="try: nearest"):
        consensus(np.ones((4, 2)), np.arange(4), 4, [np.arange(4)], itself="nearst")
