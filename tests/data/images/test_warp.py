"""Rotation to the nearest pixel: PIL's, for every image its own angle."""

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.data.images.warp import rotated

ANGLES = [0.0, 20.0, -20.0, 7.3, -13.9, 90.0, 180.0, 0.4]


@pytest.mark.parametrize("shape", [(32, 32), (9, 13)])
def test_images_are_turned_as_pil_turns_them(shape):
    draws = np.random.default_rng(0)
    pixels = draws.integers(1, 256, (len(ANGLES), *shape, 3), dtype=np.uint8)
    found = rotated(torch.from_numpy(pixels), torch.tensor(ANGLES)).numpy()
    for image, angle, turned in zip(pixels, ANGLES, found, strict=True):
        expected = np.asarray(Image.fromarray(image).rotate(angle, Image.Resampling.NEAREST))
        # PIL counts in steps of 2^-16 pixels: where a centre meets an edge, it may take the other.
        assert (turned != expected).any(axis=-1).sum() <= 2
    assert found.dtype == np.uint8
    assert np.array_equal(found[0], pixels[0])


def test_corners_that_nothing_comes_to_are_black():
    white = torch.full((1, 32, 32, 3), 255, dtype=torch.uint8)
    turned = rotated(white, torch.tensor([20.0]))
    assert not turned[0, 0, 0].any()
    assert turned[0, 16, 16].all()
    assert set(turned.unique().tolist()) == {0, 255}
