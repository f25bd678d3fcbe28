"""The official python archives of CIFAR-10 and CIFAR-100: fetching, checking, reading."""

import gzip
import hashlib
import io
import sys
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.data.readers.safe_pickle import read_pickle
from pipeline.data.source import Labels, Pixels
from pipeline.errors import LabError, quoted

_SIDE = 32
_PADDING = 10_240
_MOST_BYTES = 2**28
_MOST_FILES = 1000
"""The official archives unpack to 186 MB in ten files or fewer."""
_AGAIN = "fetch the archive again"
# What tarfile and gzip raise for damaged or forged input, beside errors of their own.
_DAMAGE = (
    tarfile.TarError,
    zlib.error,
    ArithmeticError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RecursionError,
    ValueError,
)


def official(kind: str) -> Any:
    """The class of torchvision for "cifar10" or "cifar100", which knows address and checksums."""
    # Imported here because it loads torch, which only the archives should cost.
    from torchvision import datasets

    return {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}[kind]


def download(kind: str, folder: Path) -> Path:
    """Fetch the official archive and check it.

    Args:
        kind: "cifar10" or "cifar100".
        folder: where the archive is put.

    Returns:
        The archive, a .tar.gz file.

    Raises:
        LabError: if there is no network or the checksum differs.
    """
    source = official(kind)
    from torchvision.datasets.utils import download_url

    # torchvision draws its progress bar wherever stderr leads; a log file is no place for it.
    quiet = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
    try:
        with quiet:
            download_url(source.url, folder, source.filename, source.tgz_md5)
    except (OSError, RuntimeError) as error:
        raise LabError(
            f"{source.filename} could not be downloaded ({error})",
            f"a network, or a folder with {source.filename}, {source.base_folder} or "
            "train.parquet and test.parquet",
            f"uv run python -m pipeline.stages.data {kind} --root FOLDER (or give root: in "
            "params.yaml)",
        ) from error
    return folder / str(source.filename)


@dataclass(frozen=True)
class Batch:
    """One pickled file of an archive.

    Args:
        images: uint8 [N, 32, 32, 3].
        labels: int64 [N].
        genuine: whether its checksum is the official one.
    """

    images: Pixels
    labels: Labels
    genuine: bool


def read_batches(
    place: Path, names: Sequence[str], label_key: str, checksums: dict[str, str]
) -> dict[str, Batch]:
    """Read the pickled files of an archive without unpacking it.

    Args:
        place: the .tar.gz file, or the folder it unpacks to.
        names: the files wanted.
        label_key: key of the labels in every file.
        checksums: official MD5 of every file.

    Returns:
        The files by name.

    Raises:
        LabError: if one is missing, damaged, or holds anything but plain data.
    """
    contents = _in_folder(place, names) if place.is_dir() else _in_tar(place, names)
    batches = {}
    for name, content in contents:
        genuine = hashlib.md5(content, usedforsecurity=False).hexdigest() == checksums[name]
        title = f"{name} of {place}"
        images, labels = _images_and_labels(read_pickle(content, title), label_key, title)
        batches[name] = Batch(images, labels, genuine)
    if absent := [name for name in names if name not in batches]:
        raise LabError(
            f"no file {absent[0]} in {place}",
            f"an archive with {', '.join(names)}",
            "fetch the archive again",
        )
    return batches


def _in_folder(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    for name in names:
        if (file := folder / name).is_file():
            if file.stat().st_size > _MOST_BYTES:
                raise LabError(
                    f"{file} has {file.stat().st_size:,} bytes", "a batch of CIFAR", _AGAIN
                )
            yield name, file.read_bytes()


def _in_tar(archive: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    try:
        with gzip.open(archive) as file:
            unpacked = _Bounded(file)
            with tarfile.open(fileobj=unpacked, mode="r|") as members:
                for number, member in enumerate(members):
                    if number >= _MOST_FILES:
                        raise tarfile.ReadError(f"more than {_MOST_FILES} files")
                    name = Path(member.name).name
                    if name in names and member.isreg() and (held := members.extractfile(member)):
                        yield name, held.read()
            # gzip compares its checksum only at the very end, behind the padding of the archive.
            while unpacked.read(_PADDING):
                pass
    except _DAMAGE as error:
        raise LabError(
            f"{archive} cannot be read ({quoted(str(error))})", "a whole .tar.gz archive", _AGAIN
        ) from error


class _Bounded(io.RawIOBase):
    """An unpacked stream that ends in an error where an honest archive has long ended."""

    def __init__(self, stream: gzip.GzipFile) -> None:
        self._stream, self._left = stream, _MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        """The next bytes; tarfile.ReadError beyond the limit."""
        found = self._stream.read(size if 0 <= size <= self._left else self._left + 1)
        self._left -= len(found)
        if self._left < 0:
            raise tarfile.ReadError(f"it unpacks to more than {_MOST_BYTES:,} bytes")
        return found


def _images_and_labels(
    values: dict[str, object], label_key: str, title: str
) -> tuple[Pixels, Labels]:
    """Images stored as rows of 1024 red, 1024 green and 1024 blue values, and their labels."""
    rows, labels = values.get("data"), values.get(label_key)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3 * _SIDE**2:
        raise LabError(
            f"{title} has no 'data' of 3072 values a row", "a batch file of CIFAR", _AGAIN
        )
    if (
        not isinstance(labels, list)
        or not all(isinstance(label, int) and abs(label) < 2**31 for label in labels)
        or len(labels) != len(rows)
    ):
        raise LabError(
            f"{title} has no {label_key!r}, one number per image", "a batch file of CIFAR", _AGAIN
        )
    planes = rows.reshape(-1, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.array(labels, dtype=np.int64)
