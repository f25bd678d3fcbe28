"""Curves over the epochs, mean over seeds, as a table."""

from __future__ import annotations

import polars as pl

from analysis.labels import FACTS, row_labels
from pipeline.results.view import Results

PANELS = {
    "test_accuracy": "test accuracy",
    "memorised": "memorised: mislabelled samples predicted\nas their wrong given label",
    "corrected": "corrected: mislabelled samples predicted\nas their true class",
}
"""Columns that are drawn, and what stands above them."""
COLUMNS = (*PANELS, "train_accuracy", "clean_fitted", "val_noisy_accuracy")
"""Columns of the epochs table in the table of curves."""
SPREAD = "_std"
"""How the name of a column of deviations ends."""
_PLACE = ("dataset", "noise", "method", "epoch")


def mean_curves(results: Results) -> pl.DataFrame:
    """Mean and sample standard deviation over the finished runs of each method and epoch.

    Args:
        results: runs and epochs.

    Returns:
        Columns dataset, noise, method (row label), epoch, n, and `COLUMNS` each with its standard
        deviation under the ending `SPREAD`; sorted by the first four.
    """
    runs = results.runs.select("key", "status", *FACTS).collect()
    named = (
        runs.filter(pl.col("status") == "done")
        .join(row_labels(runs), on="group")
        .select("key", "dataset", "noise", method="label")
    )
    means = [pl.col(name).mean() for name in COLUMNS]
    spreads = [pl.col(name).std(ddof=1).name.suffix(SPREAD) for name in COLUMNS]
    # Sorted and collected first: the same runs give the same sums, to the last bit. A sort within
    # the query would be optimised away.
    epochs = results.epochs.join(named.lazy(), on="key").sort(*_PLACE, "key").collect()
    return (
        epochs.group_by(_PLACE, maintain_order=True)
        .agg(pl.len().alias("n"), *means, *spreads)
        .sort(_PLACE)
    )
