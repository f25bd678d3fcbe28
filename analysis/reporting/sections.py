"""What the report shows, as plain data: per data set and noise the numbers and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from analysis.comparison import Comparison, compare
from analysis.conditions import differing, row_conditions
from analysis.curves import mean_curves
from analysis.labels import row_labels
from analysis.layouts.layout import Layout, in_blocks, lay_out
from analysis.published.badges import Badges, badges
from analysis.reporting.class_section import ClassSection, class_section
from analysis.reporting.figures import Figure, cells, curve_panels, heat_map
from analysis.reporting.run_section import RunSection, run_section
from pipeline.results.given import AS_GIVEN, noise_as_shown
from pipeline.results.keys import seeds_in_words
from pipeline.results.protocols import PROTOCOLS, Name
from pipeline.results.schema import SEED_COLUMNS
from pipeline.results.view import Results

_OF_LAST_EPOCH = {"memorised": "memorised", "calibration_error": "test_calibration_error"}
"""Further numbers of a row -> their metrics."""
_COUNTS = ("n", "diverged", "failed", "stopped", "running", "knows")


class NoiseSection(NamedTuple):
    """One label table: how it was made and what the methods made of it."""

    noise: str
    card: dict[str, Any]
    """Noise kind, rates, number of samples."""
    conditions: tuple[str, ...]
    """What the rows differ in besides the method."""
    protocols: tuple[Name, ...]
    """Those under which some method has a number or looked for one in vain, and `last`."""
    rows: list[dict[str, Any]]
    """Per method: label, conditions, n, knows, cells (mean, std, not_found, optimism and published
    under each protocol, optimism not for oracle itself), memorised and calibration_error (last
    epoch); fractions, None where nothing was recorded, or published."""
    calibrated: bool
    """Whether some row has a calibration error."""
    curves: dict[str, Figure]
    """By what stands above them; none without a finished run."""
    transition: Figure | None
    """None without clean labels."""
    classes: ClassSection | None
    """None where no run stored its confusion."""


class DatasetSection(NamedTuple):
    """One data set."""

    dataset: str
    overview: Layout
    noises: list[NoiseSection]
    ended_early: list[dict[str, Any]]
    """Runs that diverged or failed: method, noise, seeds in words, status, status_detail."""
    runs: RunSection


def numbered(runs: pl.DataFrame) -> dict[str, int]:
    """Number the methods of a page by label, so that each looks the same in all its charts.

    Args:
        runs: of all data sets.
    """
    of_sets = [row_labels(own)["label"] for _, own in runs.group_by("dataset")]
    return {label: number for number, label in enumerate(sorted({*chain(*of_sets)}))}


def dataset_section(
    results: Results, dataset: str, numbers: Mapping[str, int]
) -> tuple[DatasetSection, pl.DataFrame]:
    """Gather what the report says about one data set.

    Args:
        results: runs and epochs.
        dataset: its name.
        numbers: of the methods of the page by label.

    Returns:
        The section, and the table of mean curves it draws from.
    """
    told = results.runs.filter(dataset=dataset).with_columns(noise_as_shown())
    own = Results(told, results.epochs)
    comparisons = {name: compare(own, name, optimism=name != "oracle") for name in PROTOCOLS}
    last_epochs = {name: compare(own, metric=metric) for name, metric in _OF_LAST_EPOCH.items()}
    curves = mean_curves(own)
    published = badges(own)
    runs = own.runs.collect()
    runs = runs.join(row_labels(runs), on="group")
    noises = []
    for (noise,), of_noise in runs.sort("noise").group_by("noise", maintain_order=True):
        conditions, protocols, rows = _rows(str(noise), comparisons, last_epochs, published)
        noises.append(
            NoiseSection(
                str(noise),
                _card(of_noise),
                conditions,
                protocols,
                rows,
                any(row["calibration_error"] is not None for row in rows),
                curve_panels(curves.filter(noise=noise), numbers),
                _transition(of_noise),
                class_section(of_noise, [row["label"] for row in rows], numbers),
            )
        )
    early = runs.filter(pl.col("status").is_in(["diverged", "failed"]))
    columns = ("method", "variant", "noise", "seed", *SEED_COLUMNS)
    section = DatasetSection(
        dataset,
        lay_out(comparisons["last"]),
        noises,
        [
            row | {"seed": seeds_in_words(row).removeprefix("seed ")}
            for row in early.sort(columns).select(*columns, "status", "status_detail").to_dicts()
        ],
        run_section(runs, own, numbers),
    )
    return section, curves


def _rows(
    noise: str,
    comparisons: dict[Name, Comparison],
    last_epochs: dict[str, Comparison],
    published: Badges,
) -> tuple[tuple[str, ...], tuple[Name, ...], list[dict[str, Any]]]:
    """Conditions that differ, protocols that say something, and rows, of the table of one noise."""

    def by_label(comparison: Comparison) -> dict[str, dict[str, Any]]:
        return {row["label"]: row for row in comparison.cells.filter(noise=noise).to_dicts()}

    found = {name: by_label(comparison) for name, comparison in comparisons.items()}
    kept = {name: by_label(comparison) for name, comparison in last_epochs.items()}
    last = comparisons["last"]._replace(cells=comparisons["last"].cells.filter(noise=noise))
    shown = differing(last.cells, ("noise",))
    conditions = row_conditions(last.cells, ("label",), shown)
    rows = []
    for row_key in (row for block in in_blocks(last, conditions) for row in block):
        label = row_key[0]
        cells = {
            name: found[name][label] | {"published": published.get((noise, label, name))}
            for name in comparisons
        }
        rows.append(
            {
                "label": label,
                "conditions": conditions[row_key],
                **{name: cells["last"][name] for name in _COUNTS},
                "cells": cells,
                # What is read off the training pass tells of the weights as trained only.
                **{
                    name: own[label]["mean"] if label in own else None for name, own in kept.items()
                },
            }
        )
    saying = {name for row in rows for name, cell in row["cells"].items() if _says(cell)}
    return shown, tuple(name for name in PROTOCOLS if name in {"last", *saying}), rows


def _says(cell: dict[str, Any]) -> bool:
    return bool(cell["n"] or cell["not_found"])


def _card(runs: pl.DataFrame) -> dict[str, Any]:
    """How the label table came about; of the runs of one noise the first draw speaks for all."""
    columns = ("noise_kind", "nominal_rate", "realised_rate", "n_train", "n_val", "n_test")
    told = runs.sort("seed_noise", "key").select(*columns, "noise", "labels_digest")
    row = told.row(0, named=True)
    is_given = row["noise"] == AS_GIVEN
    return row | {"kind": "labels as given" if is_given else f"{row['noise_kind']} noise"}


def _transition(runs: pl.DataFrame) -> Figure | None:
    card, class_names = runs.sort("seed_noise", "key").select("noise_card", "class_names").row(0)
    transition = json.loads(card or "{}").get("transition")
    if not transition:
        return None
    shares = np.array(transition, dtype=float)
    return heat_map("transition", cells(shares), class_names, class_names)
