"""Tables of detectors: every measure of each, and detectors beside methods."""

from __future__ import annotations

from typing import Any, NamedTuple

import polars as pl

from analysis.evidence.marks import mark
from analysis.layouts.layout import Cell, Layout, on_marks, spread
from analysis.suspects.detectors import DETECTORS
from analysis.suspects.quality import LOWER_IS_BETTER, MEASURES

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


def details(rows: pl.DataFrame) -> Layout:
    """A row per method and detector, a column per measure.

    Of the detectors of a method the best is marked, and what is not separable from it.

    Args:
        rows: columns `scoring.ROW`.
    """
    shown = [_shown(own, tuple(MEASURES)) for own in _by_place(rows)]
    titles = [measure.title for measure in MEASURES.values()]
    header = ["data set", "noise", "method", "detector", "runs", "true rate", "estimated"]
    blocks = [
        [
            [
                *(Cell(str(cell[name])) for name in (*_PLACE, "detector", "runs")),
                *(Cell(_text(cell, name)) for name in ("true_rate", "estimated_rate")),
                *(texts[name] for name in MEASURES),
            ]
            for cell, texts in zip(own.cells, own.texts, strict=True)
        ]
        for own in shown
    ]
    return Layout([*header, *titles], blocks, _caption(rows, shown))


def joined(rows: pl.DataFrame, measure: str) -> Layout:
    """A row per method, a column per detector.

    Of the detectors of a method the best is marked, and what is not separable from it.

    Args:
        rows: columns `scoring.ROW`.
        measure: which of `MEASURES`.
    """
    names = [name for name in DETECTORS if name in set(rows["detector"])]
    places: dict[tuple[str, str], list[list[Cell]]] = {}
    shown = [_shown(own, (measure,)) for own in _by_place(rows)]
    for own in shown:
        found = {
            cell["detector"]: texts[measure]
            for cell, texts in zip(own.cells, own.texts, strict=True)
        }
        key = [own.cells[0][name] for name in _PLACE]
        line = [*map(Cell, key), *(found.get(name, Cell("")) for name in names)]
        places.setdefault((key[0], key[1]), []).append(line)
    title = MEASURES[measure]
    sentences = [f"{title.title}: {title.meaning}", _spread_of(rows), *_on_marked(shown)]
    header = ["data set", "noise", "method", *names]
    return Layout(header, list(places.values()), ". ".join(sentences) + ".")


class _Shown(NamedTuple):
    """The detectors on the runs of one method."""

    cells: list[dict[str, Any]]
    """Of each detector, from `averaged`."""
    texts: list[dict[str, Cell]]
    """Of each detector, by measure."""
    told: int
    untold: int


def _by_place(rows: pl.DataFrame) -> list[pl.DataFrame]:
    return rows.sort(_PLACE).partition_by(_PLACE, maintain_order=True)


def _shown(own: pl.DataFrame, measures: tuple[str, ...]) -> _Shown:
    """The detectors of one method, marked by the runs that they have ranked alike."""
    cells = list(averaged(own).iter_rows(named=True))
    texts: list[dict[str, Cell]] = [{} for _ in cells]
    told = untold = 0
    for name in measures:
        by_run = own.pivot(on="key", index="detector", values=name).fill_null(float("nan"))
        order = {detector: row for row, detector in enumerate(by_run["detector"])}
        values = by_run.drop("detector").to_numpy()[[order[cell["detector"]] for cell in cells]]
        marks = mark(values, [cell[name] for cell in cells], name in LOWER_IS_BETTER)
        told, untold = told + marks.told, untold + marks.untold
        for cell, text, marked in zip(cells, texts, marks.marked, strict=True):
            text[name] = Cell(_text(cell, name), marked)
    return _Shown(cells, texts, told, untold)


def _text(row: dict[str, Any], name: str) -> str:
    return spread(row[name], row[f"{name}_std"], name)


def _caption(rows: pl.DataFrame, shown: list[_Shown]) -> str:
    by = {
        "confident": "confident learning on the run's averaged probabilities",
        "hoc": "high-order consensus (HOC)",
    }
    estimates = " or ".join(by[word] for word in rows["estimate"].drop_nulls().unique().sort())
    sentences = [_spread_of(rows), *_on_marked(shown)]
    if estimates:
        sentences.append(f"Rates estimated by {estimates}")
    return ". ".join(sentences) + "."


def _on_marked(shown: list[_Shown]) -> list[str]:
    return on_marks(sum(own.told for own in shown), sum(own.untold for own in shown))


def _spread_of(rows: pl.DataFrame) -> str:
    counts = rows.group_by(*_PLACE, "detector").len()["len"].to_list()
    fewest, most = min(counts), max(counts)
    runs = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"Fractions, mean ± sample standard deviation over seeds ({runs} runs)"
