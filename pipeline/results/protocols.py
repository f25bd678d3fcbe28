"""Which epoch a number is taken from: named rules over the epochs table.

The training loop never selects an epoch. A protocol names a criterion, the number reported is the
metric at the epoch where the criterion is largest (the earliest of equal ones) or first has a
minimum, or a mean over the last epochs. Selecting on the test split (`oracle`) is optimistic by
construction and is here to show by how much.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import polars as pl

from pipeline.results.schema import AVERAGED, EPOCH_COLUMNS

Name = Literal["last", "last10", "best-noisy-val", "best-clean-val", "fewest-changes", "oracle"]

SMOOTHED_EPOCHS = 3
"""Epochs over which changes of predictions are averaged, the best of five numbers that the
publication of LabelWave (ICLR 2024) compares."""
PATIENCE = 5
"""Epochs in a row without a smaller average that make the smallest one a minimum; the publication
names no number."""


class FirstMinimum(NamedTuple):
    """The epoch whose criterion is the smallest so far when later ones have not undercut it."""

    smoothed: int
    """Epochs, up to the one in question, over which the criterion is averaged."""
    patience: int
    """Epochs in a row that must not undercut it."""


class Protocol(NamedTuple):
    """One rule that turns the epochs of a run into one number."""

    meaning: str
    """The rule in words, for captions."""
    criterion: str
    """Column that chooses the epoch by its largest value; `epoch` for the last one."""
    window: int = 1
    """Number of epochs, up to the last one, over which the metric is averaged."""
    first_minimum: FirstMinimum | None = None
    """Where the criterion chooses by its first minimum instead."""


PROTOCOLS: dict[Name, Protocol] = {
    "last": Protocol("last epoch", "epoch"),
    "last10": Protocol("mean of the last 10 epochs", "epoch", window=10),
    "best-noisy-val": Protocol(
        "epoch with the best accuracy on the noisy validation labels", "val_noisy_accuracy"
    ),
    "best-clean-val": Protocol(
        "epoch with the best accuracy on the clean validation labels", "val_clean_accuracy"
    ),
    "fewest-changes": Protocol(
        f"first epoch whose prediction changes, averaged over {SMOOTHED_EPOCHS} epochs, the next "
        f"{PATIENCE} do not undercut",
        "prediction_changes",
        first_minimum=FirstMinimum(SMOOTHED_EPOCHS, PATIENCE),
    ),
    "oracle": Protocol("epoch with the best accuracy on the test split", "test_accuracy"),
}
"""All protocols by name."""


def criterion_of(rule: Protocol, metric: str) -> str:
    """Column that chooses the epoch for a metric: of the averaged weights, if it tells of them."""
    own = AVERAGED + rule.criterion
    return own if metric.startswith(AVERAGED) and own in EPOCH_COLUMNS else rule.criterion


def choose(epochs: pl.LazyFrame, rule: Protocol, metric: str = "test_accuracy") -> pl.LazyFrame:
    """Value of a metric under a protocol, one row per run.

    Args:
        epochs: epochs of any number of runs; columns of `schema.EPOCHS`.
        rule: protocol to apply; averaged weights are judged by their own accuracies.
        metric: column that is reported.

    Returns:
        Columns key, epoch (the chosen one, the last one of a mean) and value. A run for which the
        criterion or the metric was never recorded has no row; missing epochs of a mean are left
        out of it. A run whose criterion has no first minimum has null for epoch and value.
    """
    criterion, epoch = pl.col(criterion_of(rule, metric)), pl.col("epoch")
    if rule.first_minimum is not None:
        return _at_first_minimum(epochs, rule.first_minimum, criterion, metric)
    if rule.criterion == "epoch":
        epochs = _without_early(epochs, rule.window)
    # One pass over all epochs leaves few rows; only the epoch itself has a window beyond 1.
    kept = epochs.filter(criterion >= criterion.max().over("key") - (rule.window - 1))
    if rule.window == 1:
        kept = kept.filter(epoch == epoch.min().over("key"))
    return (
        kept.group_by("key")
        .agg(epoch=epoch.max(), value=pl.col(metric).mean())
        .filter(pl.col("value").is_not_null())
    )


def _without_early(epochs: pl.LazyFrame, window: int) -> pl.LazyFrame:
    """Epochs without those that a later row puts out of the window, found by neighbours alone.

    Rows in any order are taken; in that of the store no more than the window is left of a run.
    """
    key, epoch = pl.col("key"), pl.col("epoch")
    same = key.eq_missing(key.shift(-window))
    return epochs.filter(~(same & (epoch.shift(-window) - epoch >= window)))


def _at_first_minimum(
    epochs: pl.LazyFrame, rule: FirstMinimum, criterion: pl.Expr, metric: str
) -> pl.LazyFrame:
    """What `choose` returns under a rule with a first minimum."""

    def in_order(of_run: pl.Expr) -> pl.Expr:
        return of_run.over("key", order_by="epoch")

    recorded = epochs.select("key", "epoch", value=metric, sum=criterion).drop_nulls("sum")
    sums = recorded.with_columns(
        # As good as means to compare, and exact.
        in_order(pl.col("sum").rolling_sum(rule.smoothed))
    ).drop_nulls("sum")
    lowest_before = pl.col("sum").cum_min().shift(1)
    is_lowest = lowest_before.is_null() | (pl.col("sum") < lowest_before)
    ranked = sums.with_columns(
        number=in_order(pl.int_range(pl.len())), is_lowest=in_order(is_lowest)
    ).with_columns(
        in_order(pl.when("is_lowest").then(name).forward_fill()).alias(f"lowest_{name}")
        for name in ("number", "epoch", "value")
    )
    halted = ranked.filter(pl.col("number") - pl.col("lowest_number") >= rule.patience)
    chosen = halted.group_by("key").agg(
        pl.col(f"lowest_{name}").sort_by("epoch").first().alias(name) for name in ("epoch", "value")
    )
    return (
        recorded.drop_nulls("value")
        .select("key")
        .unique()
        .join(chosen, on="key", how="left")
        .filter(pl.col("epoch").is_null() | pl.col("value").is_not_null())
    )
