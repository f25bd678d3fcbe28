"""Small pictures of images, for pages that show some of them."""

import io

from PIL import Image

from pipeline.data.images.decode import open_rgb
from pipeline.data.listed import IndexedImages
from pipeline.data.source import Pixels

SIDE = 96
"""Longest side of a picture, in pixels; smaller images stay as they are."""


def thumbnail(images: Pixels | IndexedImages, position: int) -> bytes:
    """One image as a small PNG file.

    Args:
        images: uint8 [N, H, W, C] with one or three channels, or files.
        position: of the image among them.

    Returns:
        The bytes of the file.

    Raises:
        LabError: naming a file that is missing or cannot be decoded.
    """
    if isinstance(images, IndexedImages):
        file = images.file(position)
        image = open_rgb(file, str(file), upright=True)
    else:
        pixels = images[position]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    image.thumbnail((SIDE, SIDE))
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()
