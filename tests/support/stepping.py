"""A place whose every request is a step of a schedule, and a clock that the schedule moves.

Actors are threads, of which one moves at a time: a seed then stands for one order of all requests.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from pipeline.storage.entry import Entry

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """Ends an actor where it stands."""


class Schedule:
    """Moves actors one request at a time, in an order that a seed decides.

    Args:
        seed: of the order, the kills and the pauses.
        pause: longest time that passes between two requests, in seconds.
        kills: share of the requests at which an actor is killed, before or after they happen.
    """

    def __init__(self, seed: int, pause: float, kills: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.time, self.n_requests, self.alone = 0.0, 0, False
        self._pause, self._kills = pause, kills
        self._turn = threading.Condition()
        self._waiting: set[int] = set()
        self._next: int | None = None
        self._running = 0
        self._dead: set[int] = set()

    def run(self, actors: list[Callable[[], None]]) -> None:
        """Run actors to their ends."""
        self._running = len(actors)
        threads = [threading.Thread(target=self._act, args=(actor,)) for actor in actors]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()

    def step(self) -> None:
        """Wait for the turn of this actor; time passes."""
        if self.alone:
            return
        me = threading.get_ident()
        with self._turn:
            if me in self._dead:
                raise Killed
            self._waiting.add(me)
            self._choose()
            assert self._turn.wait_for(lambda: self._next == me, 60)
            self._next = None
            self._waiting.discard(me)
            self.n_requests += 1
            self.time += self.chance.choice((0, 0, 0, self.chance.random() * self._pause))
        self.perhaps_killed()

    def perhaps_killed(self) -> None:
        """End the actor here, if chance wants it."""
        if not self.alone and self.chance.random() < self._kills:
            self._dead.add(threading.get_ident())
            raise Killed

    def _act(self, actor: Callable[[], None]) -> None:
        try:
            self.step()
            actor()
        except Killed:
            pass
        finally:
            with self._turn:
                self._running -= 1
                self._choose()

    def _choose(self) -> None:
        # Somebody moves once all others wait.
        if self._next is None and self._waiting and len(self._waiting) == self._running:
            self._next = self.chance.choice(sorted(self._waiting))
            self._turn.notify_all()


class SteppingPlace:
    """Objects in memory with the promises of `Place`; every request waits for its turn."""

    address = "memory"

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.objects: dict[str, tuple[bytes, Entry]] = {}
        self._written = 0

    def alone_after(self, seconds):
        """Let one program go on alone, some time later."""
        self.schedule.alone = True
        self.schedule.time += seconds

    def create(self, name, content):
        """As that of a place."""
        self.schedule.step()
        if made := name not in self.objects:
            self._written += 1
            modified = _BEGIN + timedelta(seconds=self.schedule.time)
            entry = Entry(name, len(content), modified, str(self._written))
            self.objects[name] = content, entry
        self.schedule.perhaps_killed()
        return made

    def get(self, name):
        """As that of a place."""
        self.schedule.step()
        return self.objects.get(name, (None,))[0]

    def entries(self, prefix=""):
        """As that of a place."""
        self.schedule.step()
        found = (entry for _, entry in self.objects.values())
        return sorted(entry for entry in found if entry.name.startswith(f"{prefix}/"))

    def delete(self, names):
        """As that of a place; several objects go one after another."""
        for name in names:
            self.schedule.step()
            self.objects.pop(name, None)

    def now(self):
        """As that of a place."""
        return _BEGIN + timedelta(seconds=self.schedule.time)
