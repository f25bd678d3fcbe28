"""Whether files changed: a cheap look at names, sizes and times, or a digest of contents."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.identity import digest


def listing_digest(root: Path) -> str | None:
    """Digest of the names, sizes and times of change of all files under `root`.

    Contents are not read: a million files take seconds. Files that were copied anew count as
    changed; what is made from them is then made again and found equal.

    Args:
        root: a folder or one file.

    Returns:
        16 hex digits, or None where nothing lies there.
    """
    if not root.exists():
        return None
    if root.is_file():
        return digest([_facts(root.name, root.stat())])
    found = []
    for folder, names in walk_through_links(root):
        inside = folder.relative_to(root).as_posix()
        for name in names:
            with suppress(OSError):  # a link to nowhere
                found.append(_facts(f"{inside}/{name}", os.stat(f"{folder}/{name}")))
    return digest(found)


def walk_through_links(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """All folders under `root` and the files in each, in sorted order.

    Links to folders are followed, as readers follow them; none is entered twice, so that one that
    leads upwards has an end.
    """
    seen = {os.path.realpath(root)}
    for folder, inner, names in os.walk(root, followlinks=True):
        yield Path(folder), sorted(names)
        places = {name: os.path.realpath(f"{folder}/{name}") for name in sorted(inner)}
        inner[:] = [name for name, place in places.items() if place not in seen]
        seen.update(places.values())


def content_digest(path: Path) -> str | None:
    """Digest of the bytes of one file.

    Args:
        path: the file.

    Returns:
        16 hex digits of its SHA-256, or None where no file lies there.
    """
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _facts(name: str, status: os.stat_result) -> list[str | int]:
    return [name, status.st_size, status.st_mtime_ns]
