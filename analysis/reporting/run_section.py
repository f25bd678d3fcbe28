"""What the report shows of single runs: a list, and what it takes to set two side by side."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import polars as pl

from analysis.curves import PANELS
from analysis.reporting.figures import thinned
from analysis.single_runs.difference import NOT_COMPARED, told
from pipeline.results.keys import seeds_in_words
from pipeline.results.protocols import PROTOCOLS, Name, choose
from pipeline.results.schema import RUN_COLUMNS
from pipeline.results.view import Results

T = TypeVar("T", bound=Hashable)


class RunSection(NamedTuple):
    """The runs of one data set."""

    rows: list[dict[str, Any]]
    """Per run: key, label, its number m, noise, seed, status, figures (by protocol, fractions)."""
    protocols: tuple[Name, ...]
    """Those under which some run has a figure, and `last`."""
    beside: dict[str, Any]
    """What the page needs to set two of them side by side, run by run in the same order: facts in
    which runs differ, by name, each as its different texts and the number of that of each run; and
    curves by column, in thousandths, with their epochs, numbered likewise."""


def run_section(runs: pl.DataFrame, results: Results, numbers: Mapping[str, int]) -> RunSection:
    """List the runs of a data set.

    Args:
        runs: of the data set, with their label.
        results: with their epochs.
        numbers: of the methods by label.
    """
    listed = runs.sort("label", "noise", "seed", "key").unique(
        ["key", "noise"], keep="first", maintain_order=True
    )
    figures = _figures(results, listed)
    rows = [
        {
            **{name: row[name] for name in ("key", "label", "noise", "status")},
            "seed": seeds_in_words(row).removeprefix("seed "),
            "m": numbers[row["label"]],
            "figures": figures.get(row["key"], {}),
        }
        for row in listed.iter_rows(named=True)
    ]
    having = {"last", *(name for own in figures.values() for name in own)}
    beside = {"facts": _facts(listed), "curves": _curves(results, listed)}
    return RunSection(rows, tuple(name for name in PROTOCOLS if name in having), beside)


def _figures(results: Results, runs: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Test accuracy of each run under each protocol that has one, by key."""
    epochs = results.epochs.join(runs.lazy().select("key").unique(), on="key", how="semi")
    found: dict[str, dict[str, float]] = {}
    for name, rule in PROTOCOLS.items():
        values = choose(epochs, rule).select("key", "value").drop_nulls().sort("key").collect()
        for key, value in values.iter_rows():
            found.setdefault(key, {})[name] = round(value, 4)
    return found


def _facts(runs: pl.DataFrame) -> dict[str, tuple[list[str], list[int]]]:
    """Settings and columns in which some of the runs differ."""
    settings = [json.loads(text) for text in runs["settings"]]
    # Seeds of single streams are columns.
    names = sorted({name for own in settings for name in own} - {"seeds"})
    columns = [
        name
        for name, column in RUN_COLUMNS.items()
        if not column.cost and name not in NOT_COMPARED | set(names)
    ]
    texts = {name: [told(own.get(name)) for own in settings] for name in names}
    texts |= {name: [told(value) for value in runs[name].to_list()] for name in columns}
    numbered = {name: _numbered(own) for name, own in texts.items()}
    return {name: pair for name, pair in numbered.items() if len(pair[0]) > 1}


def _numbered(values: Sequence[T]) -> tuple[list[T], list[int]]:
    """The different ones of some values, and the number among them of each."""
    numbers: dict[T, int] = {}
    own = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), own


def _curves(results: Results, runs: pl.DataFrame) -> dict[str, Any]:
    """Curves of the runs in their order, in thousandths; their epochs, of which few differ."""
    epochs = (
        results.epochs.join(runs.lazy().select("key").unique(), on="key", how="semi")
        .select("key", "epoch", *((pl.col(name) * 1000).round().cast(pl.Int32) for name in PANELS))
        .sort("key", "epoch")
        .collect()
    )
    own = {
        key: rows[thinned(len(rows))]
        for (key,), rows in epochs.group_by("key", maintain_order=True)
    }
    nothing = epochs.clear()
    kept = [own.get(key, nothing) for key in runs["key"]]
    found: dict[str, Any] = {"epoch": _numbered([tuple(rows["epoch"]) for rows in kept])}
    return found | {name: [rows[name].to_list() for rows in kept] for name in PANELS}
