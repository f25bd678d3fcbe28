"""A checksum over every byte of a Parquet file, kept in its own footer.

The footer holds 64 characters under the name `lnl.sha256`: the SHA-256 of the file with 64 zeros in
their place. So a single changed bit anywhere shows, and other readers need not know of it.
"""

from __future__ import annotations

import hashlib
import re
from typing import IO

import polars as pl

_NAME, _BLANK = "lnl.sha256", "0" * 64
_STORED = re.compile(re.escape(_NAME).encode() + rb".{1,4}?([0-9a-f]{64})", re.DOTALL)
_CHUNK = 1 << 20

UNSEALED = {_NAME: _BLANK}
"""Metadata with which a file is written that `seal` then completes."""


def seal(file: IO[bytes]) -> None:
    """Put the checksum into a file that was written with the metadata `UNSEALED`."""
    place = _place(file)
    if place is None:
        raise ValueError("a file without room for its checksum")
    checksum = _sha256(file, place)
    file.seek(place)
    file.write(checksum.encode())


def is_sealed(file: IO[bytes]) -> bool:
    """Whether a file holds a checksum; those written by early versions hold none."""
    return _place(file) is not None or _has_foreign_names(file)


def is_intact(file: IO[bytes]) -> bool:
    """Whether every byte of a sealed file is as it was written."""
    place = _place(file)
    if place is None:
        return False
    file.seek(place)
    return file.read(len(_BLANK)) == _sha256(file, place).encode()


def _place(file: IO[bytes]) -> int | None:
    """Position of the 64 characters; they come after everything that rows could imitate."""
    size = file.seek(0, 2)
    if size < 12:
        return None
    file.seek(size - 8)
    length = min(int.from_bytes(file.read(4), "little"), size - 8)
    file.seek(size - 8 - length)
    found = list(_STORED.finditer(file.read(length)))
    return size - 8 - length + found[-1].start(1) if found else None


def _sha256(file: IO[bytes], place: int) -> str:
    content = hashlib.sha256()
    file.seek(0)
    left = place
    while left and (part := file.read(min(_CHUNK, left))):
        content.update(part)
        left -= len(part)
    content.update(_BLANK.encode())
    file.seek(place + len(_BLANK))
    while part := file.read(_CHUNK):
        content.update(part)
    return content.hexdigest()


def _has_foreign_names(file: IO[bytes]) -> bool:
    """Whether the footer names something unknown, such as the checksum with a bit flipped."""
    file.seek(0)
    try:
        return bool(set(pl.read_parquet_metadata(file)) - {"ARROW:schema"})
    except (pl.exceptions.PolarsError, OSError):
        return False
