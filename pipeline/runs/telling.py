"""Telling how a run goes: that it begins or is resumed, and a line an epoch with the time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline.results.keys import title
from pipeline.results.schema import AVERAGED
from pipeline.runs.planned import PlannedRun

_SHOWN = {
    "test_accuracy": "test",
    f"{AVERAGED}test_accuracy": "averaged",
    "val_noisy_accuracy": "validation",
    "val_clean_accuracy": "clean validation",
    "memorised": "memorised",
}
"""Fractions of an epoch that its line shows -> what they are called there."""


class Milestone(NamedTuple):
    """A sitting of a run begins, or an epoch has ended."""

    run: PlannedRun
    n_done: int
    """Epochs that have ended, those of earlier sittings among them."""
    record: Mapping[str, Any] | None = None
    """The last of them, in the columns of the epochs table; None where a sitting begins."""
    seconds: float = 0.0
    """That the epoch took, all in all."""
    seconds_left: float = 0.0
    """Until the last epoch, if they go on as those of this sitting did."""


Told = Callable[[Milestone], None]
"""Who is told how a run goes, on its main process."""


def nobody(milestone: Milestone) -> None:
    """Tell nobody."""
    del milestone


class Sitting:
    """One sitting of a run, from where it stands.

    Args:
        run: that is carried out.
        n_done: epochs of earlier sittings.
        told: who is told of its epochs.
    """

    def __init__(self, run: PlannedRun, n_done: int, told: Told) -> None:
        self._run, self._n_before, self._told = run, n_done, told
        self._began = self._last = time.perf_counter()
        told(Milestone(run, n_done))

    def epoch(self, record: Mapping[str, Any]) -> None:
        """An epoch has ended.

        Args:
            record: in the columns of the epochs table.
        """
        now, n_done = time.perf_counter(), record["epoch"] + 1
        each = (now - self._began) / (n_done - self._n_before)
        left = each * (self._run.settings.epochs - n_done)
        self._told(Milestone(self._run, n_done, record, now - self._last, left))
        self._last = now


class Lines:
    """Prints how a run goes, and the runs that make its encoders.

    Args:
        key: of the run that was asked for; None where encoders are.
    """

    def __init__(self, key: str | None = None) -> None:
        self._key, self._is_read = key, True

    def __call__(self, milestone: Milestone) -> None:
        """Print a line; who reads no longer, such as `head`, ends no training."""
        if self._is_read:
            try:
                print(self._line(milestone))
            except OSError:
                self._is_read = False

    def _line(self, milestone: Milestone) -> str:
        if milestone.record is not None:
            return epoch_line(milestone)
        run, n_done = milestone.run, milestone.n_done
        what = f"run {run.key}"
        if self._key not in {None, run.key}:
            what = f"run {self._key} needs an encoder, {what}, which"
        if n_done:
            return f"{what} resumes after epoch {n_done}/{run.settings.epochs}: {title(run.row)}"
        return f"{what} begins, {run.settings.epochs} epochs: {title(run.row)}"


def epoch_line(milestone: Milestone) -> str:
    """What is known of the epoch that has ended, on one line."""
    n, n_done = milestone.run.settings.epochs, milestone.n_done
    left = f", {duration(milestone.seconds_left)} left" if n_done < n else ""
    return "  ".join(
        [
            f"epoch {n_done:{len(str(n))}}/{n}",
            *figures(milestone.record or {}),
            f"{milestone.seconds:.1f} s{left}",
        ]
    )


def figures(record: Mapping[str, Any]) -> list[str]:
    """Loss and accuracies of an epoch as people read them; what was not recorded is left out.

    Args:
        record: in the columns of the epochs table.
    """
    loss = record.get("train_loss")
    known = {name: record.get(column) for column, name in _SHOWN.items()}
    return [
        "loss not finite" if loss is None else f"loss {loss:.3f}",
        *(f"{name} {100 * value:.1f} %" for name, value in known.items() if value is not None),
    ]


def duration(seconds: float) -> str:
    """A time span for people: 12 s, 3.4 min, 5.6 h, 2.1 days."""
    for unit, size, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / size:.0f} {unit}" if unit == "s" else f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86_400:.1f} days"
