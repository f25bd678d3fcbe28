"""What one run left behind about its training samples, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evidence:
    """What is known about the training samples of one run.

    Args:
        n_classes: K.
        samples: rows of the samples table, n of them, ascending by index.
        neighbours: float64 [n, K], share of the nearest samples that are given each class; None
            without features.
    """

    n_classes: int
    samples: pl.DataFrame
    neighbours: Floats | None = None

    @property
    def index(self) -> Labels:
        """Positions in the training split: int64 [n]."""
        return self.samples["index"].cast(pl.Int64).to_numpy()

    @property
    def given(self) -> Labels:
        """Given labels: int64 [n]."""
        return self.samples["y_noisy"].cast(pl.Int64).to_numpy()

    @property
    def wrong(self) -> npt.NDArray[np.bool_] | None:
        """Which given labels differ from the true ones, [n]; None where nobody knows these."""
        if self.samples["y_clean"].null_count():
            return None
        return (self.samples["y_noisy"] != self.samples["y_clean"]).to_numpy()

    @property
    def unseen(self) -> npt.NDArray[np.bool_]:
        """Samples of which no epoch of the run has told anything: [n]."""
        return (self.samples["prediction"].fill_null(-1) < 0).to_numpy()

    def lacking(self, names: Sequence[str]) -> list[str]:
        """Those of some columns that the run did not store."""
        return [name for name in names if self.samples[name].null_count() == self.samples.height]

    def column(self, name: str) -> Floats:
        """A statistic: float64 [n], NaN for samples that the run has not seen."""
        values = self.samples[name].cast(pl.Float64).fill_null(np.nan).to_numpy(writable=True)
        values[self.unseen] = np.nan
        return values

    @cached_property
    def probabilities(self) -> Floats:
        """Averaged probability vectors: float64 [n, K], rows sum to one; NaN for unseen samples."""
        found = np.full((self.samples.height, self.n_classes), np.nan)
        rows = self.samples["mean_probabilities"]
        known = rows.is_not_null().to_numpy() & ~self.unseen
        vectors = rows.filter(pl.Series(known)).explode().to_numpy()
        found[known] = vectors.reshape(-1, self.n_classes)
        # float16 in the file: rows sum to one but for its rounding.
        found /= found.sum(axis=1, keepdims=True)
        return found
