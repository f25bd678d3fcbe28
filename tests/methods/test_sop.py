"""SOP: trainings equal those of the official code; u and v move where and how they should."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from methods.sop import Sop, SopSettings, shifts_at_start
from pipeline.data.views import CONSTANTS
from pipeline.errors import LabError
from pipeline.training.checkpoints import resume
from pipeline.training.method import Batch, Problem
from pipeline.training.optimisation import clipped_groups, make_optimizer, set_learning_rate
from tests.support.reference_arrays import case_of, cases, close_to
from tests.support.toy_methods import EVERYONE, KEY, K, N, Y, everything, to_the_end, toy_session
from tests.support.two_processes import on_processes

TRAININGS = [name for name in cases("sop") if not name.startswith("single64")]


class Tables(nn.Module):
    """Logits of each sample, one table for each view, as free parameters; images are rows."""

    def __init__(self, *tables):
        super().__init__()
        self.tables = nn.ParameterList(table.clone() for table in tables)

    def forward(self, x):
        """Logits."""
        return torch.cat(tuple(self.tables))[x]


def of_case(case):
    """A method that stands where a training begins, and its optimiser and settings."""
    n, plus = int(case["hp.N"]), case["hp.ratio_balance"] > 0
    own = {"consistency": case["hp.ratio_consistency"], "balance": case["hp.ratio_balance"]}
    settings = SopSettings(
        backbone="small-cnn", plus=plus, lr_u=case["hp.lr_u"], lr_v=case["hp.lr_v"],
        lr=case["hp.lr"], momentum=0.9, weight_decay=case["hp.weight_decay"],
        start_scale=case["hp.std"], schedule="constant", clip_norm=1e6, **(own if plus else {}),
    )  # fmt: skip
    method = Sop(settings, Problem(int(case["hp.C"]), n, (8, 8, 3)))
    method.network = Tables(case["table1"], *([case["table2"]] if plus else []))
    with torch.no_grad():
        method.u.copy_(case["u0"])
        method.v.copy_(case["v0"])
    return method, make_optimizer(method, settings), settings


@pytest.mark.parametrize("name", TRAININGS)
def test_a_training_equals_that_of_the_official_code(name):
    case = case_of("sop", name)
    method, optimizer, settings = of_case(case)
    y, n, number = case["labels"], int(case["hp.N"]), 0
    while f"step{number}.index" in case:
        rows = case[f"step{number}.index"]
        views = (rows, n + rows)[: len(method.views)]
        set_learning_rate(optimizer, settings, float(number))
        output = method(Batch(views, y[rows], rows))
        total = output.loss if output.coupled is None else output.loss + output.coupled
        assert total.item() == pytest.approx(case[f"step{number}.loss"], rel=2e-4)
        total.backward()
        for own in ("u", "v"):
            grad = getattr(method, own).grad
            assert close_to(grad[rows], case[f"step{number}.grad_{own}"], 2e-4), (number, own)
        optimizer.step()
        optimizer.zero_grad()
        for own in ("u", "v"):
            now = getattr(method, own).detach()[rows]
            assert close_to(now, case[f"step{number}.{own}"], 2e-4), (number, own)
        number += 1
    assert number > 0
    ends = [method.u, method.v, *method.network.tables]
    for own, key in zip(ends, ("u_end", "v_end", "table1_end", "table2_end"), strict=False):
        assert close_to(own.detach(), case[key], 2e-4), key


def test_the_start_is_drawn_as_in_the_official_code():
    case = case_of("sop", "init")
    torch.manual_seed(int(case["hp.torch_seed"]))
    u, v = shifts_at_start(int(case["hp.N"]), int(case["hp.C"]), case["hp.std"])
    assert close_to(u, case["u0"], 1e-6)
    assert close_to(v, case["v0"], 1e-6)


class Flat(Sop):
    """On a linear network without batch norm, for images of 4 x 4."""

    def __init__(self, settings, problem):
        super().__init__(settings, problem)
        torch.manual_seed(1)
        self.network = nn.Sequential(nn.Flatten(), nn.Linear(16, K))


FAST = {
    "backbone": "small-cnn", "plus": True, "second_view": "weak", "start_scale": 0.1,
    "clip_norm": 1e-3,
}  # fmt: skip
"""Numbers that grow within a few steps, and a limit that every gradient of the network exceeds."""


def test_a_step_moves_the_rows_of_its_samples_and_no_entry_of_a_label_in_v(lab):
    session = toy_session(Flat, **FAST, epochs=1)
    start = {name: getattr(session.method, name).detach().clone() for name in "uv"}
    assert not to_the_end(session, stop_at=1)
    moved = {
        name: (getattr(session.method, name) != start[name]).any(dim=1) for name in "uv"
    }  # fmt: skip
    assert int(moved["v"].sum()) == session.settings.batch_size
    assert torch.equal(moved["u"] | moved["v"], moved["v"])
    to_the_end(session)
    at_labels = [rows[EVERYONE, Y] for rows in (session.method.v.detach(), start["v"])]
    assert torch.equal(*at_labels)


def test_momentum_decay_and_the_limit_of_gradients_are_those_of_the_network(lab):
    sessions = [
        toy_session(Flat, **FAST, epochs=1, momentum=momentum, weight_decay=decay)
        for momentum, decay in ((0.0, 0.0), (0.9, 0.5))
    ]
    for session in sessions:
        to_the_end(session, stop_at=1)
    first, second = (session.method.state_dict() for session in sessions)
    for name in "uv":
        assert torch.equal(first[name], second[name])
    assert not torch.equal(first["network.1.weight"], second["network.1.weight"])
    session = sessions[0]
    (limited,) = clipped_groups(session.optimizer, session.settings)
    own = {id(parameter) for parameter in session.method.network.parameters()}
    assert {id(parameter) for parameter in limited} == own


def test_a_stop_keeps_u_and_v(lab):
    whole = toy_session(Flat, **FAST)
    assert to_the_end(whole)
    assert not to_the_end(toy_session(Flat, **FAST), 6)
    again = toy_session(Flat, **FAST)
    assert resume(again, KEY)
    to_the_end(again)
    for name in ("u", "v", "network.1.weight"):
        found, expected = (everything(one)["method"][name] for one in (again, whole))
        assert torch.equal(found, expected)


def trained(rank):
    session = toy_session(Flat, **FAST)
    to_the_end(session)
    return session.method.state_dict()


@pytest.mark.slow
def test_two_processes_move_u_and_v_as_one_does(lab):
    alone = trained(0)
    one, other = on_processes(2, trained)
    for name in ("u", "v", "network.1.weight"):
        assert torch.equal(one[name], other[name])
        assert_close(one[name], alone[name], rtol=1e-4, atol=1e-6)


def test_the_start_does_not_depend_on_the_network():
    made = [
        Sop(SopSettings(backbone=name, seed=seed), Problem(K, N, (32, 32, 3)))
        for name, seed in (("small-cnn", 0), ("cnn8", 0), ("small-cnn", 1))
    ]
    assert torch.equal(made[0].v, made[1].v)
    assert not torch.equal(made[0].v, made[2].v)


def test_a_second_view_may_have_the_statistics_of_cifar10():
    mean, std = CONSTANTS["cifar100"]
    problem = Problem(K, N, (8, 8, 3), mean, std)
    settings = SopSettings(backbone="small-cnn", plus=True, second_normalisation="cifar10")
    method = Sop(settings, problem)
    pixels = torch.rand(2, 3, 8, 8)
    own, other = (
        (pixels - torch.tensor(m)[:, None, None]) / torch.tensor(s)[:, None, None]
        for m, s in ((mean, std), CONSTANTS["cifar10"])
    )
    own[:, :, 2:5], other[:, :, 2:5] = 0, 0  # cut out
    assert_close(method._second(own), other)
    grey = Problem(K, N, (8, 8, 1))
    assert Sop(settings, grey)._second(pixels[:, :1]).shape == (2, 1, 8, 8)


def test_without_consistency_there_is_one_view():
    settings = SopSettings(plus=True, consistency=0.0)
    assert Sop(settings.model_copy(update={"backbone": "small-cnn"}), Problem(K, N, (8, 8, 3))
               ).views == ("weak",)  # fmt: skip
    assert {"second_view", "second_normalisation"} <= settings.without_effect()
    with pytest.raises(LabError, match="balance"):
        SopSettings(balance=0.1)
