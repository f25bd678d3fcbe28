"""Files that others read by a path, though they may lie in a bucket."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pipeline.files import cache_folder, project_root, replacing
from pipeline.storage.place import Place


def local_file(path: str) -> Path:
    """The file that a path of the user means.

    Args:
        path: relative to the project, from the root, with `~` for the home folder; or
            s3://bucket/name, of which a copy is kept in the cache.

    Returns:
        The file; one that does not exist is for the reader to tell of.

    Raises:
        LabError: when the bucket cannot be read.
    """
    folder, mark, name = path.rpartition("/")
    if "://" not in path or not mark:
        return project_root() / Path(path).expanduser()
    place = Place.at(folder)
    entry = place.head(name)
    # Another version of the object is another copy.
    version = hashlib.sha256(f"{place.uri(name)} {entry and entry.e_tag}".encode()).hexdigest()
    copy = cache_folder() / "objects" / version[:16] / name
    if entry is not None and not copy.exists():
        with replacing(copy) as new:
            new.write_bytes(place.get(name) or b"")
    return copy
