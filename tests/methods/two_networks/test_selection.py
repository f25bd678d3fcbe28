"""ProMix's choice of samples and its priors, against numbers of the official code.

reference/promix_reference.npz (40d8378): `css_*` losses of a data set and what is selected,
`guess_*` a batch before and after guessing, `debias` margins and the running prior.
"""

import pytest
import torch

from methods import losses
from methods.two_networks.priors import moved_prior, soft_guesses, with_margin, without_bias
from methods.two_networks.selection import guessed_too, smallest_of_each_class, sure_of_label
from pipeline.errors import LabError
from tests.support.reference_arrays import case_of, cases, close_to


@pytest.mark.parametrize("name", cases("promix", "css_"))
def test_samples_of_small_loss_are_those_of_the_official_code(name):
    case = case_of("promix", name)
    y, n_classes = case["labels"], case["logits"].shape[1]
    values = losses.ce(case["logits"], y, reduction="none")
    kept = smallest_of_each_class(values, y, n_classes=n_classes, rate=case["hp.rho"])
    assert torch.equal(kept, case["selected"] > 0)


def test_each_label_keeps_one_sample_at_least_and_none_where_it_has_none():
    values, y = torch.tensor([3.0, 1.0, 2.0, 2.0, 5.0]), torch.tensor([0, 0, 0, 0, 3])
    kept = smallest_of_each_class(values, y, n_classes=4, rate=1e-6)
    assert kept.nonzero()[:, 0].tolist() == [1, 4]
    assert smallest_of_each_class(values, y, n_classes=4, rate=1.0).tolist() == [
        False, True, True, False, True,
    ]  # fmt: skip
    with pytest.raises(LabError, match="rate = 0"):
        smallest_of_each_class(values, y, n_classes=4, rate=0.0)


@pytest.mark.parametrize("name", cases("promix", "guess_"))
def test_guessed_samples_are_those_of_the_official_code(name):
    case = case_of("promix", name)
    # Probabilities with the recorded scores as the largest ones, of classes that match or do not.
    p1, p2 = torch.zeros(2, len(case["match"]), 3, dtype=torch.float64)
    p1[:, 0] = case["score1"]
    p2[range(len(p2)), torch.where(case["match"], 0, 1)] = case["score2"]
    found = guessed_too(
        case["selected"] > 0, p1, p2, threshold=case["hp.tau"], up_to=case["hp.threshold"]
    )
    assert torch.equal(found, case["result"][:, 0] > 0)


def test_a_network_is_sure_of_a_label_above_the_threshold_only():
    p = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.95, 0.05]])
    found = sure_of_label(p, torch.tensor([0, 1, 0]), threshold=float(p[0, 0]))
    assert found.tolist() == [False, False, True]


@pytest.mark.parametrize("tenths", [4, 5, 8])
def test_margins_equal_those_of_the_official_code(tenths):
    case = case_of("promix", "debias")
    z, prior = case["logits"], case["pi"]
    assert close_to(with_margin(z, prior, tenths / 10), case[f"output_t{tenths}"], 1e-12)
    assert close_to(without_bias(z, prior, tenths / 10), case[f"pseudo_t{tenths}"], 1e-12)
    squared = case[f"pseudo_t{tenths}"] ** 2
    expected = squared / squared.sum(1, keepdim=True)
    assert close_to(soft_guesses(z, prior, tenths / 10, temperature=0.5), expected, 1e-12)


def test_the_running_prior_equals_that_of_the_official_code():
    case = case_of("promix", "debias")
    p, everyone = case["logits"].softmax(1), torch.ones(len(case["logits"]), dtype=torch.bool)
    for momentum, name in ((0.9999, "pi_update"), (0.9, "pi_update_m09")):
        found = moved_prior(case["pi"], p, everyone, momentum=momentum)
        assert close_to(found, case[name], 1e-12)


def test_a_prior_stays_where_nothing_is_chosen():
    p = torch.rand(4, 3, generator=torch.Generator().manual_seed(0)).softmax(1)
    prior = torch.tensor([0.2, 0.3, 0.5])
    nobody = torch.zeros(4, dtype=torch.bool)
    assert torch.equal(moved_prior(prior, p, nobody, momentum=0.9), prior)
    one = nobody.clone()
    one[2] = True
    torch.testing.assert_close(moved_prior(prior, p, one, momentum=0.9), 0.9 * prior + 0.1 * p[2])
