"""Laying out what pairs of runs tell: two rows of a table against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from analysis.evidence.bootstrap import FEWEST, FEWEST_BCA
from analysis.evidence.paired_test import LEVEL
from analysis.evidence.power import MOST_SEEDS
from analysis.evidence.two_rows import Overall, TwoRows
from analysis.layouts.layout import Cell, Layout, number

_NOTHING = "–"


def lay_out_pairs(
    rows: TwoRows, place: Mapping[str, str], metric: str, what: Sequence[str],
    left_out: Sequence[str] = (),
) -> Layout:  # fmt: skip
    """Arrange a comparison of two rows: a line per place, and one over all of them.

    Args:
        rows: first less second.
        place: headings of the columns that name a place, by column.
        metric: what was compared; says how numbers are written.
        what: first sentences of the caption, which say what the numbers are.
        left_out: its last ones, on what is no part of the comparison.

    Returns:
        The table; nothing in it is marked as best.
    """
    over_places = rows.overall.bootstrap if rows.overall is not None else None
    has_bootstrap = over_places is not None or rows.places["bootstrap_low"].count() > 0
    header = [
        *place.values(), rows.first, rows.second, "difference", "95 % interval",
        *(["bootstrap"] if has_bootstrap else []), "p", "corrected p", "seeds", "seeds needed",
    ]  # fmt: skip
    lines = []
    for row in rows.places.iter_rows(named=True):
        told = row["untold"] is None
        texts = [
            *(str(row[name]) for name in place),
            *(_shown(row[name], metric) for name in ("mean_first", "mean_second")),
            signed(row["difference"], metric),
            interval(row["low"], row["high"], metric) if told else f"not told: {row['untold']}",
            *([interval(row["bootstrap_low"], row["bootstrap_high"], metric)] * has_bootstrap),
            chance(row["p"]),
            chance(row["p_corrected"]),
            str(row["n"]),
            _needed(row),
        ]
        lines.append([Cell(text) for text in texts])
    blocks = [lines]
    if rows.overall is not None:
        texts = ["all places", *[""] * (len(place) + 1), signed(rows.overall.difference, metric)]
        low, high, _ = over_places or (None, None, None)
        texts += ["", *[interval(low, high, metric)] * has_bootstrap]
        texts += [chance(rows.overall.p), "", "", ""]
        blocks.append([[Cell(text) for text in texts]])
    sentences = [*what, *_on_tests(rows, has_bootstrap), *left_out]
    return Layout(header, blocks, ". ".join(sentences) + ".")


def pairs_csv(rows: TwoRows, place: Sequence[str], **facts: str) -> str:
    """The places one a line, numbers in full, and a last line without a place over all.

    Args:
        rows: first less second.
        place: columns that name a place.
        facts: further columns, alike in all lines.
    """
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
    literals = {"first": rows.first, "second": rows.second} | facts
    return table.with_columns(**{name: pl.lit(text) for name, text in literals.items()}).write_csv()


def _shown(value: float | None, metric: str) -> str:
    return _NOTHING if value is None else number(value, metric)


def signed(value: float | None, metric: str) -> str:
    """A difference of values of a metric with its sign; a dash without any."""
    return _NOTHING if value is None else ("+" if value > 0 else "") + number(value, metric)


def interval(low: float | None, high: float | None, metric: str) -> str:
    """The ends of an interval of differences; a dash without any."""
    return _NOTHING if low is None else f"{signed(low, metric)} to {signed(high, metric)}"


def chance(p: float | None) -> str:
    """A p-value with three decimals; a dash without any."""
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


def _on_tests(rows: TwoRows, has_bootstrap: bool) -> list[str]:
    """What was tested, and what the tests can say."""
    n_tests = rows.places["p"].count()
    sentences = [
        "Runs are paired on images, label table and seeds; means are over these pairs (seeds)",
        f"Interval and p: paired t-test; corrected p: Holm over {n_tests} places"
        if n_tests > 1
        else "Interval and p: paired t-test",
        *(_over_places(rows.overall) if rows.overall is not None else []),
        f"Seeds needed: to find this difference with this spread at {100 * LEVEL:.0f} % in one "
        "place in 80 of 100 trials; rough where the spread is of few seeds",
    ]
    if has_bootstrap:
        sentences.append(
            f"Bootstrap: 95 % interval of the mean, percentile from {FEWEST} seeds or places, BCa "
            f"from {FEWEST_BCA}; with so few it is somewhat narrow"
        )
    return sentences


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
