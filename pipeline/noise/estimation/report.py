"""An estimated T of a label table: the features it is made from, and how far off it is."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from pipeline.data.dataset import load_dataset
from pipeline.data.features import read_features
from pipeline.noise.arrays import Floats
from pipeline.noise.card_text import matrix_lines
from pipeline.noise.estimation.hoc import Estimate
from pipeline.noise.label_table import LabelTable
from pipeline.noise.noise_card import confusion

Matrix = list[list[float]]


@dataclass(frozen=True)
class Report:
    """An estimate beside the truth.

    Args:
        dataset: name of the data set.
        noise: name of the label table.
        labels_digest: digest of the table.
        n: number of labels.
        T: [K][K], estimated P(noisy = j | clean = i).
        prior: [K], estimated P(clean = i).
        objective: distance between observed and modelled frequencies.
        counted: [K][K], shares counted with the clean labels; None where nobody knows them.
        max_error: largest difference of an entry, over classes with samples.
        row_error: mean over these classes of the sum of differences in a row.
    """

    dataset: str
    noise: str
    labels_digest: str
    n: int
    T: Matrix
    prior: list[float]
    objective: float
    counted: Matrix | None
    max_error: float | None
    row_error: float | None

    def lines(self) -> list[str]:
        """The report for reading."""
        lines = [f"estimated from {self.n} labels of {self.dataset} / {self.noise}"]
        lines += matrix_lines(self.T)
        rate = 1 - float(np.dot(self.prior, np.diag(self.T)))
        lines += [f"noise rate  {rate:.4f}", f"objective   {self.objective:.3g}"]
        if self.counted is None:
            return [*lines, "the clean labels are not known: nothing to compare with"]
        return [
            *lines,
            "counted with the clean labels:",
            *matrix_lines(self.counted),
            f"largest error of an entry  {self.max_error:.4f}",
            f"mean L1 error of a row     {self.row_error:.4f}",
        ]

    def to_json(self) -> str:
        """The report as JSON text."""
        return json.dumps(asdict(self), allow_nan=False)


def report(found: Estimate, labels: LabelTable) -> Report:
    """Compare an estimate with the clean labels of its table, if it has any.

    Args:
        found: the estimate.
        labels: the table whose noisy labels it was made from.

    Returns:
        The report.
    """
    counted, max_error, row_error = None, None, None
    if labels.y_clean is not None:
        counts = confusion(labels.y_clean, labels.y_noisy, len(found.T))
        sizes = counts.sum(axis=1)
        shares: Floats = counts / np.maximum(sizes, 1)[:, None]
        errors = np.abs(found.T - shares)[sizes > 0]
        counted = shares.tolist()
        max_error, row_error = float(errors.max()), float(errors.sum(axis=1).mean())
    return Report(
        dataset=labels.card.dataset,
        noise=labels.card.name,
        labels_digest=labels.card.labels_digest,
        n=len(labels.index),
        T=found.T.tolist(),
        prior=found.prior.tolist(),
        objective=found.objective,
        counted=counted,
        max_error=max_error,
        row_error=row_error,
    )


def features_of(labels: LabelTable, file: Path | None) -> Floats:
    """Features of the images of a table.

    Args:
        labels: the table.
        file: .npy, .npz or .pt, float [N, D], a row per training image of the data set; None for
            raw pixels.

    Returns:
        Floating [n, D], a row per label of the table.

    Raises:
        LabError: if the file does not hold a row per training image, or pixels are not at hand.
    """
    dataset = load_dataset(labels.card.dataset)
    if file is None:
        pixels = dataset.train_images[labels.index]
        return pixels.reshape(len(pixels), -1).astype(np.float32)
    return np.asarray(read_features(file, dataset.card)[labels.index])
