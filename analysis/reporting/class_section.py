"""What the report shows class by class: accuracies, and what is taken for what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from analysis.reporting.figures import Figure, Rows, cells, heat_map


class ClassSection(NamedTuple):
    """Test images of one noise by their true class, after the last epoch, all seeds together."""

    accuracies: Figure
    """A row a method, a column a class."""
    confusion: Figure
    """Of the method that is shown first."""
    confusions: dict[int, Rows]
    """Rows of this figure for every method, by number."""
    names: dict[int, str]
    """Names of these methods, in the order of the table."""


def class_section(
    runs: pl.DataFrame, order: Sequence[str], numbers: Mapping[str, int]
) -> ClassSection | None:
    """Add up what the runs of each method got right and wrong.

    Args:
        runs: of one data set and noise, with their label; those that are not done do not count.
        order: labels in the order of the table.
        numbers: of the methods by label.

    Returns:
        The section; None where no run stored its confusion.
    """
    done = runs.filter(pl.col("status") == "done", pl.col("confusion").is_not_null()).sort("key")
    if done.is_empty():
        return None
    class_names = done["class_names"][0].to_list()
    n = len(class_names)
    # Runs on another set of classes under the same name have no place in the same matrix.
    fitting = done.filter(pl.col("confusion").list.len() == n * n)
    shares = {
        label: _shares(own["confusion"].explode().to_numpy().reshape(-1, n, n).sum(axis=0))
        for (label,), own in fitting.group_by("label", maintain_order=True)
    }
    labels = [label for label in order if label in shares]
    if not labels:
        return None
    rows = [
        {"row": row, "m": numbers[label], **_accuracies(shares[label])}
        for row, label in enumerate(labels)
    ]
    confusions: dict[int, Rows] = {numbers[label]: cells(shares[label]) for label in labels}
    return ClassSection(
        heat_map("classes", rows, labels, class_names),
        heat_map("confusion", confusions[numbers[labels[0]]], class_names, class_names),
        confusions,
        {numbers[label]: label for label in labels},
    )


def _accuracies(shares: NDArray[np.float64]) -> dict[str, list[float]]:
    """Of the classes that have test images."""
    own = np.diagonal(shares)
    there = np.isfinite(own)
    return {"column": np.flatnonzero(there).tolist(), "share": own[there].round(3).tolist()}


def _shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Counts by row as shares of their row."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.full(counts.shape, np.nan)
    np.divide(counts, totals, out=shares, where=totals > 0)
    return shares
