"""ELR and ELR+ against numbers of the official code, and the limits of its clamp.

reference/elr_reference.npz (ELR 934af53): steps with repeated samples, two of them saturated;
`lr_*` per epoch. reference/elr_plus_reference.npz: `ramp`, `ema_*`, steps on logits (`*_mixed`,
`*_unmixed`), and `loop_*`, whole trainings (test_elr.py).
"""

import pytest
import torch
from torch.nn.functional import one_hot

from methods import losses
from methods.objectives.early_learning import average_decay, elr_plus, moved_history, sigmoid_ramp
from tests.support.reference_arrays import case_of, close_to


@pytest.mark.parametrize("name", ["c10_sym", "c10_asym", "c100"])
def test_elr_equals_the_official_code_step_by_step(name):
    case = case_of("elr", name)
    n_classes = case["logits"].shape[2]
    for dtype, bits, tolerance in ((torch.float64, "64", 1e-9), (torch.float32, "32", 1e-4)):
        held = torch.zeros(case["n_train"], n_classes, dtype=dtype)
        for step, (index, y, z) in enumerate(
            zip(case["index"], case["labels"], case["logits"], strict=True)
        ):
            logits = z.to(dtype).requires_grad_()
            loss, moved = losses.elr(
                logits, y, target=held[index], beta=case["beta"], weight=case["lambda"]
            )
            held[index] = moved
            loss.backward()
            assert loss.item() == pytest.approx(float(case[f"loss_{bits}"][step]), rel=tolerance)
            assert close_to(logits.grad.double(), case["grad_64"][step], max(tolerance, 1e-8))
        assert close_to(held, case[f"target_end_{bits}"], tolerance)


def test_the_first_visit_is_not_corrected_and_confidence_stays_finite():
    logits = torch.tensor([[200.0, 0.0, 0.0]], requires_grad=True)
    loss, moved = losses.elr(
        logits, torch.tensor([0]), target=torch.zeros(1, 3), beta=0.7, weight=3.0
    )
    q = torch.tensor([[1 - 1e-4, 1e-4, 1e-4]])
    torch.testing.assert_close(moved, 0.3 * q / q.sum())
    loss.backward()
    assert loss.isfinite()
    assert not logits.grad.any()  # all entries are clamped


def test_the_ramp_and_the_decay_equal_the_official_code():
    ramp = case_of("elr_plus", "ramp")
    steps = ramp["steps"].tolist()
    found = [[sigmoid_ramp(step, length) for step in steps] for length in (ramp["length"], 0)]
    torch.testing.assert_close(torch.tensor(found[0]).double(), ramp["sigmoid"], rtol=1e-6, atol=0)
    assert found[1] == ramp["length0"].tolist()
    for name in ("ema_ramp", "ema_average"):
        case = case_of("elr_plus", name)
        average, length = case["start"], case["ema_step"] if case["ema_update"] else None
        for step, weights, expected in zip(
            case["step_argument"].tolist(), case["weights"], case["average"], strict=True
        ):
            alpha = average_decay(step, decay=case["ema_alpha"], ramp=length)
            average = alpha * average + (1 - alpha) * weights
            torch.testing.assert_close(average, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["c10_mixed", "c10_unmixed", "c14_mixed", "c100_mixed"])
def test_a_step_of_elr_plus_equals_the_official_code(name):
    case = case_of("elr_plus", name)
    n_classes = case["logits"].shape[2]
    history = torch.zeros(case["n_train"], n_classes, dtype=torch.float64)
    for step, index in enumerate(case["index"]):
        mixed, share = case["mix_index"][step], float(case["mix_l"][step])
        peer = case["peer_average_logits"][step].double()
        history[index] = moved_history(history[index], peer, beta=case["beta"])
        target = share * history[index] + (1 - share) * history[index[mixed]]
        assert close_to(target, case["q_64"][step], 1e-9)
        labels = one_hot(case["labels"][step], n_classes).float()
        y = share * labels + (1 - share) * labels[mixed]
        logits = case["logits"][step].double().requires_grad_()
        ramp = sigmoid_ramp(int(case["iteration"][step]), case["coef_step"])
        loss = elr_plus(
            logits, y, target=target, weight=case["lambda"] * ramp,
            label_times_target=n_classes == 100,
        )  # fmt: skip
        assert loss.item() == pytest.approx(float(case["loss_64"][step]), rel=1e-6)
        loss.backward()
        assert close_to(logits.grad, case["grad_64"][step], 1e-6)
    assert close_to(history, case["history_end_64"], 1e-9)
