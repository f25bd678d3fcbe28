"""Which operations change an image, and how strongly: drawn for each sample, done for many.

AutoAugment (Cubuk et al., CVPR 2019) draws one of 25 pairs of operations; the RandAugment of DISC
(Li et al., CVPR 2023) and of ProMix (Xiao et al., IJCAI 2023) draws several, each from a list.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pipeline.data.images.operations import OPERATIONS, Amounts
from pipeline.data.images.side_by_side import Positions, changed_in_turn

N_NUMBERS = 24
"""Uniform numbers that a policy may use for one image."""
MOST = 10
"""The highest level of an operation."""

_NAMES = tuple(OPERATIONS)
_IDENTITY = _NAMES.index("identity")

Uniforms = npt.NDArray[np.float32]
Reals = npt.NDArray[np.float64]


class Strength(NamedTuple):
    """What the levels of an operation mean: value = base +- (low + (high - low) level / 10).

    Values of `translate-x` and `translate-y` count in sides of the image, those of `cutout` in its
    shorter side; others in the unit of the operation.
    """

    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    """Whether the sign is drawn, too."""
    whole: bool = False
    """Whether the fraction of the value, in pixels where it is a length, is cut off."""
    base: float = 0.0


class _Draw(NamedTuple):
    """One operation of each sample; what is not applied is the identity."""

    kind: Positions
    """[B], positions in `OPERATIONS`."""
    value: Reals
    """[B], lengths in pixels."""
    place: Uniforms
    """[B, 2] in [0, 1)."""


@dataclass(frozen=True, kw_only=True)
class Policy(ABC):
    """A law by which operations are drawn.

    Args:
        fill: of what comes from outside the image, 0 to 255.
        colour: of what is cut out, red, green and blue.
    """

    fill: int = 0
    colour: tuple[int, int, int] = (0, 0, 0)

    @abstractmethod
    def draws(self, numbers: Uniforms, height: int, width: int) -> list[_Draw]:
        """The operations of each sample, one after the other, on images of a size."""

    def changed(self, images: Tensor, numbers: Uniforms) -> Tensor:
        """Images after the operations that numbers decide on.

        Args:
            images: uint8 [B, H, W, C], C 1 or 3; operations on colours leave what is grey.
            numbers: float32 [B, N_NUMBERS] in [0, 1): what they decide is known to the host, which
                then asks no device which images an operation changes.

        Returns:
            uint8 [B, H, W, C].
        """
        x = images.permute(0, 3, 1, 2).clone(memory_format=torch.contiguous_format)
        draws = self.draws(numbers, x.shape[2], x.shape[3])
        kinds = np.stack([draw.kind for draw in draws])
        amounts = np.stack([np.column_stack([draw.value, draw.place]) for draw in draws])
        return changed_in_turn(x, kinds, amounts, self._change, _IDENTITY).permute(0, 2, 3, 1)

    def _change(self, kind: int, x: Tensor, numbers: Tensor) -> Tensor:
        amounts = Amounts(numbers[:, 0], numbers[:, 1:], self.fill, self.colour)
        return OPERATIONS[_NAMES[kind]](x, amounts)


def _values(
    strengths: Mapping[str, Strength], kind: Positions, level: Reals, sign: Uniforms,
    height: int, width: int,
) -> Reals:  # fmt: skip
    sides = {"translate-x": width, "translate-y": height, "cutout": min(height, width)}
    rows = [(*strengths.get(name, Strength()), sides.get(name, 1)) for name in _NAMES]
    low, high, signed, whole, base, side = np.array(rows, np.float64)[kind].T
    size = (low + (high - low) * level / MOST) * side
    value = base + np.where((signed > 0) & (sign < 0.5), -size, size)
    shortened: Reals = np.where(whole > 0, np.trunc(value), value)
    return shortened


@dataclass(frozen=True, kw_only=True)
class AutoAugment(Policy):
    """One of 25 pairs of operations, each with a probability and a level of its own.

    Args:
        of: data set that the pairs were found on.
    """

    of: Literal["cifar10", "imagenet"] = "cifar10"
    fill: int = 128

    def draws(self, numbers: Uniforms, height: int, width: int) -> list[_Draw]:
        """The two operations of each sample's pair."""
        pairs = _pairs(self.of)
        chosen = pairs[(numbers[:, 0] * len(pairs)).astype(np.int64)]
        draws = []
        for (kind, chance, level), (applied, sign) in zip(
            chosen.transpose(1, 2, 0), np.split(numbers[:, 1:5].T, 2), strict=True
        ):
            done = np.where(applied < chance, kind, _IDENTITY).astype(np.int64)
            value = _values(_OF_THE_PAPER, done, level, sign, height, width)
            draws.append(_Draw(done, value, np.zeros((len(numbers), 2), np.float32)))
        return draws


_FACTOR = Strength(0.0, 0.9, signed=True, base=1.0)
_SHEAR, _LENGTH = Strength(0.0, 0.3, signed=True), Strength(0.0, 150 / 331, signed=True)
_OF_THE_PAPER = {
    # Truncated, so that 8 to 4 bits are rounded.
    "posterize": Strength(8.5, 4.5, whole=True), "solarize": Strength(256, 0),
    "brightness": _FACTOR, "contrast": _FACTOR, "color": _FACTOR, "sharpness": _FACTOR,
    "rotate": Strength(0.0, 30.0, signed=True), "shear-x": _SHEAR, "shear-y": _SHEAR,
    "translate-x": _LENGTH, "translate-y": _LENGTH,
}  # fmt: skip


@cache
def _pairs(of: str) -> Reals:
    """Kind, probability and level of the operations, float64 [25, 2, 3], as in torchvision."""
    # Imported here because it takes seconds.
    from torchvision.transforms.autoaugment import AutoAugment as Published
    from torchvision.transforms.autoaugment import AutoAugmentPolicy

    policy = AutoAugmentPolicy.CIFAR10 if of == "cifar10" else AutoAugmentPolicy.IMAGENET
    return np.array(
        [
            [(_kind(name), p, MOST * (level or 0) / 9) for name, p, level in pair]
            for pair in Published(policy).policies
        ],
        np.float64,
    )


def _kind(published: str) -> int:
    """The operation that torchvision calls so."""
    name = published.lower()
    for turn in ("shear", "translate"):
        name = name.replace(turn, f"{turn}-")
    return _NAMES.index(name)


@dataclass(frozen=True, kw_only=True)
class RandAugment(Policy):
    """Operations drawn one by one from a list, and a square cut out in the end.

    Args:
        operations: those to draw from, with the meaning of their levels.
        n: how many are drawn, with replacement.
        square: side of the square that is cut out in the end, at a level of its own.
        probability: with which one that was drawn is applied.
        levels: levels are drawn from 1 to `levels` - 1; None for any real number from 0 to 10.
    """

    operations: tuple[tuple[str, Strength], ...]
    n: int
    square: Strength
    probability: float = 1.0
    levels: int | None = None

    def draws(self, numbers: Uniforms, height: int, width: int) -> list[_Draw]:
        """The operations of each sample, and the square."""
        strengths = dict(self.operations)
        kinds = np.array([_NAMES.index(name) for name in strengths])
        draws = []
        for own in np.split(numbers[:, : 6 * self.n], self.n, axis=1):
            which, applied, number, sign, *_ = own.T
            kind = kinds[(which * len(kinds)).astype(np.int64)]
            kind = np.where(applied < self.probability, kind, _IDENTITY)
            value = _values(strengths, kind, self._level(number), sign, height, width)
            draws.append(_Draw(kind, value, own[:, 4:]))
        number, *place = numbers[:, 6 * self.n : 6 * self.n + 3].T
        kind = np.full(len(numbers), _NAMES.index("cutout"))
        side = {"cutout": self.square}
        value = _values(side, kind, MOST * number.astype(np.float64), number, height, width)
        return [*draws, _Draw(kind, value, np.stack(place, axis=1))]

    def _level(self, number: Uniforms) -> Reals:
        wide = number.astype(np.float64)
        if self.levels is None:
            return MOST * wide
        return 1 + np.floor(wide * (self.levels - 1))


def disc(levels: int) -> RandAugment:
    """The strong operations of DISC, at levels below `levels` (code, commit a21e910)."""
    factor = Strength(0.1, 1.9)
    shear, length = Strength(0.0, 0.1, signed=True), Strength(0.0, 0.05, signed=True, whole=True)
    operations = {
        "autocontrast": Strength(), "brightness": factor, "color": factor, "contrast": factor,
        "cutout": Strength(0.0, 0.1, whole=True), "equalize": Strength(), "invert": Strength(),
        "posterize": Strength(4, 8, whole=True), "rotate": Strength(0, 30, signed=True, whole=True),
        "sharpness": factor, "shear-x": shear, "shear-y": shear, "solarize": Strength(256, 0),
        "solarize-add": Strength(0, 110, signed=True, whole=True), "translate-x": length,
        "translate-y": length,
    }  # fmt: skip
    return RandAugment(
        fill=0, colour=(127, 127, 127), operations=tuple(operations.items()), n=2, probability=0.5,
        levels=levels, square=Strength(0.15, 0.15, whole=True),
    )  # fmt: skip


def promix() -> RandAugment:
    """The strong operations of ProMix (code, commit 40d8378; ranges of FixMatch's list)."""
    factor, length = Strength(0.05, 0.95), Strength(-0.3, 0.3)
    operations = {
        "autocontrast": Strength(), "brightness": factor, "color": factor, "contrast": factor,
        "equalize": Strength(), "identity": Strength(), "posterize": Strength(4, 8, whole=True),
        "rotate": Strength(-30, 30), "sharpness": factor, "shear-x": length, "shear-y": length,
        "solarize": Strength(0, 256), "translate-x": length, "translate-y": length,
    }  # fmt: skip
    return RandAugment(
        fill=0, colour=(125, 123, 114), operations=tuple(operations.items()), n=3,
        square=Strength(0.0, 0.5),
    )  # fmt: skip
