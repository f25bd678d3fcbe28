"""Which runs are being computed, and by whom."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import NamedTuple

from pipeline.results.claims.generations import Generation, entries, is_over, key_of, number_of
from pipeline.results.claims.holder import Holder
from pipeline.storage.entry import Entry
from pipeline.storage.place import Place

_AT_ONCE = 16


class Claimed(NamedTuple):
    """A run that a program has claimed."""

    key: str
    holder: Holder
    since: datetime
    """By the clock of the holder."""
    alive: bool
    """False where the next program that asks takes the run over."""


def claims(place: Place, key: str | None = None) -> list[Claimed]:
    """The claims in a store, by rising key.

    Args:
        place: of the store.
        key: of the only run to look for; None for all.

    Raises:
        LabError: where the store cannot be read.
    """
    last: dict[str, Entry] = {}
    for entry in entries(place, key):
        last[key_of(entry)] = max(entry, last.get(key_of(entry), entry), key=number_of)
    if not last:
        return []
    now = place.now()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        bodies = pool.map(lambda entry: place.get(entry.name), last.values())
        found = zip(last.items(), bodies, strict=True)
        # One without a body has been given back since the listing.
        return [
            _claimed(key, Generation(entry, body), now)
            for (key, entry), body in found
            if body is not None
        ]


def _claimed(key: str, last: Generation, now: datetime) -> Claimed:
    holder = Holder.read(last.body)
    alive = not holder.is_gone and not is_over(last, now)
    try:
        since = datetime.fromisoformat(json.loads(last.body)["since"]).astimezone(UTC)
    except (ValueError, TypeError, KeyError):
        since = last.entry.modified
    return Claimed(key, holder, since, alive)
