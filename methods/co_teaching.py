"""Co-teaching: two networks, each learning from what the other finds easy; and Co-teaching+.

    uv run accelerate launch methods/co_teaching.py
    uv run accelerate launch methods/co_teaching.py --plus --forget-rate 0.4

Han et al.: Co-teaching: robust training of deep neural networks with extremely noisy labels
(NeurIPS 2018). Both networks see the same batch; each keeps the k samples of smallest cross
entropy, and the other one learns from them. k falls from the whole batch to the share of right
labels within some epochs. `--plus`: Yu et al.: How does disagreement help generalization against
label corruption? (ICML 2019), which from epoch `plus_from` on does so among the samples on whose
class the networks disagree. Formulas: methods/objectives/small_loss.py; networks, rate and its
sources: methods/two_networks/forgetting.py.

Where the authors' code has choices that change the numbers, and which switch gives which:
  --forget-rate R      the share left out in the end; without it the true rate of wrong labels,
                       which tables mark, or with `--rate-from hoc` an estimate;
  --divide-twice       divides the mean over the k samples by k once more (both codes): under SGD
                       1 / k of the rate, under Adam no more than the rise of k changes;
  --double-softmax     Co-teaching+ passes probabilities where logits are expected;
  --agreed-steps 5000  where a whole batch agrees, Co-teaching+ learns from all of it as long as
                       epoch times number of the batch is below this.
  --drop-for-first     where the networks disagree on the first sample of the data set, its code
                       drops the last one of the batch on which they do.
Samples are selected over the global batch, whatever the number of
processes. Each network has its own test accuracy (scalars); `predict` is their mean.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor

from methods.losses.choice import completed
from methods.objectives.small_loss import PairLoss, co_teaching, co_teaching_plus
from methods.two_networks.forgetting import ForgettingPeers, ForgettingSettings
from pipeline.config import RunSettings
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput

PLUS: dict[str, dict[str, Any]] = {
    "with plus": {
        "plus_from": 19,
        "double_softmax": False,
        "agreed_steps": 5000,
        "drop_for_first": False,
    },
    "without plus": {},
}
"""Parameters of Co-teaching+ and their defaults."""


class CoTeachingSettings(ForgettingSettings):
    """Settings of Co-teaching; what concerns Co-teaching+ is None without it."""

    divide_twice: bool = False
    """Divide the mean over the k samples by k once more."""
    plus: bool = False
    """Whether the networks learn from their disagreement (Co-teaching+)."""
    plus_from: int | None = Field(None, ge=0, le=100_000)
    """First epoch, from 0, that looks at disagreement; at most 100,000."""
    double_softmax: bool | None = None
    """Take the cross entropy of softmax(softmax(z)) from `plus_from` on."""
    agreed_steps: int | None = Field(None, ge=0, le=10**9)
    """Up to which epoch times batch a batch without disagreement is learned from, up to 1e9."""
    drop_for_first: bool | None = None
    """Drop the last differing sample of a batch in which sample 0 differs."""

    @model_validator(mode="before")
    @classmethod
    def _complete_plus(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = "with" if values.get("plus") else "without"
        return completed(values, "a run", f"{given} plus", PLUS)


class CoTeaching(ForgettingPeers):
    """Two networks that choose each other's samples."""

    Settings = CoTeachingSettings
    VERSION: ClassVar[int] = 1
    settings: CoTeachingSettings
    n_steps: Tensor

    def __init__(self, settings: CoTeachingSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        # Batches of the epoch that lie behind, for a run that is resumed in its middle.
        self.register_buffer("n_steps", torch.zeros((), dtype=torch.int64))
        self.epoch, self.step = 0, 0

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """co_teaching or co_teaching+."""
        assert isinstance(settings, CoTeachingSettings)
        return "co_teaching+" if settings.plus else "co_teaching"

    def epoch_start(self, context: Context) -> None:
        """Set how much is left out, and count batches from 0."""
        super().epoch_start(context)
        if not context.resumed:
            self.n_steps.zero_()
        self.epoch, self.step = context.epoch, int(self.n_steps)

    def step_end(self, context: Context) -> None:
        """Count the batch."""
        del context
        self.step += 1
        self.n_steps += 1

    def forward(self, batch: Batch) -> StepOutput:
        """Both losses, of samples that are chosen among those of the global batch."""
        (first, second), y, joined = self.joint_logits(batch)
        found = self._losses(first, second, y, batch.gather.rows(batch.index))
        loss = found.first + found.second
        scalars = {"forget_rate": torch.full_like(loss.detach().double(), self.rate)}
        return StepOutput(loss.new_zeros(()), joined, scalars, coupled=loss)

    def _losses(self, first: Tensor, second: Tensor, y: Tensor, index: Tensor) -> PairLoss:
        settings = self.settings
        if settings.plus_from is None or self.epoch < settings.plus_from:
            return co_teaching(first, second, y, rate=self.rate, divide_twice=settings.divide_twice)
        # The official code counts epochs from 1 and batches from 0.
        learns = (self.epoch + 1) * self.step < (settings.agreed_steps or 0)
        return co_teaching_plus(
            first,
            second,
            y,
            rate=self.rate,
            double_softmax=bool(settings.double_softmax),
            divide_twice=settings.divide_twice,
            learn_agreed=learns,
            index=index if settings.drop_for_first else None,
        )


if __name__ == "__main__":
    run_script(CoTeaching)
