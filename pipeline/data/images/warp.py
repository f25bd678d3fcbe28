"""Images moved, sheared and turned, each by its own amount, as PIL does it to the nearest pixel."""

from __future__ import annotations

import torch
from torch import Tensor


def warped(images: Tensor, matrix: Tensor, shift: Tensor, fill: int = 0) -> Tensor:
    """Images whose pixels come from elsewhere in them.

    A pixel at p, counted from the centre of the image, comes from matrix p + shift.

    Args:
        images: [B, H, W, C], of any type.
        matrix: float64 [B, 2, 2]; x comes first, then y.
        shift: float64 [B, 2], in pixels.
        fill: where nothing was.

    Returns:
        The same shape and type; every pixel is one of its image, that whose area holds the place it
        comes from, or `fill`.
    """
    height, width = images.shape[1:3]
    # In double precision: the edge of a pixel is met alike on every device.
    y = torch.arange(height, device=images.device).double()[None, :, None] + (1 - height) / 2
    x = torch.arange(width, device=images.device).double()[None, None, :] + (1 - width) / 2
    parts, shifts = matrix[:, :, :, None, None], shift[:, :, None, None]
    from_x = (parts[:, 0, 0] * x + parts[:, 0, 1] * y + width / 2 + shifts[:, 0]).floor().long()
    from_y = (parts[:, 1, 0] * x + parts[:, 1, 1] * y + height / 2 + shifts[:, 1]).floor().long()
    is_inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    row = torch.arange(len(images), device=images.device)[:, None, None]
    found = images[row, from_y.clamp(0, height - 1), from_x.clamp(0, width - 1)]
    return torch.where(is_inside[..., None], found, torch.full_like(found, fill))


def rotated(images: Tensor, degrees: Tensor, fill: int = 0) -> Tensor:
    """Images turned counterclockwise about their centre.

    Args:
        images: [B, H, W, C], of any type.
        degrees: floating [B], angle of each image.
        fill: where nothing was.

    Returns:
        The same shape and type; see `warped`.
    """
    angle = degrees.double().deg2rad()
    cos, sin = angle.cos(), angle.sin()
    matrix = torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)
    return warped(images, matrix, matrix.new_zeros(len(matrix), 2), fill)
