"""Noise schedules against the official code's tables (snapshot 231e587, torch 2.15, CPU).

reference/lra_schedules_reference.npz, float32 [1000] unless said: T1000.<name>.betas;
cosine.<table>; ddim10.* and ddim20.* [10] and [20] with sigmas for eta 0.5 (eta5) and 1 (eta10);
timesteps.<spacing><S>, int64.
"""

import math

import numpy as np
import pytest
import torch

from pipeline.diffusion.process import posterior
from pipeline.diffusion.schedules import Schedule, betas, ddim_times, make_schedule
from pipeline.errors import LabError
from tests.support.paths import REFERENCES

REFERENCE = np.load(REFERENCES / "lra_schedules_reference.npz")
DIVISORS = [1, 2, 4, 5, 8, 10, 20, 25, 40, 50, 100, 125, 200, 250, 500]


def close(found, name, rtol=1e-6):
    expected = torch.from_numpy(REFERENCE[name])
    torch.testing.assert_close(found, expected, rtol=rtol, atol=1e-6 * float(expected.max()))


@pytest.mark.parametrize(
    "name", ["linear", "const", "quad", "jsd", "sigmoid", "cosine", "cosine_anneal"]
)
def test_betas_equal_the_reference(name):
    close(betas(name, 1000), f"T1000.{name}.betas")


def test_products_equal_the_reference():
    schedule = make_schedule()
    close(schedule.alpha_bar, "cosine.alphas_cumprod")
    close(schedule.alpha_bar_before, "cosine.alphas_cumprod_prev")


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


@pytest.mark.parametrize("name", ["linear", "quad", "sigmoid", "cosine_anneal"])
def test_other_ends_move_the_named_schedules(name):
    found = betas(name, 50, start=0.01, end=0.3)
    assert (found.diff() > 0).all()
    assert 0.01 <= found[0] < 0.011
    assert 0.299 < found[-1] <= 0.3 + 1e-6


@pytest.mark.parametrize("n_sampling", [10, 20])
@pytest.mark.parametrize(("eta", "name"), [(0.5, "eta5"), (1.0, "eta10")])
def test_sampling_steps_equal_the_reference(n_sampling, eta, name):
    steps = make_schedule().sampling_steps(n_sampling, eta)
    assert steps.times.tolist() == REFERENCE[f"ddim{n_sampling}.ddim_timesteps"].tolist()
    close(steps.alpha_bar, f"ddim{n_sampling}.ddim_alphas")
    close(steps.alpha_bar_before, f"ddim{n_sampling}.ddim_alphas_prev")
    close(steps.sigma, f"ddim{n_sampling}.{name}.ddim_sigmas")


@pytest.mark.parametrize("name", [n for n in REFERENCE.files if n.startswith("timesteps.")])
def test_times_equal_the_reference(name):
    spacing = "quad" if "quad" in name else "uniform"
    n_sampling = int(name.removeprefix(f"timesteps.{spacing}"))
    found = ddim_times(n_sampling, 1000, spacing, strict=False)
    assert found.tolist() == REFERENCE[name].tolist()


def test_only_counts_that_divide_the_steps_are_taken():
    taken = []
    for n_sampling in range(-1, 1003):
        try:
            times = ddim_times(n_sampling, 1000)
        except LabError as error:
            assert "100, 125, 200" in str(error)  # noqa: PT017
            continue
        taken.append(n_sampling)
        assert len(times) == n_sampling
        assert times[0] == 1
        assert times[-1] < 1000
    assert taken == DIVISORS


@pytest.mark.parametrize("n_sampling", [0, 3, 27, 300, 999, 1000, 1001])
def test_steps_that_do_not_exist_are_refused_even_if_not_strict(n_sampling):
    with pytest.raises(LabError, match="steps"):
        ddim_times(n_sampling, 1000, strict=False)


def test_posterior_equals_the_reference():
    schedule = make_schedule()
    y_0, y_t = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    mean, variance = zip(*(posterior(schedule, t, y_0, y_t) for t in range(1, 1000)), strict=True)
    parts = (*torch.cat(mean).unbind(1), torch.stack(variance))
    names = ("posterior_mean_coeff_1", "posterior_mean_coeff_2", "posterior_variance")
    for found, name in zip(parts, names, strict=True):
        expected = torch.from_numpy(REFERENCE[f"cosine.{name}"][1:])
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_a_schedule_moves_with_its_module_and_is_in_no_checkpoint():
    holder = torch.nn.Module()
    holder.schedule = make_schedule("linear", 20)
    assert holder.state_dict() == {}
    assert holder.to("meta").schedule.alpha_bar.is_meta


@pytest.mark.parametrize(
    "arguments", [("cosin", 10), ("linear", 0), ("linear", 10, 0.0), ("linear", 10, 0.1, 1.0)]
)
def test_unknown_schedules_and_numbers_are_refused(arguments):
    with pytest.raises(LabError):
        betas(*arguments)


def test_products_are_those_of_any_betas():
    schedule = Schedule(torch.tensor([0.5, 0.25, 0.0]))
    assert schedule.n_steps == 3
    assert schedule.alpha_bar.tolist() == [0.5, 0.375, 0.375]
    assert schedule.alpha_bar_before.tolist() == [1.0, 0.5, 0.375]
