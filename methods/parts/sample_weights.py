"""Weights of training samples that a method may put on its losses: Rockafellian relaxation (RRM).

A method offers it where its loss is a mean of losses of single samples: its settings are
`RrmSettings`, `SampleWeights` takes that mean, and is told when an epoch ends. Formulas and their
source: methods/objectives/rockafellian.py.
"""

from __future__ import annotations

from typing import Any, Self

import torch
from pydantic import Field, JsonValue, model_validator
from torch import Tensor, nn

from methods.losses.choice import completed
from methods.objectives.rockafellian import gamma_of_rate, relaxed
from pipeline.config import RunSettings
from pipeline.errors import LabError
from pipeline.training.context import Context
from pipeline.training.method import Batch

RRM: dict[str, dict[str, Any]] = {
    "with rrm": {"rrm_gamma": None, "rrm_rate": None, "rrm_every": 1, "rrm_step": 1.0},
    "without rrm": {},
}
"""Parameters of the weights and their defaults; no source names those of its runs."""
_ADDED: dict[str, JsonValue] = {"as_before": None}


class RrmSettings(RunSettings):
    """Settings of methods whose samples may be weighted; None without `rrm`."""

    rrm: bool = Field(False, json_schema_extra={"as_before": False})
    """Whether samples of large loss lose their weight to those of the smallest (docs/rrm.md)."""
    rrm_gamma: float | None = Field(None, ge=0, le=1e6, json_schema_extra=_ADDED)
    """By how much a loss may exceed the smallest one (gamma), from 0 to a million."""
    rrm_rate: float | None = Field(None, gt=0, lt=1, json_schema_extra=_ADDED)
    """Share of the samples that lose their weight, between 0 and 1, instead of `rrm_gamma`."""
    rrm_every: int | None = Field(None, ge=1, le=100_000, json_schema_extra=_ADDED)
    """Epochs between two renewals (sigma), 1 to 100,000."""
    rrm_step: float | None = Field(None, gt=0, le=1, json_schema_extra=_ADDED)
    """Share of the way that a renewal goes towards the best weights (mu), above 0 and at most 1."""

    @model_validator(mode="before")
    @classmethod
    def _complete_rrm(cls, values: dict[str, Any]) -> dict[str, Any]:
        choice = "with" if values.get("rrm") is True else "without"
        return completed(values, "a run", f"{choice} rrm", RRM)

    @model_validator(mode="after")
    def _one_measure(self) -> Self:
        if self.rrm and (self.rrm_gamma is None) == (self.rrm_rate is None):
            both = "both" if self.rrm_rate is not None else "neither"
            raise LabError(
                f"rrm with {both} of rrm_gamma and rrm_rate", "one of them", "--rrm-rate 0.2"
            )
        return self


class SampleWeights(nn.Module):
    """Weights 1 / N + u of all training samples, and the losses that they follow, in buffers.

    Args:
        settings: with `rrm`.
        n_train: N.
    """

    u: Tensor
    losses: Tensor

    def __init__(self, settings: RrmSettings, n_train: int) -> None:
        super().__init__()
        self._settings = settings
        self.register_buffer("u", torch.zeros(n_train, dtype=torch.float64))
        # As last seen in training; NaN before.
        self.register_buffer("losses", torch.full((n_train,), torch.nan, dtype=torch.float64))

    @property
    def relative(self) -> Tensor:
        """N times the weights, float64 [N]: 1 where nothing has moved."""
        return 1 + len(self.u) * self.u

    def mean(self, losses: Tensor, batch: Batch) -> Tensor:
        """The weighted mean of losses [B] of a batch, which are noted."""
        everyone, noted = batch.gather.rows(batch.index), batch.gather.rows(losses.detach())
        # A sample is on another process in the next epoch: all keep all losses.
        self.losses[everyone] = noted.double()
        return (self.relative[batch.index].to(losses) * losses).mean()

    def epoch_end(self, context: Context) -> None:
        """Renew the weights, where it is time."""
        assert self._settings.rrm_every is not None
        if (context.epoch + 1) % self._settings.rrm_every == 0:
            self.renew()

    def renew(self) -> None:
        """Go towards the best weights for the losses; samples never seen keep theirs."""
        settings, seen = self._settings, self.losses.isfinite()
        losses, share = self.losses[seen], seen.double().mean()
        gamma = settings.rrm_gamma
        if gamma is None:
            gamma = gamma_of_rate(losses, settings.rrm_rate or 0.0)
        # Weights among those seen sum to their share of all.
        own = self.u[seen] / share
        self.u[seen] = share * relaxed(own, losses, gamma=gamma, step=settings.rrm_step or 1.0)

    def scalars(self) -> dict[str, Tensor]:
        """Share of the samples with less than half of an equal weight."""
        return {"rrm_left_out": (self.relative < 0.5).double().mean()}
