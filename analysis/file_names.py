"""Which file a sample came from: names of training images, where the data set is prepared here."""

from __future__ import annotations

import sys

import polars as pl

from pipeline.data.dataset import load_dataset
from pipeline.errors import LabError


def file_names(dataset: str, data_digest: str) -> tuple[str, ...] | None:
    """Paths of the training images below their root, in order.

    Args:
        dataset: name of the data set.
        data_digest: of the images that are meant.

    Returns:
        The paths; None where images came in one array, and, with a line on stderr, where these
        images are not prepared here.
    """
    try:
        found = load_dataset(dataset)
    except LabError:
        found = None
    if found is None or found.card.digest != data_digest:
        print(
            f"note: no file names: data set {dataset} is not prepared here as the runs had it",
            file=sys.stderr,
        )
        return None
    return found.train_files


def with_files(samples: pl.DataFrame, files: tuple[str, ...] | None) -> pl.DataFrame:
    """Samples with a column `file` after their index, where there are names.

    Args:
        samples: with a column index, positions in the training split.
        files: from `file_names`.
    """
    if files is None:
        return samples
    at = samples.columns.index("index") + 1
    names = pl.Series("file", files, pl.String).gather(samples["index"])
    return samples.insert_column(at, names)
