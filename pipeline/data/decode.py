"""Encoded images (JPEG, PNG, WebP, BMP) to pixels, many at a time."""

import io
import struct
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from pipeline.data.source import Pixels
from pipeline.errors import LabError

T = TypeVar("T")

BATCH = 2048
"""Encoded images held in memory at once."""

_PER_TASK = 64
_FORMATS = ("BMP", "JPEG", "PNG", "WEBP")
# What Pillow's readers raise for damaged files; OSError covers "unidentified" and "truncated".
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


class Encoded(NamedTuple):
    """One encoded image: its place in the output, a name for messages, its file or its bytes."""

    place: int
    name: str
    content: Path | bytes


def open_rgb(content: Path | bytes, name: str) -> Image.Image:
    """Decode one image to red, green and blue, whatever it was (grey, CMYK, palette, alpha).

    Args:
        content: its file or its bytes.
        name: of the image, for messages.

    Returns:
        The decoded image.

    Raises:
        LabError: if it is missing, damaged, of another format or of more than 8 bits.
    """
    file = content if isinstance(content, Path) else io.BytesIO(content)
    try:
        with Image.open(file, formats=_FORMATS) as opened:
            if opened.mode.startswith(("I", "F")):
                raise LabError(f"{name} has pixels of mode {opened.mode}", "8 bits a channel")
            return opened.convert("RGB")
    except _DAMAGE as error:
        raise LabError(
            f"{name} cannot be decoded ({error})", f"whole files of {', '.join(_FORMATS)}"
        ) from error


def decode(image: Encoded, size: int, resize: bool) -> Pixels:
    """Decode one image to red, green and blue.

    Args:
        image: the encoded image.
        size: height and width in pixels of the result.
        resize: bring other sizes to `size` (bilinear, shorter side first, then the centre is cut
            out); if False, another size is an error.

    Returns:
        Pixels, uint8 [size, size, 3].

    Raises:
        LabError: if it is damaged, of another format, of more than 8 bits, or of another size.
    """
    pixels = open_rgb(image.content, image.name)
    if pixels.size != (size, size):
        if not resize:
            raise LabError(f"{image.name} is {pixels.width}x{pixels.height}", f"{size}x{size}")
        pixels = ImageOps.fit(pixels, (size, size), method=Image.Resampling.BILINEAR)
    return np.asarray(pixels)


def decode_all(batches: Iterable[Sequence[Encoded]], out: Pixels, resize: bool, title: str) -> None:
    """Decode images to their places, with threads (Pillow works outside Python's lock).

    Args:
        batches: encoded images, in portions small enough for the memory.
        out: pixels to fill, uint8 [N, size, size, 3].
        resize: see `decode`.
        title: words beside the progress bar, which only a terminal shows.

    Raises:
        LabError: for the first image that cannot be decoded.
    """
    size = out.shape[1]

    def work(images: Sequence[Encoded]) -> int:
        for image in images:
            out[image.place] = decode(image, size, resize)
        return len(images)

    with ThreadPoolExecutor() as pool, tqdm(total=len(out), desc=title, disable=None) as progress:
        for batch in batches:
            for n_done in pool.map(work, portions(batch, _PER_TASK)):
                progress.update(n_done)


def portions(items: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut `items` into lists of `n`, the last one maybe shorter."""
    remaining = iter(items)
    while portion := list(islice(remaining, n)):
        yield portion
