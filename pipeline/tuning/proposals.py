"""Which settings a search tries next: all combinations in order, or what optuna proposes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Protocol

from pipeline.config import Tune
from pipeline.errors import LabError
from pipeline.tuning.space import Axis, Values


class Proposer(Protocol):
    """Proposes values of the axes; the same ones after the same answers."""

    def ask(self) -> list[Values]:
        """The next proposals, to be computed together; none when the search is through."""

    def tell(self, values: Sequence[float]) -> None:
        """How good the last proposals are, in their order; the larger, the better."""


class Exhaustive:
    """All combinations, the last axis changing first.

    Args:
        axes: each with choices.
        most: combinations that are allowed; None for any number.

    Raises:
        LabError: for more combinations.
    """

    def __init__(self, axes: Sequence[Axis], most: int | None) -> None:
        names = [axis.name for axis in axes]
        crossed = itertools.product(*(axis.choices for axis in axes))
        self._left = [dict(zip(names, values, strict=True)) for values in crossed]
        if most is not None and len(self._left) > most:
            raise LabError(
                f"{len(self._left)} combinations of {', '.join(names)} in an exhaustive search",
                f"at most trials: {most}",
                f"trials: {len(self._left)}, shorter lists, or search: optuna",
            )

    def ask(self) -> list[Values]:
        """All of them, then none."""
        asked, self._left = self._left, []
        return asked

    def tell(self, values: Sequence[float]) -> None:
        """Nothing depends on it."""


def proposer(axes: Sequence[Axis], tune: Tune) -> Proposer:
    """What proposes the trials of a search.

    Args:
        axes: settings that are searched.
        tune: how.

    Raises:
        LabError: for too many combinations, and for optuna where it is not installed.
    """
    if tune.search == "exhaustive":
        return Exhaustive(axes, tune.trials)
    from pipeline.tuning.optuna_study import OptunaStudy

    return OptunaStudy(axes, tune.trials or 0, tune.at_once, tune.sampler_seed)
