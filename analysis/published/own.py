"""Rows of this laboratory's tables, with what decides which published numbers they compare with."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from analysis.comparison import averaged_label
from analysis.conditions import setting
from analysis.labels import FACTS, row_labels
from analysis.published.conventions import convention_of
from analysis.selection import Wanted, matching
from pipeline.errors import LabError
from pipeline.results.foreign import FOREIGN, told_method
from pipeline.results.view import Results

_COLUMNS = ("key", "status", "noise_kind", "noise_card", "nominal_rate", "backbone", "epochs",
            "n_train", "recipe", "recipe_status")  # fmt: skip


class Own(NamedTuple):
    """Runs that differ in nothing but the seed, with one kind of weights."""

    dataset: str
    noise: str
    label: str
    """What tables call the row."""
    method: str
    """Its variant, or its method script."""
    weights: str
    """averaged, or empty for the weights as trained."""
    convention: str
    rate: float | None
    backbone: str
    encoder: str
    """Name of the weights that it starts from or queries; none where there are none."""
    epochs: int
    n_train: int | None
    settings: dict[str, Any]
    recipe: str
    """Empty where the settings are those published for this cell; else whose they are."""


def own_rows(results: Results, where: Wanted) -> list[Own]:
    """The rows that a table of these runs has.

    Args:
        results: runs and epochs.
        where: allowed values by column of the runs table or setting.

    Returns:
        Those with a finished run, by data set, noise and label.

    Raises:
        LabError: where no run matches.
    """
    asked = set(where) & set(results.runs.collect_schema().names())
    runs = results.runs.select(sorted({*_COLUMNS, *FACTS, *asked})).collect()
    if runs.is_empty():
        raise LabError("no runs yet", "results of at least one run", "uv run dvc repro")
    chosen = matching(runs, where)
    labelled = chosen.join(row_labels(chosen), on="group").filter(status="done").sort("key")
    groups = labelled.unique(["dataset", "noise", "group"], keep="first")
    keeping = groups.filter(setting("averaging").is_not_null())
    averaged = keeping.with_columns(label=averaged_label())
    rows = [_own(row, "") for row in groups.iter_rows(named=True)]
    rows += [_own(row, "averaged") for row in averaged.iter_rows(named=True)]
    return sorted(rows, key=lambda own: (own.dataset, own.noise, own.label))


def _own(row: dict[str, Any], weights: str) -> Own:
    settings = json.loads(row["settings"])
    is_foreign = row["method"] == FOREIGN
    encoder = settings.get("encoder") or settings.get("start_from")
    status = "published" if is_foreign else row["recipe_status"] or "own"
    return Own(
        dataset=row["dataset"],
        noise=row["noise"],
        label=row["label"],
        method=told_method(settings) if is_foreign else row["variant"] or row["method"],
        weights=weights,
        convention=convention_of(row["noise_kind"], row["noise_card"]),
        rate=row["nominal_rate"],
        backbone=row["backbone"],
        encoder=encoder or "none",
        epochs=row["epochs"],
        n_train=row["n_train"],
        settings=settings,
        recipe="" if status == "published" else f"{row['recipe'] or 'of no recipe'}, {status}",
    )
