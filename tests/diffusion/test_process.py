"""Forward and reverse process, the denoiser and the decision, against the official code.

References of that code (snapshot 231e587, torch 2.15, CPU, draws recorded):
  lra_labels_reference.npz    qsample.c10.*: labels, t, noise, fq -> y_t, y_t_fq;
                              predict.c10.* and c100.*: output -> pred;
  lra_denoiser_reference.npz  m.sd.* weights, m.in.* inputs, m.out_* outputs;
  lra_sampling_reference.npz  ddim.<case>.*: y_T, eta, step_noise -> trajectory, out, pred, with the
                              denoiser above.
"""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from pipeline.diffusion.denoiser import NoisePredictor
from pipeline.diffusion.noise_schedule import make_schedule
from pipeline.diffusion.process import (
    class_probabilities,
    clean_estimate,
    ddim_sample,
    mirrored,
    q_sample,
)
from tests.support.paths import REFERENCES


def load(name):
    arrays = np.load(REFERENCES / f"lra_{name}_reference.npz")
    return {key: torch.from_numpy(arrays[key]) for key in arrays.files}


def part(arrays, prefix):
    """The arrays whose names begin so, without the beginning."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


@pytest.fixture(scope="module")
def denoiser():
    given = part(load("denoiser"), "m.")
    network = NoisePredictor(10, 32, 48)
    network.load_state_dict(part(given, "sd."))
    return network.eval(), given


def close(found, expected, tolerance):
    torch.testing.assert_close(
        found, expected, rtol=0, atol=tolerance * float(expected.abs().max())
    )


def test_noised_labels_equal_the_reference():
    given = part(load("labels"), "qsample.c10.")
    schedule, y_0 = make_schedule(), one_hot(given["labels"], 10).float()
    assert y_0.equal(given["onehot"])
    close(q_sample(schedule, y_0, given["t"], given["noise"]), given["y_t"], 1e-6)
    found = q_sample(schedule, y_0, given["t"], given["noise"], given["fq"])
    close(found, given["y_t_fq"], 1e-6)


@torch.no_grad()
def test_the_denoiser_equals_the_reference(denoiser):
    network, given = denoiser
    x, y, t, f_p = (given[f"in.{name}"] for name in ("x_embed", "y_t", "t", "fp"))
    assert list(network.state_dict()) == list(part(given, "sd."))
    close(network(x, y, t, f_p), given["out_eval"], 1e-5)
    close(network(x, y, t[:1], f_p), given["out_eval_scalar_t"], 1e-5)
    trained = NoisePredictor(10, 32, 48)
    trained.load_state_dict(network.state_dict())
    close(trained(x, y, t, f_p), given["out_train"], 1e-5)
    for name, value in part(given, "after_train.").items():
        close(trained.state_dict()[name], value, 1e-5)


@pytest.mark.parametrize(
    ("n_classes", "n_features", "width", "parameters"),
    [
        (10, 2048, 512, 3_126_282), (100, 2048, 512, 3_218_532), (10, 768, 512, 2_470_922),
        (100, 768, 512, 2_563_172), (101, 768, 1024, 6_176_869), (14, 128, 1024, 5_343_246),
        (50, 768, 1024, 6_072_370),
    ],
)  # fmt: skip
def test_denoisers_have_as_many_parameters_as_published(n_classes, n_features, width, parameters):
    with torch.device("meta"):
        network = NoisePredictor(n_classes, n_features, width)
    assert sum(p.numel() for p in network.parameters()) == parameters


def test_a_denoiser_without_frozen_features_and_its_first_gates():
    torch.manual_seed(0)
    network = NoisePredictor(4, 0, 6, n_steps=30)
    gates = network.lin1.embed.weight
    assert gates.shape == (31, 6)
    assert 0 <= gates.min() < 0.1
    assert 0.9 < gates.max() < 1
    assert network(torch.randn(3, 6), torch.randn(3, 4), torch.tensor([29])).shape == (3, 4)


@pytest.mark.parametrize("n_sampling", [10, 20])
@pytest.mark.parametrize("kind", ["det", "sto", "eta5", "fq"])
def test_ddim_equals_the_reference(denoiser, n_sampling, kind):
    network, _ = denoiser
    shared = part(load("sampling"), "ddim.")
    given = part(shared, f"n{n_sampling}_{kind}.")
    seen = []

    def predict(y, t):
        seen.append(y)
        return network(shared["x_embed"], y, t, shared["fp"])

    noise = iter(given.get("step_noise", ()))
    out = ddim_sample(
        predict, make_schedule(), n_sampling, given["y_T"],
        f_q=shared["fq"] if kind == "fq" else None, eta=float(given["eta"]),
        draw=lambda _: next(noise),
    )  # fmt: skip
    close(torch.stack([*seen, out]), given["trajectory"], 1e-5)
    close(out, given["out"], 1e-5)
    assert decide(out).equal(given["pred"])


@pytest.mark.parametrize(
    ("n_sampling", "expected"),
    [(10, -6.490027), (20, -13.336331), (50, -35.631424), (100, -80.19566)],
)
def test_ddim_with_constant_noise_has_its_closed_form(n_sampling, expected):
    schedule, start = make_schedule(), torch.zeros(2, 3)
    out = ddim_sample(lambda y, t: torch.ones_like(y), schedule, n_sampling, start)
    first, last = schedule.alpha_bar[[0, 1001 - 1000 // n_sampling]].double()
    closed = first.sqrt() * (((1 - first) / first).sqrt() - ((1 - last) / last).sqrt())
    assert float(closed) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(out, torch.full((2, 3), expected), rtol=1e-5, atol=0)


def perfect(schedule, y_0, f_q=None):
    """A predictor that knows the label."""

    def predict(y, t):
        abar = schedule.alpha_bar[t]
        mean = 0 if f_q is None else (1 - abar.sqrt()) * f_q
        return (y - abar.sqrt() * y_0 - mean) / (1 - abar).sqrt()

    return predict


@pytest.mark.parametrize("with_mean", [False, True])
@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("n_sampling", [1, 10, 500])
def test_with_perfect_noise_ddim_finds_the_class(n_sampling, eta, with_mean):
    torch.manual_seed(0)
    labels = torch.arange(8)
    schedule, y_0 = make_schedule(), one_hot(labels, 8).float()
    f_q = torch.rand(8, 8).softmax(dim=1) if with_mean else None
    start = torch.zeros(8, 8) if f_q is None else f_q
    predict, noise = perfect(schedule, y_0, f_q), []

    def recorded(y, t):
        noise.append(predict(y, t))
        return noise[-1]

    out = ddim_sample(recorded, schedule, n_sampling, start, f_q, eta)
    assert decide(out).equal(labels)
    assert len(noise) == n_sampling
    if eta == 0:
        # The label as it is at step 0, with the noise that was last predicted.
        first = torch.zeros(1, dtype=torch.int64)
        expected = q_sample(schedule, y_0, first, noise[-1], f_q)
        torch.testing.assert_close(out, expected, atol=1e-4, rtol=0)


def test_deterministic_sampling_draws_nothing():
    before = torch.random.get_rng_state()
    ddim_sample(lambda y, t: y, make_schedule(), 10, torch.zeros(1, 2))
    assert torch.random.get_rng_state().equal(before)


def test_the_clean_estimate_undoes_noising():
    torch.manual_seed(0)
    schedule = make_schedule()
    y_0, noise, f_q = torch.randn(3, 6, 4)
    t = torch.tensor([0, 1, 100, 500, 800, 900])
    y_t = q_sample(schedule, y_0, t, noise, f_q)
    found = clean_estimate(schedule.alpha_bar[t][:, None], y_t, noise, f_q)
    torch.testing.assert_close(found, y_0, atol=1e-4, rtol=0)


def test_noised_labels_have_the_stated_mean_and_variance():
    schedule = make_schedule()
    y_0 = torch.tensor([[1.0, 0.0]]).expand(40_000, 2)
    f_q = torch.tensor([[0.2, 0.8]]).expand(40_000, 2)
    t = torch.full((40_000,), 500)
    y_t = q_sample(
        schedule, y_0, t, torch.randn(40_000, 2, generator=torch.Generator().manual_seed(0)), f_q
    )
    abar = schedule.alpha_bar[500]
    mean = abar.sqrt() * y_0[0] + (1 - abar.sqrt()) * f_q[0]
    torch.testing.assert_close(y_t.mean(dim=0), mean, atol=4 * 0.005, rtol=0)
    torch.testing.assert_close(y_t.var(dim=0), (1 - abar).expand(2), atol=0.02, rtol=0)


@pytest.mark.parametrize("n", [1, 2, 3, 14, 15])
def test_times_are_antithetic(n):
    drawn = torch.randint(1000, (n // 2 + 1,), generator=torch.Generator().manual_seed(n))
    t = mirrored(drawn, n, 1000)
    first = n // 2 + 1
    assert t.shape == (n,)
    assert t[:first].equal(drawn[:n])
    assert t[first:].equal(999 - t[: n - first])


def decide(y):
    """Class int64 [B] whose entry of y [B, K] is nearest to one."""
    return (y - 1).abs().argmin(dim=1)


@pytest.mark.parametrize("case", ["c10", "c100"])
def test_decisions_equal_the_reference(case):
    given = part(load("labels"), f"predict.{case}.")
    assert class_probabilities(given["output"]).argmax(dim=1).equal(given["pred"])
    assert int((given["pred"] == given["target"]).sum()) == int(given["agree"])
    assert not given["argmax"].equal(given["pred"])


def test_the_entry_nearest_to_one_decides():
    y = torch.tensor([[1.4, 0.8, 0.0], [3.0, 0.4, 0.2], [1.0, 1.0001, 0.9998]])
    p = class_probabilities(y)
    assert p.argmax(dim=1).tolist() == [1, 1, 0]
    torch.testing.assert_close(p.sum(dim=1), torch.ones(3, dtype=torch.float64))
