"""Tables of detectors: every measure of each, and detectors beside methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from analysis.layouts.layout import Cell, Layout, spread
from analysis.suspects.detectors import DETECTORS
from analysis.suspects.quality import MEASURES

_PLACE = ("dataset", "noise", "label")


def averaged(rows: pl.DataFrame) -> pl.DataFrame:
    """Mean and spread over seeds.

    Args:
        rows: columns `scoring.ROW`.

    Returns:
        One row per data set, noise, label and detector, detectors in their usual order: runs (how
        many), estimate, and of every measure its mean and NAME_std (ddof 1; null for one run).
    """
    numbers = ("estimated_rate", "true_rate", *MEASURES)
    order = list(DETECTORS)
    return (
        rows.sort("key", "detector")
        .group_by(*_PLACE, "detector", maintain_order=True)
        .agg(
            runs=pl.len(),
            estimate=pl.col("estimate").drop_nulls().unique().sort().str.join(", "),
            **{name: pl.col(name).mean() for name in numbers},
            **{f"{name}_std": pl.col(name).std(ddof=1) for name in numbers},
        )
        .sort(*_PLACE, pl.col("detector").replace_strict(order, range(len(order))))
    )


def details(cells: pl.DataFrame) -> Layout:
    """A row per method and detector, a column per measure; the best of a method is marked.

    Args:
        cells: from `averaged`.
    """
    blocks = [
        _marked(list(own.iter_rows(named=True)))
        for _, own in cells.group_by(_PLACE, maintain_order=True)
    ]
    titles = [measure.title for measure in MEASURES.values()]
    header = ["data set", "noise", "method", "detector", "runs", "true rate", "estimated"]
    return Layout([*header, *titles], blocks, _caption(cells))


def _marked(rows: Sequence[dict[str, Any]]) -> list[list[Cell]]:
    """One method's rows; the best value of each column is marked."""
    best: dict[str, float] = {}
    for name in MEASURES:
        means = [row[name] for row in rows if row[name] is not None]
        if len(means) > 1:
            best[name] = min(means) if name == "fnr_at_true" else max(means)
    return [
        [
            *(Cell(str(row[name])) for name in (*_PLACE, "detector", "runs")),
            *(Cell(_text(row, name)) for name in ("true_rate", "estimated_rate")),
            *(
                Cell(_text(row, name), name in best and row[name] == best[name])
                for name in MEASURES
            ),
        ]
        for row in rows
    ]


def joined(cells: pl.DataFrame, measure: str) -> Layout:
    """A row per method, a column per detector; the best detector of a method is marked.

    Args:
        cells: from `averaged`.
        measure: which of `MEASURES`.
    """
    names = [name for name in DETECTORS if name in set(cells["detector"])]
    blocks = []
    for _, place in cells.group_by("dataset", "noise", maintain_order=True):
        block = []
        for key, own in place.group_by(_PLACE, maintain_order=True):
            found = {row["detector"]: row for row in own.iter_rows(named=True)}
            texts = [Cell(str(part)) for part in key]
            marked = dict(zip(found, _marked(list(found.values())), strict=True))
            at = -len(MEASURES) + list(MEASURES).index(measure)
            block.append([*texts, *(marked[n][at] if n in marked else Cell("") for n in names)])
        blocks.append(block)
    title = MEASURES[measure]
    caption = f"{title.title}: {title.meaning}. {_spread_of(cells)}."
    return Layout(["data set", "noise", "method", *names], blocks, caption)


def _text(row: dict[str, Any], name: str) -> str:
    return spread(row[name], row[f"{name}_std"], name)


def _caption(cells: pl.DataFrame) -> str:
    by = {
        "confident": "confident learning on the run's averaged probabilities",
        "hoc": "high-order consensus (HOC)",
    }
    words = {word for text in cells["estimate"] for word in text.split(", ") if word}
    estimates = " or ".join(by[word] for word in sorted(words))
    sentences = [_spread_of(cells)]
    if estimates:
        sentences.append(f"Rates estimated by {estimates}")
    return ". ".join(sentences) + "."


def _spread_of(cells: pl.DataFrame) -> str:
    fewest, most = min(cells["runs"]), max(cells["runs"])
    runs = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"Fractions, mean ± sample standard deviation over seeds ({runs} runs)"
