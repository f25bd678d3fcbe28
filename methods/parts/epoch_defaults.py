"""Settings that count epochs, whose defaults follow from the length of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from pipeline.config import RunSettings


class EpochDefaults(RunSettings):
    """Settings of which some defaults follow from the number of epochs."""

    @model_validator(mode="before")
    @classmethod
    def _complete_epochs(cls, values: dict[str, Any]) -> dict[str, Any]:
        epochs = values.get("epochs", cls.model_fields["epochs"].default)
        return (cls.usual(epochs, values) if isinstance(epochs, int) else {}) | values

    @classmethod
    def usual(cls, epochs: int, values: Mapping[str, Any]) -> dict[str, int]:
        """Defaults of a run of so many epochs, where these settings are given."""
        del epochs, values
        return {}
