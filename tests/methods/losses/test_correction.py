"""Losses that correct for label noise: reference numbers, identities, limits, refusals."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from methods import losses
from pipeline.errors import LabError
from tests.support.losses_cases import Loss, evaluate, wave
from tests.support.rrr_cases import DTYPES, REFERENCE, TOLERANCE, check, close, tensor

CORRECTED = {
    "gce_c10script": partial(losses.gce, q=0.7, clamp=0),
    "gce_c100script": partial(losses.gce, q=0.7, clamp=1e-7),
    "gce_losspy": partial(losses.gce, q=0.2, clamp=0),
    "sce_script": partial(losses.sce, alpha=6, beta=1, clamp=1e-7),
    "sce_losspy_e30": losses.ce,
    "sce_losspy_e31": partial(losses.sce, alpha=0.1, beta=1, clamp=1e-7),
    "dmi_losspy": losses.dmi,
    "hard_bootstrap": losses.hard_bootstrap,
    "hard_bootstrap_b095": partial(losses.hard_bootstrap, beta=0.95),
    "ce_stable": losses.stable_ce,
    **{
        f"peer_losspy_e{epoch}": partial(
            losses.confidence_regularised, weight=losses.peer_schedule(epoch)
        )
        for epoch in (0, 25, 39, 199)
    },
}
ONLY_TEN_CLASSES = {"sce_losspy_e30", "sce_losspy_e31", "dmi_losspy"}
FORWARD = {"forward_fw": 1.0, "forward_hoc": 1.0, "forward_unnormalised": 0.8}


def zero_one(n_classes: int) -> Tensor:
    """A transition matrix with zeros: each class keeps its label or passes it to the next."""
    return 0.6 * torch.eye(n_classes) + 0.4 * torch.eye(n_classes).roll(1, dims=1)


def elr(logits: Tensor, y: Tensor, **parameters: str) -> Tensor:
    seen = torch.full(logits.shape, 0.3 / logits.shape[1])
    return losses.elr(logits, y, target=seen, **parameters)[0]


EVERY = {
    "gce": partial(losses.gce, q=0.7, clamp=1e-7),
    "sce": CORRECTED["sce_script"],
    "hard_bootstrap": losses.hard_bootstrap,
    "stable_ce": losses.stable_ce,
    "confidence_regularised": partial(losses.confidence_regularised, weight=2),
    "forward_correction": lambda z, y, **p: losses.forward_correction(
        z, y, transition=zero_one(z.shape[1]), **p
    ),
    "elr": elr,
}
OF_A_BATCH = {
    "peer": lambda z, y: losses.peer(
        z, y, peer_logits=torch.linspace(-3, 3, z.numel()).reshape(z.shape), y_peer=y.roll(1)
    ),
    "dmi": losses.dmi,
}


@DTYPES
@pytest.mark.parametrize("at", ["c10", "c100"])
@pytest.mark.parametrize("case", CORRECTED)
def test_value_and_gradient_equal_the_reference(case: str, at: str, dtype: torch.dtype) -> None:
    if at == "c100" and case in ONLY_TEN_CLASSES:
        assert f"{at}.{case}.loss32" not in REFERENCE
        return
    if case == "dmi_losspy":
        dtype = torch.float32
    y = tensor(f"{at}.labels")
    check(at, case, dtype, lambda z: CORRECTED[case](z, y), "logits")


@DTYPES
@pytest.mark.parametrize("at", ["c10", "c100"])
def test_peer_loss_equals_the_reference(at: str, dtype: torch.dtype) -> None:
    y, y_peer = tensor(f"{at}.labels"), tensor(f"{at}.peer_labels")

    def loss(z: Tensor, peer_logits: Tensor) -> Tensor:
        return losses.peer(z, y, peer_logits=peer_logits, y_peer=y_peer)

    check(at, "peer", dtype, loss, "logits", "peer_logits")


@DTYPES
@pytest.mark.parametrize("at", ["c10", "c100"])
@pytest.mark.parametrize("case", FORWARD)
@pytest.mark.parametrize("eps", [0, 1e-12])
def test_forward_correction_equals_the_reference(
    case: str, at: str, dtype: torch.dtype, eps: float
) -> None:
    y, matrix = tensor(f"{at}.labels"), FORWARD[case] * tensor(f"{at}.T")
    loss = partial(losses.forward_correction, y=y, transition=matrix, eps=eps)
    check(at, case, dtype, loss, "logits")


@DTYPES
@pytest.mark.parametrize("at", ["c10", "c100"])
def test_three_steps_of_elr_equal_the_reference(at: str, dtype: torch.dtype) -> None:
    targets = torch.zeros(tensor(f"{at}.elr.target_after64").shape, dtype=dtype)
    y, bits = tensor(f"{at}.labels"), "64" if dtype == torch.float64 else "32"
    for call in range(3):
        index = tensor(f"{at}.elr.index")[call]
        leaf = tensor(f"{at}.elr.logits", dtype)[call].requires_grad_()
        loss, targets[index] = losses.elr(leaf, y, target=targets[index])
        (gradient,) = torch.autograd.grad(loss, leaf)
        at_call = f"{at}.elr.call{call}"
        expected = float(REFERENCE[f"{at_call}.loss{bits}"])
        assert loss.item() == pytest.approx(expected, rel=TOLERANCE[dtype])
        close(gradient[:4], tensor(f"{at_call}.grad64"), TOLERANCE[dtype])
    close(targets, tensor(f"{at}.elr.target_after64"), TOLERANCE[dtype])


def test_no_reference_is_left_out() -> None:
    known = {*CORRECTED, *FORWARD, "peer", "elr"}
    relations = {"rkd_dis", "rkd_angle", "info_nce_T050", "info_nce_T010"}
    cases = {key.split(".")[1] for key in REFERENCE if ".loss" in key}
    assert cases - {"elr"} <= known | relations
    assert known - {"elr"} <= cases


@pytest.mark.parametrize(
    ("loss", "scale", "expected"),
    [
        (losses.ce, 4, 4.658279),
        (partial(losses.gce, q=0.7, clamp=0), 4, 1.238301),
        (partial(losses.sce, alpha=6, beta=1, clamp=1e-7), 4, 36.432911),
        (losses.hard_bootstrap, 4, 3.902246),
        (lambda z, y: losses.elr(z, y, target=torch.zeros(8, 10))[0], 4, 4.349402),
        (losses.stable_ce, 3, 3.833749),
    ],
)
def test_values_at_the_sines(loss: Loss, scale: float, expected: float) -> None:
    assert loss(*wave(10, scale)).item() == pytest.approx(expected, rel=1e-5)


def test_forward_correction_of_a_symmetric_matrix_at_the_sines() -> None:
    matrix = torch.full((10, 10), 0.6 / 9).fill_diagonal_(0.4)
    value = losses.forward_correction(*wave(10, 4), transition=matrix)
    assert value.item() == pytest.approx(2.440876, rel=1e-5)


def test_schedule_of_the_peer_weight() -> None:
    weights = [losses.peer_schedule(epoch) for epoch in range(200)]
    assert weights == pytest.approx(REFERENCE["f_beta"].tolist(), abs=1e-12)
    assert losses.peer_schedule(10_000) == 2
    with pytest.raises(LabError, match="epoch >= 0"):
        losses.peer_schedule(-1)
    other = [losses.peer_schedule(epoch, start=1, length=3, top=6.0) for epoch in range(5)]
    assert other == [0, 0, 3, 6, 6]
    assert [losses.peer_schedule(epoch, start=0, length=1) for epoch in range(3)] == [0, 2, 2]
    with pytest.raises(LabError, match="length >= 1"):
        losses.peer_schedule(0, length=0)


def test_identity_as_transition_is_cross_entropy() -> None:
    z, y = wave(10, 4)
    forward = losses.forward_correction(z.double(), y, transition=torch.eye(10))
    assert forward.item() == pytest.approx(losses.ce(z.double(), y).item(), rel=1e-9)


def test_forward_correction_is_the_likelihood_of_the_noisy_label() -> None:
    z, y = wave(10, 1)
    matrix = torch.rand(10, 10, generator=torch.Generator().manual_seed(0)).double()
    matrix /= matrix.sum(1, keepdim=True)
    each = losses.forward_correction(z.double(), y, transition=matrix, reduction="none")
    p = z.double().softmax(1)
    expected = [-math.log(sum(p[n, i] * matrix[i, y[n]] for i in range(10))) for n in range(8)]
    assert each.tolist() == pytest.approx(expected, rel=1e-10)


def test_the_offset_saves_a_label_that_is_impossible() -> None:
    logits, y = torch.tensor([[200.0, 0.0, 0.0]]), torch.tensor([2])
    corrected = partial(losses.forward_correction, transition=zero_one(3))
    assert corrected(logits, y, eps=0).isinf()
    value, gradient = evaluate(corrected, logits, y)
    assert value.item() == pytest.approx(-math.log(1e-12), rel=1e-4)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("clamp", [0, 1e-7])
def test_a_label_that_underflows_passes_no_gradient(clamp: float) -> None:
    logits, y = torch.tensor([[0.0, -200.0]]), torch.tensor([1])
    value, gradient = evaluate(partial(losses.gce, q=0.7, clamp=clamp), logits, y)
    assert value.item() == pytest.approx((1 - clamp**0.7) / 0.7)
    assert torch.equal(gradient, torch.zeros(1, 2))


def test_bootstrap_lies_between_label_and_prediction() -> None:
    z, y = wave(10, 4)
    assert torch.equal(losses.hard_bootstrap(z, y, beta=1), losses.ce(z, y))
    assert torch.equal(losses.hard_bootstrap(z, y, beta=0), losses.ce(z, z.argmax(1)))


def test_elr_on_a_first_visit_moves_the_target_to_the_prediction() -> None:
    z, y = wave(10, 1)
    target = torch.zeros(8, 10)
    loss, moved = losses.elr(z, y, target=target, beta=0.7, weight=3)
    assert not moved.requires_grad
    assert torch.allclose(moved, 0.3 * z.softmax(1), atol=1e-6)
    inner = 0.3 * z.softmax(1).square().sum(1)
    assert loss.item() == pytest.approx((losses.ce(z, y) + 3 * (1 - inner).log().mean()).item())
    assert torch.equal(target, torch.zeros(8, 10))


def test_elr_pulls_towards_its_target_not_the_label() -> None:
    """The gradient of the penalty alone raises the class that the target holds."""
    logits, y = torch.zeros(1, 3), torch.tensor([0])
    target = torch.tensor([[0.0, 1.0, 0.0]])
    with_penalty = evaluate(lambda z, y: losses.elr(z, y, target=target)[0], logits, y)[1]
    pull = with_penalty - evaluate(losses.ce, logits, y)[1]
    assert pull[0, 1] < 0 < pull[0, 0]


def test_elr_targets_stay_within_the_simplex_and_the_loss_finite() -> None:
    target = torch.zeros(1, 3)
    logits = torch.tensor([[90.0, 0.0, 0.0]])
    for _ in range(100):
        loss, target = losses.elr(logits, torch.tensor([1]), target=target)
    assert loss.isfinite()
    assert target.sum().item() == pytest.approx(1, abs=1e-5)


def test_peers_may_be_more_and_weigh_as_told() -> None:
    z, y = wave(10, 4)
    peers, y_peer = torch.cat([z, z]), torch.cat([y, y])
    assert losses.peer(z, y, peer_logits=peers, y_peer=y_peer).item() == pytest.approx(0, abs=1e-6)
    halved = losses.peer(z, y, peer_logits=peers, y_peer=y_peer, weight=0.5)
    assert halved.item() == pytest.approx(0.5 * losses.stable_ce(z, y).item(), rel=1e-6)


def test_confidence_regularisation_is_the_mean_peer_over_labels() -> None:
    z, y = wave(10, 1)
    peers = [losses.stable_ce(z, torch.full_like(y, c), eps=1e-8).item() for c in range(10)]
    regularised = losses.confidence_regularised(z, y, weight=0.7)
    expected = losses.ce(z, y).item() - 0.7 * sum(peers) / 10
    assert regularised.item() == pytest.approx(expected, rel=1e-5)


def test_labels_may_be_unequally_likely_and_samples_left_out() -> None:
    z, y = wave(10, 1)
    regularised = partial(losses.confidence_regularised, z, y, weight=0.7)
    each = regularised(reduction="none")
    assert torch.allclose(regularised(prior=torch.full((10,), 0.1), reduction="none"), each)
    one = losses.ce(z, y) - 0.7 * losses.stable_ce(z, torch.full_like(y, 3), eps=1e-8)
    assert torch.allclose(regularised(prior=torch.eye(10)[3]), one, rtol=1e-5)
    keep = torch.arange(8) % 3 > 0
    assert torch.allclose(regularised(keep=keep), each[keep].mean())
    assert torch.equal(regularised(keep=keep, reduction="none"), each.where(keep, 0))
    assert regularised(keep=~torch.ones_like(keep)) == 0


def test_the_sieve_passes_labels_that_cost_less_than_the_mean() -> None:
    sure = torch.tensor([[5.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 0.0]])
    found = losses.sieve_statistic(sure.requires_grad_(), torch.tensor([0, 0, 1]))
    assert not found.requires_grad
    assert found[0] < 0 < found[1]
    assert found[2].item() == pytest.approx(0, abs=1e-6)


def test_dmi_ignores_a_permutation_of_classes_and_needs_all_of_them() -> None:
    z, y = wave(10, 4)
    z, y = torch.cat([z, z.roll(3, 1)]), torch.cat([y, (y + 3) % 10])
    permuted = losses.dmi(z.roll(1, 1).double(), (y + 1) % 10)
    assert permuted.item() == pytest.approx(losses.dmi(z.double(), y).item(), rel=1e-9)
    value, gradient = evaluate(losses.dmi, z[:5], y[:5])
    assert value.item() == pytest.approx(-math.log(0.001), rel=1e-4)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("name", EVERY)
def test_the_mean_is_that_of_the_samples(name: str) -> None:
    logits, y = wave(10, 4)
    each = EVERY[name](logits, y, reduction="none")
    alone = [EVERY[name](logits[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    assert torch.allclose(each, torch.stack(alone), rtol=1e-5)
    assert torch.allclose(each.mean(), EVERY[name](logits, y), rtol=1e-5)


@pytest.mark.parametrize("name", [*EVERY, *OF_A_BATCH])
def test_half_precision_is_raised_and_autocast_changes_nothing(name: str) -> None:
    loss = (EVERY | OF_A_BATCH)[name]
    logits, y = wave(10, 4)
    leaf = logits.bfloat16().requires_grad_()
    expected, gradient = evaluate(loss, leaf.float(), y)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(leaf, y)
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert torch.equal(torch.autograd.grad(value, leaf)[0], gradient.bfloat16())


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("name", [*EVERY, *OF_A_BATCH])
def test_extreme_logits_give_finite_values_and_gradients(name: str, dtype: torch.dtype) -> None:
    signs = torch.randint(0, 2, (32, 10), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    y = torch.arange(32) % 9
    for logits in (50 * signs, 400 * signs, torch.full((32, 10), 3.0)):
        value, gradient = evaluate((EVERY | OF_A_BATCH)[name], logits.to(dtype), y)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("name", [*EVERY, *OF_A_BATCH])
def test_gradients_equal_differences(name: str) -> None:
    if name == "elr":
        target = torch.rand(8, 10, generator=torch.Generator().manual_seed(0)).double() / 10
        # At momentum 1 - 1e-9 the target as good as stands still, as the gradient takes it to.
        loss: Loss = lambda z, y: losses.elr(z, y, target=target, beta=1 - 1e-9)[0]  # noqa: E731 - typed as a loss
    else:
        loss = (EVERY | OF_A_BATCH)[name]
    z, y = wave(10, 1)
    assert torch.autograd.gradcheck(lambda z: loss(z, y), z.double().requires_grad_())


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (partial(losses.gce, q=0.7, clamp=1), "0 <= clamp < 1"),
        (partial(losses.rce, clamp=-0.1), "0 <= clamp < 1"),
        (partial(losses.sce, alpha=1, beta=1, clamp=math.nan), "0 <= clamp < 1"),
        (partial(losses.hard_bootstrap, beta=1.1), "0 <= beta <= 1"),
        (partial(losses.stable_ce, eps=-1), "eps >= 0"),
        (partial(losses.forward_correction, transition=torch.eye(9)), r"transition \[10, 10\]"),
        (partial(losses.forward_correction, transition=torch.eye(10), eps=-1), "eps >= 0"),
        (partial(losses.elr, target=torch.zeros(7, 10)), r"target \[8, 10\]"),
        (partial(losses.elr, target=torch.zeros(8, 10), beta=1), "0 <= beta < 1"),
        (partial(losses.elr, target=torch.zeros(8, 10), weight=-1), "weight >= 0"),
        (partial(losses.confidence_regularised, weight=-1), "weight >= 0"),
        (
            partial(losses.confidence_regularised, weight=1, prior=torch.ones(9)),
            r"prior \[10\]",
        ),
        (
            partial(losses.confidence_regularised, weight=1, keep=torch.ones(7) > 0),
            r"keep \[8\]",
        ),
        (partial(losses.hard_bootstrap, reduction="sum"), "expected: one of mean, none"),
    ],
)
def test_parameters_outside_their_domain(call: Loss, complaint: str) -> None:
    with pytest.raises(LabError, match=complaint):
        call(*wave(10, 4))
