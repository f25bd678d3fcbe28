"""Images in files of their own, decoded for every batch, beside torchvision's ImageFolder.

    uv run python benchmarks/large_images.py
    uv run python benchmarks/large_images.py --side 1200 --images 64

JPEG files are made up: smooth colours with some noise, `side` by three quarters of it. One process
makes the training view of Clothing1M (shorter side 256, random crop of 224, flip) of all of them:
by ImageFolder and DataLoader with torchvision's transforms on PIL images, by the laboratory, and by
the laboratory from the copies of `cache_size: 256`. Readings take turns; the smallest CPU time of
each way counts, which other programs on the machine disturb least. At last files are decoded by
Pillow and by torchvision, and their pixels compared.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.io import decode_jpeg, read_file

from pipeline.data.images.decode import open_rgb
from pipeline.data.images.decoded import DecodedImages
from pipeline.data.images.image_files import resize_copies
from pipeline.data.images.transforms import CROP, SHORT_SIDE, TRANSFORMS
from pipeline.data.listed import IndexedImages, as_paths

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CONVENTIONAL = [
    transforms.Resize(SHORT_SIDE),
    transforms.RandomCrop(CROP),
    transforms.RandomHorizontalFlip(),
    transforms.ToTensor(),
    transforms.Normalize(MEAN, STD),
]
_BATCH = 32


@dataclass(frozen=True)
class Flags:
    """Measure the way from image files to batches."""

    images: int = 256
    """Files."""
    side: int = 500
    """Longer side of an image in pixels."""
    readings: int = 3
    """Of each way; the smallest counts."""


def written(folder: Path, n: int, side: int) -> list[str]:
    """Write JPEG files of quality 90, in one folder below `folder` as for one class."""
    random = np.random.default_rng(0)
    paths = [f"0/{number:05}.jpg" for number in range(n)]
    (folder / "0").mkdir(parents=True)
    for path in paths:
        coarse = Image.fromarray(random.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, 3 * side // 4), Image.Resampling.BICUBIC), float)
        pixels = np.clip(smooth + random.normal(0, 6, smooth.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / path, quality=90)
    return paths


def conventional(folder: Path) -> None:
    """All images once, as published scripts read them."""
    images = ImageFolder(str(folder), transforms.Compose(CONVENTIONAL))
    for _ in DataLoader(images, batch_size=_BATCH, shuffle=True):
        pass


def own(folder: Path, paths: list[str]) -> None:
    """All images once, as a run reads them."""
    images = IndexedImages("clothing1m", "train", folder, as_paths(paths))
    source = DecodedImages(images, TRANSFORMS["clothing1m"], MEAN, STD, torch.device("cpu"))
    order = torch.randperm(len(paths))
    requests = [order[first : first + _BATCH] for first in range(0, len(paths), _BATCH)]
    for _ in source.batches(requests, ["weak"], [0]):
        pass


def cpu_seconds(ways: dict[str, Callable[[], object]], readings: int) -> dict[str, float]:
    """The smallest CPU time of each way; they take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(readings):
        for name, work in ways.items():
            began = time.process_time()
            work()
            taken[name].append(time.process_time() - began)
    return {name: min(seconds) for name, seconds in taken.items()}


def main() -> None:
    """Print images a second of each way, and the ratios."""
    flags = tyro.cli(Flags, description=__doc__)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder, copies = Path(temporary, "images"), Path(temporary, "copies")
        paths = written(folder, flags.images, flags.side)
        resize_copies(folder, paths, copies, SHORT_SIDE, TRANSFORMS["clothing1m"].resize, "copies")
        files = [folder / path for path in paths]
        found = cpu_seconds(
            {
                "ImageFolder and DataLoader": lambda: conventional(folder),
                "ours": lambda: own(folder, paths),
                "ours, cache_size: 256": lambda: own(copies, paths),
                "Pillow, decoding alone": lambda: [open_rgb(file, "image") for file in files],
                "torchvision, decoding alone": lambda: [
                    decode_jpeg(read_file(str(file))) for file in files
                ],
            },
            flags.readings,
        )
        usual = found["ImageFolder and DataLoader"]
        for name, seconds in found.items():
            print(f"{name:28} {flags.images / seconds:6.0f} images/s   {usual / seconds:.2f}")
        equal = sum(
            torch.from_numpy(np.asarray(open_rgb(file, "image")).copy())
            .permute(2, 0, 1)
            .equal(decode_jpeg(read_file(str(file))))
            for file in files
        )
        print(f"files of which both decode the same pixels: {equal} of {len(files)}")


if __name__ == "__main__":
    main()
