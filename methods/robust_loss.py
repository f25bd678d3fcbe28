"""Training with one robust loss: the DAL system (dynamics-aware loss and the losses beside it).

    accelerate launch methods/robust_loss.py --dataset cifar10 --noise symmetric-40 --loss dal

Li, Xia, Fan, Deng, Wang, Liu: Dynamics-Aware Loss for Learning with Label Noise (arXiv 2303.11562).
The loss of epoch i of T is GCE with exponent q_i = q_start + (q_end - q_start) i / T, plus, once q
has passed 1, the entropy of the prediction with a weight that grows linearly from 0. A fixed loss
(ce, gce, ...) is the same training with another formula; all formulas are in methods/losses.py.

Where the authors' code and paper differ, or the code's history does:
  --bootstrap hard      the first upload (2023-03-19) bootstrapped against the predicted class;
  --no-strict-schedule  accepts exponents that do not rise through 1, with weight 0 up to q = 1
                        (the authors' code then divides by zero or starts with a large weight);
  nlnl                  the negative-learning phase alone, as the code has it; its complementary
                        labels are drawn per (seed, epoch, sample), not from the device's stream.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from methods import losses
from pipeline.config import RunSettings
from pipeline.data.randomness import sample_uniforms
from pipeline.training.backbones import make_backbone
from pipeline.training.context import Context
from pipeline.training.method import Batch, Method, Problem, StepOutput
from pipeline.training.script import run_script

PARAMETERS: dict[str, dict[str, Any]] = {
    "ce": {},
    "mae": {},
    "gce": {"q": 0.7},
    "sce": {"alpha": 10.0, "beta": 0.1},
    "rce": {},
    "nce": {},
    "nlnl": {"n_complementary": 110},
    "btl": {"t1": 0.7, "t2": 1.5},
    "nce_and_rce": {"alpha": 10.0, "beta": 0.1},
    "tce": {"t": 18},
    "agce": {"a": 1e-5, "q": 0.5},
    "nce_and_agce": {"alpha": 10.0, "beta": 0.1, "a": 3.0, "q": 0.7},
    "sr": {"tau": 0.5, "p": 0.01, "weight": 8.0, "growth": 1.02},
    "js": {"pi": 0.5},
    "dal": {"q_start": 0.6, "q_end": 1.5, "bootstrap": "soft", "strict_schedule": True},
}
"""Parameters of each loss and their defaults, those of the authors' CIFAR script where it has the
loss (agce: of their WebVision script)."""


class RobustLossSettings(RunSettings):
    """Settings of robust-loss training; a parameter left at None takes its loss's default."""

    loss: Literal[
        "ce", "mae", "gce", "sce", "rce", "nce", "nlnl", "btl", "nce_and_rce", "tce", "agce",
        "nce_and_agce", "sr", "js", "dal",
    ] = "dal"  # fmt: skip
    """Loss function (methods/losses.py)."""
    q: float | None = Field(None, gt=0)
    """Exponent of gce, agce and nce_and_agce."""
    alpha: float | None = Field(None, ge=0)
    """Weight of the active term of sce, nce_and_rce and nce_and_agce."""
    beta: float | None = Field(None, ge=0)
    """Weight of the passive term of sce, nce_and_rce and nce_and_agce."""
    a: float | None = Field(None, gt=0)
    """Offset of agce and nce_and_agce."""
    t: int | None = Field(None, ge=1)
    """Order of tce."""
    t1: float | None = Field(None, lt=1)
    """Temperature of the logarithm of btl."""
    t2: float | None = Field(None, gt=1)
    """Temperature of the exponential of btl."""
    tau: float | None = Field(None, gt=0)
    """Softmax temperature of sr."""
    p: float | None = Field(None, gt=0)
    """Norm of sr."""
    weight: float | None = Field(None, ge=0)
    """Weight of the norm of sr in the first epoch."""
    growth: float | None = Field(None, gt=0)
    """Growth of the weight of sr per epoch."""
    pi: float | None = Field(None, gt=0, lt=1)
    """Weight of the label in js."""
    n_complementary: int | None = Field(None, ge=1)
    """Complementary labels per sample and step of nlnl."""
    q_start: float | None = Field(None, gt=0)
    """First exponent of dal."""
    q_end: float | None = Field(None, gt=0)
    """Exponent that dal approaches."""
    bootstrap: Literal["soft", "hard"] | None = None
    """Bootstrapping of dal: entropy (soft) or cross entropy against the predicted class (hard)."""
    strict_schedule: bool | None = None
    """Whether dal insists on q_start < 1 < q_end."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the parameters of the chosen loss; refuse those of others."""
        loss = values.get("loss", cls.model_fields["loss"].default)
        own = PARAMETERS.get(loss, {})
        every = {name for parameters in PARAMETERS.values() for name in parameters}
        for name in sorted(every - set(own)):
            if values.get(name) is not None:
                takes = ", ".join(own) or "no parameters"
                raise ValueError(f"loss {loss} takes no {name}; it takes: {takes}")
        given = {name: value for name, value in values.items() if value is not None}
        return own | given

    @model_validator(mode="after")
    def _schedule_rises(self) -> Self:
        if self.loss == "dal" and self.strict_schedule:
            losses.dal_schedule(0, self.epochs, *self.exponents)
        return self

    @property
    def exponents(self) -> tuple[float, float]:
        """First and last exponent of dal; (1, 1) for the other losses."""
        return self.q_start or 1.0, self.q_end or 1.0

    def parameters(self) -> dict[str, Any]:
        """The parameters of the chosen loss."""
        return {name: getattr(self, name) for name in PARAMETERS[self.loss]}


class RobustLoss(Method):
    """A network trained with one loss on the given labels."""

    Settings = RobustLossSettings
    VERSION: ClassVar[int] = 1

    def __init__(self, settings: RobustLossSettings, problem: Problem) -> None:
        super().__init__()
        self.settings = settings
        self.network = make_backbone(
            settings.backbone, problem.n_classes, n_channels=problem.image_shape[2]
        )
        self.epoch_parameters: dict[str, Any] = {}

    @classmethod
    def variant(cls, settings: RunSettings) -> str:
        """The loss."""
        assert isinstance(settings, RobustLossSettings)
        return settings.loss

    def epoch_start(self, context: Context) -> None:
        """Set what changes with the epoch."""
        parameters = self.settings.parameters()
        match self.settings.loss:
            case "dal":
                strict = parameters.pop("strict_schedule")
                q, weight = losses.dal_schedule(
                    context.epoch,
                    context.n_epochs,
                    parameters.pop("q_start"),
                    parameters.pop("q_end"),
                    strict=strict,
                )
                parameters |= {"q": q, "bootstrap_weight": weight}
            case "sr":
                growth = parameters.pop("growth")
                parameters["weight"] = losses.sr_schedule(
                    context.epoch, parameters["weight"], growth
                )
            case "nlnl":
                self.complementary_seed = context.method_seed("complementary", context.epoch)
                parameters["weights"] = losses.class_weights(context.label_counts)
        self.epoch_parameters = parameters

    def forward(self, batch: Batch) -> StepOutput:
        """Loss and logits of a batch."""
        logits = self.network(batch.x)
        parameters = dict(self.epoch_parameters)
        if self.settings.loss == "nlnl":
            n = parameters.pop("n_complementary")
            uniforms = sample_uniforms(self.complementary_seed, batch.index, n)
            parameters["y_complementary"] = losses.complementary_labels(
                uniforms, batch.y_noisy, logits.shape[1]
            )
        loss = getattr(losses, self.settings.loss)(logits, batch.y_noisy, **parameters)
        return StepOutput(loss, logits, {})

    def predict(self, images: Tensor) -> Tensor:
        """Softmax of the network."""
        return self.network(images).softmax(dim=1)


if __name__ == "__main__":
    run_script(RobustLoss)
