"""Values belong together by images, label table and seed, not by their order."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.evidence.pairs import STREAMS, are_crossed, by_draw, distinct_places

RUNS = pl.DataFrame(
    [
        ("a", "x", "first", 0, 0.1), ("a", "x", "first", 1, 0.2), ("a", "x", "second", 0, 0.3),
        ("b", "x", "second", 0, 0.6), ("b", "x", "first", 0, 0.4), ("b", "y", "first", 1, 0.7),
    ],
    schema=["label", "data_digest", "labels_digest", "seed", "value"], orient="row",
).with_columns(pl.lit(None, pl.Int64).alias(name) for name in STREAMS)  # fmt: skip


def test_a_column_is_a_draw_of_labels_and_seed() -> None:
    found = by_draw(RUNS, ["label"], [("b",), ("a",), ("none",)])
    expected = [[0.4, np.nan, 0.6, 0.7], [0.1, 0.2, 0.3, np.nan], [np.nan] * 4]
    np.testing.assert_array_equal(found, expected)
    shuffled = RUNS.sample(fraction=1, shuffle=True, seed=1)
    np.testing.assert_array_equal(
        by_draw(shuffled, ["label"], [("b",), ("a",), ("none",)]), expected
    )


def test_a_row_may_be_named_by_a_column_of_the_draw() -> None:
    found = by_draw(RUNS.filter(data_digest="x"), ["label", "seed"], [("a", 0), ("b", 0)])
    np.testing.assert_array_equal(found, [[0.1, np.nan, 0.3], [0.4, np.nan, 0.6]])


def test_one_label_table_under_two_names_is_one_place() -> None:
    places = pl.DataFrame(
        [
            ("digits", "pair", "cnn", "x", "first"), ("digits", "alias", "cnn", "x", "first"),
            ("digits", "sym", "cnn", "x", "second"), ("digits", "pair", "resnet", "x", "first"),
            ("other", "pair", "cnn", "y", "first"), ("other", "pair", "cnn", "y", "first"),
        ],
        schema=["dataset", "noise", "backbone", "data_digest", "labels_digest"], orient="row",
    )  # fmt: skip
    found = distinct_places(places, ("dataset", "noise", "backbone"))
    assert found.rows() == [
        ("digits", "alias", "cnn"), ("digits", "pair", "resnet"), ("digits", "sym", "cnn"),
        ("other", "pair", "cnn"),
    ]  # fmt: skip


def test_runs_pair_where_all_their_streams_do() -> None:
    orders = [(None, 0.1), (1, 0.2), (2, 0.3)]
    runs = [("a", "x", "l", 0, value, order) for order, value in orders]
    runs += [("b", "x", "l", 0, 1 + value, order) for order, value in reversed(orders[:2])]
    schema = ["label", "data_digest", "labels_digest", "seed", "value", "seed_order"]
    values = pl.DataFrame(runs, schema=schema, orient="row")
    others = [name for name in STREAMS if name != "seed_order"]
    values = values.with_columns(pl.lit(None, pl.Int64).alias(name) for name in others)
    found = by_draw(values, ["label"], [("a",), ("b",)])
    np.testing.assert_array_equal(found, [[0.1, 0.2, 0.3], [1.1, 1.2, np.nan]])
    assert are_crossed(values, ["label"])


def test_seeds_are_crossed_where_a_row_learned_from_several_draws_of_labels() -> None:
    assert are_crossed(RUNS, ["label"])
    # Other labels of other images are no other draw.
    assert not are_crossed(RUNS.filter(label="b", labels_digest="first"), ["label"])
