"""Accuracies by class and confusions are those of the stored counts, all seeds together."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from analysis.labels import row_labels
from analysis.reporting.class_section import ClassSection, class_section
from pipeline.results.store import Store
from tests.support.results_builder import add_run


def section_of(store: Store, order: list[str]) -> ClassSection | None:
    runs = store.runs().collect()
    numbers = {label: number for number, label in enumerate(order)}
    return class_section(runs.join(row_labels(runs), on="group"), order, numbers)


def test_counts_of_all_seeds_are_added_up(tmp_path: Path) -> None:
    store = Store(tmp_path)
    # Class two has no test image.
    add_run(store, confusion=[3, 1, 0, 1, 1, 0, 0, 0, 0])
    add_run(store, seed=1, confusion=[4, 0, 0, 0, 2, 0, 0, 0, 0])
    add_run(store, variant="dal", confusion=[0, 2, 0, 0, 2, 0, 0, 0, 0])
    add_run(store, variant="dal", seed=1, status="diverged", confusion=[2, 0, 0, 2, 0, 0, 0, 0, 0])
    section = section_of(store, ["dal", "ce"])
    assert section is not None
    assert section.names == {0: "dal", 1: "ce"}
    assert list(section.accuracies.rows) == [
        {"row": 0, "m": 0, "column": [0, 1], "share": [0.0, 1.0]},
        {"row": 1, "m": 1, "column": [0, 1], "share": [0.875, 0.75]},
    ]
    assert section.accuracies.params["row_names"] == ["dal", "ce"]
    assert section.confusion.rows == section.confusions[0]
    assert section.confusions[1][:2] == [
        {"row": 0, "column": [0, 1], "share": [0.875, 0.125]},
        {"row": 1, "column": [0, 1], "share": [0.25, 0.75]},
    ]


def test_without_stored_counts_there_is_nothing_to_show(tmp_path: Path) -> None:
    store = Store(tmp_path)
    add_run(store, confusion=None)
    add_run(store, variant="dal", class_names=["zero", "one"], confusion=[1] * 9)
    assert section_of(store, ["ce", "dal"]) is None
    assert store.runs().select(pl.len()).collect().item() == 2
