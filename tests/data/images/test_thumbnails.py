"""Small pictures of images in arrays and in files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.data.images.thumbnails import SIDE, thumbnail
from pipeline.data.listed import IndexedImages, as_paths
from pipeline.errors import LabError


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB")])
def test_small_images_stay_as_they_are(channels: int, mode: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 6, channels), dtype=np.uint8)
    found = opened(thumbnail(images, 1))
    assert (found.format, found.mode) == ("PNG", mode)
    assert (np.asarray(found).reshape(8, 6, channels) == images[1]).all()
    assert thumbnail(images, 1) == thumbnail(images, 1) != thumbnail(images, 2)


def test_files_are_made_small_and_damaged_ones_named(tmp_path: Path) -> None:
    Image.new("RGB", (4 * SIDE, 2 * SIDE), (200, 10, 10)).save(tmp_path / "red.jpg")
    (tmp_path / "bad.jpg").write_bytes(b"nothing")
    images = IndexedImages("web", "train", tmp_path, as_paths(["red.jpg", "bad.jpg"]))
    found = opened(thumbnail(images, 0))
    assert found.size == (SIDE, SIDE // 2)
    assert found.getpixel((5, 5))[0] > 190
    with pytest.raises(LabError, match=r"bad\.jpg cannot be decoded"):
        thumbnail(images, 1)
