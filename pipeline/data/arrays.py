"""The .npy files of a prepared data set: creating, opening with checks, pixel statistics."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.source import Labels, Pixels

_PIXELS_AT_ONCE = 2**22


class BadFileError(Exception):
    """A .npy file is missing, cut short or holds something else than it should."""


def create_images(path: Path, shape: tuple[int, ...]) -> Pixels:
    """Create a .npy file and map it for writing, so that images never fill the memory.

    Args:
        path: the file to create.
        shape: [N, H, W, C].

    Returns:
        The mapped array, uint8.

    Raises:
        OSError: if the disk is too full for it.
    """
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    # A mapped file is sparse: without this a full disk would kill the process on a later write.
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return array


def open_array(path: Path, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """Map a .npy file for reading.

    Args:
        path: the file.
        dtype: what it must hold.
        shape: the shape it must have.

    Returns:
        The mapped array.

    Raises:
        BadFileError: if it is missing, cut short, or of another type or shape.
    """
    try:
        array: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    except FileNotFoundError as error:
        raise BadFileError(f"{path.name} is missing") from error
    # A damaged header is read as Python's own notation, which can fail in any way.
    except Exception as error:
        raise BadFileError(f"{path.name} is damaged ({error})") from error
    if not isinstance(array, np.ndarray):
        raise BadFileError(f"{path.name} is damaged (it holds several arrays)")
    if array.dtype != dtype or array.shape != shape:
        raise BadFileError(f"{path.name} holds {array.dtype} {array.shape}, its card says {shape}")
    return array


def open_labels(path: Path, n: int, n_classes: int) -> Labels:
    """Read a .npy file of `n` labels 0 to `n_classes` - 1, int64 [n].

    Args:
        path: the file.
        n: number of labels it must hold.
        n_classes: number of classes.

    Returns:
        The labels, in memory.

    Raises:
        BadFileError: if it is missing, cut short, of another type or shape, or out of range.
    """
    labels: Labels = np.array(open_array(path, np.int64, (n,)))
    if labels.min() < 0 or labels.max() >= n_classes:
        raise BadFileError(f"{path.name} holds a label outside 0 to {n_classes - 1}")
    return labels


def pixel_statistics(images: Pixels) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and population standard deviation of pixels / 255, per channel.

    Counts grey levels, so the sums are exact and a mapped array is read in small parts.

    Args:
        images: uint8 [N, H, W, C].

    Returns:
        The C means and the C standard deviations.
    """
    n_images, height, width, n_channels = images.shape
    step = max(1, _PIXELS_AT_ONCE // (height * width))
    counts = np.zeros((n_channels, 256))
    for start in range(0, n_images, step):
        part = np.ascontiguousarray(images[start : start + step].reshape(-1, n_channels).T)
        counts += [np.bincount(channel, minlength=256) for channel in part]
    levels = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ levels
    deviations = np.sqrt(
        [share @ (levels - mean) ** 2 for share, mean in zip(shares, means, strict=True)]
    )
    return tuple(means.tolist()), tuple(deviations.tolist())
