"""Stochastic label noise: Gaussian noise on the targets, averaged weights, label correction (SLN).

    uv run accelerate launch methods/sln.py --dataset cifar10 --noise symmetric-40 --recipe paper

Chen, Chen, Ye, Zhao, Heng: Noise against noise: stochastic label noise helps combat inherent label
noise (ICLR 2021). The target of a sample is, each time it is used, its one-hot label plus sigma
times standard normal noise, neither clipped nor normalised; the loss is cross entropy. One run
records the network (SLN; plain cross entropy at sigma 0) and, beside it, the moving average of its
weights (SLN-MO). With `--correction` the noise ends at `correct_from`, and from then on each epoch
begins with new targets w onehot(given) + (1 - w) prediction, w the loss relative to the others,
both by the averaged network (SLN-MO-LC). Formulas: methods/losses/soft_targets.py.

Where the authors' code has choices that change the numbers, and which switch gives the others:
  --pseudo-labels hard    predicted class in their CIFAR script; soft in the Clothing1M one;
  --loss-target current   the loss behind w is against the targets of the epoch before (CIFAR);
                          noisy: against the given labels (Clothing1M);
  --correct-on augmented  the correction looks at augmented images; plain: as they are;
  --average-buffers       the average takes in the running statistics of batch norm;
  --head-bn-momentum      of the last batch norm: 0.9 in their wide ResNet, 0.1 in all other layers.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from methods import losses
from methods.parts.one_network import OneNetwork
from pipeline.config import RunSettings
from pipeline.data.randomness import sample_normals
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.batches import epoch_samples
from pipeline.training.context import Context
from pipeline.training.method import Batch, Problem, StepOutput

CORRECTION: dict[str, Any] = {
    "pseudo_labels": "hard",
    "loss_target": "current",
    "correct_on": "augmented",
}
"""How labels are corrected, by default: as in the authors' CIFAR script."""


class SlnSettings(RunSettings):
    """Settings of SLN; what concerns the correction is None without it."""

    averaging: float | None = Field(0.999, gt=0, lt=1)
    """Decay per step of the moving average of the weights (MO); None for none."""
    sigma: float = Field(0.5, ge=0)
    """Standard deviation of the noise on the targets; 0 for plain cross entropy."""
    correction: bool = False
    """Whether labels are corrected (LC), by the averaged weights if there are any."""
    correct_from: int | None = Field(None, ge=1)
    """First epoch, from 0, with corrected labels and without noise; by default 5/6 of them."""
    pseudo_labels: Literal["hard", "soft"] | None = None
    """Prediction in a corrected target: the predicted class (hard) or the softmax (soft)."""
    loss_target: Literal["current", "noisy"] | None = None
    """Targets of the loss that weighs label and prediction: current ones or given labels."""
    correct_on: Literal["augmented", "plain"] | None = None
    """Images that the correction looks at: augmented as in training, or plain."""
    head_bn_momentum: float | None = Field(None, gt=0, le=1)
    """Momentum of the network's last batch norm; None for that of the backbone."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in how labels are corrected; refuse it where they are not."""
        given = {name: value for name, value in values.items() if value is not None}
        if given.get("correction"):
            epochs = given.get("epochs", cls.model_fields["epochs"].default)
            start = {"correct_from": max(1, epochs * 5 // 6)} if isinstance(epochs, int) else {}
            return values | CORRECTION | start | given
        for name in (*CORRECTION, "correct_from"):
            if name in given:
                raise LabError(
                    f"{name} means nothing without correction", f"{name} with correction",
                    "add --correction",
                )  # fmt: skip
        return values

    @model_validator(mode="after")
    def _correction_happens(self) -> Self:
        if self.correct_from is not None and self.correct_from >= self.epochs:
            raise LabError(
                f"correct_from {self.correct_from} is beyond the last of {self.epochs} epochs",
                f"1 to {self.epochs - 1}",
                "another --correct-from, or --no-correction",
            )
        return self


class Sln(OneNetwork):
    """A network trained on perturbed and later corrected targets."""

    Settings = SlnSettings
    VERSION: ClassVar[int] = 1
    settings: SlnSettings
    targets: Tensor

    def __init__(self, settings: SlnSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        if settings.head_bn_momentum is not None:
            _last_batch_norm(self.network).momentum = settings.head_bn_momentum
        if settings.correction:
            # Zero until the correction begins.
            self.register_buffer("targets", torch.zeros(problem.n_train, problem.n_classes))
        self.sigma, self.correcting, self.noise_seed = settings.sigma, False, 0

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """sln, or ce at sigma 0, with -lc where labels are corrected."""
        assert isinstance(settings, SlnSettings)
        return ("sln" if settings.sigma else "ce") + ("-lc" if settings.correction else "")

    def epoch_start(self, context: Context) -> None:
        """Set what changes with the epoch, and correct the labels."""
        first = self.settings.correct_from
        self.correcting = first is not None and context.epoch >= first
        self.sigma = 0.0 if self.correcting else self.settings.sigma
        self.noise_seed = context.method_seed("label-noise", context.epoch)
        # In the middle of an epoch the weights have moved on: its targets are the stored ones.
        if self.correcting and not context.resumed:
            self._correct(context)

    def _correct(self, context: Context) -> None:
        settings = self.settings
        if context.epoch == settings.correct_from:
            self.targets.copy_(functional.one_hot(context.y_noisy, context.n_classes))
        # Losses are weighed within the samples of the epoch: those of a balanced one are a part.
        visited = epoch_samples(settings, context.epoch, context.y_noisy)
        samples = visited.unique().to(self.targets.device)
        logits = context.predict_train(
            augmented=settings.correct_on == "augmented",
            averaged=settings.averaging is not None,
            samples=samples,
            function=self.network,
        )
        self.targets[samples] = losses.corrected_targets(
            logits,
            context.y_noisy[samples],
            current=self.targets[samples] if settings.loss_target == "current" else None,
            pseudo_labels=settings.pseudo_labels or "hard",
        )

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch."""
        logits = self.network(batch.x)
        loss = losses.ce(logits, self._targets(batch, logits.shape[1]))
        state = {"sigma": self.sigma, "correcting": float(self.correcting)}
        number = loss.detach().double()
        scalars = {name: torch.full_like(number, value) for name, value in state.items()}
        return StepOutput(loss, logits, scalars)

    def _targets(self, batch: Batch, n_classes: int) -> Tensor:
        if self.correcting:
            return self.targets[batch.index]
        if self.sigma == 0:
            return batch.y_noisy
        noise = sample_normals(self.noise_seed, batch.index, n_classes)
        return losses.perturbed_targets(batch.y_noisy, noise, sigma=self.sigma)

    def corrected_labels(self) -> Tensor | None:
        """Largest class of each target; None before the correction begins."""
        if not self.settings.correction or not bool(self.targets.any()):
            return None
        return self.targets.argmax(dim=1)


def _last_batch_norm(network: nn.Module) -> nn.BatchNorm2d:
    found = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not found:
        raise LabError(
            "head_bn_momentum for a network without batch norm",
            "a backbone that has one, such as wrn28-2",
            "leave --head-bn-momentum out",
        )
    return found[-1]


if __name__ == "__main__":
    run_script(Sln)
