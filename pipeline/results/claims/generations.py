"""The objects of a claim: claims/KEY/000001, 000002, ..., each created once and never rewritten.

Who creates the next generation holds the claim, be it for the first time, to renew it or to take it
over: the storage lets one writer win, so there is nothing to lock. The age of the last generation
is the age of the claim, by the clock of the storage alone.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import NamedTuple

from pipeline.storage.entry import Entry
from pipeline.storage.place import Place

FOLDER = "claims"
_NAME = re.compile(FOLDER + r"/[^/]+/[0-9]{6,}")
LIFETIME = 180.0
"""Seconds after which a claim that is not renewed blocks nobody any more."""


class Generation(NamedTuple):
    """One object of a claim."""

    entry: Entry
    body: bytes
    """What it says; other words in each generation."""


def last_generation(place: Place, key: str) -> Generation | None:
    """The last generation of a claim; None where nobody holds one."""
    entry = max(entries(place, key), key=number_of, default=None)
    body = None if entry is None else place.get(entry.name)
    # One without a body has been given back since.
    return None if entry is None or body is None else Generation(entry, body)


def next_generation(
    place: Place, key: str, base: Generation | None, body: bytes
) -> Generation | None:
    """Create the generation after `base`, which then is the claim.

    Args:
        place: of the store.
        key: of the run.
        base: last generation as it was seen; None where there was none.
        body: of the new one.

    Returns:
        The new generation; None where another program was faster.
    """
    number = 1 if base is None else number_of(base.entry) + 1
    name = f"{FOLDER}/{key}/{number:06d}"
    if not place.create(name, body):
        return None
    # A program that slept for long may have built on generations that are history by now.
    found = {entry.name: entry for entry in entries(place, key)}
    mine = found.get(name)
    stands = base is None or place.get(base.entry.name) == base.body
    if mine is None or not stands or any(number_of(entry) > number for entry in found.values()):
        place.delete([name])
        return None
    earlier = [entry.name for entry in found.values() if number_of(entry) < number]
    if earlier:
        place.delete(earlier)
    return Generation(mine, body)


def is_over(last: Generation, now: datetime) -> bool:
    """Whether a claim has outlived the lifetime that it names.

    Args:
        last: its last generation.
        now: by the clock of the storage.
    """
    try:
        lifetime = float(json.loads(last.body)["lifetime"])
    except (ValueError, TypeError, KeyError):
        lifetime = LIFETIME
    return (now - last.entry.modified).total_seconds() > lifetime


def entries(place: Place, key: str | None = None) -> list[Entry]:
    """What is known of all generations of the claim to one run, or of all claims."""
    found = place.entries(FOLDER if key is None else f"{FOLDER}/{key}")
    return [entry for entry in found if _NAME.fullmatch(entry.name)]


def number_of(entry: Entry) -> int:
    """Number of a generation."""
    return int(entry.name.rpartition("/")[2])


def key_of(entry: Entry) -> str:
    """Key of the run that a generation claims."""
    return entry.name.split("/")[1]
