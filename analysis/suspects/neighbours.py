"""Votes of the nearest samples by features that were computed elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from analysis.suspects.evidence import Floats, Labels
from pipeline.data.dataset import load_card
from pipeline.data.matrix import read_matrix
from pipeline.errors import LabError, quoted
from pipeline.files import absolute
from pipeline.fingerprints import content_digest


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
        # Loading SciPy and scikit-learn takes a second: only who asks for neighbours waits.
        from sklearn.neighbors import NearestNeighbors
        from sklearn.preprocessing import normalize

        if not 1 <= self.k < len(index):
            raise LabError(
                f"{self.k} neighbours among {len(index)} samples",
                f"1 to {len(index) - 1}",
                "--k 10",
            )
        # Of rows of length 1, the nearest are those of the largest cosine.
        rows = normalize(np.asarray(self.rows[index], np.float32))
        near = NearestNeighbors(n_neighbors=self.k).fit(rows).kneighbors(return_distance=False)
        votes = np.zeros((len(index), n_classes))
        np.add.at(votes, (np.arange(len(index))[:, None], given[near]), 1.0 / self.k)
        return votes


def read_features(file: Path, dataset: str, k: int) -> Features:
    """Read a file of features.

    Args:
        file: .npy, .npz or .pt, floating [N, D], row i for position i of the training images.
        dataset: whose images.
        k: neighbours that vote.

    Returns:
        The features.

    Raises:
        LabError: if it is no such file, or has not a row per training image.
    """
    path = absolute(file.expanduser())
    rows, n = read_matrix(str(path), "features [N, D]"), load_card(dataset).n_train
    if len(rows) != n:
        raise LabError(
            f"{quoted(str(file))} has {len(rows)} rows",
            f"{n}, one per training image of {quoted(dataset)}",
            "compute the features on all training images",
        )
    return Features(rows, content_digest(path) or "", k)
