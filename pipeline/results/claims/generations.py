"""The objects of a claim: claims/KEY/000001, 000002, ..., each created once and never rewritten.

Who creates the next generation holds the claim, be it for the first time, to renew it or to take it
over: the storage lets one writer win, so there is nothing to lock. The age of the last generation
is the age of the claim, by the clock of the storage alone.
"""

from __future__ import annotations

import json
import re
from datetime import datetime

from pipeline.storage.entry import Entry
from pipeline.storage.place import Place

FOLDER = "claims"
_NAME = re.compile(FOLDER + r"/[^/]+/[0-9]{6,}")
LIFETIME = 180.0
"""Seconds after which a claim that is not renewed blocks nobody any more."""


def last_generation(place: Place, key: str) -> Entry | None:
    """The last generation of a claim; None where nobody holds one."""
    return max(generations(place, key), key=number_of, default=None)


def next_generation(place: Place, key: str, base: Entry | None, body: bytes) -> Entry | None:
    """Create the generation after `base`, which then is the claim.

    Args:
        place: of the store.
        key: of the run.
        base: last generation as it was seen; None where there was none.
        body: contents; other ones each time.

    Returns:
        The new generation; None where another program was faster.
    """
    number = 1 if base is None else number_of(base) + 1
    name = f"{FOLDER}/{key}/{number:06d}"
    if not place.create(name, body):
        return None
    # A program that slept for long may have built on generations that are history by now.
    found = {entry.name: entry for entry in generations(place, key)}
    mine = found.get(name)
    stands = base is None or found.get(base.name) == base
    if mine is None or not stands or any(number_of(entry) > number for entry in found.values()):
        place.delete([name])
        return None
    earlier = [entry.name for entry in found.values() if number_of(entry) < number]
    if earlier:
        place.delete(earlier)
    return mine


def is_over(entry: Entry, body: bytes, now: datetime) -> bool:
    """Whether a generation has outlived the lifetime that its body names.

    Args:
        entry: the last generation.
        body: its contents.
        now: by the clock of the storage.
    """
    try:
        lifetime = float(json.loads(body)["lifetime"])
    except (ValueError, TypeError, KeyError):
        lifetime = LIFETIME
    return (now - entry.modified).total_seconds() > lifetime


def generations(place: Place, key: str | None = None) -> list[Entry]:
    """All generations of the claim to one run, or of all claims."""
    found = place.entries(FOLDER if key is None else f"{FOLDER}/{key}")
    return [entry for entry in found if _NAME.fullmatch(entry.name)]


def number_of(entry: Entry) -> int:
    """Number of a generation."""
    return int(entry.name.rpartition("/")[2])


def key_of(entry: Entry) -> str:
    """Key of the run that a generation claims."""
    return entry.name.split("/")[1]
