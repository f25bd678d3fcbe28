"""One thread of a program renews its claims, whatever the program itself is busy with."""

from __future__ import annotations

import os
import threading
import time
from functools import cache
from typing import Protocol

_IDLE = 60.0
"""Seconds after which the thread looks again, where no claim asks for less."""


class Renewable(Protocol):
    """A claim as the thread sees it."""

    due: float
    """When it should be renewed, by the monotonic clock."""

    def renew(self) -> None:
        """Renew it, and say when that is due again; must not fail."""


class Keeper:
    """The claims that a program holds, and the thread that renews them."""

    def __init__(self) -> None:
        self._held: set[Renewable] = set()
        self._changed = threading.Condition()
        self._wakes = 0.0
        threading.Thread(target=self._work, daemon=True).start()

    def add(self, claim: Renewable) -> None:
        """Renew a claim from now on."""
        with self._changed:
            self._held.add(claim)
            # Waking the thread costs more than a claim; it mostly wakes early enough by itself.
            if claim.due < self._wakes:
                self._changed.notify()

    def remove(self, claim: Renewable) -> None:
        """Renew a claim no longer."""
        with self._changed:
            self._held.discard(claim)

    def _work(self) -> None:
        while True:
            with self._changed:
                now = time.monotonic()
                ripe = [claim for claim in self._held if claim.due <= now]
                if not ripe:
                    self._wakes = min([now + _IDLE, *(claim.due for claim in self._held)])
                    self._changed.wait(self._wakes - now)
            for claim in ripe:
                claim.renew()


def keeper() -> Keeper:
    """That of this process."""
    return _of_process(os.getpid())


@cache
def _of_process(pid: int) -> Keeper:
    # Threads do not live on in a fork.
    del pid
    return Keeper()
