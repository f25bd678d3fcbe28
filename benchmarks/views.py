"""Views of small images, made for a batch at a time, beside torchvision's transforms on PIL images.

    uv run python benchmarks/views.py
    uv run python benchmarks/views.py --images 1000 --rounds 9

Every view of images in memory is timed on one core; the median round counts. The conventional way
is that of `autoaugment-cutout` and `strong`, one image after the other; the ratio is its time by
that of the view. Pixels are random: their content changes the time little.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from PIL import Image
from torchvision import transforms
from torchvision.transforms.autoaugment import AutoAugmentPolicy

from pipeline.data.images.augmentation import AUGMENTATIONS
from pipeline.data.views import CONSTANTS, DeviceImages

MEAN, STD = CONSTANTS["cifar10"]
_END = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
_CROP = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
CONVENTIONAL = {
    "weak": [*_CROP, *_END],
    "autoaugment-cutout": [transforms.AutoAugment(AutoAugmentPolicy.CIFAR10), *_CROP, *_END],
    "strong": [
        transforms.RandomResizedCrop(32),
        transforms.RandomHorizontalFlip(),
        transforms.RandomApply([transforms.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
        transforms.RandomGrayscale(0.2),
        *_END,
    ],
}
"""As published codes write them; the square of one, which costs little, is left out."""


@dataclass(frozen=True)
class Flags:
    """Measure views of images in memory."""

    images: int = 128
    """Images of 32 pixels in a batch."""
    rounds: int = 21
    """Batches of each; the median counts."""


def seconds(make: Callable[[int], object], rounds: int) -> float:
    """Median time of a batch."""
    make(0)
    taken = []
    for seed in range(rounds):
        began = time.perf_counter()
        make(seed)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def main() -> None:
    """Print the time of each view, and the ratio where there is a conventional way."""
    flags = tyro.cli(Flags, description=__doc__)
    torch.set_num_threads(1)
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (flags.images, 32, 32, 3), dtype=np.uint8)
    source = DeviceImages(pixels, MEAN, STD, torch.device("cpu"), crop_padding=4, flip=True)
    index, pictures = torch.arange(flags.images), [Image.fromarray(image) for image in pixels]
    for name in ("strong", *AUGMENTATIONS):
        own = seconds(lambda seed, name=name: source.view(name, index, seed), flags.rounds)
        line = f"{name}: {1e3 * own:.1f} ms"
        if name in CONVENTIONAL:
            change = transforms.Compose(CONVENTIONAL[name])
            usual = seconds(
                lambda _, change=change: torch.stack([change(image) for image in pictures]),
                flags.rounds,
            )
            line += f", conventional {1e3 * usual:.1f} ms, ratio {usual / own:.1f}"
        print(line)


if __name__ == "__main__":
    main()
