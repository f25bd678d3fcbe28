"""RRM weights: the stored ones, and by property those of the linear programme that they solve.

reference/rrm_reference.npz: losses and gamma -> weights and objective, confirmed by a solver.
"""

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from methods.objectives.rockafellian import gamma_of_rate, relaxed, rockafellian_weights
from pipeline.errors import LabError
from tests.support.reference_arrays import case_of

CASES = ["a", "none_out", "most_out", "ties", "auto"]


@pytest.mark.parametrize("name", CASES)
def test_the_stored_weights(name):
    case = case_of("rrm", name)
    found = rockafellian_weights(case["losses"], gamma=case["gamma"])
    torch.testing.assert_close(found, case["weights"], rtol=0, atol=1e-12)
    if "objective" in case:
        u = found - 1 / len(found)
        reached = found @ case["losses"] + case["gamma"] / 2 * u.abs().sum()
        assert float(reached) == pytest.approx(case["objective"], abs=1e-12)


def test_a_rate_leaves_out_that_share():
    case = case_of("rrm", "auto")
    gamma = gamma_of_rate(case["losses"], case["rate"])
    assert gamma == pytest.approx(case["gamma"], abs=1e-12)
    out = rockafellian_weights(case["losses"], gamma=gamma) == 0
    assert int(out.sum()) == round(case["rate"] * len(out))


def test_half_steps_towards_the_weights():
    case = case_of("rrm", "smooth")
    u = torch.zeros_like(case["u"][0])
    for number, expected in enumerate(case["u"]):
        u = relaxed(u, case[f"losses{number}"], gamma=case["gamma"], step=case["mu"])
        torch.testing.assert_close(u, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_they_solve_the_linear_programme(seed):
    draws = np.random.default_rng(seed)
    n = int(draws.integers(2, 9))
    # On a grid, so that losses tie: with the smallest, and with the end of what is kept.
    losses, gamma = draws.integers(0, 6, n) / 4.0, draws.integers(0, 8) / 4.0
    found = rockafellian_weights(torch.from_numpy(losses), gamma=gamma).numpy()
    assert found.sum() == pytest.approx(1, abs=1e-12)
    assert found.min() >= 0
    # u = a - b with a, b >= 0: minimise (c + gamma / 2) a + (-c + gamma / 2) b, b <= 1 / n.
    least = linprog(
        np.concatenate([losses + gamma / 2, gamma / 2 - losses]),
        A_eq=[[1.0] * n + [-1.0] * n],
        b_eq=[0.0],
        bounds=[(0, None)] * n + [(0, 1 / n)] * n,
    )
    reached = found @ losses + gamma / 2 * np.abs(found - 1 / n).sum()
    assert reached == pytest.approx(least.fun + losses.mean(), abs=1e-9)


@pytest.mark.parametrize(
    ("losses", "gamma", "expected"),
    [
        ([2.0, 2.0, 2.0], 0.0, [1 / 3] * 3),  # ties: none is above the smallest
        ([0.0, 1.0, 2.0], 5.0, [1 / 3] * 3),  # none out
        ([0.0, 1.0, 2.0], 0.0, [1.0, 0.0, 0.0]),  # all but one out
        ([0.0, 1.0, 2.0], 1.0, [2 / 3, 1 / 3, 0.0]),  # as much above as allowed is not above
        ([0.0, 0.0, 2.0, 3.0], 1.0, [0.5, 0.5, 0.0, 0.0]),  # in equal parts
        ([-3.0, -1.0], 1.0, [1.0, 0.0]),
        ([7.0], 0.0, [1.0]),
    ],
)
def test_weights_at_the_ends(losses, gamma, expected):
    found = rockafellian_weights(torch.tensor(losses), gamma=gamma)
    torch.testing.assert_close(found, torch.tensor(expected))


@pytest.mark.parametrize("gamma", [-0.1, float("nan")])
def test_a_gamma_below_zero_is_refused(gamma):
    with pytest.raises(LabError, match="gamma >= 0"):
        rockafellian_weights(torch.ones(3), gamma=gamma)
