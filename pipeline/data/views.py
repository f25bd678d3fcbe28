"""Batches of images as the networks see them, made by batched operations on the training device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from pipeline.data.host import constant, fetched
from pipeline.data.images import strong
from pipeline.data.images.augmentation import AUGMENTATIONS, Augmentation
from pipeline.data.images.policies import N_NUMBERS, Policy, Uniforms
from pipeline.data.images.side_by_side import Positions
from pipeline.data.images.strong import MIN_SCALE
from pipeline.data.images.warp import rotated
from pipeline.data.randomness import sample_uniforms, sample_uniforms_on_host

CONSTANTS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Channel means and standard deviations in common use. The cifar10 deviations are those that the
published codes use; the measured ones are 0.247 0.243 0.262."""

_N_PLACES = 4
"""Uniform numbers of an image that crop, flip and rotation use."""
_AT_ONCE = 4096
"""Images for which is drawn at once, a few batches ahead of their use."""

_Request = tuple[Tensor, Positions | None]
"""Positions in a set of images; on the host, too, where it decides something."""


class _Draws(NamedTuple):
    """What is drawn for views of crop, flip and operations."""

    places: Tensor | None
    """float32 [B, _N_PLACES] in [0, 1); None where images are not moved."""
    numbers: Uniforms | None
    """[B, N_NUMBERS] in [0, 1), where there are operations."""

    def part(self, rows: slice) -> _Draws:
        """What is drawn for some of the views."""
        return _Draws(
            None if self.places is None else self.places[rows],
            None if self.numbers is None else self.numbers[rows],
        )


_AnyDraw = strong.Drawn | _Draws | None


class ImageSource(Protocol):
    """Where the loop gets images from, whether they lie in memory or are decoded by workers."""

    def batches(
        self, requests: Sequence[Tensor], views: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Batches in the order of the requests, perhaps made ahead of their use.

        Args:
            requests: int64 [B] each, positions in the set; on the device.
            views: `plain` (no augmentation), `strong` or one of `AUGMENTATIONS`.
            seeds: one per view; every draw is a pure function of (seed, position).

        Returns:
            Of each request its views, float32 [B, C, H, W] each, normalised, on the device.
        """
        ...


class DeviceImages:
    """A small image set held on the device as one uint8 tensor.

    Args:
        images: uint8 [N, H, W, C].
        mean: per channel, of pixels / 255.
        std: per channel, of pixels / 255.
        device: where batches are made.
        crop_padding: padding in pixels around the random crop of all views but the strong one.
        flip: whether images are mirrored with probability 1/2.
        channels_last: memory order of the batches.
        strong_scale: least share of the area that the crop of the strong view covers.
        rotation: largest angle in degrees, either way, by which all views but the strong one are
            turned after crop and flip.
    """

    def __init__(
        self,
        images: np.ndarray,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        crop_padding: int = 0,
        flip: bool = False,
        channels_last: bool = True,
        strong_scale: float = MIN_SCALE,
        rotation: float = 0.0,
    ) -> None:
        self._crop_padding, self._flip, self._strong_scale = crop_padding, flip, strong_scale
        self._rotation = rotation
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        stored = torch.from_numpy(np.array(images)).to(device)
        # Padding once turns every crop into a plain window of the stored tensor.
        self._padded = _padded(stored, crop_padding, "zero")
        self._height, self._width = images.shape[1:3]
        scale = 255.0 * torch.tensor(std, device=device)
        self._factor = (1.0 / scale)[:, None, None]
        self._shift = (-255.0 * torch.tensor(mean, device=device) / scale)[:, None, None]

    def __len__(self) -> int:
        return len(self._padded)

    def batches(
        self, requests: Sequence[Tensor], views: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Batches in the order of the requests; see `ImageSource`."""
        named = list(zip(views, seeds, strict=True))
        # What changes an image is decided on the host, which asks for the positions of all once.
        known = fetched(requests) if any(map(_is_decided, views)) else [None] * len(requests)
        for some in _in_groups(list(zip(requests, known, strict=True))):
            index = torch.cat([request for request, _ in some])
            here = [places for _, places in some if places is not None]
            places = np.concatenate(here) if here else None
            drawn = [self._drawn(name, index, places, seed) for name, seed in named]
            start = 0
            for request, _ in some:
                rows = slice(start, start := start + len(request))
                yield tuple(
                    self._view(name, request, one and one.part(rows), seed)
                    for (name, seed), one in zip(named, drawn, strict=True)
                )

    def view(self, name: str, index: Tensor, seed: int = 0) -> Tensor:
        """One view of some images.

        Args:
            name: `plain`, `strong` (see `pipeline.data.images.strong`) or one of `AUGMENTATIONS`,
                such as `weak` (zero padding, random crop, horizontal flip, rotation).
            index: int64 [B], positions in the set.
            seed: of the view in this epoch; each draw is a pure function of (seed, position).

        Returns:
            float32 [B, C, H, W], normalised.

        Raises:
            ValueError: for a view that this source does not make.
        """
        (made,) = next(self.batches([index], (name,), (seed,)))
        return made

    def _drawn(self, name: str, index: Tensor, here: Positions | None, seed: int) -> _AnyDraw:
        """What is drawn for a view of images, whose positions the host knows where it decides."""
        if name == "strong":
            assert here is not None
            shape = (self._padded.shape[3], self._height, self._width)
            return strong.draw(seed, here, shape, index.device, self._strong_scale, self._flip)
        if name not in AUGMENTATIONS:
            return None
        numbers = None
        if AUGMENTATIONS[name].has_operations:
            assert here is not None
            # Those behind the numbers of the crop.
            numbers = sample_uniforms_on_host(seed, here, _N_PLACES + N_NUMBERS)[:, _N_PLACES:]
        moves = self._crop_padding or self._flip or self._rotation
        return _Draws(sample_uniforms(seed, index, _N_PLACES) if moves else None, numbers)

    def _view(self, name: str, index: Tensor, drawn: _AnyDraw, seed: int) -> Tensor:
        if name == "plain":
            return self._normalised(self._stored(index))
        if isinstance(drawn, strong.Drawn):
            return self._strong(index, drawn)
        if drawn is not None:
            return self._augmented(AUGMENTATIONS[name], index, drawn, seed)
        known = ", ".join(("plain", "strong", *AUGMENTATIONS))
        raise ValueError(f"no view {name!r} of images in memory; known: {known}")

    def _stored(self, index: Tensor) -> Tensor:
        p = self._crop_padding
        return self._padded[index][:, p : p + self._height, p : p + self._width]

    def _strong(self, index: Tensor, drawn: strong.Drawn) -> Tensor:
        images = self._stored(index).permute(0, 3, 1, 2).to(torch.float32) / 255
        x = strong.strong_view(images.contiguous(), drawn)
        x = torch.addcmul(self._shift, x, 255 * self._factor)
        return x.contiguous(memory_format=self._format)

    def _augmented(self, how: Augmentation, index: Tensor, drawn: _Draws, seed: int) -> Tensor:
        padded, rows = self._padded, index
        if how.before is not None or how.padding == "reflect":
            images = self._stored(index)
            if how.before is not None:
                images = _changed(images, how.before, drawn)
            padded = _padded(images, self._crop_padding, how.padding)
            rows = torch.arange(len(index), device=index.device)
        images = padded[rows] if drawn.places is None else self._moved(padded, rows, drawn.places)
        if how.after is not None:
            images = _changed(images, how.after, drawn)
        return how.without_square(self._normalised(images), index, seed)

    def _moved(self, padded: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        """Windows of padded images, mirrored and turned: uint8 [B, H, W, C]."""
        offsets = (places[:, :2] * (2 * self._crop_padding + 1)).long()
        # [N, 2p+1, 2p+1, H, W, C] view of all windows: one gather crops the whole batch.
        windows = padded.unfold(1, self._height, 1).unfold(2, self._width, 1)
        images = windows.permute(0, 1, 2, 4, 5, 3)[rows, offsets[:, 0], offsets[:, 1]]
        if self._flip:
            mirrored = places[:, 2] < 0.5
            images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
        if self._rotation:
            images = rotated(images, self._rotation * (2 * places[:, 3] - 1))
        return images

    def _normalised(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        x = torch.addcmul(self._shift, x, self._factor)
        return x.contiguous(memory_format=self._format)


def _is_decided(view: str) -> bool:
    """Whether the host decides what is done to each image of a view."""
    return view == "strong" or (view in AUGMENTATIONS and AUGMENTATIONS[view].has_operations)


def _in_groups(requests: Sequence[_Request]) -> Iterator[Sequence[_Request]]:
    """Requests in groups of as many as are drawn for at once, at least one each."""
    ends = np.cumsum([len(index) for index, _ in requests], dtype=np.int64)
    for _, group in groupby(zip(requests, ends, strict=True), lambda one: one[1] // _AT_ONCE):
        yield [request for request, _ in group]


def _changed(images: Tensor, policy: Policy, drawn: _Draws) -> Tensor:
    assert drawn.numbers is not None
    return policy.changed(images, drawn.numbers)


def _padded(images: Tensor, padding: int, mode: Literal["zero", "reflect"]) -> Tensor:
    """Images [B, H, W, C] with so many pixels more on all four sides."""
    if mode == "zero":
        return torch.nn.functional.pad(images, (0, 0, padding, padding, padding, padding))
    # Torch's own does not reach beyond the opposite edge.
    mirrored = [np.pad(np.arange(side), padding, "reflect") for side in images.shape[1:3]]
    rows, columns = (constant(tuple(at.tolist()), torch.int64, images.device) for at in mirrored)
    return images[:, rows[:, None], columns]


def channel_statistics(
    name: str, measured: tuple[tuple[float, ...], tuple[float, ...]]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel under a named normalisation; none leaves [0, 1]."""
    if name == "none":
        return (0.0,) * len(measured[0]), (1.0,) * len(measured[1])
    return measured if name == "measured" else CONSTANTS[name]
