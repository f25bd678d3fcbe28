"""Training with one robust loss: the DAL system (dynamics-aware loss and the losses beside it).

    uv run accelerate launch methods/robust_loss.py --loss dal
    uv run accelerate launch methods/robust_loss.py --dataset cifar10 --loss gce --recipe paper

Li, Xia, Fan, Deng, Wang, Liu: Dynamics-Aware Loss for Learning with Label Noise (arXiv 2303.11562).
The loss of epoch i of T is GCE with exponent q_i = q_start + (q_end - q_start) i / T, plus, once q
has passed 1, the entropy of the prediction with a weight that grows linearly from 0. A fixed loss
(ce, gce, ...) is the same training with another formula, which methods/losses/ has; any of them can
be put on logits of bounded norm (--logit-clip). docs/robust_loss.md names the source of each.

Where the authors' code and paper differ, or the code's history does:
  --bootstrap hard         the first upload (2023-03-19) bootstrapped against the predicted class;
  --strict-schedule False  accepts exponents that do not rise through 1, with weight 0 up to q = 1
                           (the authors' code then divides by zero or starts with a large weight);
  nlnl                     the negative-learning phase alone, as the code has it; its complementary
                           labels are drawn per (seed, epoch, sample), not from the device's
                           stream;
  --mae-scale 1            takes the beta of eps losses with mae as a factor on 1 - p_y; their code
                           has 2 beta;
  --logit-clip-length      is the threshold in the paper; both codes of logit clipping have another.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import Field, JsonValue, model_validator
from torch import Tensor

from methods import losses
from methods.losses.choice import ROBUST, Choices, EpochLoss, LossSettings, completed
from methods.losses.common import at_least_single
from methods.parts.one_network import OneNetwork
from methods.parts.sample_weights import RrmSettings, SampleWeights
from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.runs.script import run_script
from pipeline.training.context import Context
from pipeline.training.gather import Gather
from pipeline.training.method import Batch, Problem, StepOutput

CLIPPING: Choices = {
    "with logit_clip": {"logit_clip_threshold": 1.0, "logit_clip_length": None},
    "without logit_clip": {},
}
"""How logits are clipped, where they are."""
OF_THE_WHOLE = ("delta", "entropy_weight")
"""Parameters of terms that do not belong to single samples."""
ADDED: dict[str, JsonValue] = {"as_before": None}
"""Marks parameters that stored runs did not have."""


class RobustLossSettings(LossSettings, RrmSettings):
    """Settings of robust-loss training; a parameter left at None takes its loss's default."""

    LOSSES: ClassVar[Choices] = ROBUST

    loss: Literal[
        "ce", "mae", "gce", "sce", "rce", "nce", "nlnl", "btl", "nce_and_rce", "tce", "agce",
        "nce_and_agce", "sr", "js", "dal", "fl", "nfl", "nfl_and_rce", "nce_and_mae", "aul", "ael",
        "nce_and_aul", "nce_and_ael", "anl_ce", "anl_fl", "anl_ce_er", "eps_ce", "eps_ce_and_mae",
        "eps_fl_and_mae", "ldr",
    ] = "dal"  # fmt: skip
    """Loss function (methods/losses/, docs/robust_loss.md)."""
    clamp: float | None = Field(None, ge=0, lt=1, json_schema_extra=ADDED)
    """Least probability in gce, sce, rce and sums with rce (None for that of DAL, 1e-6), of a class
    in the negative terms of anl losses, of the label in eps losses."""
    gamma: float | None = Field(None, ge=0, json_schema_extra=ADDED)
    """Exponent of the weight in fl and nfl, and in losses made with them."""
    delta: float | None = Field(None, ge=0, json_schema_extra=ADDED)
    """Weight of the L1 norm of all weights of the network in anl losses."""
    entropy_weight: float | None = Field(None, ge=0, json_schema_extra=ADDED)
    """Weight of the imbalance of predicted classes in anl_ce_er."""
    m: float | None = Field(None, ge=0, json_schema_extra=ADDED)
    """What the largest class is raised by in eps losses."""
    mae_scale: float | None = Field(None, ge=0, json_schema_extra=ADDED)
    """Factor on 1 - p_y, beside beta, in eps losses with mae: 2 as in the authors' code."""
    margin: float | None = Field(None, ge=0, json_schema_extra=ADDED)
    """Margin of ldr."""
    logit_clip: bool = Field(False, json_schema_extra={"as_before": False})
    """Whether the loss sees logits of bounded norm."""
    logit_clip_threshold: float | None = Field(None, gt=0, json_schema_extra=ADDED)
    """L2 norm above which logits are clipped; by default 1."""
    logit_clip_length: float | None = Field(None, gt=0, json_schema_extra=ADDED)
    """L2 norm that clipped logits get; by default the threshold."""

    @model_validator(mode="before")
    @classmethod
    def _complete_clip(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in how logits are clipped; refuse it where they are not."""
        choice = "with" if values.get("logit_clip") is True else "without"
        done = completed(values, "a run", f"{choice} logit_clip", CLIPPING)
        if choice == "with" and done["logit_clip_length"] is None:
            done["logit_clip_length"] = done["logit_clip_threshold"]
        return done

    @model_validator(mode="after")
    def _within_domain(self) -> Self:
        """Refuse what the type of a setting allows, but not the loss that it belongs to."""
        if self.loss in {"aul", "nce_and_aul"} and self.a is not None and self.a <= 1:
            raise LabError(f"a = {self.a:g} with loss {self.loss}", "a > 1", "a: 1.5")
        family = self.loss.partition("_")[0]
        end = {"anl": 0.5, "eps": 1.0}.get(family)
        if end is not None and self.clamp is not None and not 0 < self.clamp < end:
            raise LabError(
                f"clamp = {self.clamp:g} with loss {self.loss}", f"0 < clamp < {end:g}",
                "clamp: 1.0e-8",
            )  # fmt: skip
        return self

    def parameters(self) -> dict[str, Any]:
        """The parameters of the chosen loss, as its function takes them."""
        found = super().parameters()
        return {name: value for name, value in found.items() if name not in OF_THE_WHOLE}


class RobustLoss(OneNetwork):
    """A network trained with one loss on the given labels."""

    Settings = RobustLossSettings
    VERSION: ClassVar[int] = 1
    settings: RobustLossSettings
    epoch_loss: EpochLoss

    def __init__(self, settings: RobustLossSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        self.weights = SampleWeights(settings, problem.n_train) if settings.rrm else None

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """The loss, what comes before it and what weighs it: ce+logit_clip+rrm."""
        assert isinstance(settings, RobustLossSettings)
        parts = {"+logit_clip": settings.logit_clip, "+rrm": settings.rrm}
        return settings.loss + "".join(name for name, is_on in parts.items() if is_on)

    def epoch_start(self, context: Context) -> None:
        """Set what changes with the epoch."""
        self.epoch_loss = EpochLoss(self.settings.loss, self.settings.parameters(), context)

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch."""
        logits = self.network(batch.x)
        judged = self._clipped(logits)
        whole = self._of_the_whole(judged, batch.gather)
        if self.weights is None:
            loss = self.epoch_loss(judged, batch.y_noisy, batch.index)
            return StepOutput(loss, logits, {}, whole)
        each = self.epoch_loss(judged, batch.y_noisy, batch.index, reduction="none")
        loss = self.weights.mean(each, batch)
        return StepOutput(loss, logits, self.weights.scalars(), whole)

    def epoch_end(self, context: Context) -> None:
        """Renew the weights of the samples, where there are some."""
        if self.weights is not None:
            self.weights.epoch_end(context)

    def _clipped(self, logits: Tensor) -> Tensor:
        """What the loss looks at; predictions are made of the logits as they come."""
        threshold, length = self.settings.logit_clip_threshold, self.settings.logit_clip_length
        if threshold is None or length is None:
            return logits
        return losses.clipped_logits(logits, threshold=threshold, length=length)

    def _of_the_whole(self, logits: Tensor, gather: Gather) -> Tensor | None:
        """Terms of the weights, and of the batch of all processes."""
        settings, terms = self.settings, []
        if settings.delta:
            terms.append(settings.delta * losses.l1(self.network.parameters()))
        if settings.entropy_weight:
            every = gather.rows(at_least_single(logits))
            imbalance = losses.class_imbalance(every, clamp=settings.clamp or 0.0)
            terms.append(settings.entropy_weight * imbalance)
        return torch.stack(terms).sum() if terms else None


if __name__ == "__main__":
    run_script(RobustLoss)
