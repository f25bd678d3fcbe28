"""What Co-teaching and JoCoR share: two networks, and how much of each batch they leave out.

Published numbers of both know the true rate of wrong labels. Two sources need no such knowledge: a
rate that is given, and one that is estimated from features and given labels by high-order consensus
(pipeline/noise/estimation/hoc.py).
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from methods.objectives.small_loss import forget_rate
from methods.parts.late_decay import LateDecaySettings
from methods.two_networks.networks import PEERS, TwoNetworks
from pipeline.config import NOT_IN_KEY, RunSettings
from pipeline.errors import LabError
from pipeline.noise.estimation.hoc import estimate
from pipeline.training.context import Context, Knowledge
from pipeline.training.method import Batch, Problem
from pipeline.training.phases import Phase

_UNKNOWN = -1.0
_HIGHEST = 0.99


class ForgettingSettings(LateDecaySettings):
    """Settings of methods that keep the samples of small loss."""

    forget_rate: float | None = Field(None, ge=0, lt=1)
    """Share of each batch that is left out in the end; None for the rate of wrong labels."""
    rate_from: Literal["true", "hoc"] | None = None
    """Where that rate comes from: counted with the clean labels (true, which None means too:
    knowledge that tables mark), or estimated from the features of `encoder` (hoc)."""
    rate_factor: float = Field(1.0, gt=0, le=1)
    """What the rate of wrong labels is multiplied by, above 0 and at most 1."""
    gradual: int = Field(10, ge=1, le=100_000)
    """Epochs over which the share rises from 0, 1 to 100,000."""
    exponent: float = Field(1.0, gt=0, le=100)
    """Exponent of the rate at the end of the rise, above 0 and at most 100."""
    encoder: str | None = Field(None, json_schema_extra=NOT_IN_KEY)
    """Encoder (params.yaml: encoders) of the features of hoc."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.forget_rate is not None and self.rate_from is not None:
            raise LabError(
                f"forget_rate {self.forget_rate:g} and rate_from {self.rate_from}",
                "one of them",
                "leave rate_from out",
            )
        if (self.rate_from == "hoc") != (self.encoder is not None):
            raise LabError(
                f"rate_from {self.rate_from or 'none'} with encoder {self.encoder or 'none'}",
                "an encoder for rate_from hoc, and for nothing else",
                "--rate-from hoc --encoder simclr-cifar10",
            )
        return self

    @property
    def asks_for_the_rate(self) -> bool:
        """Whether the true rate is used: it is neither given nor estimated."""
        return self.forget_rate is None and self.rate_from != "hoc"

    def without_effect(self) -> set[str]:
        """A rate that is given is not multiplied."""
        unused = {"rate_factor"} if self.forget_rate is not None else set()
        return super().without_effect() | unused


class ForgettingPeers(TwoNetworks):
    """Two networks that see the same batch and leave out part of it."""

    knows: ClassVar[frozenset[Knowledge]] = frozenset({"noise_rate"})
    settings: ForgettingSettings
    final_rate: Tensor

    def __init__(self, settings: ForgettingSettings, problem: Problem) -> None:
        super().__init__(settings, problem)
        self.rate = 0.0
        # Measured once, also by a run that is resumed.
        self.register_buffer("final_rate", torch.tensor(_UNKNOWN, dtype=torch.float64))

    @classmethod
    def knowledge(cls, settings: RunSettings) -> frozenset[Knowledge]:
        """The noise rate, where it is neither given nor estimated."""
        assert isinstance(settings, ForgettingSettings)
        return cls.knows if settings.asks_for_the_rate else frozenset()

    def start(self, context: Context) -> None:
        """Find out how much is left out in the end."""
        if float(self.final_rate) == _UNKNOWN:
            self.final_rate.copy_(self._final_rate(context))

    def _final_rate(self, context: Context) -> Tensor:
        settings = self.settings
        if settings.forget_rate is not None:
            return torch.full_like(self.final_rate, settings.forget_rate)
        if settings.rate_from == "hoc":
            rate = _estimated(context, self.final_rate)
        else:
            rate = torch.full_like(self.final_rate, _counted(context))
        return (settings.rate_factor * rate).clamp(0, _HIGHEST)

    def epoch_start(self, context: Context) -> None:
        """Set how much is left out; the official codes begin with their epoch 1."""
        self.rate = forget_rate(
            context.epoch + 1,
            rate=float(self.final_rate),
            gradual=self.settings.gradual,
            exponent=self.settings.exponent,
        )

    def phase_start(self, context: Context) -> Phase:
        """An epoch as it is, but for the late decay of adam."""
        return self.settings.phase_of(context.epoch, PEERS)

    def joint_logits(self, batch: Batch) -> tuple[list[Tensor], Tensor, Tensor]:
        """What both networks say of a batch.

        Args:
            batch: of this process.

        Returns:
            Logits [B, K] by both networks of the samples of all processes, their labels int64 [B],
            and log probabilities of the joint prediction of this process's samples.
        """
        own = [network(batch.x) for network in self.networks.values()]
        joined = torch.stack([logits.detach().float().log_softmax(dim=1) for logits in own])
        everyone = [batch.gather.rows(logits.float()) for logits in own]
        return everyone, batch.gather.rows(batch.y_noisy), joined.logsumexp(dim=0)

    def predict(self, images: Tensor) -> Tensor:
        """Mean of the two softmaxes."""
        return torch.stack([p(images) for p in self.members().values()]).mean(dim=0)


def _counted(context: Context) -> float:
    try:
        return context.true_noise_rate()
    except LabError as unknown:
        raise LabError(
            unknown.given,
            "labels with clean ones beside them, a rate, or an encoder to estimate it with",
            "--forget-rate 0.2, or --rate-from hoc --encoder NAME",
        ) from unknown


def _estimated(context: Context, like: Tensor) -> Tensor:
    features = context.predict_train(views=("embedding",), function=lambda f: f)

    def rate() -> Tensor:
        found = estimate(
            features,
            context.y_noisy.cpu().numpy(),
            context.n_classes,
            rounds=10,
            seed=context.method_seed("hoc"),
            progress=False,
        )
        return torch.tensor(1 - float(np.dot(found.prior, np.diag(found.T))), dtype=torch.float64)

    return context.from_main(rate, like)
