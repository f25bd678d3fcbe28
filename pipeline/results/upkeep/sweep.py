"""Removing what no reader can still be reading and no writer can still be writing.

Old manifests go a day after the next one came; segments that none of the others lists, and what
killed programs left, when they are a day old. The clock is that of the storage where it tells one.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from pipeline.results.tables import layout
from pipeline.results.tables.manifest import manifests, read_manifest
from pipeline.storage.place import Place

ABANDONED_SECONDS = 24 * 3600
"""Age from which something is taken for left behind."""
_TEMPORARY = [
    f"{depth}.*.{ending}" for depth in ("", "*/", "*/*/") for ending in ("tmp", "new", "old")
]
"""What `pipeline.files` calls files and folders that have not got their names yet."""


def sweep(place: Place) -> None:
    """Remove what is left behind in a store.

    Args:
        place: of the store; programs may go on meanwhile.

    Raises:
        LabError: for a damaged manifest, and where the store cannot be written.
    """
    oldest = time.time() - ABANDONED_SECONDS
    if place.is_folder:
        for pattern in _TEMPORARY:
            for path in place.folder.glob(pattern):
                if _modified(path) < oldest:
                    _remove(path)
    found = manifests(place)
    # In rising order, so that what is left has no gaps.
    outdated = [
        entry for entry, following in pairwise(found) if following.modified.timestamp() < oldest
    ]
    for entry in outdated:
        place.delete([entry.name])
    listed = {
        segment.name
        for entry in found[len(outdated) :]
        for segment in read_manifest(place, entry).segments
    }
    place.delete(
        [
            entry.name
            for entry in place.entries(layout.SEGMENTS)
            if entry.name not in listed and entry.modified.timestamp() < oldest
        ]
    )


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _modified(path: Path) -> float:
    """When a file, or anything in a folder, was last written."""
    try:
        inside: Iterable[Path] = path.rglob("*") if path.is_dir() else ()
        newest: float = max(item.lstat().st_mtime for item in (path, *inside))
    except FileNotFoundError:
        return time.time()  # it has just got its name
    return newest
