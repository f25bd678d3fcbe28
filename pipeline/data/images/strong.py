"""The strong view of contrastive learning: crop and resize, mirror, colour jitter, grey.

Batched tensor operations on the device; every draw belongs to a sample. The distributions are those
of torchvision's RandomResizedCrop, RandomHorizontalFlip, ColorJitter in random order, and
RandomGrayscale with the constants below (SimCLR on CIFAR, without blur). Pixels stay
real numbers in [0, 1]; PIL, which published codes use, rounds them to 8 bits after each operation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.data.host import constant
from pipeline.data.randomness import sample_uniforms

MIN_SCALE = 0.08
"""Least share of the image's area that a crop covers; the largest is 1."""
RATIOS = (3 / 4, 4 / 3)
"""Width / height of a crop."""
P_JITTER, P_GREY = 0.8, 0.2


class Colours(NamedTuple):
    """How far colours may change: factors from 1 - x to 1 + x, the hue by up to x of a turn."""

    brightness: float
    contrast: float
    saturation: float
    hue: float


COLOURS = Colours(0.4, 0.4, 0.4, 0.1)

_TRIES = 10
_LUMINANCE = (0.2989, 0.587, 0.114)


class Box(NamedTuple):
    """A crop per sample, int64 [B] each, in pixels."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class Jitter(NamedTuple):
    """Change of colours per sample.

    Args:
        factors: float32 [B, 4], of brightness, contrast and saturation, and the turn of the hue.
        order: int64 [B, 4], a permutation of these four: which comes first, and so on.
    """

    factors: Tensor
    order: Tensor


def strong_view(
    images: Tensor, seed: int, index: Tensor, min_scale: float = MIN_SCALE, flip: bool = True
) -> Tensor:
    """Strongly augmented images; every draw is a pure function of (seed, index).

    Args:
        images: float32 [B, C, H, W] in [0, 1]; colours are changed where C is 3.
        seed: of the view in this epoch.
        index: int64 [B], positions of the samples in their set.
        min_scale: least share of the area that a crop covers, in (0, 1].
        flip: whether images are mirrored with probability 1/2.

    Returns:
        float32 [B, C, H, W] in [0, 1].
    """
    draws = sample_uniforms(seed, index, 2 * _TRIES + 13)
    tries, rest = draws[:, : 2 * _TRIES], draws[:, 2 * _TRIES :]
    box = draw_box(tries, rest[:, :2], images.shape[2], images.shape[3], min_scale)
    x = crop_resized(images, box)
    if flip:
        x = _choose(rest[:, 2] < 0.5, x.flip(3), x)
    spread = constant(COLOURS, torch.float32, x.device)
    centre = constant((1.0, 1.0, 1.0, 0.0), torch.float32, x.device)
    factors = centre + spread * (2 * rest[:, 3:7] - 1)
    jittered = jitter(x, Jitter(factors, rest[:, 7:11].argsort(dim=1)))
    x = _choose(rest[:, 11] < P_JITTER, jittered, x)
    return _choose(rest[:, 12] < P_GREY, grey(x), x)


def draw_box(tries: Tensor, place: Tensor, height: int, width: int, min_scale: float) -> Box:
    """Crops in the law of torchvision's RandomResizedCrop.

    Area uniform in [min_scale, 1], logarithm of the ratio uniform; the first of ten tries that fits
    into the image counts, else the largest central crop with an allowed ratio.

    Args:
        tries: uniforms [B, 20]: ten of areas, then ten of ratios.
        place: uniforms [B, 2], of the vertical and the horizontal position.
        height: of the images.
        width: of the images.
        min_scale: least share of the area.

    Returns:
        A box per sample, within the image.
    """
    areas, ratios = tries.double().chunk(2, dim=1)
    area = height * width * (min_scale + (1 - min_scale) * areas)
    low, high = (math.log(ratio) for ratio in RATIOS)
    ratio = torch.exp(low + (high - low) * ratios)
    widths, heights = (area * ratio).sqrt().round().long(), (area / ratio).sqrt().round().long()
    fits = (widths > 0) & (widths <= width) & (heights > 0) & (heights <= height)
    first = fits.int().argmax(dim=1, keepdim=True)
    found = fits.any(dim=1)
    most_high, most_wide = _largest_box(height, width)
    box_height = torch.where(found, heights.gather(1, first)[:, 0], most_high)
    box_width = torch.where(found, widths.gather(1, first)[:, 0], most_wide)
    spare = torch.stack([height - box_height, width - box_width], dim=1)
    corner = (place.double() * (spare + 1)).long()
    corner = torch.where(found[:, None], corner, spare // 2)
    return Box(corner[:, 0], corner[:, 1], box_height, box_width)


def _largest_box(height: int, width: int) -> tuple[int, int]:
    if width / height < RATIOS[0]:
        return round(width / RATIOS[0]), width
    if width / height > RATIOS[1]:
        return height, round(height * RATIOS[1])
    return height, width


def crop_resized(images: Tensor, box: Box) -> Tensor:
    """Cut boxes out and bring them back to the size of the images, bilinearly.

    A box is never larger than the image, so nothing is made smaller and there is no aliasing.

    Args:
        images: [B, C, H, W].
        box: one per image.

    Returns:
        [B, C, H, W].
    """
    rows = _resized(images, box.top, box.height, dim=2)
    return _resized(rows, box.left, box.width, dim=3)


def _resized(images: Tensor, start: Tensor, length: Tensor, dim: int) -> Tensor:
    n = images.shape[dim]
    scale = (length / n)[:, None]
    at = (torch.arange(n, device=images.device) + 0.5) * scale - 0.5
    # Beyond the outermost centres of the box its edge is continued.
    at = at.clamp(min=0).minimum((length - 1)[:, None])
    before = at.long()
    after = (before + 1).minimum((length - 1)[:, None])
    shape = [len(images), 1, 1, 1]
    shape[dim] = n
    weight = (at - before).view(shape)

    def taken(position: Tensor) -> Tensor:
        return images.gather(dim, (start[:, None] + position).view(shape).expand_as(images))

    return torch.lerp(taken(before), taken(after), weight)


def jitter(images: Tensor, change: Jitter) -> Tensor:
    """Change brightness, contrast, saturation and hue, in each sample's own order.

    Args:
        images: [B, C, H, W] in [0, 1]; without three channels, saturation and hue stay.
        change: factors and order.

    Returns:
        [B, C, H, W] in [0, 1].
    """
    x = images
    for step in range(4):
        kind = change.order[:, step]
        factor = change.factors.gather(1, kind[:, None])[:, :, None, None]
        luminance = grey(x)
        # Three of the four mix the image with another one: black, its mean grey, its greys.
        other = _choose(kind == 1, luminance.mean(dim=(2, 3), keepdim=True).expand_as(x), luminance)
        other = _choose(kind == 0, torch.zeros_like(x), other)
        mixed = (factor * x + (1 - factor) * other).clamp(0, 1)
        turned = _turned(x, factor) if x.shape[1] == 3 else x
        x = _choose(kind == 3, turned, mixed)
    return x


def grey(images: Tensor) -> Tensor:
    """The luminance of images [B, C, H, W] in all channels; images without colours stay."""
    if images.shape[1] != 3:
        return images
    weights = constant(_LUMINANCE, torch.float32, images.device)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True).expand_as(images)


def _turned(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue by a share of the circle, in the hexcone model (HSV)."""
    value, which = images.max(dim=1, keepdim=True)
    chroma = value - images.min(dim=1, keepdim=True).values
    red, green, blue = images[:, 0:1], images[:, 1:2], images[:, 2:3]
    divisor = torch.where(chroma > 0, chroma, 1)
    sectors = torch.cat(
        [(green - blue), 2 * divisor + blue - red, 4 * divisor + red - green], dim=1
    )
    hue = sectors.gather(1, which) / divisor + 6 * turn
    # Each channel falls from value to value - chroma as the hue leaves it: Smith (1978).
    offsets = constant((5.0, 3.0, 1.0), torch.float32, images.device)[:, None, None]
    distance = (offsets + hue) % 6
    return value - chroma * torch.minimum(distance, 4 - distance).clamp(0, 1)


def _choose(condition: Tensor, yes: Tensor, no: Tensor) -> Tensor:
    return torch.where(condition[:, None, None, None], yes, no)
