"""The choice of a loss by settings: its name, its parameters, and what changes with the epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor

from methods import losses
from pipeline.config import RunSettings
from pipeline.data.randomness import sample_uniforms
from pipeline.errors import LabError, quoted

if TYPE_CHECKING:
    from pipeline.training.context import Context

SHARED: dict[str, dict[str, Any]] = {
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
"""Losses of every method with their parameters and defaults, those of the CIFAR script of DAL where
it has the loss (agce: of its WebVision script)."""

_CLAMPED = {"clamp": None}
_ANL = {"alpha": 5.0, "beta": 5.0, "delta": 5e-5, "clamp": 1e-7}
_EPS = {"m": 1e5, "alpha": 0.01, "beta": 5.0, "mae_scale": 2.0, "clamp": 1e-8}
ROBUST: dict[str, dict[str, Any]] = (
    SHARED
    | {name: SHARED[name] | _CLAMPED for name in ("gce", "sce", "rce", "nce_and_rce")}
    | {
        "fl": {"gamma": 0.5},
        "nfl": {"gamma": 0.5},
        "nfl_and_rce": {"alpha": 1.0, "beta": 1.0, "gamma": 0.5, "clamp": 1e-7},
        "nce_and_mae": {"alpha": 1.0, "beta": 1.0},
        "aul": {"a": 1.5, "q": 0.9},
        "ael": {"a": 2.5},
        "nce_and_aul": {"alpha": 1.0, "beta": 4.0, "a": 6.3, "q": 1.5},
        "nce_and_ael": {"alpha": 1.0, "beta": 4.0, "a": 5.0},
        "anl_ce": _ANL,
        "anl_fl": _ANL | {"gamma": 0.5},
        "anl_ce_er": _ANL | {"entropy_weight": 2.0},
        "eps_ce": {"m": 1e5, "clamp": 1e-8},
        "eps_ce_and_mae": _EPS,
        "eps_fl_and_mae": _EPS | {"gamma": 0.1},
        "ldr": {"tau": 10.0, "margin": 0.1},
    }
)
"""All losses of robust-loss training with their parameters and defaults; those that `SHARED` lacks
have the values with which their authors train CIFAR-10 where these are known."""

_ESTIMATION = {"eps": 1e-12, "estimate_in_train_mode": False}
EVERY: dict[str, dict[str, Any]] = SHARED | {
    "gce": {"q": 0.7, "clamp": 1e-7},
    "sce": {"alpha": 6.0, "beta": 1.0, "clamp": 1e-7},
    "rce": {"clamp": 1e-7},
    "hard_bootstrap": {"beta": 0.8},
    "elr": {"beta": 0.7, "weight": 3.0},
    "forward": _ESTIMATION,
    "hoc": _ESTIMATION
    | {"hoc_rounds": 50, "hoc_sample": 15_000, "hoc_steps": 1500, "hoc_returns": "best"},
    "peer": {"weight": 1.0, "ramp": False},
    "confidence_regularised": {"weight": 1.0, "ramp": True},
    "dmi": {},
}
"""Losses that the regularisers of RRR go with, and their parameters and defaults: those of the RRR
scripts where they have the loss."""

Choices = Mapping[str, Mapping[str, Any]]
"""Name of a choice -> its parameters and their defaults."""


def completed(values: dict[str, Any], what: str, choice: str, choices: Choices) -> dict[str, Any]:
    """Fill in the parameters of one choice and refuse those that only others take.

    Args:
        values: settings as given; None counts as not given.
        what: the setting that chooses, for the error.
        choice: its value; parameters of an unknown one are left as they are.
        choices: parameters and defaults of all of its values.

    Returns:
        The settings with the parameters of the choice.

    Raises:
        LabError: for a parameter that the choice does not take.
    """
    own = choices.get(choice, {}) if isinstance(choice, str) else {}
    every = {name for parameters in choices.values() for name in parameters}
    for name in sorted(every - set(own)):
        if values.get(name) is not None:
            takes = ", ".join(own) or "none"
            given = f"{what} {choice} takes no {name}, but {name} = {quoted(values[name])}"
            raise LabError(given, f"of the parameters of {what}: {takes}", f"leave {name} out")
    return dict(own) | {name: value for name, value in values.items() if value is not None}


class LossSettings(RunSettings):
    """A run with one of several losses; a parameter left at None takes its loss's default.

    A subclass names the losses it offers by redefining `LOSSES` and `loss`.
    """

    LOSSES: ClassVar[Choices] = SHARED
    """Parameters of each loss and their defaults."""

    loss: str = "ce"
    """Name of a loss."""
    q: float | None = Field(None, gt=0)
    """Exponent of gce, agce, aul and sums with the last two."""
    alpha: float | None = Field(None, ge=0)
    """Weight of the first term of sce and of losses that are sums of two."""
    beta: float | None = Field(None, ge=0)
    """Weight of the second term of sce and of losses that are sums of two."""
    a: float | None = Field(None, gt=0)
    """Offset of agce, above 1 of aul, scale of ael; also of sums with them."""
    t: int | None = Field(None, ge=1, le=1000)
    """Order of tce, 1 to 1000."""
    t1: float | None = Field(None, lt=1)
    """Temperature of the logarithm of btl."""
    t2: float | None = Field(None, gt=1)
    """Temperature of the exponential of btl."""
    tau: float | None = Field(None, gt=0)
    """Temperature of sr and ldr."""
    p: float | None = Field(None, gt=0)
    """Norm of sr."""
    weight: float | None = Field(None, ge=0)
    """Weight of the norm of sr in the first epoch."""
    growth: float | None = Field(None, gt=0)
    """Growth of the weight of sr per epoch."""
    pi: float | None = Field(None, gt=0, lt=1)
    """Weight of the label in js."""
    n_complementary: int | None = Field(None, ge=1, le=10_000)
    """Complementary labels per sample and step of nlnl, 1 to 10,000."""
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
    def _complete_loss(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Fill in the parameters of the chosen loss; refuse those of others."""
        loss = values.get("loss", cls.model_fields["loss"].default)
        return completed(values, "loss", loss, cls.LOSSES)

    @model_validator(mode="after")
    def _schedule_rises(self) -> Self:
        start, end = self.exponents
        if self.loss == "dal" and self.strict_schedule and not start < 1 < end:
            raise LabError(
                f"q_start = {start:g}, q_end = {end:g}",
                "q_start < 1 < q_end, or any two with strict_schedule: false",
                "q_start: 0.6 and q_end: 1.5",
            )
        return self

    @property
    def exponents(self) -> tuple[float, float]:
        """First and last exponent of dal; (1, 1) for the other losses."""
        return self.q_start or 1.0, self.q_end or 1.0

    def parameters(self) -> dict[str, Any]:
        """The parameters of the chosen loss; what is None is left to its function."""
        values = {name: getattr(self, name) for name in self.LOSSES[self.loss]}
        return {name: value for name, value in values.items() if value is not None}


class EveryLossSettings(LossSettings):
    """A run with a loss that RRR goes with; a parameter left at None takes its loss's default."""

    LOSSES: ClassVar[Choices] = EVERY

    loss: Literal[
        "ce", "gce", "sce", "elr", "forward", "hoc", "peer", "hard_bootstrap", "mae", "rce", "nce",
        "nlnl", "btl", "nce_and_rce", "tce", "agce", "nce_and_agce", "sr", "js", "dal",
        "confidence_regularised", "dmi",
    ] = "ce"  # fmt: skip
    """Base loss (methods/losses/); forward and hoc are forward correction, with T from anchor
    points or from high-order consensus."""
    beta: float | None = Field(None, ge=0)
    """Weight of the passive term of sce, nce_and_rce and nce_and_agce, of the given label in
    hard_bootstrap; momentum of the targets of elr."""
    weight: float | None = Field(None, ge=0)
    """Weight of the second term of elr, peer and confidence_regularised, of the norm of sr in the
    first epoch."""
    clamp: float | None = Field(None, ge=0, lt=1)
    """Least probability in gce, sce and rce; 0 for none."""
    ramp: bool | None = None
    """Whether the weight of peer and confidence_regularised is multiplied by a schedule: 0 for ten
    epochs, rising to 2 over thirty."""
    eps: float | None = Field(None, ge=0)
    """Offset inside the logarithm of forward and hoc."""
    estimate_in_train_mode: bool | None = None
    """Whether forward and hoc estimate T on augmented images with the network in training mode."""
    hoc_rounds: int | None = Field(None, ge=1, le=10_000)
    """Random parts of the training set that hoc averages over, 1 to 10,000."""
    hoc_sample: int | None = Field(None, ge=3, le=10**7)
    """Samples per part of hoc, 3 to ten million."""
    hoc_steps: int | None = Field(None, ge=1, le=10**6)
    """Steps in which hoc fits T, 1 to a million."""
    hoc_returns: Literal["best", "last"] | None = None
    """Which T hoc takes: that of the smallest objective, or the last one."""


class EpochLoss:
    """A loss as it stands in one epoch: `loss(logits, y_noisy, index)`.

    Args:
        name: of a function in `methods.losses`.
        parameters: as the settings have them; schedules turn them into those of the epoch.
        context: of the run; its epoch, labels and random streams are read.
    """

    def __init__(self, name: str, parameters: Mapping[str, Any], context: Context) -> None:
        self._function, self._name = getattr(losses, name), name
        self._parameters = _of_epoch(name, dict(parameters), context)
        self._seed = context.method_seed("complementary", context.epoch)

    def __call__(self, logits: Tensor, y: Tensor, index: Tensor, **state: Any) -> Any:
        """What the function of the loss returns, mostly the mean over the batch.

        Args:
            logits: [B, K].
            y: int64 [B], given labels.
            index: int64 [B], positions among the training samples, to which random draws belong.
            state: further arguments that only the caller knows, and the reduction.

        Returns:
            A scalar, or what else the loss is documented to return.
        """
        parameters = dict(self._parameters)
        if self._name == "nlnl":
            uniforms = sample_uniforms(self._seed, index, parameters.pop("n_complementary"))
            parameters["y_complementary"] = losses.complementary_labels(
                uniforms, y, logits.shape[1]
            )
        return self._function(logits, y, **parameters, **state)


def _of_epoch(name: str, parameters: dict[str, Any], context: Context) -> dict[str, Any]:
    match name:
        case "dal":
            q, weight = losses.dal_schedule(
                context.epoch,
                context.n_epochs,
                parameters.pop("q_start"),
                parameters.pop("q_end"),
                strict=parameters.pop("strict_schedule"),
            )
            parameters |= {"q": q, "bootstrap_weight": weight}
        case "sr":
            growth = parameters.pop("growth")
            parameters["weight"] = losses.sr_schedule(context.epoch, parameters["weight"], growth)
        case "nlnl":
            parameters["weights"] = losses.class_weights(context.label_counts)
        case "peer" | "confidence_regularised":
            if parameters.pop("ramp"):
                parameters["weight"] *= losses.peer_schedule(context.epoch)
    return parameters
