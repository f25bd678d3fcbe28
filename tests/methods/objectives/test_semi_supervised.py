"""DivideMix's targets and losses against numbers of the official code.

reference/dividemix_losses_reference.npz (DivideMix d9d3058, C2D 3805386): `ramp`, `semi_*`,
`neg_entropy_*`, `guess_*`.
"""

import pytest
import torch

from methods.objectives.semi_supervised import (
    co_guessed,
    co_refined,
    mixmatch,
    negative_entropy,
    uniform_penalty,
    unlabelled_weight,
)
from tests.support.reference_arrays import case_of, cases, close_to

FILE = "dividemix_losses"


def test_the_weight_of_the_unlabelled_term_rises_as_in_the_official_code():
    case = case_of(FILE, "ramp")
    found = [
        unlabelled_weight(float(p), weight=case["lambda_u"], warmup=case["warm_up"])
        for p in case["current"]
    ]
    torch.testing.assert_close(torch.tensor(found).double(), case["weight"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", cases(FILE, "semi_"))
def test_terms_and_gradients_equal_the_official_code(name):
    case = case_of(FILE, name)
    rows = torch.cat([case["logits_x"], case["logits_u"]])
    targets = torch.cat([case["targets_x"], case["targets_u"]])
    n = len(case["logits_x"])
    weight = unlabelled_weight(case["epoch"], weight=case["lambda_u"], warmup=case["warm_up"])
    assert weight == pytest.approx(case["weight"])
    for dtype, bits, tolerance in ((torch.float64, "64", 1e-9), (torch.float32, "32", 1e-5)):
        logits = rows.to(dtype).requires_grad_()
        total, labelled, unlabelled = mixmatch(
            logits, targets.to(dtype), n_labelled=n, weight=1.0, penalty=False
        )
        assert float(labelled) == pytest.approx(case[f"Lx_{bits}"], rel=tolerance)
        assert float(unlabelled) == pytest.approx(case[f"Lu_{bits}"], rel=tolerance)
        total.backward()
        if bits == "64":
            expected = torch.cat([case["grad_x_64"], case["grad_u_64"]])
            assert close_to(logits.grad, expected, 1e-8)


@pytest.mark.parametrize("name", cases(FILE, "semi_"))
def test_the_negative_entropy_equals_the_official_code(name):
    case = case_of(FILE, name)
    logits = case["logits_x"].double().requires_grad_()
    value = negative_entropy(logits)
    assert float(value) == pytest.approx(case["neg_entropy_x_64"], rel=1e-9)
    value.backward()
    assert close_to(logits.grad, case["neg_entropy_grad_x_64"], 1e-8)


def test_the_negative_entropy_is_finite_where_the_official_code_underflows():
    logits = case_of(FILE, "neg_entropy_underflow")["logits"].requires_grad_()
    value = negative_entropy(logits)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("name", ["guess_k10", "guess_k100_t1"])
def test_guessed_and_refined_targets_equal_the_official_code(name):
    case = case_of(FILE, name)
    views = [case[part] for part in ("net_u1", "net_u2", "peer_u1", "peer_u2")]
    guessed = co_guessed(views, temperature=case["T"])
    assert close_to(guessed, case["targets_u"], 1e-5)
    own = [case["net_x1"], case["net_x2"]]
    refined = co_refined(own, case["labels"], case["w"], temperature=case["T"])
    assert close_to(refined, case["targets_x"], 1e-5)


def test_the_penalty_is_the_divergence_from_the_uniform_distribution():
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]], dtype=torch.float64)
    mean = logits.softmax(1).mean(0)
    expected = sum(1 / 3 * float(torch.log(1 / 3 / p)) for p in mean)
    assert float(uniform_penalty(logits)) == pytest.approx(expected)
    assert float(uniform_penalty(torch.zeros(4, 3))) == pytest.approx(0, abs=1e-6)


def test_without_unlabelled_rows_their_term_is_zero():
    logits, targets = torch.zeros(4, 3), torch.full((4, 3), 1 / 3)
    total, labelled, unlabelled = mixmatch(logits, targets, n_labelled=4, weight=25.0)
    assert float(unlabelled) == 0
    assert float(total) == pytest.approx(float(labelled), abs=1e-6)
