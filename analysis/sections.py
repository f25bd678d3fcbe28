"""What the report shows, as plain data: per data set and noise the numbers and pictures."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import polars as pl

from analysis.comparison import Comparison, compare
from analysis.conditions import differing, row_conditions
from analysis.curves import draw_curves, mean_curves
from analysis.layout import Layout, in_blocks, lay_out
from analysis.pictures import colours, draw_transition, svg
from analysis.published.badges import Badges, badges
from pipeline.results.keys import seeds_in_words
from pipeline.results.protocols import PROTOCOLS, Name
from pipeline.results.schema import SEED_COLUMNS
from pipeline.results.view import Results

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
    under each protocol, optimism not for oracle itself) and memorised (last epoch); fractions, None
    where nothing was recorded, or published."""
    curves: str | None
    """Picture as SVG; None without a finished run."""
    transition: str | None
    """Picture as SVG; None without clean labels."""


class DatasetSection(NamedTuple):
    """One data set."""

    dataset: str
    overview: Layout
    noises: list[NoiseSection]
    ended_early: list[dict[str, Any]]
    """Runs that diverged or failed: method, noise, seeds in words, status, status_detail."""


def dataset_section(results: Results, dataset: str) -> tuple[DatasetSection, pl.DataFrame]:
    """Gather what the report says about one data set.

    Args:
        results: runs and epochs.
        dataset: its name.

    Returns:
        The section, and the table of mean curves it draws from.
    """
    own = Results(results.runs.filter(dataset=dataset), results.epochs)
    comparisons = {name: compare(own, name, optimism=name != "oracle") for name in PROTOCOLS}
    memorised = compare(own, metric="memorised")
    curves = mean_curves(own)
    published = badges(own)
    runs = own.runs.collect()
    palette = colours(comparisons["last"].cells["label"].unique().sort())
    noises = [
        NoiseSection(
            noise,
            _card(runs.filter(noise=noise)),
            *_rows(noise, comparisons, memorised, published),
            _curves_picture(curves.filter(noise=noise), palette),
            _transition_picture(runs.filter(noise=noise)),
        )
        for noise in runs["noise"].unique().sort()
    ]
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
    )
    return section, curves


def _rows(
    noise: str, comparisons: dict[Name, Comparison], memorised: Comparison, published: Badges
) -> tuple[tuple[str, ...], tuple[Name, ...], list[dict[str, Any]]]:
    """Conditions that differ, protocols that say something, and rows, of the table of one noise."""

    def by_label(comparison: Comparison) -> dict[str, dict[str, Any]]:
        return {row["label"]: row for row in comparison.cells.filter(noise=noise).to_dicts()}

    found = {name: by_label(comparison) for name, comparison in comparisons.items()}
    kept = by_label(memorised)
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
                # Of the weights as trained only: it is read off the training pass.
                "memorised": kept[label]["mean"] if label in kept else None,
            }
        )
    saying = {name for row in rows for name, cell in row["cells"].items() if _says(cell)}
    return shown, tuple(name for name in PROTOCOLS if name in {"last", *saying}), rows


def _says(cell: dict[str, Any]) -> bool:
    return bool(cell["n"] or cell["not_found"])


def _card(runs: pl.DataFrame) -> dict[str, Any]:
    """How the label table came about; of the runs of one noise the first draw speaks for all."""
    columns = ("noise_kind", "nominal_rate", "realised_rate", "n_train", "n_val", "n_test")
    return runs.sort("seed_noise", "key").select(*columns, "labels_digest").row(0, named=True)


def _curves_picture(curves: pl.DataFrame, palette: dict[str, str]) -> str | None:
    if curves.is_empty():
        return None
    present = set(curves["method"])
    return svg(draw_curves(curves, {k: v for k, v in palette.items() if k in present}))


def _transition_picture(runs: pl.DataFrame) -> str | None:
    card, class_names = runs.sort("seed_noise", "key").select("noise_card", "class_names").row(0)
    transition = json.loads(card or "{}").get("transition")
    return transition and svg(draw_transition(transition, class_names))
