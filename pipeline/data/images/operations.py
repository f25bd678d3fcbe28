"""Operations on colours and shapes of images, many at a time, each with a strength of its own.

Those of AutoAugment (Cubuk et al., CVPR 2019) and RandAugment on pixels of 8 bits. What an image is
blended with, histograms and contrasts come from torchvision; places are taken from Pillow's rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import conv2d

from pipeline.data.host import constant
from pipeline.data.images.warp import rotated, warped

_SMOOTHING = (1 / 13,) * 4 + (5 / 13,) + (1 / 13,) * 4


@dataclass(frozen=True)
class Amounts:
    """How strongly an operation changes each image.

    Args:
        value: float64 [B], in the unit of the operation.
        place: floating [B, 2] in [0, 1), where it happens, down and across; of `cutout`.
        fill: of what comes from outside the image, 0 to 255.
        colour: of what is cut out, red, green and blue.
    """

    value: Tensor
    place: Tensor
    fill: int
    colour: tuple[int, int, int]


def _identity(x: Tensor, amounts: Amounts) -> Tensor:
    del amounts
    return x


def _autocontrast(x: Tensor, amounts: Amounts) -> Tensor:
    """Stretch each channel from black to white."""
    from torchvision.transforms.v2 import functional

    del amounts
    stretched: Tensor = functional.autocontrast(x)
    return stretched


def _equalize(x: Tensor, amounts: Amounts) -> Tensor:
    """Flatten the histogram of each channel."""
    from torchvision.transforms.v2 import functional

    del amounts
    flattened: Tensor = functional.equalize(x.contiguous())
    return flattened


def _invert(x: Tensor, amounts: Amounts) -> Tensor:
    del amounts
    return 255 - x


def _posterize(x: Tensor, amounts: Amounts) -> Tensor:
    """Keep the highest bits; the value says how many."""
    dropped = 8 - amounts.value.long().clamp(0, 8)
    return ((x >> _per_image(dropped)) << _per_image(dropped)).to(torch.uint8)


def _solarize(x: Tensor, amounts: Amounts) -> Tensor:
    """Invert what is as bright as the value or brighter."""
    return torch.where(x >= _per_image(amounts.value), 255 - x, x)


def _solarize_add(x: Tensor, amounts: Amounts) -> Tensor:
    """Add the value, and invert what is then of 128 or brighter."""
    added = (x.long() + _per_image(amounts.value.long())).clamp(0, 255).to(torch.uint8)
    return torch.where(added >= 128, 255 - added, added)


def _brightness(x: Tensor, amounts: Amounts) -> Tensor:
    return _blended(x, torch.zeros_like(x), amounts)


def _contrast(x: Tensor, amounts: Amounts) -> Tensor:
    """Away from, or towards, the mean grey of each image."""
    from torchvision.transforms.v2 import functional

    return _blended(x, functional.adjust_contrast(x, 0.0), amounts)


def _colour(x: Tensor, amounts: Amounts) -> Tensor:
    """Away from, or towards, the greys of each image; one without colours stays."""
    from torchvision.transforms.v2 import functional

    return _blended(x, functional.adjust_saturation(x, 0.0), amounts)


def _sharpness(x: Tensor, amounts: Amounts) -> Tensor:
    """Away from, or towards, a smoothed image."""
    return _blended(x, _smoothed(x), amounts)


def _smoothed(x: Tensor) -> Tensor:
    """Torchvision's, whose weights would be copied to the device each time."""
    if min(x.shape[2:]) <= 2:
        return x
    weights = constant(_SMOOTHING, torch.float32, x.device).view(1, 1, 3, 3)
    n_channels = x.shape[1]
    inner = conv2d(x.float(), weights.expand(n_channels, 1, 3, 3), groups=n_channels)
    smoothed = x.clone()
    smoothed[:, :, 1:-1, 1:-1] = inner.round().clamp(0, 255).to(torch.uint8)
    return smoothed


def _blended(x: Tensor, other: Tensor, amounts: Amounts) -> Tensor:
    """The value of the way from the other image to this one; fractions are cut off, as in PIL."""
    share = _per_image(amounts.value.float())
    return (other + share * (x.float() - other)).clamp(0, 255).to(torch.uint8)


def _rotate(x: Tensor, amounts: Amounts) -> Tensor:
    """Counterclockwise, in degrees."""
    return _as_rows(lambda rows: rotated(rows, amounts.value, amounts.fill), x)


def _shear_x(x: Tensor, amounts: Amounts) -> Tensor:
    """A pixel comes from further right by the value times its distance from the top."""
    return _sheared(x, amounts, across=True)


def _shear_y(x: Tensor, amounts: Amounts) -> Tensor:
    """A pixel comes from further down by the value times its distance from the left."""
    return _sheared(x, amounts, across=False)


def _translate_x(x: Tensor, amounts: Amounts) -> Tensor:
    """A pixel comes from so many pixels further right."""
    return _translated(x, amounts, across=True)


def _translate_y(x: Tensor, amounts: Amounts) -> Tensor:
    """A pixel comes from so many pixels further down."""
    return _translated(x, amounts, across=False)


def _sheared(x: Tensor, amounts: Amounts, across: bool) -> Tensor:
    value, (row, column) = amounts.value, (0, 1) if across else (1, 0)
    matrix = torch.eye(2, dtype=value.dtype, device=x.device).repeat(len(x), 1, 1)
    matrix[:, row, column] = value
    # From the upper left corner, not from the centre.
    shift = value.new_zeros(len(x), 2)
    shift[:, row] = value * (x.shape[2] if across else x.shape[3]) / 2
    return _as_rows(lambda rows: warped(rows, matrix, shift, amounts.fill), x)


def _translated(x: Tensor, amounts: Amounts, across: bool) -> Tensor:
    value = amounts.value
    matrix = torch.eye(2, dtype=value.dtype, device=x.device).expand(len(x), 2, 2)
    shift = value.new_zeros(len(x), 2)
    shift[:, 0 if across else 1] = value
    return _as_rows(lambda rows: warped(rows, matrix, shift, amounts.fill), x)


def _cutout(x: Tensor, amounts: Amounts) -> Tensor:
    """A square of the value + 1 pixels in one colour: Pillow's rectangle holds both corners."""
    side, places = amounts.value[:, None], amounts.place.double()
    sides = constant(tuple(x.shape[2:]), torch.float64, x.device)
    start = (places * sides - side / 2).clamp(min=0).floor()
    inside = rectangles(start, start + side, x)
    return torch.where(inside, _as_pixel(amounts.colour, x), x)


def rectangles(first: Tensor, last: Tensor, x: Tensor) -> Tensor:
    """Which pixels of images lie in a rectangle of each.

    Args:
        first: [B, 2], the topmost row and the leftmost column; may lie outside.
        last: [B, 2], the bottom row and the rightmost column; as `first`.
        x: images [B, C, H, W].

    Returns:
        bool [B, 1, H, W].
    """
    rows, columns = (
        (at >= first[:, dim, None]) & (at <= last[:, dim, None])
        for dim, at in enumerate(torch.arange(n, device=x.device) for n in x.shape[2:])
    )
    return rows[:, None, :, None] & columns[:, None, None, :]


def _as_pixel(colour: tuple[int, int, int], x: Tensor) -> Tensor:
    """A colour, or its mean in images without colours: uint8 [C, 1, 1]."""
    values = colour if x.shape[1] == 3 else (round(sum(colour) / 3),) * x.shape[1]
    return constant(values, torch.uint8, x.device)[:, None, None]


def _as_rows(change: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return change(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _per_image(values: Tensor) -> Tensor:
    return values[:, None, None, None]


OPERATIONS: dict[str, Callable[[Tensor, Amounts], Tensor]] = {
    "identity": _identity,
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "invert": _invert,
    "posterize": _posterize,
    "solarize": _solarize,
    "solarize-add": _solarize_add,
    "brightness": _brightness,
    "contrast": _contrast,
    "color": _colour,
    "sharpness": _sharpness,
    "rotate": _rotate,
    "shear-x": _shear_x,
    "shear-y": _shear_y,
    "translate-x": _translate_x,
    "translate-y": _translate_y,
    "cutout": _cutout,
}
"""From images uint8 [B, C, H, W], C 1 or 3, and amounts to new ones, by name."""
