"""Features of the training images of a data set, computed elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.data_card import DataCard
from pipeline.data.matrix import read_matrix
from pipeline.errors import LabError, quoted
from pipeline.files import absolute


def read_features(file: Path, card: DataCard) -> npt.NDArray[np.floating[Any]]:
    """Read a file of features.

    Args:
        file: .npy, .npz or .pt, a row per training image; from the folder the program runs in.
        card: of the data set.

    Returns:
        Floating [N, D], row i for position i of the training images.

    Raises:
        LabError: if it is no such file, or has not a row per training image.
    """
    rows = read_matrix(str(absolute(file.expanduser())), "features [N, D]")
    if len(rows) != card.n_train:
        raise LabError(
            f"{quoted(str(file))} has {len(rows)} rows",
            f"{card.n_train}, one per training image of {quoted(card.name)}",
            "compute the features on all training images",
        )
    return rows
