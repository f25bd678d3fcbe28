"""Laying out where the spread of each row comes from: `--components` of the leaderboard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from analysis.comparison import Comparison
from analysis.evidence.components import Component, Levels, components
from analysis.evidence.paired_test import LEVEL
from analysis.evidence.pairs import STREAMS
from analysis.layouts.layout import Cell, Layout, meaning, number
from pipeline.errors import LabError

LABELS, SEED = "labels", "seed"
"""Sources: the draw of the label table; all streams that follow the root seed."""


class RowComponents(NamedTuple):
    """Where the spread of one row of a table comes from, in one place."""

    place: dict[str, Any]
    """Columns that name it: data set, noise, label and those of `by`."""
    found: list[Component]

    @property
    def total(self) -> float:
        """Variance of runs that differ in all sources."""
        return sum(max(one.variance, 0.0) for one in self.found)


def row_components(comparison: Comparison) -> list[RowComponents]:
    """The components of variance of each row in each place.

    Args:
        comparison: of all methods.

    Returns:
        Rows of which at least two sources vary, each by itself; in order of place and label.

    Raises:
        LabError: where there is no such row.
    """
    place = ("dataset", "noise", "label", *comparison.by)
    rows = []
    for name, runs in comparison.values.sort(place).group_by(place, maintain_order=True):
        levels = _sources(runs)
        if len(levels) > 1 and (found := components(runs["value"].to_numpy(), levels)):
            rows.append(RowComponents(dict(zip(place, name, strict=True)), found))
    if not rows:
        raise LabError(
            "no row of which two sources of spread vary, each by itself",
            "finished runs with seeds of single streams that are crossed",
            "seeds: {noise: [0, 1, 2], init: [0, 1, 2]} in a grid",
        )
    return rows


def _sources(runs: pl.DataFrame) -> dict[str, Levels]:
    """What varies among runs -> the level of each; what always varies together is one source."""
    streams = [pl.coalesce(name, "seed").alias(name) for name in STREAMS]
    seen = runs.select(pl.col("labels_digest").alias(LABELS), *streams)
    alike: dict[tuple[int, ...], list[str]] = {}
    for name in seen.columns:
        codes = np.unique(seen[name].to_numpy(), return_inverse=True)[1]
        firsts = np.unique(codes, return_index=True)[1]
        if len(firsts) > 1:
            by_first_run = tuple(firsts[codes].tolist())
            alike.setdefault(by_first_run, []).append(name)
    return {
        _source_name(names, runs): np.array(codes, dtype=np.int64) for codes, names in alike.items()
    }


def _source_name(names: list[str], runs: pl.DataFrame) -> str:
    following = [name for name in names if name in STREAMS and runs[name].is_null().all()]
    own = [name.removeprefix("seed_") for name in names if name not in following]
    return "+".join([*own, *([SEED] if following else [])])


def lay_out_components(comparison: Comparison, rows: list[RowComponents]) -> Layout:
    """Arrange components of variance: a block per row and place, a line per source.

    Args:
        comparison: that the rows are of.
        rows: `row_components` of it.

    Returns:
        The table; nothing in it is marked.
    """
    several = len({row.place["dataset"] for row in rows}) > 1
    header = [
        *(["data set"] if several else []), "noise", "method", *comparison.by, "source", "levels",
        "std", "95 % interval", "share",
    ]  # fmt: skip
    shown = header[:-5]
    named = {"data set": "dataset", "method": "label"}
    blocks = [
        [
            [Cell(str(row.place[named.get(name, name)])) for name in shown]
            + [Cell(text) for text in texts]
            for texts in _lines(row, comparison.metric)
        ]
        for row in rows
    ]
    return Layout(header, blocks, _caption(comparison, rows))


def _lines(row: RowComponents, metric: str) -> Iterator[list[str]]:
    for one in row.found:
        ends = "–"
        if one.low is not None and one.high is not None:
            ends = f"{_std(one.low, metric)} to {_std(one.high, metric)}"
        share = f"{max(one.variance, 0.0) / row.total:.0%}" if row.total else "–"
        yield [one.name, str(one.n_levels), _std(one.variance, metric), ends, share]


def _std(variance: float, metric: str) -> str:
    return number(max(variance, 0.0) ** 0.5, metric)


def _caption(comparison: Comparison, rows: list[RowComponents]) -> str:
    n_rows = comparison.values.select("dataset", "noise", "label", *comparison.by).n_unique()
    sentences = [
        meaning(comparison),
        "Std: standard deviation that a source alone gives (random effects, analysis of variance), "
        "0.0 also where the estimate is negative",
        f"Interval: {100 * (1 - LEVEL):.0f} %, generalised, for effects that are normal",
        "Share: of the variance of runs that differ in all sources",
        "rest: what more sources do together, and what no seed decides; its levels are runs",
    ]
    if incomplete := sum(row.found[0].low is None for row in rows):
        sentences.append(
            f"Rows whose runs are no complete cross: {incomplete}; estimated by moments, without "
            "interval"
        )
    if len(rows) < n_rows:
        sentences.append(f"Rows in which fewer than two sources vary apart: {n_rows - len(rows)}")
    return ". ".join(sentences) + "."


def components_csv(rows: list[RowComponents]) -> str:
    """The components one a line, variances as estimated and in full."""
    lines = [
        row.place
        | {"source": one.name, "n_levels": one.n_levels, "variance": one.variance}
        | {"low": one.low, "high": one.high}
        for row in rows
        for one in row.found
    ]
    return pl.DataFrame(lines, infer_schema_length=None).write_csv()
