"""Time limits: training waits for the tracker seconds, whatever the tracker does."""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_SECONDS = 20.0
"""What a run waits at most until it is shown."""
LATER_SECONDS = 15.0
"""What it waits at most for all that follows, and a share of its own time besides."""
SHARE = 0.05
_AGAIN_SECONDS = 1.0
QUIET_SECONDS = 600.0
"""For how long a program leaves a tracker alone that was too slow: its next runs do not wait."""


class TooSlow(Exception):
    """The tracker did not finish in time.

    Args:
        seconds: that it was given.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:.0f} s")


def within(seconds: float, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Result of a call that is given up after some time.

    Args:
        seconds: how long to wait.
        action: what to call; it runs in a thread of its own, so that a socket that yields a byte
            now and then cannot hold the caller.
        *args: of the call.
        **kwargs: of the call.

    Returns:
        What it returns.

    Raises:
        TooSlow: when the time is over; the call is stopped at its next Python instruction.
    """
    if seconds <= 0:
        raise TooSlow(0)
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(action(*args, **kwargs))
        # Whatever ends the thread is for the caller to see.
        except BaseException as failure:
            outcome.set_exception(failure)

    thread = threading.Thread(target=work, daemon=True, name="tracker")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        threading.Thread(target=_stop, args=(thread,), daemon=True).start()
        raise TooSlow(seconds)
    return outcome.result()


def _stop(thread: threading.Thread) -> None:
    """Let a thread raise SystemExit: an answer without end would fill the memory otherwise.

    Python drops it where it meets the callback of a weak reference, so it is asked until it ends.
    """
    while thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
        )
        thread.join(_AGAIN_SECONDS)


class Allowance:
    """The time that the view of one run may still take."""

    def __init__(self) -> None:
        self._connected_at: float | None = None
        self._spent = 0.0

    def call(self, action: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`within` what is left: the first call connects, the later ones share the rest.

        Raises:
            TooSlow: when nothing is left, or not enough.
        """
        began = time.monotonic()
        try:
            return within(self._left(began), action, *args, **kwargs)
        finally:
            ended = time.monotonic()
            if self._connected_at is None:
                self._connected_at = ended
            else:
                self._spent += ended - began

    def _left(self, now: float) -> float:
        if self._connected_at is None:
            return CONNECT_SECONDS
        return LATER_SECONDS + SHARE * (now - self._connected_at) - self._spent
