"""What a generator of noisy labels hands back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipeline.noise.arrays import Labels
from pipeline.noise.models import open_set


@dataclass(frozen=True)
class Drawn:
    """What a generator hands back.

    Args:
        noisy: int64 [n].
        convention: name of what the rate and the targets mean.
        nominal_rate: rate as asked for or published, None if there is none.
        seed: None where nothing was drawn.
        details: what else belongs on the card.
        openset: replaced images, or None.
        index: int64 [n], positions of the labelled samples, ascending; None for the first n.
    """

    noisy: Labels
    convention: str
    nominal_rate: float | None
    seed: int | None = None
    details: dict[str, Any] = field(default_factory=dict)
    openset: open_set.Replacement | None = None
    index: Labels | None = None

    @property
    def positions(self) -> Labels:
        """Positions of the labelled samples: int64 [n]."""
        return np.arange(len(self.noisy)) if self.index is None else self.index
