"""Taking, keeping and giving back the claim to a run."""

from __future__ import annotations

import json
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from functools import cache

from pipeline.errors import LabError
from pipeline.results.claims.generations import (
    LIFETIME,
    Generation,
    is_over,
    last_generation,
    next_generation,
)
from pipeline.results.claims.holder import Holder
from pipeline.results.claims.keeper import keeper
from pipeline.results.claims.sweeping import sweep
from pipeline.storage.place import Place

_SKEW = 60.0


class Claim:
    """A claim that this program holds; a thread renews it at a third of its lifetime.

    Args:
        place: of the store.
        key: of the run.
        last: its last generation.
        since: when this program took it.
        lifetime: in seconds.
    """

    def __init__(
        self, place: Place, key: str, last: Generation, since: datetime, lifetime: float
    ) -> None:
        self._place, self._key, self._last, self._since = place, key, last, since
        self._lifetime, self.due = lifetime, time.monotonic() + lifetime / 3
        self._lost = self._released = False
        self._lock = threading.Lock()
        keeper().add(self)

    @property
    def is_lost(self) -> bool:
        """Whether another program has taken the run over, so that this one must not write it."""
        return self._lost

    def renew(self) -> None:
        """Prolong the claim, or find that it is lost.

        Trouble with the storage is said and passed over: another program may then take the run
        over, which the next renewal finds.
        """
        with self._lock:
            self.due = time.monotonic() + self._lifetime / 3
            if self._lost or self._released:
                return
            try:
                body = _body(self._since, self._lifetime)
                found = next_generation(self._place, self._key, self._last, body)
            except LabError as trouble:
                print(f"note: the claim of {self._key} is not renewed: {trouble}", file=sys.stderr)
                return
            self._lost = found is None
            self._last = found or self._last

    def release(self) -> None:
        """Give the claim back; trouble with the storage leaves one that ends by its lifetime."""
        keeper().remove(self)
        with self._lock:
            self._released = True
            if not self._lost:
                try:
                    self._place.delete([self._last.entry.name])
                except LabError as trouble:
                    print(f"note: the claim of {self._key} ends later: {trouble}", file=sys.stderr)


def claim(place: Place, key: str, lifetime: float = LIFETIME) -> Claim | None:
    """Claim a run for this program; ask the store first, which needs no right to write.

    A claim whose lifetime is over, or whose process has ended on this host, is taken over.

    Args:
        place: of the store.
        key: of the run.
        lifetime: seconds that the claim lasts unless it is renewed.

    Returns:
        The claim, held until it is released; None while another program holds it.

    Raises:
        LabError: where the store cannot be written.
    """
    sweep(place)
    last = last_generation(place, key)
    if last is not None and not Holder.read(last.body).is_gone and not is_over(last, place.now()):
        return None
    since = datetime.now(UTC)
    mine = next_generation(place, key, last, _body(since, lifetime))
    if mine is None:
        return None
    _note_skew(place, round((since - mine.entry.modified).total_seconds() / _SKEW))
    return Claim(place, key, mine, since, lifetime)


def _body(since: datetime, lifetime: float) -> bytes:
    facts = {
        "holder": Holder.me().facts(),
        "since": since.isoformat(timespec="seconds"),
        "lifetime": lifetime,
        "token": uuid.uuid4().hex,
    }
    return json.dumps(facts).encode()


@cache
def _note_skew(place: Place, minutes: int) -> None:
    """Say once that the clocks of this host and of the storage differ; nothing depends on it."""
    if minutes:
        print(
            f"note: the clock of this host is {abs(minutes)} min "
            f"{'ahead of' if minutes > 0 else 'behind'} that of {place.address}, which alone "
            "decides how old a claim is",
            file=sys.stderr,
        )
