"""How long cells should still take, by past runs and by the cells that have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pipeline.grids.frozen_cell import FrozenCell
from pipeline.runs.telling import duration


class Ended(NamedTuple):
    """A cell that was computed to its end."""

    expected: float | None
    """Seconds by past runs, None where none resembles it."""
    seconds: float
    """That it took."""


def seconds_left(
    cells: Iterable[FrozenCell], open_for: Mapping[str, float], ended: Sequence[Ended]
) -> float | None:
    """Seconds of computing that cells still take, one after another.

    Args:
        cells: that have not ended.
        open_for: seconds for which some of them are computed by now, by key.
        ended: those that have ended. Where no past run is known their mean counts; where one is,
            so does how much faster or slower than past runs they were.

    Returns:
        The seconds, None while nothing is known of some cell.
    """
    usual = sum(one.seconds for one in ended) / len(ended) if ended else None
    known = [(one.expected, one.seconds) for one in ended if one.expected]
    pace = sum(took for _, took in known) / sum(past for past, _ in known) if known else 1.0
    left = 0.0
    for cell in cells:
        expected = usual if cell.seconds is None else pace * cell.seconds
        if expected is None:
            return None
        left += max(expected - open_for.get(cell.key, 0.0), 0.0)
    return left


def end_expected(seconds: float) -> str:
    """When so many seconds from now are over, in words."""
    end = datetime.fromtimestamp(time.time() + seconds).astimezone()
    return f"end expected {end:%d %b %H:%M}, in {duration(seconds)}"
