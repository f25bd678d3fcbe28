"""Values belong together by images, label table and seed, not by their order."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.evidence.pairs import by_draw, distinct_places

RUNS = pl.DataFrame(
    [
        ("a", "x", "first", 0, 0.1), ("a", "x", "first", 1, 0.2), ("a", "x", "second", 0, 0.3),
        ("b", "x", "second", 0, 0.6), ("b", "x", "first", 0, 0.4), ("b", "y", "first", 1, 0.7),
    ],
    schema=["label", "data_digest", "labels_digest", "seed", "value"], orient="row",
)  # fmt: skip


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
