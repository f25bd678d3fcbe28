"""From an image file to what a network sees: resizing, cropping, colours, as published."""

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pipeline.data.images import strong
from pipeline.data.images.augmentation import AUGMENTATIONS, Augmentation
from pipeline.data.images.policies import N_NUMBERS, Policy
from pipeline.data.images.strong import Colours

CROP, SHORT_SIDE = 224, 256
"""Sides in pixels: of what a network sees, and to which images are brought before."""

N_DRAWS = 33 + N_NUMBERS
"""Uniform numbers that one view of one image may use, those of its policy last."""


class Resize(NamedTuple):
    """How the shorter side is brought to a size, the longer one in proportion.

    Args:
        filter: Pillow's filter, which widens when it shrinks.
        rounding: of the longer side: `down` as torchvision does, or `half-up`.
    """

    filter: Literal["bilinear", "bicubic"]
    rounding: Literal["down", "half-up"]


@dataclass(frozen=True)
class Transform:
    """A named way from images to views of 224 x 224 pixels.

    The view `plain` is the centre of the image resized to 256. `strong` is, in all of them, the one
    of SimCLR: random part, flip, colours, grey, by the constants of pipeline/data/images/strong.py.
    Others (pipeline/data/images/augmentation.py) are the weak one, with operations before or after
    it; a reflected border is an eighth of 224 pixels wide, and random parts have none.

    Args:
        resize: for all views but random parts.
        weak: the view `weak` is a random `crop` of the resized image, or a random `part` of the
            image, 0.08 to 1 of its area, 3/4 to 4/3 as wide as high, resized; then flipped with
            probability 1/2.
        colours: how far the weak view changes them, in random order; None to leave them.
        resize_of: of splits that are resized in another way.
    """

    resize: Resize
    weak: Literal["crop", "part"] = "crop"
    colours: Colours | None = None
    resize_of: dict[str, Resize] = field(default_factory=dict)


_TORCHVISION = Resize("bilinear", "down")
_BICUBIC = Resize("bicubic", "half-up")
TRANSFORMS = {
    "clothing1m": Transform(_TORCHVISION),
    "food101n": Transform(_BICUBIC),
    "webvision-dal": Transform(_TORCHVISION, "part", Colours(0.4, 0.4, 0.4, 0.2)),
    "webvision-ssr": Transform(_TORCHVISION, "part"),
    # Its authors resize the two test splits in different ways.
    "webvision-lra": Transform(_BICUBIC, resize_of={"ilsvrc": _TORCHVISION}),
}
"""Transforms of the published systems, by the name that the setting `transform` takes."""


class _Draws(NamedTuple):
    """The numbers of one view in [0, 1), each with one use, so that none shifts another."""

    tries: Tensor
    place: Tensor
    flip: float
    jitter: float
    grey: float
    amounts: list[float]
    order: list[float]
    policy: Tensor

    @classmethod
    def of(cls, numbers: Tensor) -> "_Draws":
        tries, place, rest = numbers[:20], numbers[20:22], numbers[22:33].tolist()
        return cls(tries, place, rest[0], rest[1], rest[2], rest[3:7], rest[7:], numbers[33:])


def view(
    name: str,
    image: Image.Image,
    transform: Transform,
    split: str,
    numbers: Tensor,
    strong_scale: float = strong.MIN_SCALE,
) -> Image.Image:
    """One view of an image.

    Args:
        name: `plain`, `strong` or one of `AUGMENTATIONS`; the square of one that has one is left to
            the caller.
        image: red, green and blue, of any size.
        transform: how.
        split: that it belongs to.
        numbers: float32 [N_DRAWS] in [0, 1), which decide everything random.
        strong_scale: least share of the area that the part in the strong view covers.

    Returns:
        224 x 224 pixels.

    Raises:
        ValueError: for another name.
    """
    # Imported here because it takes seconds, which preparing a data set should not cost.
    from torchvision.transforms.v2 import functional

    draws = _Draws.of(numbers)
    resize = transform.resize_of.get(split, transform.resize)
    if name == "plain":
        centre: Image.Image = functional.center_crop(
            resize_short_side(image, SHORT_SIDE, resize), [CROP, CROP]
        )
        return centre
    if name == "strong":
        image = _flipped(_random_part(image, draws, strong_scale), draws)
        if draws.jitter < strong.P_JITTER:
            image = _jittered(image, strong.COLOURS, draws)
        return image.convert("L").convert("RGB") if draws.grey < strong.P_GREY else image
    if name in AUGMENTATIONS:
        return _augmented(AUGMENTATIONS[name], image, transform, resize, draws)
    known = ", ".join(("plain", "strong", *AUGMENTATIONS))
    raise ValueError(f"no view {name!r}; known: {known}")


def _augmented(
    how: Augmentation, image: Image.Image, transform: Transform, resize: Resize, draws: _Draws
) -> Image.Image:
    from torchvision.transforms.v2 import functional

    if transform.weak == "crop":
        image = resize_short_side(image, SHORT_SIDE, resize)
    if how.before is not None:
        image = _changed(image, how.before, draws)
    if transform.weak == "part":
        image = _random_part(image, draws, strong.MIN_SCALE)
    else:
        if how.padding == "reflect":
            image = functional.pad(image, [CROP // 8], padding_mode="reflect")
        image = _random_crop(image, draws)
    image = _flipped(image, draws)
    if transform.colours is not None:
        image = _jittered(image, transform.colours, draws)
    return image if how.after is None else _changed(image, how.after, draws)


def _changed(image: Image.Image, policy: Policy, draws: _Draws) -> Image.Image:
    pixels = torch.from_numpy(np.array(image))[None]
    return Image.fromarray(
        policy.changed(pixels, draws.policy[None].numpy())[0].contiguous().numpy()
    )


def resize_short_side(image: Image.Image, size: int, resize: Resize) -> Image.Image:
    """Bring the shorter side to `size` pixels, the longer one in proportion."""
    short = min(image.size)
    if resize.rounding == "half-up":
        scale = size / short
        width, height = (int(side * scale + 0.5) for side in image.size)
    else:
        width, height = (int(size * side / short) for side in image.size)
    return image.resize((width, height), Image.Resampling[resize.filter.upper()])


def _random_crop(image: Image.Image, draws: _Draws) -> Image.Image:
    top, left = draws.place.tolist()
    left = int(left * (image.width - CROP + 1))
    top = int(top * (image.height - CROP + 1))
    return image.crop((left, top, left + CROP, top + CROP))


def _random_part(image: Image.Image, draws: _Draws, min_scale: float) -> Image.Image:
    """A random part of the image, resized (bilinear)."""
    box = strong.draw_box(
        draws.tries[None], draws.place[None], image.height, image.width, min_scale
    )
    top, left, height, width = (int(side) for side in box)
    # Cut out first: resizing by a box would look beyond its edges.
    part = image.crop((left, top, left + width, top + height))
    return part.resize((CROP, CROP), Image.Resampling.BILINEAR)


def _flipped(image: Image.Image, draws: _Draws) -> Image.Image:
    mirrored = draws.flip < 0.5
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if mirrored else image


def _jittered(image: Image.Image, colours: Colours, draws: _Draws) -> Image.Image:
    from torchvision.transforms.v2 import functional

    changes = (
        functional.adjust_brightness,
        functional.adjust_contrast,
        functional.adjust_saturation,
        functional.adjust_hue,
    )
    for kind in sorted(range(len(changes)), key=draws.order.__getitem__):
        shift = colours[kind] * (2 * draws.amounts[kind] - 1)
        # The hue is shifted by an amount, the others are multiplied by a factor about 1.
        image = changes[kind](image, shift if kind == 3 else 1 + shift)
    return image
