"""Operations of AutoAugment and RandAugment: PIL's, each image with its own strength."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from pipeline.data.images.operations import OPERATIONS, Amounts

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
PIXELS[:3] = PIXELS[:3] // 3 + 40
"""Six images, three of them with little contrast."""


def affine(*numbers):
    return lambda image: image.transform(
        image.size, Image.Transform.AFFINE, numbers, fillcolor=(128, 128, 128)
    )


def added(image, amount):
    pixels = (np.asarray(image).astype(int) + int(amount)).clip(0, 255).astype(np.uint8)
    return ImageOps.solarize(Image.fromarray(pixels), 128)


def square(image, side, place):
    down, across = (
        max(0, share * n - side / 2) for share, n in zip(place, image.size[::-1], strict=True)
    )
    corner = int(across), int(down)
    end = [int(min(n, at + side)) for n, at in zip(image.size, corner, strict=True)]
    image = image.copy()
    ImageDraw.Draw(image).rectangle((*corner, *end), (125, 123, 114))
    return image


FACTORS = [0.1, 0.5, 1, 1.2, 1.9, 0]
PIL = {
    "identity": (lambda x, v, _: x, [0] * 6),
    "autocontrast": (lambda x, v, _: ImageOps.autocontrast(x), [0] * 6),
    "equalize": (lambda x, v, _: ImageOps.equalize(x), [0] * 6),
    "invert": (lambda x, v, _: ImageOps.invert(x), [0] * 6),
    "posterize": (lambda x, v, _: ImageOps.posterize(x, int(v)), [1, 4, 5, 7, 8, 8]),
    "solarize": (lambda x, v, _: ImageOps.solarize(x, v), [0, 30, 128, 179.2, 255, 256]),
    "solarize-add": (lambda x, v, _: added(x, v), [-110, -33, 0, 20, 77, 110]),
    "brightness": (lambda x, v, _: ImageEnhance.Brightness(x).enhance(v), FACTORS),
    "contrast": (lambda x, v, _: ImageEnhance.Contrast(x).enhance(v), FACTORS),
    "color": (lambda x, v, _: ImageEnhance.Color(x).enhance(v), FACTORS),
    "sharpness": (lambda x, v, _: ImageEnhance.Sharpness(x).enhance(v), FACTORS),
    "rotate": (lambda x, v, _: x.rotate(v, fillcolor=(128, 128, 128)), [-30, -7.3, 0, 5, 20, 30]),
    "shear-x": (lambda x, v, _: affine(1, v, 0, 0, 1, 0)(x), [-0.3, -0.11, 0, 0.07, 0.19, 0.3]),
    "shear-y": (lambda x, v, _: affine(1, 0, 0, v, 1, 0)(x), [-0.3, -0.11, 0, 0.07, 0.19, 0.3]),
    "translate-x": (lambda x, v, _: affine(1, 0, v, 0, 1, 0)(x), [-4, -1.3, 0, 0.2, 2.7, 5]),
    "translate-y": (lambda x, v, _: affine(1, 0, 0, 0, 1, v)(x), [-4, -1.3, 0, 0.2, 2.7, 5]),
    "cutout": (square, [0, 1, 2, 3.7, 5, 6]),
}  # fmt: skip
GREY_LEVELS = {"autocontrast": 1, "equalize": 0, "contrast": 1, "color": 1, "sharpness": 1}
"""By how much torchvision's arithmetic may differ from PIL's."""
PLACES = np.random.default_rng(1).random((6, 2), dtype=np.float32)


def amounts(values):
    return Amounts(
        torch.tensor(values, dtype=torch.float64), torch.from_numpy(PLACES), 128, (125, 123, 114)
    )


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_that_of_pil(name):
    make, values = PIL[name]
    images = torch.from_numpy(PIXELS).permute(0, 3, 1, 2).contiguous()
    found = OPERATIONS[name](images.clone(), amounts(values))
    assert found.dtype == torch.uint8
    for image, value, place, changed in zip(PIXELS, values, PLACES, found, strict=True):
        expected = np.asarray(make(Image.fromarray(image), value, place.tolist())).astype(int)
        off = np.abs(changed.permute(1, 2, 0).numpy().astype(int) - expected)
        if name in ("rotate", "shear-x", "shear-y"):
            # PIL counts in steps of 2^-16 pixels: a centre on an edge may belong to either side.
            assert off.any(axis=-1).sum() <= 2
        else:
            # A mean or a blur that is off by 1 counts as often as the image is changed.
            assert off.max() <= GREY_LEVELS.get(name, 0) * max(1, abs(1 - value))


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_grey_image_is_changed_as_its_colours_would_be(name):
    grey = torch.from_numpy(PIXELS[..., :1]).permute(0, 3, 1, 2).contiguous()
    values = amounts(PIL[name][1])
    alone = OPERATIONS[name](grey.clone(), values)
    threefold = OPERATIONS[name](grey.expand(-1, 3, -1, -1).contiguous(), values)
    # Weights of red, green and blue add up to 1 less a rounding; the square has three colours.
    within = 0 if name not in ("contrast", "color", "cutout") else 7
    assert (alone.int() - threefold.int()).abs().max() <= within
    if name == "color":
        assert torch.equal(alone, grey)
