"""The door to optuna: a study in memory, which replays the trials that are stored.

Nothing is kept beside the store: the sampler has a fixed seed and hears the same values in the same
order, so a search that is started again proposes what it did before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.errors import LabError
from pipeline.tuning.space import Axis, Values

if TYPE_CHECKING:
    from optuna import Trial


class OptunaStudy:
    """Trials by the tree-structured Parzen estimator (Bergstra et al. 2011).

    Args:
        axes: settings that are searched.
        trials: proposals in all.
        at_once: proposals that are made together.
        seed: of the sampler.

    Raises:
        LabError: where optuna is not installed.
    """

    def __init__(self, axes: Sequence[Axis], trials: int, at_once: int, seed: int) -> None:
        try:
            import optuna
        except ModuleNotFoundError:
            raise LabError(
                "search: optuna, which is not installed",
                "the package optuna, or search: exhaustive",
                "uv sync --extra tune (or pip install 'lnl-lab[tune]')",
            ) from None
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed)
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._axes, self._left, self._at_once = axes, trials, at_once
        self._open: list[Trial] = []

    def ask(self) -> list[Values]:
        """The next proposals; none when all trials are made."""
        n = min(self._at_once, self._left)
        self._left -= n
        self._open = [self._study.ask() for _ in range(n)]
        return [{axis.name: _proposed(trial, axis) for axis in self._axes} for trial in self._open]

    def tell(self, values: Sequence[float]) -> None:
        """How good the last proposals are, in their order."""
        for trial, value in zip(self._open, values, strict=True):
            self._study.tell(trial, value)


def _proposed(trial: Trial, axis: Axis) -> Any:
    """A value of an axis; choices of a range are in order, those of a list are not."""
    if axis.range is None:
        return axis.choices[trial.suggest_categorical(axis.name, tuple(range(len(axis.choices))))]
    if axis.choices:
        return axis.choices[trial.suggest_int(axis.name, 0, len(axis.choices) - 1)]
    low, high, log = axis.range.low, axis.range.high, axis.range.log
    if axis.is_whole:
        return trial.suggest_int(axis.name, int(low), int(high), log=log)
    return axis.rounded(trial.suggest_float(axis.name, low, high, log=log))
