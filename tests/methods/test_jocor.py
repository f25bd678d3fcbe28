"""JoCoR as a method: a whole training of the official code, and what it knows.

reference/jocor_reference.npz, `loop_mlp`: five epochs (1 to 5 of the official count) of two MLPs,
batch order in `orders`, logits of all images in evaluation mode after each.
"""

import numpy as np
import pytest
import torch
from torch import nn

from methods.jocor import Jocor, JocorSettings
from methods.two_networks.networks import PEERS
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.filled_weights import filled
from tests.support.reference_arrays import case_of, close_to
from tests.support.tiny_networks import Mlp

N, K = 24, 10
PROBLEM = Problem(n_classes=K, n_train=N, image_shape=(8, 8, 1))


def context_of(method, y, y_clean):
    return Context("jocor", method.knowledge(method.settings), y, y_clean, K, 5, 0, torch.empty)


def test_a_training_equals_that_of_the_official_code():
    case = case_of("jocor", "loop_mlp")
    settings = JocorSettings(
        backbone="small-cnn", co_weight=case["co_lambda"], forget_rate=float(case["rate"].max())
    )
    method = Jocor(settings, PROBLEM)
    shapes = [
        tuple(map(int, str(s).strip("()").rstrip(",").split(","))) for s in case["state_shapes"]
    ]
    for number, seed in enumerate(case["weight_seeds"].tolist()):
        weights = filled(case["state_keys"], shapes, seed)
        network = Mlp()
        network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
        method.networks[PEERS[number]] = network
    drawn = np.random.default_rng(case["image_seed"]).standard_normal((N, 1, 28, 28))
    images, y = torch.tensor(drawn, dtype=torch.float32), case["labels"]
    optimizer = torch.optim.Adam(method.networks.parameters(), lr=1e-3)
    for number, (epoch, order) in enumerate(
        zip(case["epochs"].tolist(), case["orders"], strict=True)
    ):
        method.rate = float(case["rate"][epoch])
        for group in optimizer.param_groups:
            group["lr"], group["betas"] = float(case["lr"][epoch]), (
                float(case["beta1"][epoch]), 0.999)  # fmt: skip
        for rows in order.split(case["batch"]):
            output = method(Batch((images[rows],), y[rows], rows))
            optimizer.zero_grad()
            (output.loss + output.coupled).backward()
            optimizer.step()
        with torch.no_grad():
            for which in (1, 2):
                found = method.networks[PEERS[which - 1]](images)
                assert close_to(found, case[f"logits{which}_epoch{number + 1}"], 1e-4), number


def test_without_agreement_and_forgetting_it_is_two_trainings_with_cross_entropy():
    torch.manual_seed(0)
    method = Jocor(JocorSettings(backbone="small-cnn", co_weight=0.0, forget_rate=0.0), PROBLEM)
    x, y = torch.randn(N, 1, 8, 8), torch.arange(N) % K
    output = method(Batch((x,), y, torch.arange(N)))
    each = [nn.functional.cross_entropy(network(x), y) for network in method.networks.values()]
    torch.testing.assert_close(output.coupled, each[0] + each[1])


def test_the_rate_is_the_true_one_unless_it_is_given():
    y_clean = torch.arange(N) % K
    y = torch.where(torch.arange(N) < 6, (y_clean + 1) % K, y_clean)
    method = Jocor(JocorSettings(backbone="small-cnn", rate_factor=0.5), PROBLEM)
    method.start(context_of(method, y, y_clean))
    assert float(method.final_rate) == pytest.approx(0.125)
    given = Jocor(JocorSettings(backbone="small-cnn", forget_rate=0.3), PROBLEM)
    assert given.knowledge(given.settings) == frozenset()
    # No clean labels are there to ask for, and nothing is declared.
    given.start(context_of(given, y, None))
    context = context_of(given, y, None)
    context.epoch = 9
    given.epoch_start(context)
    assert given.rate == pytest.approx(0.3)
