"""ELR and ELR+ as a method: whole trainings of the official code, and what holds for any.

reference/elr_plus_reference.npz, `loop_*`: two epochs of the official trainer on one device,
network 1 then network 2; `orders` in that sequence, `mix_l_raw` and `permutations` per step.
"""

import pytest
import torch

from methods.elr import AVERAGES, PEERS, Elr, ElrSettings
from pipeline.encoders.start import network_state
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from pipeline.training.optimisation import make_optimizer
from tests.support.one_step import warm_start
from tests.support.recorded_mixing import recorded_mixing
from tests.support.reference_arrays import case_of, close_to, state_of
from tests.support.tiny_networks import official_state, tiny_net

N, K = 22, 5
PROBLEM = Problem(n_classes=K, n_train=N, image_shape=(8, 8, 3))


def context_of(epoch=0):
    y = torch.zeros(N, dtype=torch.int64)
    return Context("elr", frozenset(), y, None, K, 5, 0, torch.empty, epoch=epoch)


def plus(case, **settings):
    method = Elr(
        ElrSettings(
            backbone="small-cnn", plus=True, beta=case["beta"], weight=case["lambda"],
            mix_alpha=case["mixup_alpha"], weight_ramp=case["coef_step"],
            average_decay=case["ema_alpha"],
            average_ramp=case["ema_step"] if case["ema_update"] else 0,
            lr=case["lr"], momentum=case["momentum"], weight_decay=case["weight_decay"], **settings,
        ),
        PROBLEM,
    )  # fmt: skip
    for number, (name, average) in enumerate(zip(PEERS, AVERAGES, strict=True), start=1):
        method.networks[name] = tiny_net(state_of(case, f"net{number}_start"))
        method.averages[average] = tiny_net(state_of(case, f"average{number}_start"))
    method.averages.requires_grad_(False)
    return method


def train(method, case):
    """As the loop does, with the recorded draws; returns the loss of each step."""
    images, y, steps = case["images"], case["labels"], []
    optimizer = make_optimizer(method, method.settings)
    groups = {group["name"]: group["params"] for group in optimizer.param_groups}
    orders = iter(case["orders"])
    for epoch in range(2):
        context = context_of(epoch)
        method.epoch_start(context)
        for name in method.phases(context):
            context.phase = name
            trains = method.phase_start(context).trains
            for rows in next(orders).split(case["batch"]):
                number = len(steps)
                if case["mixup_alpha"]:
                    mix = recorded_mixing(case["mix_l_raw"][number], case["permutations"][number])
                    method._mixing = lambda _, mix=mix: lambda x: mix(x)[0]
                output = method(Batch((images[rows],), y[rows], rows))
                output.loss.backward()
                for group, parameters in groups.items():
                    for parameter in parameters:
                        assert group in trains or parameter.grad is None
                optimizer.step()
                optimizer.zero_grad()
                method.step_end(context)
                steps.append(float(output.loss.detach()))
        method.epoch_end(context)
    return steps


@pytest.mark.parametrize("name", ["loop_ramp", "loop_average"])
def test_a_training_of_elr_plus_equals_that_of_the_official_code(name):
    case = case_of("elr_plus", name)
    method = plus(case)
    found = train(method, case)
    torch.testing.assert_close(
        torch.tensor(found).double(), case["step_losses"], rtol=1e-4, atol=1e-5
    )
    for number, (own, average) in enumerate(zip(PEERS, AVERAGES, strict=True), start=1):
        for network, prefix in (
            (method.networks[own], f"net{number}_end"),
            (method.averages[average], f"average{number}_end"),
        ):
            expected = state_of(case, prefix)
            for key, value in official_state(network).items():
                assert close_to(value.double(), expected[key].double(), 1e-3), (prefix, key)
        assert close_to(method.targets[number - 1], case[f"history{number}_end"], 1e-3)


def test_copies_of_the_averages_are_another_method():
    case = case_of("elr_plus", "loop_ramp")
    method = plus(case, teachers="epoch_copies")
    for average in AVERAGES:
        method.teachers[average] = tiny_net(official_state(method.averages[average]))
    method.teachers.requires_grad_(False)
    found = torch.tensor(train(method, case)).double()
    first = len(case["orders"][0].split(case["batch"]))
    # The first network learns from an average that has not moved yet either way.
    torch.testing.assert_close(found[:first], case["step_losses"][:first], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(found, case["step_losses"], rtol=1e-3)
    state = method.averages.state_dict()
    for key, value in method.teachers.state_dict().items():
        torch.testing.assert_close(value, state[key])


def test_samples_that_were_not_seen_keep_zero_targets():
    method = Elr(ElrSettings(backbone="small-cnn"), PROBLEM)
    rows = torch.tensor([3, 7])
    method(Batch((torch.randn(2, 3, 8, 8),), torch.tensor([0, 1]), rows))
    seen = method.targets[0].sum(dim=1)
    assert seen.nonzero().squeeze(1).tolist() == rows.tolist()
    torch.testing.assert_close(seen[rows], torch.full((2,), 0.3))


@pytest.mark.parametrize("starts", [True, False])
def test_averages_start_as_their_networks_from_an_encoder_only(starts):
    problem = Problem(10, N, (8, 8, 1), start=warm_start() if starts else None)
    method = Elr(ElrSettings(backbone="small-cnn", plus=True), problem)
    for name, average in zip(PEERS, AVERAGES, strict=True):
        network, mean = (
            network_state(m) for m in (method.networks[name], method.averages[average])
        )
        assert all(torch.equal(mean[key], network[key]) for key in network) == starts
    heads = [method.networks[name].linear.weight for name in PEERS]
    assert not torch.equal(*heads)


def test_labels_times_targets_is_a_setting_not_a_number_of_classes():
    torch.manual_seed(0)
    x, rows = torch.randn(N, 3, 8, 8), torch.arange(N)
    found = []
    for times in (True, False):
        method = Elr(
            ElrSettings(backbone="small-cnn", plus=True, label_times_target=times),
            Problem(99, N, (8, 8, 3)),
        )
        context = context_of()
        context.phase = "first"
        method.epoch_start(context)
        method.phase_start(context)
        output = method(Batch((x,), rows, rows))
        found.append(float(output.loss.detach()))
    assert found[0] != pytest.approx(found[1])


def test_a_resumed_phase_goes_on_counting_steps():
    method, context = plus(case_of("elr_plus", "loop_ramp")), context_of(epoch=1)
    method.n_steps.copy_(torch.tensor([6, 6, 2]))
    context.resumed, context.phase = True, "second"
    method.epoch_start(context)
    method.phase_start(context)
    assert method.step == 8
