"""A signal as a wish that the loop fulfils after the step, on all processes together.

Ctrl-C and SIGTERM are wishes of people and systems. SIGUSR1 and SIGUSR2 are warnings that clusters
send some minutes before they take a node away or a time limit is reached.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from pipeline.errors import Interrupted
from pipeline.training.processes import Processes

_WARNINGS = (signal.SIGUSR1, signal.SIGUSR2)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, *_WARNINGS)
_CARRY_ON, _SAVE = 0, 1  # smaller than the number of any signal that is handled
_MOST_STEPS = 20
_MICROSECONDS = 500_000
_SAME_WISH_SECONDS = 5.0


class StopRequest:
    """While entered, signals are noted instead of ending the program.

    A second Ctrl-C or SIGTERM, some seconds later, ends it at once, for those who cannot wait. One
    that comes sooner is the same wish: a launcher passes on what its whole process group was sent.
    Warnings never end it.

    Args:
        processes: the processes that must agree. Several ones do so every half second of training,
            and at least every 20 steps: one exchange of two integers.
        save_seconds: least time between two checkpoints.
        write: writes a checkpoint; called on all processes.
        must_write: whether that cannot wait, whatever the time; asked on each process.
    """

    def __init__(
        self,
        processes: Processes,
        save_seconds: float,
        write: Callable[[], None],
        must_write: Callable[[], bool] = lambda: False,
    ) -> None:
        self._processes, self._save_seconds, self._write = processes, save_seconds, write
        self._must_write = must_write
        self._signal = 0
        self._signal_at = 0.0
        self._agreed = _CARRY_ON
        self._saved_at = self._agreed_at = time.monotonic()
        # Steps since processes last agreed, and how many they will take until they do again.
        self._steps, self._interval = 0, 1
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
        now = time.monotonic()
        warned = self._signal in {_CARRY_ON, *_WARNINGS}
        if number in _WARNINGS:
            self._signal = self._signal or number
        elif warned:
            self._signal, self._signal_at = number, now
        elif now - self._signal_at > _SAME_WISH_SECONDS:
            signal.signal(number, self._previous[number])
            signal.raise_signal(number)

    def save_now(self) -> bool:
        """Whether the processes agree to save; asked after every step of the run."""
        self._steps += 1
        if self._steps < self._interval:
            return False
        now = time.monotonic()
        due = now - self._saved_at >= self._save_seconds or self._must_write()
        wish = self._signal or (_SAVE if due else _CARRY_ON)
        pace = 1 + int(1e6 * (now - self._agreed_at) / self._steps)  # microseconds per step
        self._agreed, slowest = self._processes.largest_of(wish, pace)
        self._agreed_at, self._steps = now, 0
        if self._processes.n_processes > 1:
            self._interval = min(max(_MICROSECONDS // slowest, 1), _MOST_STEPS)
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
