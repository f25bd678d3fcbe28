"""Losses on relations within a batch: reference numbers, edge cases, invariances, refusals."""

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from methods import losses
from pipeline.errors import LabError
from tests.support.rrr_cases import DTYPES, REFERENCE, TOLERANCE, VIEWS, check, close, sines, tensor

RELATIONS = {
    "rkd_dis": (losses.rkd_dis, ("logits", "features")),
    "rkd_angle": (losses.rkd_angle, ("logits", "features")),
    "info_nce_T050": (losses.info_nce, ("features", "features2")),
    "info_nce_T010": (partial(losses.info_nce, temperature=0.1), ("features", "features2")),
}
KINDS = {"dis": losses.rkd_dis, "angle": losses.rkd_angle}
EVERY = pytest.mark.parametrize(
    "loss", [losses.rkd_dis, losses.rkd_angle, losses.info_nce], ids=["dis", "angle", "nce"]
)


def draw(n: int, width: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(n, width, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def both(loss: Callable[..., Tensor], a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Value and gradients with respect to both inputs."""
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    value = loss(a, b)
    return value.detach(), *torch.autograd.grad(value, (a, b))


@DTYPES
@pytest.mark.parametrize("at", ["c10", "c100"])
@pytest.mark.parametrize("case", RELATIONS)
def test_value_and_gradients_equal_the_reference(case: str, at: str, dtype: torch.dtype) -> None:
    loss, names = RELATIONS[case]
    check(at, case, dtype, loss, *names)


@DTYPES
@pytest.mark.parametrize(("case", "exponent"), [("sq", 2), ("l2", 1)])
def test_distances_equal_the_reference(case: str, exponent: int, dtype: torch.dtype) -> None:
    found = losses.powers_of_distances(tensor("c10.features", dtype), exponent)
    close(found, tensor(f"c10.pdist_{case}.out"), TOLERANCE[dtype])


@DTYPES
@pytest.mark.parametrize("case", ["b16_t05", "b16_t01", "b8_raw"])
def test_loss_of_embeddings_as_they_are_equals_the_reference(case: str, dtype: torch.dtype) -> None:
    a, b = (torch.from_numpy(VIEWS[f"{case}.out{view}"]).to(dtype) for view in (1, 2))
    temperature = float(VIEWS[f"{case}.temperature"])
    loss = partial(losses.info_nce, temperature=temperature, normalise=False)
    value, *gradients = both(loss, a, b)
    # Beside the exact value also in single precision: maxima are subtracted before exponentials.
    assert value.item() == pytest.approx(float(VIEWS[f"{case}.loss64"]), rel=1e-6, abs=2e-7)
    for view, gradient in enumerate(gradients, start=1):
        # Small gradients of a small loss: single precision holds 5e-4 of the largest.
        tolerance = 1e-6 if dtype == torch.float64 else 5e-4
        close(gradient, torch.from_numpy(VIEWS[f"{case}.grad_out{view}_64"]), tolerance)


@pytest.mark.parametrize(
    ("n", "expected", "norms"),
    [
        (8, 0.01008051, (6.422716e-3, 7.518883e-3)),
        (16, 0.01264420, (4.621523e-3, 4.403256e-3)),
        (256, 0.02819047, None),
    ],
)
def test_distances_at_the_sines(n: int, expected: float, norms: tuple[float, float] | None) -> None:
    value, *gradients = both(losses.rkd_dis, sines(n, 10, 3, 0), sines(n, 128, 1, 0.5))
    assert value.item() == pytest.approx(expected, rel=1e-5)
    if norms is not None:
        assert [g.norm().item() for g in gradients] == pytest.approx(norms, rel=1e-4)


def test_mean_over_pairs_at_the_sines() -> None:
    z, features = sines(16, 10, 3, 0), sines(16, 128, 1, 0.5)
    pairs = losses.rkd_dis(z, features, pair_mean="offdiag").item()
    assert pairs == pytest.approx(0.01348715, rel=1e-5)
    assert losses.rkd_dis(z, features).item() == pytest.approx(pairs * 15 / 16, rel=1e-6)


@pytest.mark.parametrize(("n", "expected"), [(8, 0.01770249), (16, 0.01452519)])
def test_angles_at_the_sines(n: int, expected: float) -> None:
    value = losses.rkd_angle(sines(n, 10, 3, 0), sines(n, 128, 1, 0.5))
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("n", "expected", "norm"), [(8, 1.106443, None), (16, 1.683741, 1.949621e-2)]
)
def test_views_at_the_sines(n: int, expected: float, norm: float | None) -> None:
    value, gradient, _ = both(losses.info_nce, sines(n, 128, 1, 0), sines(n, 128, 1, 0.3))
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert norm is None or gradient.norm().item() == pytest.approx(norm, rel=1e-4)


def test_exponents_are_those_of_plain_distances() -> None:
    z, features = draw(6, 4), draw(6, 5, seed=1)

    def normalised(rows: Tensor, exponent: float) -> Tensor:
        powers = torch.cdist(rows, rows) ** exponent
        return powers / (powers.sum() / 30)

    for w_feature, w_output in ((2, 1), (1, 1), (0.5, 3)):
        found = losses.rkd_dis(z, features, w_feature=w_feature, w_output=w_output)
        student, teacher = normalised(z.softmax(1), w_output), normalised(features, w_feature)
        expected = torch.nn.functional.smooth_l1_loss(student, teacher)
        assert found.item() == pytest.approx(expected.item(), rel=1e-9)


def test_angles_are_cosines_at_each_vertex() -> None:
    z, features = draw(5, 3), draw(5, 4, seed=1)

    def cosines(rows: Tensor) -> list[float]:
        return [
            float((a := rows[i] - rows[k]) @ (b := rows[j] - rows[k]) / (a.norm() * b.norm()))
            if k not in (i, j) else 0.0
            for k in range(5) for i in range(5) for j in range(5)
        ]  # fmt: skip

    def huber(u: float) -> float:
        return u * u / 2 if abs(u) < 1 else abs(u) - 0.5

    deviations = (huber(a - b) for a, b in zip(cosines(z), cosines(features), strict=True))
    assert losses.rkd_angle(z, features).item() == pytest.approx(sum(deviations) / 125, rel=1e-9)


def test_blocks_of_angles_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    z, features = draw(12, 4), draw(12, 5, seed=1)
    whole = both(losses.rkd_angle, z, features)
    monkeypatch.setattr("methods.losses.representation._ANGLE_ENTRIES", 5 * 12 * 12)
    for found, expected in zip(both(losses.rkd_angle, z, features), whole, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("loss", KINDS.values(), ids=KINDS)
def test_a_detached_teacher_changes_only_its_gradient(loss: Callable[..., Tensor]) -> None:
    z, features = draw(6, 4), draw(6, 5, seed=1).requires_grad_()
    value, to_z, to_features = both(loss, z, features)
    assert to_features.norm() > 0
    leaf = z.clone().requires_grad_()
    detached = loss(leaf, features, detach_teacher=True)
    assert torch.equal(detached, value)
    found = torch.autograd.grad(detached, (leaf, features), allow_unused=True)
    torch.testing.assert_close(found[0], to_z)
    assert found[1] is None


@EVERY
def test_gradients_equal_differences(loss: Callable[..., Tensor]) -> None:
    inputs = draw(5, 4).requires_grad_(), draw(5, 4, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(loss, inputs)


@EVERY
def test_the_order_of_the_batch_does_not_matter(loss: Callable[..., Tensor]) -> None:
    a, b = draw(7, 4), draw(7, 4, seed=1)
    order = torch.tensor([3, 1, 6, 0, 2, 5, 4])
    assert loss(a[order], b[order]).item() == pytest.approx(loss(a, b).item(), rel=1e-12)
    assert loss(a[order], b).item() != pytest.approx(loss(a, b).item(), rel=1e-3)


@pytest.mark.parametrize("loss", KINDS.values(), ids=KINDS)
def test_scale_and_offset_of_the_features_do_not_matter(loss: Callable[..., Tensor]) -> None:
    z, features = draw(7, 4), draw(7, 5, seed=1)
    assert loss(z, 3 * features + 10).item() == pytest.approx(loss(z, features).item(), rel=1e-9)


def test_a_common_offset_does_not_cost_precision() -> None:
    """Outputs that have nearly collapsed, features far from the origin: as good as in float64."""
    z, features = 1e-3 * draw(32, 10), 100 + draw(32, 64, seed=1)
    exact = losses.rkd_dis(z, features).item()
    assert losses.rkd_dis(z.float(), features.float()).item() == pytest.approx(exact, rel=2e-3)


@EVERY
def test_a_batch_of_one_has_nothing_to_relate(loss: Callable[..., Tensor]) -> None:
    value, *gradients = both(loss, draw(1, 4), draw(1, 4, seed=1))
    assert value.item() == 0
    assert all(torch.equal(gradient, torch.zeros(1, 4).double()) for gradient in gradients)


@DTYPES
def test_equal_rows_are_at_the_floor(dtype: torch.dtype) -> None:
    z, features = draw(6, 4, dtype=dtype), draw(6, 5, seed=1, dtype=dtype)
    z[1], features[1] = z[0], features[0]
    assert losses.powers_of_distances(features, 2)[0, 1] <= 1e-6
    for loss in KINDS.values():
        value, *gradients = both(loss, z, features)
        assert value.isfinite()
        assert all(gradient.abs().max() < 10 for gradient in gradients)
    double = losses.rkd_dis(z.double(), features.double())
    assert losses.rkd_dis(z, features).item() == pytest.approx(double.item(), abs=1e-4)


def test_equal_outputs_of_different_features_have_no_huge_angle_gradient() -> None:
    z, features = draw(6, 4), draw(6, 5, seed=1)
    z[1] = z[0]
    _, to_z, to_features = both(losses.rkd_angle, z, features)
    assert to_z.abs().max() < 10
    assert to_features.abs().max() < 10


def test_rows_that_are_all_equal_agree() -> None:
    z, features = torch.ones(5, 4), torch.full((5, 6), 0.3)
    for loss in KINDS.values():
        value, *gradients = both(loss, z, features)
        assert value.item() == pytest.approx(0, abs=1e-12)
        assert all(not gradient.any() for gradient in gradients)


def test_equal_outputs_pass_no_gradient_to_the_logits() -> None:
    value, to_z, to_features = both(losses.rkd_dis, torch.zeros(5, 4), draw(5, 6).float())
    assert value.item() > 0
    assert not to_z.any()
    assert to_features.isfinite().all()


def test_views_that_agree_cost_less_than_views_that_do_not() -> None:
    a = torch.eye(8)
    aligned = losses.info_nce(a, a).item()
    assert aligned == pytest.approx(math.log(math.exp(2) + 14) - 2, rel=1e-6)
    assert losses.info_nce(a, a.roll(1, 0)).item() > aligned
    assert losses.info_nce(5 * a, 0.1 * a).item() == pytest.approx(aligned, rel=1e-6)


def test_the_cosine_of_a_prediction_has_a_fixed_target() -> None:
    predicted = sines(5, 7, 1, 0).requires_grad_()
    target = sines(5, 7, 2, 0.3).requires_grad_()
    loss = losses.negative_cosine(predicted, target)
    cosines = (normalize(predicted.double(), dim=1) * normalize(target.double(), dim=1)).sum(1)
    assert loss.item() == pytest.approx(-cosines.mean().item(), rel=1e-6)
    loss.backward()
    assert predicted.grad is not None
    assert target.grad is None
    assert losses.negative_cosine(target.half(), target.half()).item() == pytest.approx(-1)


def test_a_low_temperature_stays_finite() -> None:
    a, b = draw(8, 16, dtype=torch.float32), draw(8, 16, seed=1, dtype=torch.float32)
    value, *gradients = both(partial(losses.info_nce, temperature=1e-3), a, b)
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)


@EVERY
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=["float16", "bfloat16"])
def test_half_precision_is_raised_and_autocast_changes_nothing(
    loss: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    a, b = draw(8, 6).to(dtype), draw(8, 6, seed=1).to(dtype)
    value, to_a, to_b = both(loss, a.float(), b.float())
    leaves = a.clone().requires_grad_(), b.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(*leaves)
    gradients = torch.autograd.grad(found, leaves)
    assert found.dtype == torch.float32
    assert torch.equal(found, value)
    for gradient, expected in zip(gradients, (to_a, to_b), strict=True):
        torch.testing.assert_close(gradient, expected.to(dtype))


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (partial(losses.rkd_dis, w_feature=0), "w_feature > 0"),
        (partial(losses.rkd_dis, w_output=math.nan), "w_output > 0"),
        (partial(losses.rkd_dis, pair_mean="off"), "try: offdiag"),
        (partial(losses.info_nce, temperature=0), "temperature > 0"),
    ],
)
def test_parameters_outside_their_domain(call: Callable[..., Tensor], complaint: str) -> None:
    with pytest.raises(LabError, match=complaint):
        call(draw(4, 3), draw(4, 3))


@EVERY
@pytest.mark.parametrize("shapes", [((4, 3), (5, 3)), ((4,), (4,)), ((0, 3), (0, 3))])
def test_shapes_that_do_not_belong_together(
    loss: Callable[..., Tensor], shapes: tuple[tuple[int, ...], tuple[int, ...]]
) -> None:
    with pytest.raises(LabError, match="B >= 1"):
        loss(*map(torch.zeros, shapes))


def test_the_reference_has_all_relations() -> None:
    assert {f"c10.{case}.loss64" for case in RELATIONS} <= set(REFERENCE)
