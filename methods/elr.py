"""Early-learning regularisation: running targets that hold a network to its early predictions.

    uv run accelerate launch methods/elr.py
    uv run accelerate launch methods/elr.py --plus
    uv run accelerate launch methods/elr.py --dataset cifar10 --noise instance-40 --recipe paper

Liu, Niles-Weed, Razavian, Fernandez-Granda: Early-learning regularization prevents memorization of
noisy labels (NeurIPS 2020, arXiv 2007.00151). Each sample has a running target t of its
predictions p; the loss is CE + weight ln(1 - <t, p>). `--plus` (ELR+): two networks, each with an
average of its weights; the targets of one come from the average of the other, on images that are
not mixed, while it learns from mixed ones. In an epoch the first network trains, then the second.
Formulas: methods/losses/correction.py (elr), methods/objectives/early_learning.py.

Where the authors' code has choices that change the numbers, and which switch gives which:
  --teachers sequential    the second network learns from the average that the first one has just
                           reached, as their code on one device; epoch_copies: from what it was at
                           the end of the epoch before, as on two devices;
  --label-times-target     labels are multiplied by the targets (ELR+ with 100 classes);
  --average-ramp 40000     the averages begin as their networks and slow down over these steps;
                           0 for a plain average of all weights until `average_decay` is reached.
The authors' two networks of ELR+ have label noise and a split of their own each, so that the wrong
labels of one are mostly right for the other. Here both see the one table of the run.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn.functional import one_hot

from methods import losses
from methods.losses.choice import completed
from methods.objectives.early_learning import (
    average_decay,
    elr_plus,
    follow,
    moved_history,
    sigmoid_ramp,
)
from methods.parts.sample_weights import RrmSettings, SampleWeights
from methods.two_networks.networks import PEERS, TwoNetworks, new_networks
from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput
from pipeline.training.mixing import Mixing
from pipeline.training.phases import WHOLE, Phase

AVERAGES = ("average of first", "average of second")
PLUS: dict[str, dict[str, Any]] = {
    "with plus": {
        "teachers": "sequential", "mix_alpha": 1.0, "weight_ramp": 0, "average_decay": 0.997,
        "average_ramp": 40_000, "label_times_target": False,
    },
    "without plus": {},
}  # fmt: skip
"""Parameters of ELR+ and their defaults, those of the official CIFAR-10 configuration."""


class ElrSettings(RrmSettings):
    """Settings of ELR; what concerns ELR+ is None without it."""

    beta: float = Field(0.7, ge=0, lt=1)
    """Momentum of the targets, from 0 to below 1."""
    weight: float = Field(3.0, ge=0, le=1e6)
    """Weight of the regulariser (lambda), from 0 to a million."""
    plus: bool = False
    """Whether two networks teach each other (ELR+)."""
    teachers: Literal["sequential", "epoch_copies"] | None = None
    """Averages that targets come from: as they are, or as they were at the last epoch's end."""
    mix_alpha: float | None = Field(None, ge=0, le=1000)
    """Parameter of the Beta distribution of mixing shares, 0 for no mixing, at most 1,000."""
    weight_ramp: int | None = Field(None, ge=0, le=10**9)
    """Steps of a network over which the weight rises, at most 1e9; 0 for the full one at once."""
    average_decay: float | None = Field(None, ge=0, lt=1)
    """Decay of the averaged weights in the end, from 0 to below 1."""
    average_ramp: int | None = Field(None, ge=0, le=10**9)
    """Steps of a network over which the decay rises, at most 1e9; 0 for a plain average first."""
    label_times_target: bool | None = None
    """Multiply mixed labels by the targets, and divide by the sum."""

    @model_validator(mode="before")
    @classmethod
    def _complete_plus(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = "with" if values.get("plus") else "without"
        return completed(values, "a run", f"{given} plus", PLUS)

    @model_validator(mode="after")
    def _weighs_one_network(self) -> Self:
        if self.plus and self.rrm:
            raise LabError("rrm with plus", "one of them: ELR+ learns mixed images", "--no-rrm")
        return self


class Elr(TwoNetworks):
    """One network held to its running targets, or two that hold each other."""

    Settings = ElrSettings
    VERSION: ClassVar[int] = 1
    settings: ElrSettings
    targets: Tensor
    n_steps: Tensor

    def __init__(self, settings: ElrSettings, problem: Problem) -> None:
        names = PEERS if settings.plus else ("only",)
        super().__init__(settings, problem, names)
        self.names = names
        self.register_buffer(
            "targets", torch.zeros(len(self.names), problem.n_train, self.n_classes)
        )
        if settings.plus:
            # Random weights of their own, as in the official code, unless there are others.
            self.averages = new_networks(AVERAGES, settings, problem).requires_grad_(False)
            if problem.start is not None:
                for name in PEERS:
                    self._average(name).load_state_dict(self.networks[name].state_dict())
            self.teachers = self.averages
            if settings.teachers == "epoch_copies":
                self.teachers = copy.deepcopy(self.averages)
            # Steps of the first network in finished epochs, and of each one in the current epoch.
            self.register_buffer("n_steps", torch.zeros(3, dtype=torch.int64))
        self.learner, self.step = self.names[0], 0
        self.weights = SampleWeights(settings, problem.n_train) if settings.rrm else None

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """Name elr, elr+ or elr+rrm."""
        assert isinstance(settings, ElrSettings)
        return "elr+" if settings.plus else "elr+rrm" if settings.rrm else "elr"

    @classmethod
    def n_networks(cls, settings: RunSettings) -> int:
        """One, or two of ELR+."""
        assert isinstance(settings, ElrSettings)
        return len(PEERS) if settings.plus else 1

    def epoch_start(self, context: Context) -> None:
        """Count the steps of the epoch from 0."""
        if self.settings.plus and not context.resumed:
            self.n_steps[1:] = 0

    def phases(self, context: Context) -> tuple[str, ...]:
        """One network after the other."""
        del context
        return PEERS if self.settings.plus else (WHOLE,)

    def phase_start(self, context: Context) -> Phase:
        """Say which network learns."""
        if not self.settings.plus:
            return Phase()
        self.learner = context.phase
        self.step = int(self.n_steps[0] + self.n_steps[1 + self.at])
        return Phase(trains=(self.learner,))

    @property
    def at(self) -> int:
        """Number of the network that learns."""
        return self.names.index(self.learner)

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch."""
        return self._plus(batch) if self.settings.plus else self._alone(batch)

    def _alone(self, batch: Batch) -> StepOutput:
        settings, gather = self.settings, batch.gather.rows
        logits = self.networks["only"](batch.x)
        loss, moved = losses.elr(
            logits,
            batch.y_noisy,
            target=self.targets[0, batch.index],
            beta=settings.beta,
            weight=settings.weight,
            reduction="mean" if self.weights is None else "none",
        )
        # A sample is on another process in the next epoch: all keep all targets.
        self.targets[0, gather(batch.index)] = gather(moved).to(self.targets)
        if self.weights is None:
            return StepOutput(loss, logits, {})
        return StepOutput(self.weights.mean(loss, batch), logits, self.weights.scalars())

    def _plus(self, batch: Batch) -> StepOutput:
        settings, gather, targets = self.settings, batch.gather.rows, self.targets[self.at]
        y = one_hot(batch.y_noisy, self.n_classes).float()
        mix = self._mixing(batch)
        logits = self.networks[self.learner](mix(batch.x))
        with torch.no_grad():
            taught = self.teachers[AVERAGES[1 - self.at]](batch.x)
            moved = moved_history(targets[batch.index], taught, beta=settings.beta)
            targets[gather(batch.index)] = gather(moved).to(targets)
        ramp = sigmoid_ramp(self.step + 1, settings.weight_ramp or 0)
        loss = elr_plus(
            logits,
            mix(y),
            target=mix(moved),
            weight=settings.weight * ramp,
            label_times_target=bool(settings.label_times_target),
        )
        return StepOutput(loss, taught, {})

    def _mixing(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """What mixes the rows of a batch, each time alike."""
        alpha = self.settings.mix_alpha
        if not alpha:
            return lambda rows: rows
        mixing = Mixing(batch.seed, alpha, batch)
        return lambda rows: mixing(rows)[0]

    def step_end(self, context: Context) -> None:
        """Take the step into the average of the network that learned."""
        del context
        if not self.settings.plus:
            return
        self.step += 1
        self.n_steps[1 + self.at] += 1
        decay = average_decay(
            self.step,
            decay=self.settings.average_decay or 0.0,
            ramp=self.settings.average_ramp or None,
        )
        follow(self._average(self.learner), self.networks[self.learner], decay)

    def _average(self, name: str) -> nn.Module:
        return self.averages[AVERAGES[PEERS.index(name)]]

    def epoch_end(self, context: Context) -> None:
        """Go on counting from the first network's steps; renew copies of averages, or weights."""
        if self.weights is not None:
            self.weights.epoch_end(context)
        if self.settings.plus:
            self.n_steps[0] += self.n_steps[1]
            if self.teachers is not self.averages:
                self.teachers.load_state_dict(self.averages.state_dict())

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the network, or of the mean of the logits of both."""
        networks = list(self.networks.values())
        if self.settings.teachers == "epoch_copies":
            networks[1] = self._average(PEERS[1])
        return torch.stack([network(images) for network in networks]).mean(dim=0).softmax(dim=1)

    def members(self) -> Mapping[str, Callable[..., Tensor]]:
        """The softmax of each network of ELR+."""
        return super().members() if self.settings.plus else {}


if __name__ == "__main__":
    run_script(Elr)
