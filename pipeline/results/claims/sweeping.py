"""What killed programs and earlier versions of the code left among the claims."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import cache

from pipeline.errors import LabError
from pipeline.results.claims.generations import FOLDER
from pipeline.storage.place import Place

_LEFT = timedelta(days=1)
_LOCKS = "locks"
"""Folder of the claims that earlier versions held by locked files."""


@cache
def sweep(place: Place) -> None:
    """Delete claims that nobody has renewed for a day; once per program.

    A holder that slept for so long finds its claim gone, and stops.
    """
    with suppress(LabError):  # those of another user, in a folder that is not shared for writing
        found = [*place.entries(FOLDER), *place.entries(_LOCKS)]
        oldest = place.now() - _LEFT if found else None
        place.delete([entry.name for entry in found if oldest and entry.modified < oldest])
