"""Losses of the active passive, asymmetric, active negative and epsilon-softmax papers.

reference/active_losses_reference.npz holds outputs of the official codes (alf: asymmetric losses,
snapshot 61245e9; anl: active negative losses, 0c50009; eps: epsilon-softmax, f81685c; lc: logit
clipping, 7e45730; torch 2.15, CPU), on normal logits with K = 10 (`normal10.`) and K = 100
(`normal100.`) and on nearly certain ones with clamped entries (`sure10.`): logits [B, K] float64
and y [B]; cases [n] names, and in their order loss64, loss32 [n] and gradient [n, B, K], that with
respect to the logits. `l1.weights` and `l1.gradient` are the weights of a small network with batch
norm, and the gradient of the L1 term of case anl_ce_c10_l1.
"""

import math
from functools import partial

import numpy as np
import pytest
import torch

from methods import losses
from pipeline.errors import LabError
from tests.support.active_losses_cases import ACTIVE_CASES, ACTIVE_DEFAULTS
from tests.support.losses_cases import evaluate, wave
from tests.support.paths import REFERENCES

REFERENCE = dict(np.load(REFERENCES / "active_losses_reference.npz"))
INPUTS = ("normal10", "sure10", "normal100")
NAMES = {at: [name.decode() for name in REFERENCE[f"{at}.cases"]] for at in INPUTS}
WITH_L1 = "anl_ce_c10_l1"
DELTA = 5e-5


def reference_inputs(at, dtype=torch.float64):
    return torch.from_numpy(REFERENCE[f"{at}.logits"]).to(dtype), torch.from_numpy(
        REFERENCE[f"{at}.y"]
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize(
    ("at", "case"), [(at, case) for at in INPUTS for case in NAMES[at] if case != WITH_L1]
)
def test_value_and_gradient_equal_the_reference(at, case, dtype):
    row, double = NAMES[at].index(case), dtype == torch.float64
    value, gradient = evaluate(ACTIVE_CASES[case], *reference_inputs(at, dtype))
    # Those codes keep ln m and one-hot labels in single precision.
    relative, absolute = (5e-6, 0.0) if double else (2e-5, 2e-6)
    loss = float(REFERENCE[f"{at}.loss{'64' if double else '32'}"][row])
    assert value.dtype == gradient.dtype == dtype
    assert value.item() == pytest.approx(loss, rel=relative, abs=absolute)
    expected = torch.from_numpy(REFERENCE[f"{at}.gradient"][row]).double()
    deviation = (gradient.double() - expected).abs().max()
    assert deviation <= relative * expected.abs().max() + absolute


def test_the_reference_has_no_case_left_out():
    assert {case for at in INPUTS for case in NAMES[at]} == {*ACTIVE_CASES, WITH_L1}


def test_the_l1_term_covers_every_weight():
    weights = torch.from_numpy(REFERENCE["l1.weights"]).requires_grad_()
    logits, y = reference_inputs("normal10")
    # Three parts, as of three parameters.
    value = losses.anl_ce(logits, y, alpha=5, beta=5) + DELTA * losses.l1(weights.split(20))
    value.backward()
    expected = REFERENCE["normal10.loss64"][NAMES["normal10"].index(WITH_L1)]
    assert value.item() == pytest.approx(float(expected), rel=5e-6)
    np.testing.assert_allclose(weights.grad, REFERENCE["l1.gradient"], rtol=1e-6)


def shares(p, m):
    """Softened class shares of a batch, in plain numbers."""
    kept = [[min(max(value, m), 1 - m) for value in row] for row in p]
    totals = [sum(column) for column in zip(*kept, strict=True)]
    return [min(max(total / sum(totals), m), 1 - m) for total in totals]


def ratio(terms, y):
    return terms[y] / sum(terms)


def focal(p, gamma):
    return [-((1 - value) ** gamma) * math.log(value) for value in p]


def support(p, m):
    return [math.log(max(value, m) / m) for value in p]


def focal_support(p, gamma, m):
    top = focal([m], gamma)[0]
    return [top - term for term in focal([max(value, m) for value in p], gamma)]


def pushed(p, y, m, clamp=1e-8):
    k = p.index(max(p))
    return max((p[y] + m * (k == y)) / (m + 1), clamp)


def nce_of(p, y):
    return ratio(focal(p, 0), y)


def rce_of(p, y, m=1e-7):
    return -math.log(1e-4) * sum(max(value, m) for c, value in enumerate(p) if c != y)


def pushed_focal(p, y, m, gamma):
    return focal([pushed(p, y, m)], gamma)[0]


BY_HAND = {
    "fl": lambda p, y: focal(p, 0.5)[y],
    "nfl": lambda p, y: ratio(focal(p, 0.5), y),
    "nfl_and_rce": lambda p, y: ratio(focal(p, 0.5), y) + rce_of(p, y),
    "nce_and_mae": lambda p, y: nce_of(p, y) + 1 - p[y],
    "aul": lambda p, y: ((1.5 - p[y]) ** 0.9 - 0.5**0.9) / 0.9,
    "ael": lambda p, y: math.exp(-p[y] / 2.5),
    "nce_and_aul": lambda p, y: nce_of(p, y) + 4 * ((6.3 - p[y]) ** 1.5 - 5.3**1.5) / 1.5,
    "nce_and_ael": lambda p, y: nce_of(p, y) + 4 * math.exp(-p[y] / 5),
    "nnce": lambda p, y: 1 - ratio(support(p, 1e-7), y),
    "nnfl": lambda p, y: 1 - ratio(focal_support(p, 0.5, 1e-7), y),
    "anl_ce": lambda p, y: 5 * nce_of(p, y) + 5 * (1 - ratio(support(p, 1e-7), y)),
    "anl_fl": lambda p, y: (
        5 * ratio(focal(p, 0.5), y) + 5 * (1 - ratio(focal_support(p, 0.5, 1e-7), y))
    ),
    "eps_ce": lambda p, y: -math.log(pushed(p, y, 1e5)),
    "eps_fl": lambda p, y: pushed_focal(p, y, 1e5, 0.1),
    "eps_ce_and_mae": lambda p, y: -0.01 * math.log(pushed(p, y, 1e5)) + 10 * (1 - p[y]),
    "eps_fl_and_mae": lambda p, y: 0.01 * pushed_focal(p, y, 1e5, 0.1) + 10 * (1 - p[y]),
}


def drawn(n_classes, scale=4.0, n=16):
    """Random logits, whose labels are the largest class in a few rows."""
    generator = torch.Generator().manual_seed(n_classes)
    logits = scale * torch.randn(n, n_classes, generator=generator, dtype=torch.float64)
    y = torch.randint(0, n_classes, (n,), generator=generator)
    y[: n // 4] = logits[: n // 4].argmax(1)
    return logits, y


@pytest.mark.parametrize("n_classes", [2, 3, 10, 100])
@pytest.mark.parametrize("name", BY_HAND)
def test_values_are_those_of_the_formula_in_plain_numbers(name, n_classes):
    logits, y = drawn(n_classes)
    found = ACTIVE_DEFAULTS[name](logits, y, reduction="none")
    rows = logits.softmax(1).tolist()
    expected = [BY_HAND[name](p, label) for p, label in zip(rows, y.tolist(), strict=True)]
    assert found.tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 100])
def test_values_of_ldr_are_those_of_the_formula_in_plain_numbers(n_classes):
    logits, y = drawn(n_classes)
    found = losses.ldr(logits, y, tau=2.0, margin=0.3, reduction="none")
    for row, label, value in zip(logits.tolist(), y.tolist(), found.tolist(), strict=True):
        positive = [math.log1p(math.exp(z)) for z in row]
        s = [z * n_classes / sum(positive) for z in positive]
        terms = [math.exp((0.3 * (c != label) + s[c] - s[label]) / 2) for c in range(n_classes)]
        assert value == pytest.approx(2 * math.log(sum(terms) / n_classes), rel=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3, 10, 100])
def test_class_imbalance_is_that_of_the_formula_in_plain_numbers(n_classes):
    logits, _ = drawn(n_classes)
    r = shares(logits.softmax(1).tolist(), 1e-3)
    expected = math.log(n_classes) + sum(value * math.log(value) for value in r)
    assert losses.class_imbalance(logits, clamp=1e-3).item() == pytest.approx(expected, rel=1e-9)


def test_class_imbalance_reaches_from_even_to_one_class():
    even, one = torch.eye(10) * 60, torch.zeros(10, 10)
    one[:, 3] = 60
    assert losses.class_imbalance(even).item() == pytest.approx(0, abs=1e-6)
    assert losses.class_imbalance(one).item() == pytest.approx(math.log(10), abs=1e-4)


def test_every_loss_of_single_samples_has_a_formula_in_plain_numbers():
    assert {*BY_HAND, "ldr"} == set(ACTIVE_DEFAULTS)


# Of these, no power is a constant in the gradient, and no clamp bends it on these logits.
SMOOTH = {"aul", "ael", "nce_and_mae", "nce_and_aul", "nce_and_ael", "ldr"}


@pytest.mark.parametrize("name", sorted(SMOOTH))
def test_the_gradient_is_that_of_the_value(name):
    logits, y = drawn(5, scale=1.0, n=4)
    loss = partial(ACTIVE_DEFAULTS[name], y=y, reduction="none")
    assert torch.autograd.gradcheck(loss, (logits.requires_grad_(),))


def test_the_weight_of_focal_losses_passes_no_gradient():
    logits, y = drawn(7)
    p_y = logits.softmax(1).gather(1, y[:, None])
    onehot = torch.nn.functional.one_hot(y, 7)
    expected = (1 - p_y) ** 1.5 * (logits.softmax(1) - onehot) / len(y)
    found = evaluate(partial(losses.fl, gamma=1.5), logits, y)[1]
    torch.testing.assert_close(found, expected)


def test_a_weight_of_exponent_zero_is_one():
    for logits, y in (drawn(10), wave(10, 40)):
        z = logits.double()
        for name, plain in (("fl", losses.ce), ("nfl", losses.nce)):
            weighted = partial(getattr(losses, name), gamma=0)
            pairs = zip(evaluate(weighted, z, y), evaluate(plain, z, y), strict=True)
            for found, expected in pairs:
                torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)
        negative = losses.nnfl(z, y, gamma=0, reduction="none")
        torch.testing.assert_close(negative, losses.nnce(z, y, reduction="none"))


def test_without_a_push_epsilon_softmax_is_softmax():
    logits, y = drawn(10, scale=8)
    torch.testing.assert_close(losses.epsilon_softmax(logits, y, m=0), logits.softmax(1))
    p_y = logits.softmax(1).gather(1, y[:, None]).squeeze(1)
    found = losses.eps_ce(logits, y, m=0, clamp=1e-4, reduction="none")
    assert (p_y < 1e-4).any()
    torch.testing.assert_close(found, -p_y.clamp(min=1e-4).log())


def test_epsilon_softmax_raises_the_first_largest_class():
    p = losses.epsilon_softmax(torch.tensor([[0.0, 2.0, 2.0]]), torch.tensor([0]), m=999.0)
    assert p.argmax().item() == 1
    torch.testing.assert_close(p.sum(), torch.tensor(1.0))
    assert p[0, 1].item() > 0.999


def test_a_label_far_from_the_largest_class_passes_no_gradient_to_epsilon_cross_entropy():
    logits = torch.tensor([[0.0, 8.0], [0.0, 6.0], [8.0, 0.0]])
    each = [evaluate(partial(losses.eps_ce, m=1e5), row[None], torch.tensor([0]))[1] for row in
            logits]  # fmt: skip
    # p_y is 3.4e-4, below (m + 1) 1e-8 = 1e-3; 2.5e-3, above; and that of the largest class.
    assert not each[0].any()
    assert each[1].any()
    assert each[2].any()


def test_the_absolute_error_beside_epsilon_losses_has_a_scale():
    logits, y = drawn(10)
    twice = losses.eps_ce_and_mae(logits, y, m=10, alpha=0, beta=3)
    once = losses.eps_ce_and_mae(logits, y, m=10, alpha=0, beta=3, mae_scale=1)
    torch.testing.assert_close(twice, 6 * losses.mae(logits, y))
    torch.testing.assert_close(once, 3 * losses.mae(logits, y))


def test_a_class_below_the_clamp_passes_no_gradient_to_negative_losses():
    logits, y = torch.tensor([[0.0, 3.0, -30.0]]).double(), torch.tensor([0])
    for loss in (losses.nnce, partial(losses.nnfl, gamma=0.5)):
        value, gradient = evaluate(loss, logits, y)
        moved = evaluate(loss, logits - torch.tensor([[0.0, 0.0, 5.0]]), y)[0]
        torch.testing.assert_close(value, moved)
        assert gradient[0, 2].abs() < 1e-12
        assert gradient[0, :2].abs().min() > 1e-3


@pytest.mark.parametrize("scale", [0.01, 1, 4, 40])
@pytest.mark.parametrize("name", ["nfl", "nnce", "nnfl"])
def test_normalised_losses_lie_in_the_unit_interval(name, scale):
    each = ACTIVE_DEFAULTS[name](*wave(10, scale), reduction="none")
    assert ((each >= 0) & (each <= 1)).all()


def test_softplus_that_underflows_leaves_ldr_finite():
    for low in (-90.0, -100.0, -104.0, -300.0):
        logits, y = torch.full((2, 10), low), torch.tensor([0, 1])
        logits[1, 3] = low - 3
        value, gradient = evaluate(ACTIVE_DEFAULTS["ldr"], logits, y)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "parameters", "complaint"),
    [
        (losses.aul, {"a": 1, "q": 2}, "a > 1"),
        (losses.aul, {"a": 2, "q": 0}, "q > 0"),
        (losses.nce_and_aul, {"alpha": 1, "beta": 1, "a": 0.5, "q": 1}, "a > 1"),
        (losses.ael, {"a": 0}, "a > 0"),
        (losses.nce_and_ael, {"alpha": -1, "beta": 1, "a": 1}, "alpha >= 0"),
        (losses.nce_and_mae, {"alpha": 1, "beta": -1}, "beta >= 0"),
        (losses.fl, {"gamma": -0.1}, "gamma >= 0"),
        (losses.nfl, {"gamma": math.nan}, "gamma >= 0"),
        (losses.nnce, {"clamp": 0}, "0 < clamp"),
        (losses.nnfl, {"gamma": 1, "clamp": 0.5}, "clamp < 0.5"),
        (losses.anl_ce, {"alpha": math.inf, "beta": 1}, "alpha >= 0"),
        (losses.eps_ce, {"m": -1}, "m >= 0"),
        (losses.eps_ce, {"m": 1, "clamp": 0}, "clamp > 0"),
        (losses.eps_ce_and_mae, {"m": 1, "alpha": 1, "beta": 1, "mae_scale": -2}, "mae_scale"),
        (losses.ldr, {"tau": 0}, "tau > 0"),
        (losses.ldr, {"tau": 1, "margin": -1}, "margin >= 0"),
    ],
)
def test_parameters_outside_their_domain(loss, parameters, complaint):
    with pytest.raises(LabError, match=complaint):
        loss(*wave(10, 4), **parameters)
