"""Rows of this laboratory beside published numbers: gap, its size, and what else differs.

Two numbers meet where data set, family of noise, rate, method and kind of weights agree. All else
in which they differ is declared; what a source does not say is named as unknown.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from analysis.comparison import compare
from analysis.published.conventions import is_counterpart, is_same
from analysis.published.numbers import Number, settings_of
from analysis.published.own import Own, own_rows
from analysis.selection import Wanted
from pipeline.errors import LabError
from pipeline.results.foreign import UNKNOWN
from pipeline.results.protocols import Name
from pipeline.results.view import Results

WITHIN = 2.0
"""Standard errors up to which two numbers are not told apart."""
_FALLBACK: Name = "last"
_RATE_DIGITS = 6


class Gap(NamedTuple):
    """One row of ours beside one published number."""

    own: Own
    number: Number
    protocol: Name
    """Which epoch of ours counts: as published where that is known and ours recorded it."""
    mean: float
    std: float | None
    """Sample standard deviation over our runs."""
    n: int
    differences: dict[str, str]
    """What differs -> how, in words."""
    unknown: tuple[str, ...]
    """What the source, or a run of ours, does not say."""

    @property
    def gap(self) -> float:
        """Ours less the published number."""
        return self.mean - self.number.value

    @property
    def standard_error(self) -> float | None:
        """Of the gap, by the spreads that are known; None without any."""
        number = self.number
        parts = [
            _variance_of_mean(self.std, 1, self.n),
            _variance_of_mean(number.deviation, number.ddof, number.n),
        ]
        variance = sum(part for part in parts if part is not None)
        return math.sqrt(variance) if variance else None

    @property
    def errors(self) -> float | None:
        """The gap in standard errors."""
        error = self.standard_error
        return None if error is None else self.gap / error

    @property
    def verdict(self) -> str:
        """Where ours stands, in words."""
        if self.differences:
            return f"not comparable: {', '.join(self.differences)}"
        unsaid = f"; unknown: {', '.join(self.unknown)}" if self.unknown else ""
        if self.errors is None:
            return f"no spread known{unsaid}"
        if abs(self.errors) <= WITHIN:
            return f"within {WITHIN:g} standard errors{unsaid}"
        return ("above" if self.gap > 0 else "below") + unsaid


class Ledger(NamedTuple):
    """All pairs, and the rows of ours without one."""

    gaps: list[Gap]
    alone: list[Own]


def ledger(
    results: Results,
    numbers: Iterable[Number],
    where: Wanted | None = None,
    protocol: Name | None = None,
) -> Ledger:
    """Put published numbers beside the rows of our tables.

    Args:
        results: runs and epochs.
        numbers: published ones.
        where: allowed values by column of the runs table or setting; None for all runs.
        protocol: which epoch of ours counts; None for that of the published number where it is
            known and ours recorded it, and the last one elsewhere.

    Returns:
        Of each source, metric and published protocol the numbers that differ least from the row,
        where what is unknown counts as different; the nearest first, then by trust.

    Raises:
        LabError: if no run matches.
    """
    where = where or {}
    rows = own_rows(results, where)
    by_method = defaultdict(list)
    for number in numbers:
        by_method[number.dataset, number.method, number.weights].append(number)
    pairs = [
        (own, number)
        for own in rows
        for number in by_method.get((own.dataset, own.method, own.weights), [])
        if own.method and _meet(own, number)
    ]
    wanted = {(number.metric, protocol or number.protocol or _FALLBACK) for _, number in pairs}
    wanted |= {(metric, _FALLBACK) for metric, _ in wanted if protocol is None}
    cells = {ask: _cells(results, *ask, where) for ask in wanted}
    found = [gap for own, number in pairs if (gap := _gap(own, number, protocol, cells))]
    kept = sorted(_closest(found), key=_order)
    beside = {gap.own[:5] for gap in kept}
    return Ledger(kept, [own for own in rows if own[:5] not in beside])


_Cells = Mapping[tuple[str, str, str], dict[str, Any]]


def _cells(results: Results, metric: str, protocol: Name, where: Wanted) -> _Cells:
    """Cells of the table of one metric, by data set, noise and label; none of an unknown one."""
    try:
        table = compare(results, protocol, metric, where=where).cells
    except LabError:
        if metric == "test_accuracy":
            raise
        return {}
    rows = table.filter(table["n"] > 0).iter_rows(named=True)
    return {(row["dataset"], row["noise"], row["label"]): row for row in rows}


def _meet(own: Own, number: Number) -> bool:
    """Whether labels are of one family and one rate."""
    if not is_counterpart(own.convention, number.noise):
        return False
    if number.rate is None:
        return True
    return own.rate is not None and round(own.rate - number.rate, _RATE_DIGITS) == 0


def _gap(
    own: Own,
    number: Number,
    protocol: Name | None,
    cells: Mapping[tuple[str, Name], _Cells],
) -> Gap | None:
    place = own.dataset, own.noise, own.label
    asked = [protocol or number.protocol or _FALLBACK, *([] if protocol else [_FALLBACK])]
    for name in asked:
        cell = cells[number.metric, name].get(place)
        if cell is not None:
            differences, unknown = _declared(own, number, name)
            mean, std, n = cell["mean"], cell["std"], cell["n"]
            if number.deviation is None or number.n is None:
                unknown.append("published spread")
            if std is None:
                unknown.append("our spread")
            return Gap(own, number, name, mean, std, n, differences, tuple(unknown))
    return None


def _declared(own: Own, number: Number, protocol: Name) -> tuple[dict[str, str], list[str]]:
    """What differs, in words, and what is unknown."""
    differences: dict[str, str] = {}
    unknown: list[str] = []

    def judge(name: str, ours: object, theirs: object, same: bool | None) -> None:
        if same is None:
            unknown.append(name)
        elif not same:
            differences[name] = f"{name} {ours} (published {theirs})"

    convention = is_same(own.convention, number.noise)
    judge("convention", own.convention, number.noise, convention)
    judge("protocol", protocol, number.protocol, _same(protocol, number.protocol))
    judge("epochs", own.epochs, number.epochs, _same(own.epochs, number.epochs))
    told = number.network and own.backbone != UNKNOWN
    network = own.backbone == number.backbone if told else None
    if number.network != "none":  # a vote among frozen features has none
        judge("network", own.backbone, number.backbone or number.network, network)
    encoder = None if not number.encoder else _begins(own.encoder, number.encoder)
    judge("start", own.encoder, number.encoder, encoder)
    judge("images", own.n_train, number.n_train, _same(own.n_train, number.n_train))
    for name, value in settings_of(number).items():
        ours = own.settings.get(name)
        judge(name, ours, value, _same_value(ours, value))
    if own.recipe:
        differences["settings"] = f"settings {own.recipe}"
    return differences, unknown


def _same(ours: object, theirs: object) -> bool | None:
    return None if ours is None or theirs is None else ours == theirs


def _begins(name: str, word: str) -> bool:
    return name == word or name.startswith(f"{word}-")


def _same_value(ours: object, theirs: str) -> bool:
    try:
        return math.isclose(float(str(ours)), float(theirs), rel_tol=1e-6)
    except ValueError:
        return str(ours) == theirs


def _variance_of_mean(deviation: float | None, ddof: int | None, n: int | None) -> float | None:
    """Of a mean of n values; a population's deviation is made a sample's."""
    if deviation is None or n is None or n < 2:
        return None
    return deviation**2 / (n - 1 if ddof == 0 else n)


def _closest(gaps: Sequence[Gap]) -> list[Gap]:
    """Of each row and source, metric and published protocol: those that differ least."""
    groups: dict[tuple[object, ...], list[Gap]] = defaultdict(list)
    for gap in gaps:
        number = gap.number
        groups[*gap.own[:5], number.source, number.metric, number.protocol].append(gap)
    return [
        gap
        for group in groups.values()
        for gap in group
        if _distance(gap) == min(map(_distance, group))
    ]


def _distance(gap: Gap) -> tuple[int, int]:
    """What is unknown may differ, too."""
    return len(gap.differences) + len(gap.unknown), len(gap.differences)


def _order(gap: Gap) -> tuple[object, ...]:
    number = gap.number
    return (
        *(gap.own.dataset, gap.own.noise, gap.own.label),
        *(_distance(gap), number.trust, number.source, number.place),
        *(number.protocol or "", number.metric, number.settings, number.value),
    )
