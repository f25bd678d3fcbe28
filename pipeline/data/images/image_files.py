"""Checking image files, and resizing copies of them once, many at a time."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from pipeline.data.images.decode import open_rgb, portions
from pipeline.data.images.transforms import Resize, resize_short_side
from pipeline.errors import LabError
from pipeline.files import replacing

_PER_TASK = 256
_QUALITY = 95


def find_bad(
    folder: Path, paths: Sequence[str], check: Literal["none", "exist", "decode"], title: str
) -> dict[int, str]:
    """Image files that cannot be used.

    Args:
        folder: what the paths start at.
        paths: the files.
        check: `none` to believe that all are there, `exist` to look for them, `decode` to read
            every one to its end.
        title: words beside the progress bar, which only a terminal shows.

    Returns:
        What is wrong, by position in `paths`, ascending.
    """
    if check == "none":
        return {}

    def fault(path: str) -> str | None:
        file = folder / path
        # Not file.is_file(), which raises for names that no system would take.
        if not os.path.isfile(file):
            return "missing"
        if check == "exist":
            return None if file.stat().st_size else "empty"
        return _fault_of(lambda: open_rgb(file, "image"))

    return _all_faults(fault, paths, title)


def resize_copies(
    folder: Path, paths: Sequence[str], copies: Path, size: int, resize: Resize, title: str
) -> dict[int, str]:
    """Make resized copies of images; those of unchanged images are kept.

    A copy has the time of its image, by which a later call sees that the image changed.

    Args:
        folder: what the paths start at.
        paths: the files.
        copies: where the copies go, under the same paths; JPEG of quality 95, colours in full
            resolution.
        size: shorter side in pixels.
        resize: how.
        title: words beside the progress bar, which only a terminal shows.

    Returns:
        What is wrong, by position in `paths`, ascending.
    """

    def make(path: str) -> None:
        time = _time_of(folder / path)
        image = resize_short_side(open_rgb(folder / path, "image"), size, resize)
        with replacing(copies / path) as new:
            image.save(new, "JPEG", quality=_QUALITY, subsampling=0)
            if time is not None:
                os.utime(new, ns=(time, time))

    def fault(path: str) -> str | None:
        # A copy has its name only when it is whole, so one that is there was finished.
        made, image = _time_of(copies / path), _time_of(folder / path)
        kept = made is not None and image in (None, made)
        return None if kept else _fault_of(lambda: make(path))

    return _all_faults(fault, paths, title)


def _time_of(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except (OSError, ValueError):
        return None


def _fault_of(work: Callable[[], object]) -> str | None:
    try:
        work()
    except LabError as error:
        return error.given
    return None


def _all_faults(
    fault: Callable[[str], str | None], paths: Sequence[str], title: str
) -> dict[int, str]:
    """Look at all files with threads (the disk waits, and Pillow works outside Python's lock)."""

    def look(numbered: list[tuple[int, str]]) -> list[tuple[int, str | None]]:
        return [(position, fault(path)) for position, path in numbered]

    faults: dict[int, str] = {}
    tasks = portions(enumerate(paths), _PER_TASK)
    with ThreadPoolExecutor() as pool, tqdm(total=len(paths), desc=title, disable=None) as progress:
        for found in pool.map(look, tasks):
            faults |= {position: reason for position, reason in found if reason is not None}
            progress.update(len(found))
    return faults
