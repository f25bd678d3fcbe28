"""Parameter groups: rates and moments of their own, restarts, and parameters per sample."""

import pytest
import torch
from torch import nn

from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.training.checkpoints import resume
from pipeline.training.optimisation import clipped_groups, make_optimizer, set_learning_rate
from pipeline.training.optimisation.parameter_groups import begin_phase
from pipeline.training.phases import Phase
from tests.support.toy_methods import KEY, K, N, Plain, everything, to_the_end, toy_session


class Grouped(nn.Module):
    """A method as far as its parameter groups go."""

    def __init__(self, *groups):
        super().__init__()
        self.parameter_groups = lambda: list(groups)
        self.name = lambda: "grouped"


def parameter(*shape):
    return nn.Parameter(torch.ones(*shape))


def rates(optimizer, settings, *epochs):
    found = []
    for epoch in epochs:
        set_learning_rate(optimizer, settings, epoch)
        found.append([group["lr"] for group in optimizer.param_groups])
    return found


def test_a_group_has_the_rate_and_schedule_it_names():
    settings = RunSettings(lr=1.0, epochs=10, schedule="step", lr_milestones=(4,))
    groups = [
        {"params": [parameter(1)]},
        {"params": [parameter(1)], "lr_factor": 0.5},
        {"params": [parameter(1)], "lr": 8.0},
        {"params": [parameter(1)], "lr": 8.0, "schedule": "constant"},
        {"params": [parameter(1)], "schedule": "cosine", "from_epoch": 4, "over_epochs": 2},
    ]
    optimizer = make_optimizer(Grouped(*groups), settings)
    (start,), (later,), (last,) = (rates(optimizer, settings, epoch) for epoch in (3, 4, 5))
    assert start[:4] == [1, 0.5, 8, 8]
    assert later == pytest.approx([0.1, 0.05, 0.8, 8, 1.0])
    assert last[4] == pytest.approx(0.5)


def stepped(optimizer, groups, gradient=1.0):
    for group in groups:
        for one in group["params"]:
            one.grad = torch.full_like(one, gradient)
    optimizer.step()


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_parameter_may_get_its_first_gradient_after_others_of_its_group(nesterov):
    settings = RunSettings(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=nesterov)
    ours, plain = ([parameter(3), parameter(2)] for _ in range(2))
    options = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, "nesterov": nesterov}
    optimizers = [
        make_optimizer(Grouped({"params": ours}), settings), torch.optim.SGD(plain, **options)
    ]  # fmt: skip
    for n_learning in (1, 2, 1, 2):
        for optimizer, parameters in zip(optimizers, (ours, plain), strict=True):
            for number, one in enumerate(parameters):
                one.grad = torch.full_like(one, number + 0.5) if number < n_learning else None
            optimizer.step()
    torch.testing.assert_close(ours, plain)


def test_a_group_has_momentum_and_decay_of_its_own():
    settings = RunSettings(lr=0.1, momentum=0.9, weight_decay=0.5, schedule="constant")
    usual, own = parameter(1), parameter(1)
    groups = [{"params": [usual]}, {"params": [own], "momentum": 0.0, "weight_decay": 0.0}]
    optimizer = make_optimizer(Grouped(*groups), settings)
    for _ in range(2):
        stepped(optimizer, groups)
    assert own.item() == pytest.approx(1 - 0.2)
    after = 1 - 0.1 * 1.5
    assert usual.item() == pytest.approx(after - 0.1 * (0.9 * 1.5 + 1 + 0.5 * after))


def test_parameters_per_sample_are_left_alone_but_for_their_gradient():
    settings = RunSettings(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.5, clip_norm=1.0)
    u, weight = parameter(4, 2), parameter(3)
    groups = [{"params": [weight]}, {"params": [u], "per_sample": True, "lr": 2.0}]
    optimizer = make_optimizer(Grouped(*groups), settings)
    assert clipped_groups(optimizer, settings) == [[weight]]
    u.grad = torch.zeros_like(u)
    u.grad[1] = 0.25
    for epoch in (0, 140):  # the run's cosine has nearly ended
        set_learning_rate(optimizer, settings, epoch)
        optimizer.step()
    assert u[:, 0].tolist() == [1, 1 - 2 * 2.0 * 0.25, 1, 1]


@pytest.mark.parametrize("usual", ["sgd", "adam"])
def test_optimisers_may_differ_between_groups(usual):
    """One optimiser of two kinds is two optimisers, step by step and after loading its state."""
    settings = RunSettings(lr=0.1, optimizer=usual, weight_decay=0.1, schedule="constant")
    first, second = parameter(3), parameter(2)
    groups = [{"params": [first]}, {"params": [second], "optimizer": "adam", "lr": 0.01}]
    mixed = make_optimizer(Grouped(*groups), settings)
    alone = [parameter(3), parameter(2)]
    apart = [
        make_optimizer(Grouped({"params": [alone[0]]}), settings),
        torch.optim.Adam([alone[1]], lr=0.01, weight_decay=0.1, fused=True),
    ]
    for step in range(4):
        set_learning_rate(mixed, settings, 0)
        stepped(mixed, groups, step - 0.5)
        for optimizer, one in zip(apart, alone, strict=True):
            stepped(optimizer, [{"params": [one]}], step - 0.5)
        if step == 1:
            again = make_optimizer(Grouped(*groups), settings)
            again.load_state_dict(mixed.state_dict())
            mixed = again
    assert torch.equal(first, alone[0])
    assert torch.equal(second, alone[1])


def test_a_phase_may_give_a_group_another_optimiser():
    """One optimiser that changes its kind is three optimisers, each of which begins anew."""
    settings = RunSettings(lr=0.1, momentum=0.9, weight_decay=0.1, schedule="constant")
    one, alone = parameter(3), parameter(3)
    groups = [{"name": "one", "params": [one], "optimizer": "sgd"}]
    method = Grouped(*groups)
    mixed = make_optimizer(method, settings)

    def sgd():
        return torch.optim.SGD([alone], lr=0.1, momentum=0.9, weight_decay=0.1, fused=True)

    def adam():
        return torch.optim.Adam([alone], lr=0.01, fused=True)

    changed = Phase(options={"one": {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.0}})
    for phase, make in ((Phase(), sgd), (changed, adam), (Phase(), sgd)):
        still, apart = begin_phase(mixed, phase, method, False), make()
        assert not still
        for step in range(4):
            if step == 2:  # as a run that is resumed within the phase
                again = make_optimizer(method, settings)
                again.load_state_dict(mixed.state_dict())
                mixed = again
                begin_phase(mixed, phase, method, True)
            set_learning_rate(mixed, settings, 0)
            stepped(mixed, groups, step - 0.5)
            stepped(apart, [{"params": [alone]}], step - 0.5)
        assert torch.equal(one, alone)


@pytest.mark.parametrize(
    ("group", "kind", "words"),
    [
        ({}, "adam", "'optimizer' of grouped is not an option that a phase may set of this group"),
        ({"optimizer": "sgd"}, "adm", "'adm' of grouped is not an optimiser; .*; try: adam"),
    ],
)
def test_another_optimiser_has_to_exist_and_the_group_to_name_one(group, kind, words):
    method = Grouped({"name": "one", "params": [parameter(1)]} | group)
    optimizer = make_optimizer(method, RunSettings())
    with pytest.raises(LabError, match=words):
        begin_phase(optimizer, Phase(options={"one": {"optimizer": kind}}), method, False)


def test_an_unknown_option_is_answered_with_the_nearest():
    with pytest.raises(LabError, match="'lr_facto' of grouped .*; try: lr_factor"):
        make_optimizer(Grouped({"params": [parameter(1)], "lr_facto": 1}), RunSettings())


class InParts(Plain):
    """Trains its head alone in the second epoch, begun anew, and everything again after it."""

    def parameter_groups(self):
        """One for each part."""
        parts = {"body": self.body, "head": self.head}
        return [{"name": n, "params": list(part.parameters())} for n, part in parts.items()]

    def epoch_start(self, context):
        """A head that has learnt nothing."""
        if context.epoch == 1 and not context.resumed:
            with torch.no_grad():
                self.head.weight.fill_(0.1)

    def phase_start(self, context):
        """The head by itself."""
        if context.epoch != 1:
            return Phase()
        options = {"head": {"lr": 0.5, "schedule": "constant", "momentum": 0.0}}
        return Phase(trains=("head",), restart=("head",), options=options)


def watched(session, note):
    step_end = session.method.step_end
    found = []

    def noting(context):
        found.append((context.epoch, note(session)))
        step_end(context)

    session.method.step_end = noting
    to_the_end(session)
    return found


def test_frozen_parts_stay_as_they_are_bit_by_bit():
    session = toy_session(InParts)
    found = watched(session, lambda s: s.method.body.weight.detach().clone())
    frozen = [weight for epoch, weight in found if epoch == 1]
    before = [weight for epoch, weight in found if epoch == 0][-1]
    assert all(torch.equal(weight, before) for weight in frozen)
    assert not torch.equal(found[-1][1], before)


def test_a_restart_forgets_the_state_of_the_optimiser_and_of_that_group_only():
    def note(session):
        groups = session.optimizer.param_groups
        parts = session.method.body.weight, session.method.head.weight
        held = [session.optimizer.state[part].get("momentum_buffer") for part in parts]
        copies = [None if one is None else one.clone() for one in held]
        return copies, [(group["momentum"], group["lr"]) for group in groups]

    found = watched(toy_session(InParts, lr_decay=0.5, schedule="exponential"), note)
    by_epoch = {e: [one for epoch, one in found if epoch == e] for e in range(3)}
    (body, head), _ = by_epoch[0][-1]
    assert head is not None
    for (body_then, _), options in by_epoch[1]:
        assert torch.equal(body_then, body)
        assert options[1] == (0.0, 0.5)
    for _, options in by_epoch[2]:  # as they were made
        assert options == [(0.9, 0.1 * 0.25)] * 2


def test_without_a_restart_momentum_goes_on():
    first_steps = []
    for restart in ((), ("head",)):
        session = toy_session(InParts)
        session.method.phase_start = lambda context, restart=restart: Phase(
            restart=restart if context.epoch == 1 else ()
        )
        found = watched(session, lambda s: s.method.head.bias.detach().clone())
        steps = [bias for epoch, bias in found if epoch == 1]
        first_steps.append(steps[0])
    assert not torch.equal(*first_steps)


def test_a_stop_within_a_restarted_phase_changes_no_bit(lab):
    whole = toy_session(InParts)
    to_the_end(whole)
    for number in (5, 6, 9):  # four steps an epoch
        to_the_end(toy_session(InParts), number)
        again = toy_session(InParts)
        assert resume(again, KEY)
        to_the_end(again)
        for one, other in zip(everything(whole)["method"].values(),
                              everything(again)["method"].values(), strict=True):  # fmt: skip
            assert torch.equal(one, other)


def test_averaged_weights_leave_parameters_per_sample_out():
    class Shifted(Plain):
        def __init__(self, settings, problem):
            super().__init__(settings, problem)
            self.u = nn.Parameter(torch.zeros(N, K))

        def parameter_groups(self):
            weights = [p for name, p in self.named_parameters() if name != "u"]
            return [{"params": weights}, {"params": [self.u], "per_sample": True, "lr": 1.0}]

    session = toy_session(Shifted, averaging=0.9)
    assert all(average.shape != (N, K) for average in session.average.state())
