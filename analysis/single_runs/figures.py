"""What a run reached: its test accuracy under each protocol, and its last epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.layouts.layout import number
from pipeline.results.protocols import PROTOCOLS, choose

NOTHING = "–"
_OF_LAST = ("memorised", "corrected", "averaged_test_accuracy")


def last_accuracies(epochs: pl.LazyFrame) -> dict[str, float]:
    """Test accuracy of the last epoch of runs, by key."""
    rows = choose(epochs, PROTOCOLS["last"]).select("key", "value").collect()
    return dict(rows.iter_rows())


def figures_of(epochs: pl.DataFrame) -> dict[str, float]:
    """Figures of one run by name, fractions; what it did not record is left out.

    Args:
        epochs: of the run, in order.
    """
    found = {}
    for name, rule in PROTOCOLS.items():
        chosen = choose(epochs.lazy(), rule).collect()
        if len(chosen) and (value := chosen["value"].item()) is not None:
            found[f"test_accuracy, {name}"] = value
    if len(epochs):
        last: Mapping[str, Any] = epochs.row(-1, named=True)
        found |= {f"{name}, last": last[name] for name in _OF_LAST if last[name] is not None}
    return found


def percent(value: float | None) -> str:
    """A fraction as tables show it."""
    return NOTHING if value is None else f"{number(value, 'test_accuracy')} %"
