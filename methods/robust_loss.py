"""Training with one robust loss: the DAL system (dynamics-aware loss and the losses beside it).

    uv run accelerate launch methods/robust_loss.py --loss dal
    uv run accelerate launch methods/robust_loss.py --dataset cifar10 --loss gce --recipe paper

Li, Xia, Fan, Deng, Wang, Liu: Dynamics-Aware Loss for Learning with Label Noise (arXiv 2303.11562).
The loss of epoch i of T is GCE with exponent q_i = q_start + (q_end - q_start) i / T, plus, once q
has passed 1, the entropy of the prediction with a weight that grows linearly from 0. A fixed loss
(ce, gce, ...) is the same training with another formula: methods/losses/robust.py has them all.

Where the authors' code and paper differ, or the code's history does:
  --bootstrap hard         the first upload (2023-03-19) bootstrapped against the predicted class;
  --strict-schedule False  accepts exponents that do not rise through 1, with weight 0 up to q = 1
                           (the authors' code then divides by zero or starts with a large weight);
  nlnl                     the negative-learning phase alone, as the code has it; its complementary
                           labels are drawn per (seed, epoch, sample), not from the device's
                           stream.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor

from methods.losses.choice import EpochLoss, LossSettings
from pipeline.backbones import make_backbone
from pipeline.config import RunSettings
from pipeline.encoders.start import load_into, network_state
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Problem, StepOutput


class RobustLossSettings(LossSettings):
    """Settings of robust-loss training; a parameter left at None takes its loss's default."""

    loss: Literal[
        "ce", "mae", "gce", "sce", "rce", "nce", "nlnl", "btl", "nce_and_rce", "tce", "agce",
        "nce_and_agce", "sr", "js", "dal",
    ] = "dal"  # fmt: skip
    """Loss function (methods/losses/robust.py)."""


class RobustLoss(Method):
    """A network trained with one loss on the given labels."""

    Settings = RobustLossSettings
    VERSION: ClassVar[int] = 1
    epoch_loss: EpochLoss

    def __init__(self, settings: RobustLossSettings, problem: Problem) -> None:
        super().__init__()
        self.settings = settings
        self.network = make_backbone(
            settings.backbone, problem.n_classes, n_channels=problem.image_shape[2]
        )
        load_into(self.network, problem.start, settings.backbone)

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """The loss."""
        assert isinstance(settings, RobustLossSettings)
        return settings.loss

    def epoch_start(self, context: Context) -> None:
        """Set what changes with the epoch."""
        self.epoch_loss = EpochLoss(self.settings.loss, self.settings.parameters(), context)

    def encoder_state(self) -> dict[str, Tensor]:
        """The network with its classifier."""
        return network_state(self.network)

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch."""
        logits = self.network(batch.x)
        return StepOutput(self.epoch_loss(logits, batch.y_noisy, batch.index), logits, {})

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the network."""
        return self.network(images).softmax(dim=1)


if __name__ == "__main__":
    run_script(RobustLoss)
