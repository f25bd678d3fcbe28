"""What the report shows over all data sets and noises: mean ranks, and what they can separate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from analysis.comparison import LOWER_IS_BETTER, Comparison, compare
from analysis.conditions import differing, row_conditions
from analysis.evidence.paired_test import LEVEL
from analysis.evidence.pairs import distinct_places
from analysis.evidence.ranks import RELIABLE_PLACES, Ranking, complete_part, rank_rows
from analysis.layouts.layout import in_blocks, meaning
from analysis.reporting.figures import ROW, Figure
from pipeline.results.view import Results

_PLACE = ("dataset", "noise")


class RankSection(NamedTuple):
    """Rows of equal conditions by their mean rank."""

    figure: Figure
    caption: str


def rank_sections(results: Results) -> list[RankSection]:
    """Rank the methods over data sets and noises, after the last epoch.

    Args:
        results: runs and epochs.

    Returns:
        A section for each block of rows of equal conditions in which three rows or more have
        numbers in the same two places or more.
    """
    comparison = compare(results)
    shown = differing(comparison.cells, _PLACE)
    conditions = row_conditions(comparison.cells, ("label",), shown)
    places = distinct_places(comparison.values, _PLACE).rows()
    sections = []
    for block in in_blocks(comparison, conditions):
        labels = [label for (label,) in block]
        section = _section(comparison, labels, places)
        if section is not None:
            sections.append(section)
    return sections


def _section(
    comparison: Comparison, labels: Sequence[str], places: Sequence[tuple[Any, ...]]
) -> RankSection | None:
    means = {
        (row["dataset"], row["noise"], row["label"]): row["mean"]
        for row in comparison.cells.iter_rows(named=True)
    }
    scores = np.array(
        [[means.get((*place, label)) for label in labels] for place in places], dtype=float
    ).reshape(len(places), len(labels))
    complete = complete_part(np.isfinite(scores))
    if complete is None:
        return None
    kept_places, kept_rows = complete
    kept = [labels[row] for row in kept_rows]
    lower_is_better = comparison.metric in LOWER_IS_BETTER
    ranking = rank_rows(scores[np.ix_(kept_places, kept_rows)], kept, lower_is_better)
    if ranking is None:
        return None
    left_out = [label for label in labels if label not in kept]
    where = [" ".join(places[at]) for at in kept_places]
    figure = rank_figure(ranking)
    return RankSection(figure, _caption(comparison, ranking, where, left_out))


def rank_figure(ranking: Ranking) -> Figure:
    """Rows from the best to the last, under a ruler as long as the critical difference.

    Args:
        ranking: of the methods.

    Returns:
        Rows of the chart: the ruler, the methods, and a bar for each group of rows that are not
        separable, to the right of them all.
    """
    ruler_end = 1 + ranking.critical_difference
    ruler = {"row": 0, "kind": "ruler", "from": 1, "to": ruler_end}
    methods = [
        {"row": row, "kind": "method", "from": 1, "to": mean}
        for row, mean in enumerate(ranking.mean_ranks, start=1)
    ]
    end = max(ranking.mean_ranks[-1], ruler_end)
    gap = (end - 1) / 25
    bars = [
        {"row": first + 1, "last": last + 1, "kind": "group", "from": end + (3 + number) * gap}
        for number, (first, last) in enumerate(ranking.groups)
    ]
    names = [f"critical difference {ranking.critical_difference:.2f}", *ranking.labels]
    return Figure("ranks", [ruler, *methods, *bars], {"row_names": names}, ROW)


def _caption(
    comparison: Comparison, ranking: Ranking, where: Sequence[str], left_out: Sequence[str]
) -> str:
    level = f"{100 * LEVEL:.0f} %"
    sentences = [
        f"Mean rank over {ranking.n_places} places ({', '.join(where)}), by the mean over seeds of "
        f"{meaning(comparison)}",
        f"Friedman's test of equal rows: p = {ranking.p:.2g}",
    ]
    if ranking.p < LEVEL:
        sentences.append(
            f"Rows joined by a bar are not separable at {level}: their mean ranks are closer than "
            f"the critical difference of Nemenyi's test, {ranking.critical_difference:.2f}"
        )
    else:
        sentences.append(f"No rows can be told apart at {level}")
    if ranking.n_places < RELIABLE_PLACES:
        sentences.append(f"Below {RELIABLE_PLACES} places both tests are approximate")
    if left_out:
        sentences.append(f"Left out, without a number in each place: {', '.join(left_out)}")
    return ". ".join(sentences) + "."
