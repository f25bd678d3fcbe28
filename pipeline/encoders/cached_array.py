"""Arrays that are computed once and then mapped by every run and process."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from filelock import FileLock

from pipeline.data.arrays import BadFileError, open_array
from pipeline.encoders.checkpoint_files import file_digest
from pipeline.files import replacing


def cached_array(
    path: Path,
    dtype: npt.DTypeLike,
    shape: tuple[int, ...],
    write: Callable[[Path], None],
    note: Mapping[str, Any],
) -> npt.NDArray[Any]:
    """Map an array of the cache; it is written first where it is missing or not as it was written.

    A note beside it holds the digest of the file. A second process waits for the first one; what a
    killed one left is removed.

    Args:
        path: of the .npy file; its name stands for everything that the array depends on.
        dtype: of the array.
        shape: of the array.
        write: writes it to the path that it is given.
        note: what else to write down, for those who look into the cache.

    Returns:
        The array, mapped for reading.

    Raises:
        OSError: when it cannot be read although it was just written.
    """
    found = _open(path, dtype, shape)
    if found is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock")):
        found = _open(path, dtype, shape)
        if found is None:
            for left in path.parent.glob(f".{path.stem}.*.tmp"):
                left.unlink(missing_ok=True)
            with replacing(path) as temporary:
                write(temporary)
            with replacing(_note_of(path)) as temporary:
                facts = {**note, "shape": list(shape), "digest": file_digest(path)}
                temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            found = _open(path, dtype, shape)
    if found is None:
        raise OSError(f"{path} cannot be read after it was written")
    return found


def _open(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any] | None:
    try:
        note = json.loads(_note_of(path).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(note, dict) or note.get("digest") != file_digest(path):
        return None
    try:
        return open_array(path, dtype, shape)
    except BadFileError:
        return None


def _note_of(path: Path) -> Path:
    return path.with_suffix(".json")
