"""Co-teaching and Co-teaching+ as a method: whole trainings of the official codes.

reference/co_teaching_reference.npz, `loop_*`: five epochs (1 to 5 of the official count) of two
tiny networks, batch order in `orders`, logits of all images in evaluation mode after each, and
weights at the end. Co-teaching+ looks at disagreement from the first on.
"""

import pytest
import torch
from torch import nn

from methods.co_teaching import CoTeaching, CoTeachingSettings
from methods.two_networks.networks import PEERS
from pipeline.errors import LabError
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from tests.support.reference_arrays import case_of, close_to, state_of
from tests.support.tiny_networks import official_state, tiny_net

PROBLEM = Problem(n_classes=4, n_train=26, image_shape=(8, 8, 3))


def method_with(**settings):
    return CoTeaching(CoTeachingSettings(backbone="small-cnn", **settings), PROBLEM)


def trained(case, method):
    """Train as the official loop did; yields after each epoch."""
    for name, number in zip(PEERS, (1, 2), strict=True):
        method.networks[name] = tiny_net(state_of(case, f"start{number}"))
    optimizer = torch.optim.Adam(method.networks.parameters(), lr=1e-3)
    images, y = case["images"], case["labels"]
    for epoch, order in zip(case["epochs"].tolist(), case["orders"], strict=True):
        method.train()
        method.rate, method.epoch, method.step = float(case["rate"][epoch]), epoch - 1, 0
        for group in optimizer.param_groups:
            group["lr"] = float(case["lr"][epoch])
            group["betas"] = (float(case["beta1"][epoch]), 0.999)
        for rows in order.split(case["batch"]):
            output = method(Batch((images[rows],), y[rows], rows))
            optimizer.zero_grad()
            (output.loss + output.coupled).backward()
            optimizer.step()
            method.step_end(None)
        method.eval()
        yield epoch


@pytest.mark.parametrize("plus_from", [None, 0])
def test_a_training_equals_that_of_the_official_code(plus_from):
    own = {"plus": True, "plus_from": plus_from, "double_softmax": True, "drop_for_first": True}
    own = {} if plus_from is None else own
    case = case_of("co_teaching", "loop_coteaching" + ("_plus" if own else ""))
    method = method_with(divide_twice=True, forget_rate=0.4, **own)
    for epoch in trained(case, method):
        for name, number in zip(PEERS, (1, 2), strict=True):
            with torch.no_grad():
                found = method.networks[name](case["images"])
            assert close_to(found, case[f"logits{number}_epoch{epoch}"], 1e-4), epoch
    for name, number in zip(PEERS, (1, 2), strict=True):
        expected = state_of(case, f"end{number}")
        for key, value in official_state(method.networks[name]).items():
            assert close_to(value.double(), expected[key].double(), 1e-3), key


def test_without_forgetting_it_is_two_trainings_with_cross_entropy():
    method, x = method_with(forget_rate=0.0), torch.randn(26, 3, 8, 8)
    y = torch.arange(26) % 4
    output = method(Batch((x,), y, torch.arange(26)))
    each = [nn.functional.cross_entropy(net(x), y) for net in method.networks.values()]
    torch.testing.assert_close(output.coupled, each[0] + each[1])


def test_a_batch_without_disagreement_is_learned_from_at_first_only():
    method, x = method_with(forget_rate=0.2, plus=True, plus_from=0), torch.randn(8, 3, 8, 8)
    method.networks["second"].load_state_dict(method.networks["first"].state_dict())
    batch = Batch((x,), torch.arange(8) % 4, torch.arange(8))
    method.epoch, method.step = 49, 99
    assert float(method(batch).coupled) > 0
    method.step = 100
    assert float(method(batch).coupled) == 0


def context_of(method, y_clean, epoch=0):
    y = torch.zeros(26, dtype=torch.int64)
    knows = method.knowledge(method.settings)
    return Context("co_teaching", knows, y, y_clean, 4, 5, 0, torch.empty, epoch=epoch)


def test_a_resumed_epoch_goes_on_counting_its_batches():
    method = method_with(forget_rate=0.2, plus=True)
    context = context_of(method, None)
    method.start(context)
    method.epoch_start(context)
    method.step_end(context)
    again = method_with(forget_rate=0.2, plus=True)
    again.load_state_dict(method.state_dict())
    context.resumed = True
    again.start(context)
    again.epoch_start(context)
    assert again.step == 1


def test_a_rate_that_nobody_knows_is_answered_with_the_ways_to_give_one():
    method = method_with()
    with pytest.raises(LabError, match=r"--forget-rate 0\.2, or --rate-from hoc --encoder"):
        method.start(context_of(method, None))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate_from": "hoc"}, "an encoder for rate_from hoc"),
        ({"encoder": "simclr-digits"}, "an encoder for rate_from hoc"),
        ({"rate_from": "true", "forget_rate": 0.2}, "leave rate_from out"),
        ({"double_softmax": True}, "takes no double_softmax"),
    ],
)
def test_settings_that_contradict_each_other(settings, words):
    with pytest.raises(LabError, match=words):
        CoTeachingSettings(**settings)


def test_the_late_decay_holds_while_the_schedule_falls():
    own = {"optimizer": "adam", "schedule": "linear", "epochs": 10, "lr_decay_from": 5}
    method = method_with(forget_rate=0.2, late_beta1=0.1, **own)
    assert not method.phase_start(context_of(method, None, epoch=4)).options
    late = method.phase_start(context_of(method, None, epoch=5)).options
    assert late == {name: {"betas": (0.1, 0.999)} for name in PEERS}
