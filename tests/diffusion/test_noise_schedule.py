"""Noise schedules against the official code's tables (snapshot 231e587, torch 2.15, CPU).

reference/lra_schedules_reference.npz, float32 [1000] unless said: T1000.<name>.betas;
cosine.<table>; ddim10.* and ddim20.* [10] and [20] with sigmas for eta 0.5 (eta5) and 1 (eta10);
timesteps.uniform<S>, int64.
"""

import math

import numpy as np
import pytest
import torch

from pipeline.diffusion.noise_schedule import Schedule, betas, ddim_times, make_schedule
from pipeline.errors import LabError
from tests.support.paths import REFERENCES

REFERENCE = np.load(REFERENCES / "lra_schedules_reference.npz")
DIVISORS = [1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500]


def close(found, name, rtol=1e-6):
    expected = torch.from_numpy(REFERENCE[name])
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-6 * float(expected.max()))


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_betas_equal_the_reference(name):
    close(betas(name, 1000), f"T1000.{name}.betas")


def test_products_equal_the_reference():
    schedule = make_schedule()
    close(schedule.alpha_bar, "cosine.alphas_cumprod")


@pytest.mark.parametrize(
    ("t", "alpha_bar"),
    [
        (0, 9.99958694e-01), (1, 9.99912560e-01), (101, 9.71053958e-01), (201, 8.96816134e-01),
        (301, 7.84351528e-01), (401, 6.44496560e-01), (501, 4.90726680e-01), (601, 3.37857872e-01),
        (701, 2.00619221e-01), (801, 9.22339037e-02), (901, 2.31451206e-02),
    ],
)  # fmt: skip
def test_cosine_products_equal_the_published_table(t, alpha_bar):
    assert float(make_schedule().alpha_bar[t]) == pytest.approx(alpha_bar, rel=1e-6)


@pytest.mark.parametrize("n_steps", [1, 2, 30, 1000])
def test_cosine_follows_its_closed_form(n_steps):
    def kept(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    found = make_schedule("cosine", n_steps)
    t = torch.arange(n_steps - 1)
    closed = torch.tensor([kept((int(i) + 1) / n_steps) / kept(0) for i in t])
    torch.testing.assert_close(found.alpha_bar[:-1], closed, rtol=1e-4, atol=1e-7)
    assert float(found.beta[-1]) == pytest.approx(0.999)


@pytest.mark.parametrize("n_sampling", [10, 20])
@pytest.mark.parametrize(("eta", "name"), [(0.5, "eta5"), (1.0, "eta10")])
def test_sampling_steps_equal_the_reference(n_sampling, eta, name):
    steps = make_schedule().sampling_steps(n_sampling, eta)
    assert steps.times.tolist() == REFERENCE[f"ddim{n_sampling}.ddim_timesteps"].tolist()
    close(steps.alpha_bar, f"ddim{n_sampling}.ddim_alphas")
    close(steps.alpha_bar_before, f"ddim{n_sampling}.ddim_alphas_prev")
    close(steps.sigma, f"ddim{n_sampling}.{name}.ddim_sigmas")


@pytest.mark.parametrize("name", [n for n in REFERENCE.files if n.startswith("timesteps.uniform")])
def test_times_equal_the_reference(name):
    n_sampling = int(name.removeprefix("timesteps.uniform"))
    if n_sampling in DIVISORS:
        assert ddim_times(n_sampling, 1000).tolist() == REFERENCE[name].tolist()
    else:
        with pytest.raises(LabError, match=f"{n_sampling} sampling steps"):
            ddim_times(n_sampling, 1000)


def test_only_counts_that_divide_the_steps_are_taken():
    taken = []
    for n_sampling in range(-1, 1003):
        try:
            times = ddim_times(n_sampling, 1000)
        except LabError as error:
            assert "100, 125, 200" in str(error)  # noqa: PT017 - not every call raises
            continue
        taken.append(n_sampling)
        assert len(times) == n_sampling
        assert times[0] == 1
        assert times[-1] < 1000
    assert taken == DIVISORS


def test_a_schedule_moves_with_its_module_and_is_in_no_checkpoint():
    holder = torch.nn.Module()
    holder.schedule = make_schedule("linear", 20)
    assert holder.state_dict() == {}
    assert holder.to("meta").schedule.alpha_bar.is_meta


@pytest.mark.parametrize(("name", "n_steps"), [("cosin", 10), ("linear", 0), (["cosine"], 10)])
def test_unknown_schedules_and_numbers_are_refused(name, n_steps):
    with pytest.raises(LabError, match="; expected: .*"):
        betas(name, n_steps)


def test_products_are_those_of_any_betas():
    schedule = Schedule(torch.tensor([0.5, 0.25, 0.0]))
    assert schedule.n_steps == 3
    assert schedule.alpha_bar.tolist() == [0.5, 0.375, 0.375]
