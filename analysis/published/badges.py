"""A published number beside a cell of a table, in few words."""

from __future__ import annotations

from typing import NamedTuple

from analysis.layouts.layout import spread
from analysis.published.gaps import Gap, ledger
from analysis.published.numbers import Number, curated
from pipeline.results.view import Results


class Badge(NamedTuple):
    """What a cell says of the published number."""

    text: str
    """The number, and where ours stands."""
    why: str
    """Its source, and what differs."""


Badges = dict[tuple[str, str, str], Badge]
"""By noise, label and protocol."""


def badges(results: Results) -> Badges:
    """For each cell of test accuracies the published number that differs least in all else.

    Args:
        results: runs and epochs of one data set.

    Returns:
        A badge where there is a number, from sources of the classes A to C.
    """
    found: Badges = {}
    for gap in ledger(results, curated()).gaps:
        if gap.number.metric == "test_accuracy":
            found.setdefault((gap.own.noise, gap.own.label, gap.protocol), _badge(gap))
    return found


def told(number: Number) -> str:
    """A published number as tables show it, with the runs behind it; `?` where nobody says."""
    return f"{spread(number.value, number.deviation, number.metric)} ({number.n or '?'})"


def _badge(gap: Gap) -> Badge:
    number = gap.number
    differences = "; ".join(gap.differences.values()) or "nothing known"
    return Badge(
        f"published {told(number)} {number.trust}: {gap.verdict}",
        f"{number.name}, {number.source}, {number.place}. Differs in: {differences}",
    )
