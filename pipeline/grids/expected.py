"""How long cells should still take, by past runs or by those that have ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pipeline.grids.frozen_cell import FrozenCell
from pipeline.runs.telling import duration


def seconds_left(
    cells: Iterable[FrozenCell], open_for: Mapping[str, float], taken: Sequence[float]
) -> float | None:
    """Seconds of computing that cells still take, one after another.

    Args:
        cells: that have not ended.
        open_for: seconds for which some of them are computed by now, by key.
        taken: seconds of those that have ended; their mean counts where no past run is known.

    Returns:
        The seconds, None while nothing is known of some cell.
    """
    usual = sum(taken) / len(taken) if taken else None
    left = 0.0
    for cell in cells:
        expected = usual if cell.seconds is None else cell.seconds
        if expected is None:
            return None
        left += max(expected - open_for.get(cell.key, 0.0), 0.0)
    return left


def end_expected(seconds: float) -> str:
    """When so many seconds from now are over, in words."""
    end = datetime.fromtimestamp(time.time() + seconds).astimezone()
    return f"end expected {end:%d %b %H:%M}, in {duration(seconds)}"
