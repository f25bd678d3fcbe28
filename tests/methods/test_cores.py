"""CORES2: plan, prior and sieve equal those of the official code; an empty step moves nothing.

reference/cores_reference.npz (cores cf0945e): `plan` weights and learning rates of 100 epochs;
`batch` logits, labels and shares; `eT_prior`, `eT_uniform` loss, gradient, samples kept and sieve
statistic in epoch T with these shares or without; `all_out` a batch that is sieved out;
`prior_update` the shares of an epoch after those sieved in the one before.
"""

import pytest
import torch

from methods import losses
from methods.cores import Cores, CoresSettings
from pipeline.errors import LabError
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem
from pipeline.training.optimisation import make_optimizer, set_learning_rate
from pipeline.training.optimisation.parameter_groups import begin_phase
from tests.support.reference_arrays import case_of, cases, close_to

N, K = 26, 10
EPOCHS = [name for name in cases("cores", "e") if name[1].isdigit()]
BATCH = case_of("cores", "batch")
PLAN = {"backbone": "small-cnn", "epochs": 100, "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0,
        "schedule": "step", "lr_milestones": (50,), "lr_decay": 0.1}  # fmt: skip


def make(n=N, **settings):
    return Cores(CoresSettings(**(PLAN | settings)), Problem(K, n, (8, 8, 1)))


def begin(method, epoch, y=BATCH["labels"], resumed=False):
    context = Context("cores", frozenset(), y, None, K, 100, 0, torch.empty, epoch=epoch,
                      resumed=resumed)  # fmt: skip
    method.epoch_start(context)
    return context


@pytest.mark.parametrize("name", EPOCHS)
def test_loss_and_sieve_equal_the_official_code(name):
    case, epoch = case_of("cores", name), int(name[1:].split("_")[0])
    method = make(prior="given" if name.endswith("prior") else "uniform")
    begin(method, epoch)
    method.prior.copy_(BATCH["prior"])
    logits, y, rows = BATCH["logits"].clone().requires_grad_(), BATCH["labels"], torch.arange(N)
    # `forward` computes in single precision, and with a network.
    keep = case["v"].bool() if method.sieving else None
    prior = method.prior if method.settings.prior == "given" else None
    loss = losses.confidence_regularised(logits, y, weight=method.weight, prior=prior, keep=keep)
    loss.backward()
    assert loss.item() == pytest.approx(case["loss"], rel=1e-9)
    assert close_to(logits.grad, case["grad"], 1e-9)
    assert close_to(losses.sieve_statistic(logits, y), case["sieve_statistic"], 1e-9)
    method.network = torch.nn.Identity()
    output = method(Batch((BATCH["logits"],), y, rows))
    assert output.coupled.item() == pytest.approx(case["loss"], rel=1e-5)
    assert torch.equal(~method.sieved, case["v"].bool())
    assert output.scalars["kept_share"].item() == pytest.approx(case["v"].double().mean().item())


def test_weights_and_learning_rates_are_those_of_the_official_plan():
    method, plan = make(), case_of("cores", "plan")
    optimizer = make_optimizer(method, method.settings)
    weights, rates = [], []
    for epoch in range(100):
        phase = method.phase_start(begin(method, epoch))
        begin_phase(optimizer, phase, method, resumed=False)
        set_learning_rate(optimizer, method.settings, epoch)
        weights.append(method.weight)
        rates.append(optimizer.param_groups[0]["lr"])
    assert close_to(torch.tensor(weights).double(), plan["beta"], 1e-6)
    torch.testing.assert_close(torch.tensor(rates).double(), plan["lr"], rtol=1e-6, atol=0)
    assert [epoch for epoch in range(100) if (begin(method, epoch), method.sieving)[1]] == list(
        range(31, 100)
    )


def test_shares_of_labels_are_those_of_the_kept_samples():
    case = case_of("cores", "prior_update")
    counts = (case["prior0"] * case["n"]).round().long()
    y = torch.arange(K).repeat_interleave(counts)
    method = make(len(y))
    begin(method, 0, y)
    assert close_to(method.prior, case["prior0"], 1e-12)
    for label, n in enumerate(case["sieved_per_class"].tolist()):
        method.sieved[(y == label).nonzero()[:n, 0]] = True
    begin(method, 32, y, resumed=True)
    assert close_to(method.prior, case["prior0"], 1e-12)
    begin(method, 32, y)
    assert close_to(method.prior, case["next"], 1e-12)
    assert not method.sieved.any()
    method.sieved.fill_(True)
    begin(method, 33, y)
    assert close_to(method.prior, case["next"], 1e-12)


def test_a_batch_that_is_sieved_out_teaches_nothing():
    case = case_of("cores", "all_out")
    method = make()
    method.network = torch.nn.Identity()
    begin(method, 31, case["labels"])
    logits = BATCH["logits"].clone().requires_grad_()
    output = method(Batch((logits,), case["labels"], torch.arange(N)))
    assert not output.learns
    assert output.coupled.item() == case["loss"] == 0
    (output.loss + output.coupled).backward()
    assert torch.equal(logits.grad, case["grad"])
    assert bool(method.sieved.all())


def test_a_network_that_is_lost_is_not_sieved():
    method = make()
    method.network = torch.nn.Identity()
    begin(method, 31)
    output = method(Batch((torch.full((N, K), torch.nan),), BATCH["labels"], torch.arange(N)))
    assert output.learns
    assert output.coupled.isnan()


def test_the_plan_of_a_short_run_is_as_much_of_the_published_one():
    plans = {
        epochs: CoresSettings(**{"epochs": epochs}).model_dump(
            include={"ramp_from", "ramp_epochs", "sieve_from"}
        )
        for epochs in (3, 20, 300)
    }
    assert list(plans[3].values()) == [0, 1, 0]
    assert list(plans[20].values()) == [2, 6, 6]
    assert list(plans[300].values()) == [10, 30, 31]
    with pytest.raises(LabError, match="sieve_from 20"):
        CoresSettings(epochs=20, sieve_from=20)
