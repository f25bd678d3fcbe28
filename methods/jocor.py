"""JoCoR: two networks with one joint loss that pulls them together, on samples of small loss.

    uv run accelerate launch methods/jocor.py
    uv run accelerate launch methods/jocor.py --dataset cifar10 --noise symmetric-40 --recipe paper

Wei, Feng, Chen, An: Combating noisy labels by agreement: a joint training method with
co-regularization (CVPR 2020). Both networks see the same batch; a sample's loss is
(1 - w) (CE1 + CE2) + w (KL(p2 | p1) + KL(p1 | p2)); the mean over the k smallest of the batch moves
both. k falls from the whole batch to the share of right labels within some epochs. Formulas:
methods/objectives/small_loss.py; networks, rate and its sources:
methods/two_networks/forgetting.py.

Where the authors' code has choices that change the numbers, and which switch gives which:
  --forget-rate R          the share left out in the end; without it the true rate of wrong labels,
                           which tables mark, or with `--rate-from hoc` an estimate;
  --rate-factor 0.5        half the rate, as the code takes of all asymmetric noise (its recipe);
  --co-weight              the weight w: 0.1 in the code, of which its author says that 0.5 to 0.95
                           are needed (docs/jocor.md).
Samples are selected over the global batch, whatever the number of processes.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field

from methods.objectives.small_loss import joint, n_kept, smallest
from methods.two_networks.forgetting import ForgettingPeers, ForgettingSettings
from pipeline.runs.script import run_script
from pipeline.training.method import Batch, StepOutput


class JocorSettings(ForgettingSettings):
    """Settings of JoCoR."""

    co_weight: float = Field(0.9, ge=0, le=1)
    """Weight w of the divergences between the networks, from 0 to 1."""


class Jocor(ForgettingPeers):
    """Two networks trained by one loss."""

    Settings = JocorSettings
    VERSION: ClassVar[int] = 1
    settings: JocorSettings

    def forward(self, batch: Batch) -> StepOutput:
        """The joint loss over those samples of the global batch on which it is smallest."""
        (first, second), y, joined = self.joint_logits(batch)
        values = joint(first, second, y, weight=self.settings.co_weight)
        kept = smallest(values, n_kept(len(values), self.rate))
        loss = values[kept].mean()
        scalars = {"forget_rate": torch.full_like(loss.detach().double(), self.rate)}
        return StepOutput(loss.new_zeros(()), joined, scalars, coupled=loss)


if __name__ == "__main__":
    run_script(Jocor)
