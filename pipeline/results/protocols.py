"""Which epoch a number is taken from: named rules over the epochs table.

The training loop never selects an epoch. A protocol names a criterion, the number reported is the
metric at the epoch where the criterion is largest (the earliest of equal ones), or a mean over the
last epochs. Selecting on the test split (`oracle`) is optimistic by construction and is here to
show by how much.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import polars as pl

from pipeline.results.schema import AVERAGED, EPOCH_COLUMNS

Name = Literal["last", "last10", "best-noisy-val", "best-clean-val", "oracle"]


class Protocol(NamedTuple):
    """One rule that turns the epochs of a run into one number."""

    meaning: str
    """The rule in words, for captions."""
    criterion: str
    """Column whose largest value chooses the epoch; `epoch` for the last one."""
    window: int = 1
    """Number of epochs, up to the last one, over which the metric is averaged."""


PROTOCOLS: dict[Name, Protocol] = {
    "last": Protocol("last epoch", "epoch"),
    "last10": Protocol("mean of the last 10 epochs", "epoch", window=10),
    "best-noisy-val": Protocol(
        "epoch with the best accuracy on the noisy validation labels", "val_noisy_accuracy"
    ),
    "best-clean-val": Protocol(
        "epoch with the best accuracy on the clean validation labels", "val_clean_accuracy"
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
        out of it.
    """
    criterion, epoch = pl.col(criterion_of(rule, metric)), pl.col("epoch")
    # One pass over all epochs leaves few rows; only the epoch itself has a window beyond 1.
    kept = epochs.filter(criterion >= criterion.max().over("key") - (rule.window - 1))
    if rule.window == 1:
        kept = kept.filter(epoch == epoch.min().over("key"))
    return (
        kept.group_by("key")
        .agg(epoch=epoch.max(), value=pl.col(metric).mean())
        .filter(pl.col("value").is_not_null())
    )
