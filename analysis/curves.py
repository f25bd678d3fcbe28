"""Curves over the epochs: mean over seeds, as a table and as pictures."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from analysis.labels import FACTS, row_labels
from analysis.pictures import names_as_text
from pipeline.results.view import Results

PANELS = {
    "test_accuracy": "test accuracy",
    "memorised": "memorised: mislabelled samples predicted\nas their wrong given label",
    "corrected": "corrected: mislabelled samples predicted\nas their true class",
}
"""Columns that are drawn, and what stands above them."""
COLUMNS = (*PANELS, "train_accuracy", "clean_fitted", "val_noisy_accuracy")
"""Columns of the epochs table in the table of curves."""
_SPREAD = "_std"
_PLACE = ("dataset", "noise", "method", "epoch")


def mean_curves(results: Results) -> pl.DataFrame:
    """Mean and sample standard deviation over the finished runs of each method and epoch.

    Args:
        results: runs and epochs.

    Returns:
        Columns dataset, noise, method (row label), epoch, n, and `COLUMNS` each with its standard
        deviation under the ending `_std`; sorted by the first four.
    """
    runs = results.runs.select("key", "status", *FACTS).collect()
    named = (
        runs.filter(pl.col("status") == "done")
        .join(row_labels(runs), on="group")
        .select("key", "dataset", "noise", method="label")
    )
    means = [pl.col(name).mean() for name in COLUMNS]
    spreads = [pl.col(name).std(ddof=1).name.suffix(_SPREAD) for name in COLUMNS]
    # Sorted and collected first: the same runs give the same sums, to the last bit. A sort within
    # the query would be optimised away.
    epochs = results.epochs.join(named.lazy(), on="key").sort(*_PLACE, "key").collect()
    return (
        epochs.group_by(_PLACE, maintain_order=True)
        .agg(pl.len().alias("n"), *means, *spreads)
        .sort(_PLACE)
    )


@names_as_text
def draw_curves(curves: pl.DataFrame, colours: Mapping[str, str]) -> Figure:
    """Draw the curves of one data set and noise side by side, with a band of one deviation.

    Args:
        curves: rows of `mean_curves` of one data set and noise.
        colours: colour of each method.

    Returns:
        One panel per column of `PANELS` that has values.
    """
    panels = {name: title for name, title in PANELS.items() if curves[name].count()}
    figure = Figure(figsize=(4.2 * len(panels), 3.4), layout="constrained")
    for axes, (name, title) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for method, colour in colours.items():
            own = curves.filter(method=method)
            mean = own[name].to_numpy()
            spread = np.nan_to_num(own[name + _SPREAD].to_numpy())
            axes.plot(own["epoch"], mean, color=colour, linewidth=1.5)
            axes.fill_between(
                own["epoch"], mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0
            )
        axes.set(xlabel="epoch", ylim=(0, 1))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.set_title(title, fontsize="medium", loc="left")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(
        figure.axes[0].get_lines(),
        [str(number) for number in range(len(colours))],
        loc="outside lower center",
        ncols=7,
        frameon=False,
    )
    # Set afterwards: a legend leaves out what begins with an underscore.
    for text, method in zip(legend.get_texts(), colours, strict=True):
        text.set_text(method)
    return figure
