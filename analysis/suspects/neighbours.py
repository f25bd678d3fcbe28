"""Votes of the nearest samples by features that were computed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.suspects.evidence import Floats, Labels
from pipeline.data.dataset import load_card
from pipeline.data.features import read_features
from pipeline.errors import LabError
from pipeline.fingerprints import content_digest
from pipeline.identity import array_digest


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the training images of one data set.

    Args:
        rows: floating [N, D], a row per training image.
        digest: of their file.
        k: neighbours that vote.
    """

    rows: npt.NDArray[np.floating[Any]]
    digest: str
    k: int
    _found: dict[str, Labels] = field(default_factory=dict, init=False, repr=False)
    """Neighbours by the digest of the samples among which they were sought."""

    def votes(self, index: Labels, given: Labels, n_classes: int) -> Floats:
        """Share of the k nearest samples, by cosine, that are given each class.

        Args:
            index: int64 [n], positions of the samples.
            given: int64 [n], their labels.
            n_classes: K.

        Returns:
            float64 [n, K]; a sample has no vote of its own.

        Raises:
            LabError: for more neighbours than other samples.
        """
        near = self._neighbours(index)
        votes = np.zeros((len(index), n_classes))
        np.add.at(votes, (np.arange(len(index))[:, None], given[near]), 1.0 / self.k)
        return votes

    def _neighbours(self, index: Labels) -> Labels:
        """The k nearest of each sample, as places in the index: int64 [n, k].

        Runs that hold out the same samples share them, whatever their labels.
        """
        # Loading SciPy and scikit-learn takes a second: only who asks for neighbours waits.
        from sklearn.neighbors import NearestNeighbors
        from sklearn.preprocessing import normalize

        if not 1 <= self.k < len(index):
            raise LabError(
                f"{self.k} neighbours among {len(index)} samples",
                f"1 to {len(index) - 1}",
                "--k 10",
            )
        place = array_digest(index)
        if place not in self._found:
            # Of rows of length 1, the nearest are those of the largest cosine.
            rows = normalize(np.asarray(self.rows[index], np.float32))
            search = NearestNeighbors(n_neighbors=self.k).fit(rows)
            self._found[place] = search.kneighbors(return_distance=False)
        return self._found[place]


def features_for(file: Path, dataset: str, k: int) -> Features:
    """Features that neighbours are sought by.

    Args:
        file: as of `read_features`.
        dataset: whose images.
        k: neighbours that vote.

    Returns:
        The features.

    Raises:
        LabError: if it is no such file, or has not a row per training image.
    """
    rows = read_features(file, load_card(dataset))
    return Features(rows, content_digest(file.expanduser()) or "", k)
