"""Losses of Co-teaching, Co-teaching+ and JoCoR, against numbers of the official codes.

reference/co_teaching_reference.npz (Co-teaching 7c7fbe2, Co-teaching+ a68ed61): `schedule_*` per
epoch index; `bB_cC` logits and labels, `bB_cC_forgetFF` losses divided twice, gradients and rows
used; `plus_*` the same with the double softmax; `loop_*` whole trainings (test_co_teaching.py).
reference/jocor_reference.npz (JoCoR 86db359): `bB_cC_forgetFF_lambdaLL`, `schedule_*`, `loop_mlp`.
"""

import pytest
import torch

from methods.objectives.small_loss import (
    co_teaching,
    co_teaching_plus,
    forget_rate,
    joint,
    n_kept,
    smallest,
)
from tests.support.reference_arrays import case_of, cases, close_to


def pair_of(case, dtype):
    return [case[f"logits{number}"].to(dtype).requires_grad_() for number in (1, 2)]


@pytest.mark.parametrize("name", cases("co_teaching", "schedule_"))
def test_the_rate_rises_as_in_the_official_code(name):
    case = case_of("co_teaching", name)
    names = {"rate": "forget_rate", "gradual": "num_gradual", "exponent": "exponent"}
    plan = {own: case[official] for own, official in names.items()}
    rates = [forget_rate(epoch, **plan) for epoch in range(case["n_epoch"])]
    torch.testing.assert_close(torch.tensor(rates).double(), case["rate"], rtol=0, atol=1e-7)
    kept = [n_kept(128, rate) for rate in rates]
    assert kept == case["kept_of_128"].tolist()


def test_at_least_one_sample_is_kept():
    assert int((1 - 0.9) * 10) == 0
    assert n_kept(10, 0.9) == 1


def test_of_equal_losses_the_first_are_kept():
    assert smallest(torch.tensor([2.0, 1.0, 1.0, 1.0]), 2).tolist() == [1, 2]


BOTH = [(torch.float64, "64", 1e-9), (torch.float32, "32", 1e-5)]


@pytest.mark.parametrize(("dtype", "bits", "tolerance"), BOTH)
@pytest.mark.parametrize(
    "name", [n for n in cases("co_teaching", "b") if "forget" in n and "forget90" not in n]
)
def test_co_teaching_equals_the_official_code(name, dtype, bits, tolerance):
    case = case_of("co_teaching", name)
    inputs = case_of("co_teaching", name.rsplit("_", 1)[0])
    first, second = pair_of(inputs, dtype)
    found = co_teaching(
        first, second, inputs["labels"], rate=case["forget_rate"], divide_twice=True
    )
    check_pair(found, case, first, second, bits, tolerance)


@pytest.mark.parametrize(("dtype", "bits", "tolerance"), BOTH)
@pytest.mark.parametrize(
    "name", ["plus_some", "plus_agree_early", "plus_agree_late", "plus_few", "plus_index_zero"]
)
def test_co_teaching_plus_equals_the_official_code(name, dtype, bits, tolerance):
    case = case_of("co_teaching", name)
    first, second = pair_of(case, dtype)
    found = co_teaching_plus(
        first,
        second,
        case["labels"],
        rate=case["forget_rate"],
        double_softmax=True,
        divide_twice=True,
        learn_agreed=case["step"] < 5000,
        index=case["index"],
    )
    # Where the networks agree the official loss is rounded to float32.
    check_pair(found, case, first, second, bits, 1e-6 if "agree" in name else tolerance)


def check_pair(found, case, first, second, bits, tolerance):
    for loss, number in ((found.first, 1), (found.second, 2)):
        assert loss.item() == pytest.approx(case[f"loss{number}_{bits}"], rel=tolerance)
    (found.first + found.second).backward()
    assert close_to(first.grad.double(), case["grad1_64"], 1e-6 if bits == "64" else 1e-4)
    assert close_to(second.grad.double(), case["grad2_64"], 1e-6 if bits == "64" else 1e-4)
    for used, number in ((found.used_by_first, 1), (found.used_by_second, 2)):
        if case[f"loss{number}_64"]:
            assert sorted(used.tolist()) == case[f"used_by_net{number}"].nonzero()[:, 0].tolist()


def test_dividing_once_and_one_softmax_are_the_plain_means():
    case = case_of("co_teaching", "plus_some")
    first, second = pair_of(case, torch.float64)
    once = co_teaching(first, second, case["labels"], rate=0.4)
    twice = co_teaching(first, second, case["labels"], rate=0.4, divide_twice=True)
    assert float(once.first) == pytest.approx(float(twice.first) * n_kept(16, 0.4))
    kept = first[once.used_by_first], case["labels"][once.used_by_first]
    assert float(once.first) == pytest.approx(float(torch.nn.functional.cross_entropy(*kept)))


@pytest.mark.parametrize(("dtype", "bits", "tolerance"), BOTH)
@pytest.mark.parametrize("name", [n for n in cases("jocor", "b") if "forget" in n])
def test_the_joint_loss_equals_the_official_code(name, dtype, bits, tolerance):
    case, inputs = case_of("jocor", name), case_of("jocor", "_".join(name.split("_")[:2]))
    first, second = pair_of(inputs, dtype)
    values = joint(first, second, inputs["labels"], weight=case["co_lambda"])
    kept = smallest(values, n_kept(len(values), case["forget_rate"]))
    loss = values[kept].mean()
    assert loss.item() == pytest.approx(case[f"loss_{bits}"], rel=tolerance)
    assert sorted(kept.tolist()) == case["kept"].nonzero()[:, 0].tolist()
    loss.backward()
    assert close_to(first.grad.double(), case["grad1_64"], 1e-6 if bits == "64" else 1e-4)
    assert close_to(second.grad.double(), case["grad2_64"], 1e-6 if bits == "64" else 1e-4)
