"""Protocols on epochs made by hand, with answers known by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from pipeline.results.protocols import PROTOCOLS, FirstMinimum, Name, Protocol, choose
from pipeline.results.tables.conform import conform
from tests.support.paths import REFERENCES
from tests.support.results_builder import epoch_rows

TWELVE = [0.1, 0.2, 0.9, 0.4, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7, 0.6]


def epochs_of(**runs: pl.DataFrame) -> pl.LazyFrame:
    return pl.concat([conform(rows, "epochs") for rows in runs.values()]).lazy()


def chosen(epochs: pl.LazyFrame, name: Name, metric: str = "test_accuracy") -> dict[str, object]:
    rows = choose(epochs, PROTOCOLS[name], metric).select("key", "epoch", "value").collect().rows()
    return {key: (epoch, value) for key, epoch, value in rows}


def test_every_name_has_a_rule() -> None:
    assert set(get_args(Name)) == set(PROTOCOLS)


@pytest.mark.parametrize(
    ("name", "long", "short"),
    [
        ("last", (11, 0.6), (1, 0.3)),
        # Epochs 2 to 11, and all there are of a run shorter than ten epochs.
        ("last10", (11, 0.65), (1, 0.25)),
        ("oracle", (2, 0.9), (1, 0.3)),
    ],
)
def test_protocols_without_validation(
    name: Name, long: tuple[int, float], short: tuple[int, float]
) -> None:
    epochs = epochs_of(a=epoch_rows("a", TWELVE), b=epoch_rows("b", [0.2, 0.3]))
    assert chosen(epochs, name) == {"a": pytest.approx(long), "b": pytest.approx(short)}


def test_best_validation_epoch_is_reported_on_test_and_the_earliest_of_equals() -> None:
    epochs = epochs_of(
        a=epoch_rows(
            "a",
            [0.1, 0.2, 0.3, 0.4],
            val_noisy_accuracy=[0.5, 0.6, 0.6, 0.1],
            val_clean_accuracy=[None, 0.2, None, 0.9],
        )
    )
    assert chosen(epochs, "best-noisy-val") == {"a": (1, 0.2)}
    assert chosen(epochs, "best-clean-val") == {"a": (3, 0.4)}
    assert chosen(epochs, "oracle") == {"a": (3, 0.4)}


def test_metric_is_read_at_the_epoch_of_the_criterion() -> None:
    epochs = epochs_of(a=epoch_rows("a", [0.1, 0.8, 0.3], memorised=[0.0, 0.25, 0.5]))
    assert chosen(epochs, "oracle", "memorised") == {"a": (1, 0.25)}
    assert chosen(epochs, "last", "memorised") == {"a": (2, 0.5)}


def test_runs_without_the_criterion_or_the_metric_are_left_out() -> None:
    epochs = epochs_of(
        a=epoch_rows("a", [0.1, 0.2], val_noisy_accuracy=[0.5, 0.4]), b=epoch_rows("b", [0.3])
    )
    assert chosen(epochs, "best-noisy-val") == {"a": (0, 0.1)}
    assert chosen(epochs, "last", "memorised") == {}
    assert chosen(epochs.filter(epoch=99), "last") == {}


def test_nothing_stands_in_for_validation_labels_that_are_clean() -> None:
    # Such a run records no val_noisy_accuracy, also none of its averaged weights.
    epochs = epochs_of(
        a=epoch_rows(
            "a",
            [0.1, 0.2],
            val_clean_accuracy=[0.5, 0.4],
            averaged_test_accuracy=[0.3, 0.4],
            averaged_val_clean_accuracy=[0.5, 0.4],
        )
    )
    for metric in ("test_accuracy", "averaged_test_accuracy"):
        assert chosen(epochs, "best-noisy-val", metric) == {}
        assert set(chosen(epochs, "best-clean-val", metric)) == {"a"}


@pytest.mark.parametrize("seed", range(20))
def test_order_of_the_rows_does_not_matter(seed: int) -> None:
    epochs = epochs_of(a=epoch_rows("a", TWELVE), b=epoch_rows("b", [0.2, 0.3]))
    shuffled = epochs.collect().sample(fraction=1.0, shuffle=True, seed=seed).lazy()
    for name in ("last", "last10", "oracle"):
        assert chosen(shuffled, name) == {
            key: pytest.approx(value) for key, value in chosen(epochs, name).items()
        }


def test_averaged_weights_choose_their_own_epoch() -> None:
    epochs = epochs_of(
        a=epoch_rows(
            "a",
            [0.1, 0.9, 0.3],
            val_noisy_accuracy=[0.5, 0.6, 0.4],
            averaged_test_accuracy=[0.2, 0.7, 0.8],
            averaged_val_noisy_accuracy=[0.1, 0.2, 0.3],
        )
    )
    metric = "averaged_test_accuracy"
    assert chosen(epochs, "best-noisy-val", metric) == {"a": (2, 0.8)}
    assert chosen(epochs, "best-noisy-val") == {"a": (1, 0.9)}
    assert chosen(epochs, "oracle", metric) == {"a": (2, 0.8)}
    assert chosen(epochs, "oracle") == {"a": (1, 0.9)}
    assert chosen(epochs, "last", metric) == {"a": (2, 0.8)}
    assert chosen(epochs, "last10", metric) == {"a": (2, pytest.approx(1.7 / 3))}


def changing(key: str, changes: Sequence[int | None], **columns: Any) -> pl.DataFrame:
    """Epochs of which each counts changes, and has its own number in hundredths as accuracy."""
    accuracy = [epoch / 100 for epoch in range(len(changes))]
    return epoch_rows(
        key, accuracy, prediction_changes=pl.Series(changes, dtype=pl.Int64), **columns
    )


CURVES = ("falling", "flat", "two_minima", "wave")


@pytest.mark.parametrize("patience", [1, 3, 5, 10])
@pytest.mark.parametrize("smoothed", [1, 3, 5])
def test_fewest_changes_chooses_as_label_wave(smoothed: int, patience: int) -> None:
    """On curves with the epochs that its equations give, by an independent count."""
    with np.load(REFERENCES / "labelwave_reference.npz") as stored:
        curves = {name: stored[f"{name}.changes"] for name in CURVES}
        at = f"k{smoothed}_p{patience}"
        expected = {
            name: int(stored[f"{name}.{at}.epoch"]) if stored[f"{name}.{at}.halted"] > 0 else None
            for name in CURVES
        }
    epochs = epochs_of(**{name: changing(name, [None, *map(int, curves[name])]) for name in CURVES})
    rule = Protocol("", "prediction_changes", first_minimum=FirstMinimum(smoothed, patience))
    found = choose(epochs.collect().sample(fraction=1, shuffle=True, seed=1).lazy(), rule).collect()
    assert dict(zip(found["key"], found["epoch"], strict=True)) == expected
    values = {name: None if epoch is None else epoch / 100 for name, epoch in expected.items()}
    assert dict(zip(found["key"], found["value"], strict=True)) == values
    assert expected["falling"] is None


def test_fewest_changes_says_that_it_found_none() -> None:
    falling = [None, *range(30, 0, -1)]
    # The minimum over three epochs is that of 6, 5 and 6, and five epochs follow.
    dented = [None, 9, 8, 6, 5, 6, 7, 8, 9, 9, 9, 1, 1, 1]
    epochs = epochs_of(
        falling=changing("falling", falling),
        dented=changing("dented", dented),
        short=changing("short", dented[:10]),
        old=epoch_rows("old", [0.5, 0.6]),
        without=changing("without", dented, averaged_test_accuracy=[0.5] * 14),
    )
    assert chosen(epochs, "fewest-changes") == {
        "falling": (None, None),
        "dented": (5, 0.05),
        "short": (None, None),
        "without": (5, 0.05),
    }
    # The averaged weights have no changes of their own; other runs have no averaged weights.
    assert chosen(epochs, "fewest-changes", "averaged_test_accuracy") == {"without": (5, 0.5)}


def test_epochs_that_counted_no_changes_are_left_out_of_the_averages() -> None:
    dented = [None, 9, 8, 6, None, 5, 6, 7, 8, None, 9, 9, 9, 1, 1, 1]
    assert chosen(epochs_of(a=changing("a", dented)), "fewest-changes") == {"a": (6, 0.06)}
