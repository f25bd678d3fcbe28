"""What methods share that first train on all labels as they are, then choose among them."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from pipeline.config import RunSettings
from pipeline.errors import LabError


class WarmUpSettings(RunSettings):
    """Settings of a method whose first epochs are plain cross entropy."""

    warm_up: int = Field(10, ge=0, le=100_000)
    """Epochs of cross entropy before samples are chosen, 0 to 100,000; by default a fifth of all,
    10 at most."""
    warm_up_penalty: bool = False
    """Add the negative entropy of the predictions to the loss of the warm-up."""

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, values: dict[str, Any]) -> dict[str, Any]:
        epochs = values.get("epochs", cls.model_fields["epochs"].default)
        return (cls.usual(epochs) if isinstance(epochs, int) else {}) | values

    @classmethod
    def usual(cls, epochs: int) -> dict[str, int]:
        """Defaults that follow from the number of epochs."""
        return {"warm_up": min(10, epochs // 5)}

    @model_validator(mode="after")
    def _leaves_epochs(self) -> Self:
        if self.warm_up >= self.epochs:
            raise LabError(
                f"warm_up {self.warm_up} leaves none of {self.epochs} epochs",
                "an epoch after the warm-up",
                f"--warm-up {self.epochs // 2}, or more epochs",
            )
        return self
