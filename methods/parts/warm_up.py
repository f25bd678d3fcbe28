"""What methods share that first train on all labels as they are, then choose among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from methods.parts.epoch_defaults import EpochDefaults
from pipeline.errors import LabError


class WarmUpSettings(EpochDefaults):
    """Settings of a method whose first epochs are plain cross entropy."""

    LEAST_WARM_UP: ClassVar[int] = 0
    """Epochs that every run has of it, even where none are left."""

    warm_up: int = Field(10, ge=0, le=100_000)
    """Epochs of cross entropy before samples are chosen, 0 to 100,000; by default a fifth of all,
    10 at most."""

    @classmethod
    def usual(cls, epochs: int, values: Mapping[str, Any]) -> dict[str, int]:
        """A fifth of the epochs, at most the warm-up of the authors."""
        del values
        longest = cls.model_fields["warm_up"].default
        return {"warm_up": max(cls.LEAST_WARM_UP, min(longest, epochs // 5))}

    @model_validator(mode="after")
    def _leaves_epochs(self) -> Self:
        least = self.LEAST_WARM_UP
        if self.warm_up >= max(self.epochs, least + 1):
            raise LabError(
                f"warm_up {self.warm_up} leaves none of {self.epochs} epochs",
                "an epoch after the warm-up",
                f"--warm-up {max(self.epochs // 2, least)}, or more epochs",
            )
        return self
