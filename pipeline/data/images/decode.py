"""Encoded images (JPEG, PNG, TIFF and others) to pixels, many at a time."""

import io
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

from pipeline.data.source import Pixels
from pipeline.errors import LabError, quoted

T = TypeVar("T")

BATCH = 2048
"""Encoded images held in memory at once."""

ENDINGS_OF = {
    "AVIF": (".avif",),
    "BMP": (".bmp",),
    "GIF": (".gif",),
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "JPEG2000": (".jp2", ".j2k"),
    "PNG": (".png", ".apng"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
}
"""The formats that are read, by Pillow's name, with the usual endings of their files. A file may
hold any of the formats, whatever its ending."""

_PER_TASK = 64
_MOST_PIXELS = 2**26
_UPRIGHT = 1
# Pillow warns of damaged notes beside the pixels, and of sizes that _MOST_PIXELS refuses.
warnings.filterwarnings("ignore", module="PIL")
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class Encoded(NamedTuple):
    """One encoded image: its place in the output, a name for messages, its file or its bytes."""

    place: int
    name: str
    content: Path | bytes


def open_rgb(
    content: Path | bytes, name: str, upright: bool = False, remedy: str = ""
) -> Image.Image:
    """Decode one image to red, green and blue, whatever it was (grey, CMYK, palette, alpha).

    Of alpha the colours below it remain; of an animation or of several pages the first.

    Args:
        content: its file or its bytes.
        name: of the image, for messages.
        upright: turn it as its EXIF orientation says.
        remedy: what to do about a bad image, for messages.

    Returns:
        The decoded image.

    Raises:
        LabError: if it is missing, damaged, of another format, of more than 8 bits a grey value, or
            of more than 67 million pixels.
    """
    file = content if isinstance(content, Path) else io.BytesIO(content)
    remedy = remedy or "put a whole image in its place"
    try:
        with Image.open(file, formats=tuple(ENDINGS_OF)) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise LabError(
                    f"{name} has {opened.width} x {opened.height} pixels",
                    f"{_MOST_PIXELS:,} pixels at most",
                    "make the image smaller, or leave it out",
                )
            if opened.mode.startswith(("I", "F")):
                raise LabError(
                    f"{name} has pixels of mode {opened.mode}",
                    "8 bits a channel",
                    "convert such images first, with the range of yours that means black to white",
                )
            turned = _turned_upright(opened) if upright else opened
            return turned.convert("RGB")
    except LabError:
        raise
    # Pillow's readers raise errors of any kind for damaged bytes.
    except Exception as error:
        formats = ", ".join(ENDINGS_OF)
        raise LabError(
            f"{name} cannot be decoded ({quoted(str(error))})", f"whole files of {formats}", remedy
        ) from error


def _turned_upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, _UPRIGHT)
    except Exception:  # damaged notes beside the pixels say nothing about how to hold them
        return image
    return image if orientation == _UPRIGHT else ImageOps.exif_transpose(image)


def decode(image: Encoded, size: int, own: bool) -> Pixels:
    """Decode one image to red, green and blue.

    Args:
        image: the encoded image.
        size: height and width in pixels of the result.
        own: whether it is one of the user's own, which is turned upright and brought to `size`
            (bilinear, shorter side first, then the centre is cut out); else another size is an
            error.

    Returns:
        Pixels, uint8 [size, size, 3].

    Raises:
        LabError: if it cannot be decoded (see `open_rgb`), or is of another size.
    """
    skip = "put a whole image in its place, or give on_bad_image: skip in params.yaml"
    pixels = open_rgb(
        image.content, image.name, upright=own, remedy=skip if own else "fetch the file again"
    )
    if pixels.size != (size, size):
        if not own:
            raise LabError(
                f"{image.name} is {pixels.width}x{pixels.height}",
                f"{size}x{size}",
                "take the files of this data set, or kind: parquet for images of your own",
            )
        pixels = ImageOps.fit(pixels, (size, size), method=Image.Resampling.BILINEAR)
    return np.asarray(pixels)


def decode_all(
    batches: Iterable[Sequence[Encoded]], out: Pixels, own: bool, skip: bool, title: str
) -> dict[int, str]:
    """Decode images to their places, with threads (Pillow works outside Python's lock).

    Args:
        batches: encoded images, in portions small enough for the memory.
        out: pixels to fill, uint8 [N, size, size, 3].
        own: see `decode`.
        skip: go on after an image that cannot be decoded; its place in `out` means nothing.
        title: words beside the progress bar, which only a terminal shows.

    Returns:
        What is wrong with the images that were skipped, by place.

    Raises:
        LabError: for the first image that cannot be decoded, unless it is skipped.
    """
    size = out.shape[1]

    def work(images: Sequence[Encoded]) -> dict[int, str]:
        faults = {}
        for image in images:
            try:
                out[image.place] = decode(image, size, own)
            except LabError as error:
                if not skip:
                    raise
                faults[image.place] = error.given
        return faults

    faults: dict[int, str] = {}
    with ThreadPoolExecutor() as pool, tqdm(total=len(out), desc=title, disable=None) as progress:
        for batch in batches:
            tasks = list(portions(batch, _PER_TASK))
            for task, found in zip(tasks, pool.map(work, tasks), strict=True):
                faults |= found
                progress.update(len(task))
    return dict(sorted(faults.items()))


def portions(items: Iterable[T], n: int) -> Iterator[list[T]]:
    """Cut `items` into lists of `n`, the last one maybe shorter."""
    remaining = iter(items)
    while portion := list(islice(remaining, n)):
        yield portion
