"""DivideMix and C2D as a method: whole trainings of the official scripts, and what holds for any.

reference/dividemix_loop_reference.npz and c2d_loop_reference.npz: the complete epoch loops of the
official scripts (d9d3058, 3805386) on a tiny network; view 2 of an image is its mirror image.
Orders, mixing draws and divisions are recorded. C2D records divisions of the warm-up, too.
"""

import pytest
import torch

from methods.dividemix import PEERS, DivideMix, DivideMixSettings
from pipeline.errors import LabError
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.divided import Official
from tests.support.reference_arrays import case_of, close_to, state_of
from tests.support.tiny_networks import official_state

C2D = {
    "divide": "before_each", "keep_both_sides": True, "mixture_iterations": 200, "clip_norm": 1.0,
    "clip_warm_up": True,
}  # fmt: skip
N, K = 30, 3


def official(file, name, own_divisions, **settings):
    case = case_of(file, name)
    from_c2d = C2D | {"labelled_only": case["lambda_u"] == 0} if file == "c2d_loop" else {}
    averages = case["r"] >= 0.9
    return case, Official(case, own_divisions, average_losses=averages, **(from_c2d | settings))


@pytest.mark.parametrize(
    ("file", "name", "own_divisions"),
    [
        # The official mixtures start anywhere; where own ones lead elsewhere, theirs are taken.
        ("dividemix_loop", "sym", False),
        ("dividemix_loop", "asym_r90", True),
        ("c2d_loop", "sym", True),
        ("c2d_loop", "asym_no_u", False),
    ],
)
def test_a_training_equals_that_of_the_official_script(file, name, own_divisions):
    case, run = official(file, name, own_divisions)
    run.train()
    torch.testing.assert_close(
        torch.tensor(run.losses).double(), case["backward_losses"], rtol=1e-3, atol=1e-5
    )
    assert run.accuracies == pytest.approx(case["test_accuracy"].tolist(), abs=0.01)
    n = len(run.divisions)
    assert torch.stack(run.divisions).equal(case["split_labelled"][-n:])
    for peer, number in zip(PEERS, (1, 2), strict=True):
        expected = state_of(case, f"net{number}_end")
        for key, value in official_state(run.method.networks[peer]).items():
            assert close_to(value.double(), expected[key].double(), 2e-3), key


@pytest.mark.parametrize(
    "settings",
    [
        {"divide": "before_each"}, {"penalty": False}, {"unlabelled_weight": 0.0},
        {"labelled_only": True}, {"temperature": 1.0}, {"warm_up_penalty": True},
    ],
)  # fmt: skip
def test_each_switch_changes_the_training(settings):
    run = official("dividemix_loop", "sym", True, **settings)[1]
    plain = official("dividemix_loop", "sym", True)[1]
    run.train()
    plain.train()
    assert run.losses != plain.losses


def method_with(**settings):
    values = {"backbone": "small-cnn", "batch_size": 8, "warm_up": 0, "epochs": 3} | settings
    torch.manual_seed(0)
    return DivideMix(DivideMixSettings(**values), Problem(K, N, (8, 8, 3)))


X, Y = torch.sin(torch.arange(N * 192.0)).view(N, 3, 8, 8), torch.arange(N) % K


def context_of(method, epoch=0, phase="first"):
    def predict(_augmented, _averaged, samples, function, *_):
        method.eval()
        with torch.no_grad():
            found = function(X[samples])
        method.train()
        return found

    return Context("dividemix", frozenset(), Y, None, K, 3, 0, predict, epoch=epoch, phase=phase)


def test_sides_are_disjoint_and_whole():
    method = method_with()
    phase = method.phase_start(context_of(method))
    sides = [set(stream.samples.tolist()) for stream in phase.streams.values()]
    assert phase.partition
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == set(range(N))


@pytest.mark.parametrize("threshold", [0.0, 1 - 1e-9])
def test_an_empty_side_names_epoch_network_and_threshold(threshold):
    method = method_with(threshold=threshold)
    context = context_of(method, epoch=2)
    method._measure = lambda _context, _samples, name: method.division.by(name).fill_(0.5)
    with pytest.raises(LabError, match="for network first in epoch 2: .* of threshold") as failure:
        method.phase_start(context)
    assert ("unlabelled" if threshold == 0 else "labelled") in str(failure.value)
    assert "--keep-both-sides" in str(failure.value)


def test_losses_that_are_all_equal_name_epoch_and_network():
    method = method_with()
    for network in method.networks.values():
        torch.nn.init.zeros_(network.linear.weight)
        torch.nn.init.zeros_(network.linear.bias)
    with pytest.raises(LabError, match="losses by network first in epoch 0: 30 values"):
        method.phase_start(context_of(method))


def test_a_resumed_phase_measures_nothing_and_counts_on():
    method = method_with()
    context = context_of(method)
    before = method.phase_start(context).streams["labelled"].samples
    method.step_end(context)
    again = method_with(seed=5)
    again.load_state_dict(method.state_dict())
    again._measure = None
    context.resumed = True
    torch.testing.assert_close(again.phase_start(context).streams["labelled"].samples, before)
    assert again.step == 1


def test_the_other_network_neither_learns_nor_moves_its_statistics():
    method = method_with(backbone="timm/test_resnet")
    phase = method.phase_start(context_of(method))
    method.train()
    other = {k: v.clone() for k, v in method.networks["second"].state_dict().items()}
    own = {k: v.clone() for k, v in method.networks["first"].state_dict().items()}
    rows = [stream.samples[:4] for stream in phase.streams.values()]
    parts = {
        name: Batch((X[r], X[r].flip(3)), Y[r], r)
        for name, r in zip(phase.streams, rows, strict=True)
    }
    output = method(Batch(parts["labelled"].views, Y[rows[0]], rows[0], parts=parts))
    output.coupled.backward()
    assert all(p.grad is None for p in method.networks["second"].parameters())
    moved = method.networks["second"].state_dict()
    assert all(torch.equal(value, moved[key]) for key, value in other.items())
    means = [key for key in own if key.endswith("running_mean")]
    assert all(
        not torch.equal(own[key], method.networks["first"].state_dict()[key]) for key in means
    )


def test_another_start_of_the_mixture_is_another_run():
    from pipeline.config.key_facts import key_facts

    keys = [key_facts(DivideMixSettings(mixture_seed=seed)) for seed in (0, 1)]
    assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"warm_up": 3, "epochs": 3}, "--warm-up 1"),
        ({"average_losses": True, "sampling": "balanced"}, "--no-average-losses"),
    ],
)
def test_settings_that_do_not_fit(settings, words):
    with pytest.raises(LabError, match=words):
        DivideMixSettings(**settings)
