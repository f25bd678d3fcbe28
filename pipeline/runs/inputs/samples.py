"""Which labelled images a run trains on, and which it is validated on."""

from __future__ import annotations

import numpy as np

from pipeline.config import RunSettings
from pipeline.data.balanced import balanced_epoch
from pipeline.data.dataset import Dataset
from pipeline.data.source import Labels
from pipeline.errors import LabError
from pipeline.identity import seed_stream
from pipeline.noise.label_table import LabelTable


def choose_samples(table: LabelTable, settings: RunSettings) -> tuple[Labels, Labels]:
    """Rows of a label table that are held out and that are trained on.

    Args:
        table: the labelled images.
        settings: validation, val_rate, down_sample and the stream split are read.

    Returns:
        Rows for validation and for training, int64, each ascending.

    Raises:
        LabError: when the validation split would be empty or take all samples.
    """
    n = len(table.index)
    rate = settings.val_rate if settings.validation == "held-out" else 0.0
    n_val = round(rate * n)
    if rate > 0 and not 0 < n_val < n:
        raise LabError(
            f"val_rate {rate} of {n} samples is {n_val} samples",
            f"at least one and fewer than {n}",
            "--val-rate 0 for no validation split",
        )
    stream = np.random.Generator(np.random.PCG64(settings.stream("split")))
    order = stream.permutation(n)
    held_out, kept = np.sort(order[:n_val]), np.sort(order[n_val:])
    if settings.down_sample:
        seed = seed_stream(settings.root_of("split"), "down-sample")
        kept = np.sort(kept[balanced_epoch(table.y_noisy[kept], None, seed)])
    return held_out, kept


def uncovered(dataset: Dataset, table: LabelTable) -> tuple[Labels, Labels]:
    """Training images that a label table leaves out.

    Args:
        dataset: with clean training labels.
        table: whose positions are not wanted.

    Returns:
        Their positions and their clean labels, int64 each, ascending by position.

    Raises:
        LabError: when the table covers all images, or clean labels are unknown.
    """
    rest = np.setdiff1d(np.arange(dataset.card.n_train), table.index)
    clean = dataset.train_clean_labels
    if len(rest) == 0 or clean is None:
        lack = "clean labels" if clean is None else "images that the label table leaves out"
        raise LabError(
            f"validation on uncovered images of {dataset.card.name}, which has no {lack}",
            "a label table of a part of the images, as the published pmd files are",
            "--validation held-out --val-rate 0.1",
        )
    return rest, clean[rest]


def provided(dataset: Dataset) -> Labels:
    """Clean labels of the validation split that a data set brings along, int64 [n_val].

    Raises:
        LabError: when it brings none.
    """
    if "val" not in dataset.extra:
        raise LabError(
            f"validation on a split that {dataset.card.name} provides, but it has none",
            "a data set with a validation split, such as clothing1m",
            "--validation held-out --val-rate 0.1",
        )
    return dataset.extra["val"].labels
