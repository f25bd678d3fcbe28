"""What a block of a search leaves open: lists of values, and ranges of numbers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np

from pipeline.config import Range, searched, validated
from pipeline.training.method import Method

_DIGITS = 4
"""Significant digits of a proposed number: a flag can repeat it."""

Values = dict[str, Any]


class Axis(NamedTuple):
    """A setting that is searched: one of some values, or any number of a range."""

    name: str
    choices: tuple[Any, ...] = ()
    """In the order of the list, or ascending; empty for a range without steps."""
    range: Range | None = None
    """What a range without steps, or the choices, were given as; None for a list."""
    is_whole: bool = False
    """Whether the numbers of the range are whole."""

    @property
    def size(self) -> float:
        """How many values there are; infinite for numbers in between without steps."""
        if self.range is None or self.choices:
            return len(self.choices)
        return self.range.high - self.range.low + 1 if self.is_whole else math.inf

    def rounded(self, value: float) -> float | int:
        """A number of the range as it is proposed: with few digits, within the bounds."""
        assert self.range is not None  # lists are taken as they are
        if self.is_whole:
            return round(value)
        return min(max(float(f"{value:.{_DIGITS}g}"), self.range.low), self.range.high)


def n_combinations(axes: Sequence[Axis]) -> float:
    """How many combinations of values there are.

    Args:
        axes: settings that are searched.
    """
    return math.prod(axis.size for axis in axes)


def extremes(axes: Sequence[Axis]) -> Iterator[Values]:
    """Proposals in which each value of a list, and both bounds of each range, come once.

    Args:
        axes: settings that are searched.
    """
    values = {axis.name: axis.choices or _bounds(axis) for axis in axes}
    first = {name: known[0] for name, known in values.items()}
    yield first
    for name, known in values.items():
        for value in known[1:]:
            yield first | {name: value}


def _bounds(axis: Axis) -> tuple[Any, ...]:
    assert axis.range is not None  # a list has choices
    return axis.range.low, axis.range.high


def axes_of(block: Values, method: type[Method]) -> tuple[Axis, ...]:
    """The settings of a block that are searched.

    Args:
        block: of the `tune` block of params.yaml.
        method: whose settings.
    """
    return tuple(_axis(name, block[name], method) for name in searched(block))


def fixed_of(block: Values) -> Values:
    """The settings of a block that are the same in all trials, its method among them."""
    open_names = set(searched(block))
    return {name: value for name, value in block.items() if name not in open_names}


def _axis(name: str, value: Any, method: type[Method]) -> Axis:
    if isinstance(value, list):
        return Axis(name, tuple(value))
    found = validated(Range, value, f"tune: {method.name()}.{name}")
    field = method.Settings.model_fields.get(name)
    kinds = () if field is None else (field.annotation, *get_args(field.annotation))
    axis = Axis(name, (), found, int in kinds and float not in kinds)
    if found.steps is None:
        return axis
    spread = np.geomspace if found.log else np.linspace
    points = [axis.rounded(float(at)) for at in spread(found.low, found.high, found.steps)]
    return axis._replace(choices=tuple(dict.fromkeys(points)))
