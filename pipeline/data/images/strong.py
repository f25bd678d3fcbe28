"""The strong view of contrastive learning: crop and resize, mirror, colour jitter, grey.

Batched tensor operations on the device; every draw belongs to a sample and is known to the host, so
that images which change alike are changed together. The distributions are those of torchvision's
RandomResizedCrop, RandomHorizontalFlip, ColorJitter in random order, and RandomGrayscale with the
constants below (SimCLR on CIFAR, without blur). Pixels stay real numbers in [0, 1]; PIL, which
published codes use, rounds them to 8 bits after each operation.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.data.host import constant, on_host, sent
from pipeline.data.images.side_by_side import Positions, changed_in_turn
from pipeline.data.randomness import sample_uniforms_on_host

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
_CENTRE = (1.0, 1.0, 1.0, 0.0)
"""Factors and turn that change nothing."""
_LUMINANCE = (0.2989, 0.587, 0.114)
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE, _GREY, _NONE = range(6)
"""Changes of colours; the first four are the columns of `Jitter`."""


class Box(NamedTuple):
    """A crop per sample, int64 [B] each, in pixels."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class Jitter(NamedTuple):
    """Change of colours per sample, on the host.

    Args:
        factors: float32 [B, 4], of brightness, contrast and saturation, and the turn of the hue.
        order: int64 [B, 4], a permutation of these four: which comes first, and so on.
    """

    factors: Tensor
    order: Tensor


class Drawn(NamedTuple):
    """What is drawn for strong views.

    Args:
        cut: int64 [B, 5] on the device: top, left, height and width of the crop in pixels, and
            whether it is mirrored (1 or 0).
        kinds: int64 [5, B] on the host, how colours are changed in five turns.
        numbers: float32 [5, B, 2] on the host: a factor and its difference from 1, or a turn.
    """

    cut: Tensor
    kinds: Positions
    numbers: npt.NDArray[np.float32]

    def part(self, rows: slice) -> Drawn:
        """What is drawn for some of the views."""
        return Drawn(self.cut[rows], self.kinds[:, rows], self.numbers[:, rows])


def draw(
    seed: int, index: Positions, shape: tuple[int, ...], device: torch.device,
    min_scale: float = MIN_SCALE, flip: bool = True,
) -> Drawn:  # fmt: skip
    """What makes the strong view of each sample: a pure function of (seed, index).

    Args:
        seed: of the view in this epoch.
        index: int64 [B], positions of the samples in their set.
        shape: of an image: channels, height, width.
        device: of the images.
        min_scale: least share of the area that a crop covers, in (0, 1].
        flip: whether images are mirrored with probability 1/2.
    """
    draws = on_host(sample_uniforms_on_host(seed, index, 2 * _TRIES + 13))
    tries, rest = draws[:, : 2 * _TRIES], draws[:, 2 * _TRIES :]
    box = draw_box(tries, rest[:, :2], shape[1], shape[2], min_scale)
    cut = torch.stack([*box, (rest[:, 2] < 0.5).long() * flip], dim=1)
    centre, spread = (constant(c, torch.float32, draws.device) for c in (_CENTRE, COLOURS))
    factors = centre + spread * (2 * rest[:, 3:7] - 1)
    change = Jitter(factors, rest[:, 7:11].argsort(dim=1))
    turns = _turns(change, rest[:, 11] < P_JITTER, rest[:, 12] < P_GREY, shape[0])
    return Drawn(sent(cut.numpy(), device), *turns)


def strong_view(images: Tensor, drawn: Drawn) -> Tensor:
    """Strongly augmented images.

    Args:
        images: float32 [B, C, H, W] in [0, 1]; colours are changed where C is 3.
        drawn: how, on their device.

    Returns:
        float32 [B, C, H, W] in [0, 1].
    """
    x = _cut_out(images, drawn.cut)
    return changed_in_turn(x, drawn.kinds, drawn.numbers, _changed, _NONE)


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
    return _cut_out(images, torch.stack([*box, torch.zeros_like(box.top)], dim=1))


def _cut_out(images: Tensor, cut: Tensor) -> Tensor:
    """As `crop_resized`; int64 [B, 5] holds the boxes and which images are mirrored afterwards."""
    top, left, height, width, mirrored = cut.T
    rows, columns = (torch.arange(side, device=images.device) for side in images.shape[2:])
    columns = torch.where(mirrored[:, None] > 0, len(columns) - 1 - columns, columns)
    return _resized(_resized(images, top, height, rows, dim=2), left, width, columns, dim=3)


def _resized(images: Tensor, start: Tensor, length: Tensor, place: Tensor, dim: int) -> Tensor:
    """Resized parts of images along one dimension; the pixels at some places of the result."""
    n = images.shape[dim]
    scale = (length / n)[:, None]
    at = (place + 0.5) * scale - 0.5
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
    nowhere = torch.zeros(len(images), dtype=torch.bool)
    turns = _turns(change, ~nowhere, nowhere, images.shape[1])
    return changed_in_turn(images, *turns, _changed, _NONE)


def _turns(
    change: Jitter, jittered: Tensor, becomes_grey: Tensor, n_channels: int
) -> tuple[Positions, npt.NDArray[np.float32]]:
    """Kinds and numbers of `Drawn`: jitter where bool [B] says so, then grey where it does."""
    kinds = torch.where(jittered[:, None], change.order, _NONE)
    kinds = torch.cat([kinds, torch.where(becomes_grey, _GREY, _NONE)[:, None]], dim=1)
    if n_channels != 3:
        kinds = torch.where(kinds < _HUE, kinds, _NONE)
    # A change to grey looks at no factor.
    factors = change.factors.gather(1, torch.nn.functional.pad(change.order, (0, 1)))
    numbers = torch.stack([factors, 1 - factors], dim=2)
    return kinds.T.numpy(), numbers.transpose(0, 1).numpy()


def _changed(kind: int, x: Tensor, numbers: Tensor) -> Tensor:
    """Images changed in one way, by a factor or turn each; they are overwritten."""
    if kind == _GREY:
        return grey(x)
    factor, rest = numbers[:, :, None, None, None].unbind(dim=1)
    if kind == _HUE:
        return _turned(x, factor)
    # Three of the four mix the image with another one: black, its mean grey, its greys.
    if kind == _BRIGHTNESS:
        return x.mul_(factor).clamp_(0, 1)
    other = _luminance(x)
    if kind == _CONTRAST:
        other = other.mean(dim=(2, 3), keepdim=True)
    other = rest * other
    return x.mul_(factor).add_(other).clamp_(0, 1)


def grey(images: Tensor) -> Tensor:
    """The luminance of images [B, C, H, W] in all channels; images without colours stay."""
    return _luminance(images).expand_as(images)


def _luminance(images: Tensor) -> Tensor:
    if images.shape[1] != 3:
        return images
    weights = constant(_LUMINANCE, torch.float32, images.device)
    return (images * weights[:, None, None]).sum(dim=1, keepdim=True)


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
