"""Tiny image files, Parquet files, CIFAR archives and a hostile pickle for the tests of data."""

import io
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from PIL import Image

Array = npt.NDArray[Any]


def pictures(n: int, seed: int = 0, size: int = 32) -> Array:
    """Random images, uint8 [n, size, size, 3]."""
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def encoded(pixels: Array, kind: str = "PNG") -> bytes:
    """One image as a file; PNG keeps the pixels."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def write_class_folders(root: Path, images: Array, labels: Sequence[str]) -> None:
    """Write image i to `root/<label i>/<i>.png`."""
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        folder = root / label
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:05d}.png").write_bytes(encoded(pixels))


def write_parquet(file: Path, images: Array, image_column: str = "image", **columns: Any) -> None:
    """Write images as structs of bytes and path, as on image hubs, beside other columns."""
    file.parent.mkdir(parents=True, exist_ok=True)
    structs = [{"bytes": encoded(pixels), "path": "name.png"} for pixels in images]
    pl.DataFrame({image_column: structs, **columns}).write_parquet(file, row_group_size=7)


def write_batch(file: Path, images: Array, labels: Sequence[int], label_key: bytes) -> None:
    """Write one pickled file of a CIFAR archive."""
    file.parent.mkdir(parents=True, exist_ok=True)
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    content = {b"data": rows, label_key: list(labels), b"batch_label": b"a batch"}
    file.write_bytes(pickle.dumps(content, protocol=2))


class Call:
    """Pickles as a call of `function`, made when the pickle is read."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call
