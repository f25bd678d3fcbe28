"""The decay of adam's first moment that some codes lower while their learning rate falls."""

from __future__ import annotations

from pydantic import Field

from pipeline.config import RunSettings
from pipeline.training.phases import Phase


class LateDecaySettings(RunSettings):
    """Settings of methods whose adam may forget faster in the end."""

    late_beta1: float | None = Field(None, ge=0, lt=1)
    """First decay of adam while the linear schedule falls; None for 0.9 throughout."""

    def without_effect(self) -> set[str]:
        """Only a falling adam has a late decay."""
        falls = self.optimizer == "adam" and self.schedule == "linear"
        return super().without_effect() | (set() if falls else {"late_beta1"})

    def phase_of(self, epoch: int, groups: tuple[str, ...]) -> Phase:
        """An epoch as it is, but for the late decay of adam in these parameter groups."""
        unused = "late_beta1" in self.without_effect() or epoch < self.lr_decay_from
        if self.late_beta1 is None or unused:
            return Phase()
        return Phase(options={name: {"betas": (self.late_beta1, 0.999)} for name in groups})
