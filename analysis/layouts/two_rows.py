"""Laying two rows of a table out against each other: `--compare` of the leaderboard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from analysis.comparison import LOWER_IS_BETTER, Comparison
from analysis.conditions import differing, row_conditions
from analysis.evidence.bootstrap import FEWEST, FEWEST_BCA
from analysis.evidence.paired_test import LEVEL
from analysis.evidence.power import MOST_SEEDS
from analysis.evidence.two_rows import Overall, TwoRows, compare_rows
from analysis.layouts.layout import KNOWING, Cell, Layout, meaning, number, on_crossed

_NOTHING = "–"


def two_rows(comparison: Comparison, printed: Sequence[str]) -> TwoRows:
    """Compare two rows of a table on the runs that belong together.

    Args:
        comparison: of all methods.
        printed: labels of the two rows, as the table prints them.

    Returns:
        Their comparison, in each data set, noise and value of the columns of `by`.

    Raises:
        LabError: for a label that no row has, the same label twice, and rows that share no seed.
    """
    first, second = (label.removesuffix(f" {KNOWING}") for label in printed)
    return compare_rows(comparison.values, _place(comparison), first, second)


def lay_out_two_rows(comparison: Comparison, rows: TwoRows) -> Layout:
    """Arrange the comparison of two rows: a line per place, and one over all of them.

    Args:
        comparison: that the rows are of.
        rows: `two_rows` of it.

    Returns:
        The table; nothing in it is marked as best.
    """
    metric = comparison.metric
    several = rows.places["dataset"].n_unique() > 1
    place = _place(comparison)[0 if several else 1 :]
    over_places = rows.overall.bootstrap if rows.overall is not None else None
    has_bootstrap = over_places is not None or rows.places["bootstrap_low"].count() > 0
    header = [
        *(["data set"] if several else []), "noise", *comparison.by, rows.first, rows.second,
        "difference", "95 % interval", *(["bootstrap"] if has_bootstrap else []), "p",
        "corrected p", "seeds", "seeds needed",
    ]  # fmt: skip
    lines = []
    for row in rows.places.iter_rows(named=True):
        told = row["untold"] is None
        texts = [
            *(str(row[name]) for name in place),
            *(_shown(row[name], metric) for name in ("mean_first", "mean_second")),
            _signed(row["difference"], metric),
            _interval(row["low"], row["high"], metric) if told else f"not told: {row['untold']}",
            *([_interval(row["bootstrap_low"], row["bootstrap_high"], metric)] * has_bootstrap),
            _chance(row["p"]),
            _chance(row["p_corrected"]),
            str(row["n"]),
            _needed(row),
        ]
        lines.append([Cell(text) for text in texts])
    blocks = [lines]
    if rows.overall is not None:
        texts = ["all places", *[""] * (len(place) + 1), _signed(rows.overall.difference, metric)]
        low, high, _ = over_places or (None, None, None)
        texts += ["", *[_interval(low, high, metric)] * has_bootstrap]
        texts += [_chance(rows.overall.p), "", "", ""]
        blocks.append([[Cell(text) for text in texts]])
    return Layout(header, blocks, _caption(comparison, rows, has_bootstrap))


def two_rows_csv(comparison: Comparison, rows: TwoRows) -> str:
    """The places one a line, fractions as stored, and a last line without a place over all."""
    place = _place(comparison)
    table = rows.places.select(*place, pl.lit("paired t").alias("test"), pl.all().exclude(place))
    if rows.overall is not None:
        low, high, method = rows.overall.bootstrap or (None, None, None)
        whole = {
            "test": "Wilcoxon over places",
            "n": rows.overall.n_places,
            "difference": rows.overall.difference,
            "p": rows.overall.p,
            "bootstrap_low": low,
            "bootstrap_high": high,
            "bootstrap_method": method,
        }
        table = pl.concat([table, pl.DataFrame([whole], schema=table.schema)])
    named = table.with_columns(
        first=pl.lit(rows.first),
        second=pl.lit(rows.second),
        protocol=pl.lit(comparison.protocol),
        metric=pl.lit(comparison.metric),
    )
    return named.write_csv()


def _place(comparison: Comparison) -> tuple[str, ...]:
    return ("dataset", "noise", *comparison.by)


def _shown(value: float | None, metric: str) -> str:
    return _NOTHING if value is None else number(value, metric)


def _signed(value: float | None, metric: str) -> str:
    return _NOTHING if value is None else ("+" if value > 0 else "") + number(value, metric)


def _interval(low: float | None, high: float | None, metric: str) -> str:
    return _NOTHING if low is None else f"{_signed(low, metric)} to {_signed(high, metric)}"


def _chance(p: float | None) -> str:
    if p is None:
        return _NOTHING
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _needed(row: dict[str, Any]) -> str:
    needed, n = row["seeds_needed"], row["n"]
    if needed is None:
        return _NOTHING
    if needed > MOST_SEEDS:
        return f"> {MOST_SEEDS}"
    return f"{needed} ({needed - n} more)" if needed > n else str(needed)


def _caption(comparison: Comparison, rows: TwoRows, has_bootstrap: bool) -> str:
    """What the numbers are, and what cannot be told."""
    datasets = ", ".join(rows.places["dataset"].unique().sort())
    n_tests = rows.places["p"].count()
    better = ", lower is better" if comparison.metric in LOWER_IS_BETTER else ""
    sentences = [
        f"{datasets}: {rows.first} less {rows.second}, {meaning(comparison)}{better}",
        "Runs are paired on images, label table and seeds; means are over these pairs (seeds)",
        f"Interval and p: paired t-test; corrected p: Holm over {n_tests} places"
        if n_tests > 1
        else "Interval and p: paired t-test",
        *on_crossed(_values_of(comparison, rows), (*_place(comparison), "label")),
        *_differences(comparison, rows),
        *(_over_places(rows.overall) if rows.overall is not None else []),
        f"Seeds needed: to find this difference with this spread at {100 * LEVEL:.0f} % in one "
        "place in 80 of 100 trials; rough where the spread is of few seeds",
    ]
    if has_bootstrap:
        sentences.append(
            f"Bootstrap: 95 % interval of the mean, percentile from {FEWEST} seeds or places, BCa "
            f"from {FEWEST_BCA}; with so few it is somewhat narrow"
        )
    return ". ".join([*sentences, *_left_out(comparison, rows)]) + "."


def _values_of(comparison: Comparison, rows: TwoRows) -> pl.DataFrame:
    return comparison.values.filter(pl.col("label").is_in([rows.first, rows.second]))


def _differences(comparison: Comparison, rows: TwoRows) -> list[str]:
    """In what the two rows are no equals."""
    cells = comparison.cells.filter(pl.col("label").is_in([rows.first, rows.second]))
    shown = differing(cells, _place(comparison))
    said = row_conditions(cells, ["label"], shown)
    both = zip(shown, said[rows.first,], said[rows.second,], strict=True)
    texts = [f"{name} ({one} and {other})" for name, one, other in both]
    return [f"The two differ in {', '.join(texts)}"] if texts else []


def _left_out(comparison: Comparison, rows: TwoRows) -> list[str]:
    """What is no part of the comparison."""
    diverged = {
        label: comparison.cells.filter(label=label)["diverged"].sum()
        for label in (rows.first, rows.second)
    }
    apart = f"Places in which only one of the two has a number: {rows.n_apart}"
    return [
        *(f"Left out, diverged: {n} runs of {label}" for label, n in diverged.items() if n),
        *([apart] if rows.n_apart else []),
    ]


def _over_places(overall: Overall) -> list[str]:
    """What the last line is, and whether it can say anything."""
    least = 2.0 ** (1 - overall.n_places)
    sentence = (
        f"All places: mean of the differences, p of Wilcoxon's signed-rank test over "
        f"{overall.n_places} places"
    )
    if least >= LEVEL:
        return [sentence, f"So few places give p = {least:g} at least: too few for a finding"]
    return [sentence]
