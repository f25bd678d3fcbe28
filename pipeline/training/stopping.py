"""Ctrl-C and SIGTERM as a wish that the loop fulfils after the step, on all processes together."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from pipeline.errors import Interrupted
from pipeline.training.processes import Processes

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_CARRY_ON, _SAVE = 0, 1  # smaller than the number of any signal that is handled
_STEPS_BETWEEN_AGREEMENTS = 20


class StopRequest:
    """While entered, signals are noted instead of ending the program.

    A second signal ends it at once, for those who cannot wait.

    Args:
        processes: the processes that must agree.
        save_seconds: least time between two checkpoints.
        write: writes a checkpoint; called on all processes.
    """

    def __init__(
        self, processes: Processes, save_seconds: float, write: Callable[[], None]
    ) -> None:
        self._processes, self._save_seconds, self._write = processes, save_seconds, write
        self._signal = 0
        self._agreed = _CARRY_ON
        self._saved_at = time.monotonic()
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._previous = {number: signal.signal(number, self._note) for number in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._signal = number
        signal.signal(number, self._previous[number])

    def save_now(self, step: int) -> bool:
        """Whether the processes agree to save after step `step` of the epoch."""
        if self._processes.n_processes > 1 and step % _STEPS_BETWEEN_AGREEMENTS:
            return False
        due = time.monotonic() - self._saved_at >= self._save_seconds
        self._agreed = self._processes.largest(self._signal or (_SAVE if due else _CARRY_ON))
        return self._agreed != _CARRY_ON

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            Interrupted: when a signal was the reason.
        """
        self._write()
        self._saved_at = time.monotonic()
        if self._agreed > _SAVE:
            name = signal.Signals(self._agreed).name
            raise Interrupted(
                f"stopped by {name}; the state is saved, the same command continues", self._agreed
            )
