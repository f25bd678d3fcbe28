"""Confidence-regularised sample sieve: labels that cost more than others do are left out (CORES2).

    uv run accelerate launch methods/cores.py
    uv run accelerate launch methods/cores.py --dataset cifar10 --noise instance-40 --recipe paper

Cheng, Zhu, Li, Gong, Sun, Liu: Learning with instance-dependent label noise: a sample sieve
approach (ICLR 2021, arXiv 2010.02347). The loss is the cross entropy minus a weight times what a
label would cost that is drawn from the given ones: it makes the network confident. From epoch
`sieve_from` on, a sample whose cross entropy is above the mean over all labels is sieved out of the
step; the shares of the given labels are those among the samples that the epoch before kept. Step by
step the weight rises, and the learning rate is divided by 1 + weight. Formulas:
methods/losses/correction.py.

Where the authors' code has choices that change the numbers, and which switch gives which:
  --prior uniform   takes all labels for equally likely, as their code does without the shares.
Their loop ends in an error where a whole batch is sieved out; here such a step moves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from methods import losses
from methods.parts.epoch_defaults import EpochDefaults
from methods.parts.one_network import OneNetwork
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.phases import Phase

PUBLISHED = {"ramp_from": 10, "ramp_epochs": 30, "sieve_from": 31}
"""Epochs of the authors' plan, which has 100."""


class CoresSettings(EpochDefaults):
    """Settings of CORES2; what counts epochs is that of the authors, or as much of a short run."""

    weight: float = Field(2.0, ge=0, le=1e6)
    """Weight of the regulariser in the end (beta), from 0 to a million."""
    ramp_from: int = Field(10, ge=0, le=100_000)
    """Last epoch, from 0, without the regulariser; by default a tenth of all, 10 at most."""
    ramp_epochs: int = Field(30, ge=1, le=100_000)
    """Epochs over which the weight rises, 1 to 100,000; by default 3/10 of all, 30 at most."""
    sieve_from: int = Field(31, ge=0, le=100_000)
    """First epoch, from 0, with the sieve; by default 31/100 of all, 31 at most."""
    prior: Literal["given", "uniform"] = "given"
    """How likely a label is in the regulariser: as often as it is given among the kept samples, or
    all alike."""

    @classmethod
    def usual(cls, epochs: int, values: Mapping[str, Any]) -> dict[str, int]:
        """The authors' plan, or as much of each part as the run has of its 100 epochs."""
        del values
        shares = {name: min(of_100, epochs * of_100 // 100) for name, of_100 in PUBLISHED.items()}
        return shares | {"ramp_epochs": max(1, shares["ramp_epochs"])}

    @model_validator(mode="after")
    def _sieve_happens(self) -> Self:
        if self.sieve_from >= self.epochs:
            raise LabError(
                f"sieve_from {self.sieve_from} is beyond the last of {self.epochs} epochs",
                f"0 to {self.epochs - 1}",
                "a smaller --sieve-from, or more epochs",
            )
        return self


class Cores(OneNetwork):
    """A network that learns from the samples that its sieve keeps."""

    Settings = CoresSettings
    VERSION: ClassVar[int] = 1
    settings: CoresSettings
    prior: Tensor
    sieved: Tensor

    def __init__(self, settings: CoresSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        # Of the given labels, among the samples that the epoch before kept.
        self.register_buffer("prior", torch.ones(problem.n_classes, dtype=torch.float64))
        # In the epoch so far.
        self.register_buffer("sieved", torch.zeros(problem.n_train, dtype=torch.bool))
        self.weight, self.sieving = 0.0, False

    def parameter_groups(self) -> list[dict[str, object]]:
        """The network, whose rate falls as the weight rises."""
        return [{"name": "network", "params": list(self.network.parameters())}]

    def epoch_start(self, context: Context) -> None:
        """Set what changes with the epoch."""
        settings = self.settings
        self.weight = losses.peer_schedule(
            context.epoch,
            start=settings.ramp_from,
            length=settings.ramp_epochs,
            top=settings.weight,
        )
        self.sieving = context.epoch >= settings.sieve_from
        if not context.resumed:
            kept = context.y_noisy[~self.sieved].bincount(minlength=context.n_classes)
            # Where nothing was kept the shares stay as they were.
            if kept.any():
                self.prior.copy_(kept.double() / kept.sum())
            self.sieved.zero_()

    def phase_start(self, context: Context) -> Phase:
        """An epoch as it is, at a rate of its own."""
        del context
        return Phase(options={"network": {"lr_factor": 1 / (1 + self.weight)}})

    def forward(self, batch: Batch) -> StepOutput:
        """Loss of the samples that are kept of the global batch, and logits."""
        gather = batch.gather.rows
        logits = self.network(batch.x)
        everyone, y = gather(logits.float()), gather(batch.y_noisy)
        keep = torch.ones_like(y, dtype=torch.bool)
        if self.sieving:
            # Of a network that is lost all are kept: its loss is to show it.
            sieved = losses.sieve_statistic(everyone, y) > 0
            self.sieved[gather(batch.index)] = sieved
            keep = ~sieved
        loss = losses.confidence_regularised(
            everyone,
            y,
            weight=self.weight,
            prior=self.prior if self.settings.prior == "given" else None,
            keep=keep,
        )
        scalars = {
            "kept_share": keep.double().mean(),
            "regulariser_weight": torch.full_like(loss.detach().double(), self.weight),
        }
        learns = keep.any() if self.sieving else True
        return StepOutput(loss.new_zeros(()), logits, scalars, coupled=loss, learns=learns)


if __name__ == "__main__":
    run_script(Cores)
