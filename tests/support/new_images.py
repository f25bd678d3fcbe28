"""The test images of a data set as files that a user might have."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data.dataset import load_dataset


def write_test_images(folder: Path) -> np.ndarray:
    """Write the test digits as PNG files, a hundred in a folder; returns their labels, in order."""
    data = load_dataset("digits")
    for number, pixels in enumerate(data.test_images):
        path = folder / f"{number // 100:02d}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[..., 0]).save(path)
    return np.array(data.test_labels)


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
