"""Losses of SOP and SOP+, against numbers of the official code.

reference/sop_reference.npz (SOP 4d991ce): `single64_*` one evaluation in double precision, with the
gradients of logits (both views, where there is consistency), u and v of all samples; `init` and the
others are trainings (test_sop.py).
"""

import math

import pytest
import torch

from methods.objectives.overparametrisation import class_balance, consistency, label_shifts, sop
from pipeline.errors import LabError
from tests.support.reference_arrays import case_of, cases, close_to

WEIGHTS = {
    "single64_sop": (0, 0), "single64_sop_plus": (0.9, 0.1), "single64_balance_only": (0, 0.1),
    "single64_consistency_only": (0.9, 0),
}  # fmt: skip
"""Of consistency and balance."""


@pytest.mark.parametrize("name", cases("sop", "single64"))
def test_loss_and_gradients_equal_the_official_code(name):
    case, (of_consistency, of_balance) = case_of("sop", name), WEIGHTS[name]
    logits, u, v = (case[key].clone().requires_grad_() for key in ("logits", "u", "v"))
    rows, y = case["index"], case["labels"]
    first = logits[: len(rows)]
    loss, q = sop(first, y, u=u[rows], v=v[rows])
    if of_balance:
        loss = loss + of_balance * class_balance(q)
    if of_consistency:
        loss = loss + of_consistency * consistency(first, logits[len(rows) :])
    assert loss.item() == pytest.approx(case["loss"], rel=1e-9)
    loss.backward()
    for key, leaf in (("logits", logits), ("u", u), ("v", v)):
        assert close_to(leaf.grad, case[f"grad_{key}"], 1e-6), key
    above, below = label_shifts(u[rows].detach(), v[rows].detach(), y)
    assert close_to(above - below, case["E"], 1e-9)


def batch(n=4, n_classes=5, size=0.5):
    stream = torch.Generator().manual_seed(0)
    logits, u, v = (torch.randn(n, k, generator=stream) for k in (n_classes, 1, n_classes))
    return logits, torch.arange(n), size * u, size * v


def test_u_moves_the_label_and_v_all_else():
    _, y, u, v = batch()
    above, below = label_shifts(u, v, y)
    given = torch.nn.functional.one_hot(y, 5).bool()
    assert bool((above[~given] == 0).all() and (below[given] == 0).all())
    assert bool((above[given] > 0).all() and (below[~given] > 0).all())


def test_v_learns_from_the_square_alone():
    logits, y, u, v = batch()
    leaf = v.clone().requires_grad_()
    loss, q = sop(logits, y, u=u, v=leaf)
    assert not q.requires_grad
    loss.backward()
    predicted = torch.nn.functional.one_hot(logits.argmax(1), 5)
    given = torch.nn.functional.one_hot(y, 5)
    above, below = label_shifts(u, v, y)
    expected = -4 * v * (1 - given) * (predicted + above - below - given) / len(y)
    torch.testing.assert_close(leaf.grad, torch.where(v.square() < 1, expected, 0.0))
    assert bool((leaf.grad[given.bool()] == 0).all())


def test_beyond_one_neither_moves():
    logits, y, u, v = batch()
    leaves = [torch.full_like(rows, 1.5).requires_grad_() for rows in (u, v)]
    sop(logits, y, u=leaves[0], v=leaves[1])[0].backward()
    assert all(bool((leaf.grad == 0).all()) for leaf in leaves)


def test_a_shifted_prediction_keeps_its_bounds():
    for size in (0.0, 0.5, 30.0):
        logits, y, u, v = batch(size=size)
        each, q = sop(100 * logits, y, u=u, v=v, reduction="none")
        assert each.shape == y.shape
        assert bool((q >= 1e-4).all() and (q <= 1).all())
        torch.testing.assert_close(each.mean(), sop(100 * logits, y, u=u, v=v)[0])


def test_half_precision_does_not_lose_a_start_of_1e_8():
    logits, y, u, v = batch(size=1e-8)
    leaf = u.clone().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = sop(logits.bfloat16(), y, u=leaf, v=v)
    (found,) = torch.autograd.grad(loss, leaf)
    (wide,) = torch.autograd.grad(sop(logits.bfloat16().float(), y, u=leaf, v=v)[0], leaf)
    assert torch.equal(found, wide)
    assert bool((found != 0).all())


def test_balance_is_least_where_all_classes_occur_alike():
    assert class_balance(torch.full((3, 4), 0.25)).item() == pytest.approx(math.log(4))
    one_sided = torch.eye(4)[:1].repeat(3, 1)
    assert class_balance(one_sided).item() == pytest.approx(-0.75 * math.log(1e-4))


def test_the_first_view_is_a_teacher():
    logits, other = (batch()[0] * factor for factor in (1, -1))
    first, second = logits.requires_grad_(), other.detach().requires_grad_()
    loss = consistency(first, second)
    loss.backward()
    assert first.grad is None
    p, q = first.detach().softmax(1), second.detach().softmax(1)
    torch.testing.assert_close(loss.detach(), (p * (p / q).log()).sum(1).mean())
    assert consistency(first, first.detach()).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [({"u": torch.zeros(4, 2)}, r"u \[B, 1\]"), ({"v": torch.zeros(4, 6)}, r"v \[4, 5\]")],
)
def test_rows_that_do_not_belong_to_the_batch_are_refused(wrong, complaint):
    logits, y, u, v = batch()
    with pytest.raises(LabError, match=complaint):
        sop(logits, y, **({"u": u, "v": v} | wrong))
