"""Rotation of images by their own angles, as PIL does it to the nearest pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def rotated(images: Tensor, degrees: Tensor) -> Tensor:
    """Images turned counterclockwise about their centre, with 0 where nothing was.

    Args:
        images: [B, H, W, C], of any type.
        degrees: floating [B], angle of each image.

    Returns:
        The same shape and type; every pixel is one of its image, that whose area holds the centre
        of the new pixel before the turn, or 0.
    """
    height, width = images.shape[1:3]
    # In double precision: the edge of a pixel is met alike on every device.
    angle = degrees.double().deg2rad()[:, None, None]
    y = torch.arange(height, device=images.device).double()[None, :, None] + (1 - height) / 2
    x = torch.arange(width, device=images.device).double()[None, None, :] + (1 - width) / 2
    from_x = (angle.cos() * x - angle.sin() * y + width / 2).floor().long()
    from_y = (angle.sin() * x + angle.cos() * y + height / 2).floor().long()
    is_inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    row = torch.arange(len(images), device=images.device)[:, None, None]
    found = images[row, from_y.clamp(0, height - 1), from_x.clamp(0, width - 1)]
    return found * is_inside[..., None].to(images.dtype)
