"""New images from files, as the test images of the model's run came to its networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from pipeline.data.images.decode import BATCH, Encoded, decode_all, portions
from pipeline.data.images.image_files import find_bad
from pipeline.data.images.transforms import TRANSFORMS
from pipeline.data.listed import IndexedImages
from pipeline.data.readers.image_folder import image_files
from pipeline.data.source import Pixels
from pipeline.data.views import DeviceImages, ImageSource
from pipeline.encoders.embeddings import WithEmbeddings, fill
from pipeline.errors import LabError
from pipeline.models.kept import Model

_GREY = np.array([19595, 38470, 7471], dtype=np.uint32)
"""Weights of red, green and blue in a grey value (ITU-R 601), in parts of 2^16, as Pillow has them:
equal channels stay what they are."""


class Portion(NamedTuple):
    """Some of the images of a folder."""

    files: list[str]
    """Paths below the folder of those that could be read."""
    images: ImageSource | None
    """Of these files, in order, with the views that the model predicts from; None if there are
    none."""
    bad: list[str]
    """Paths of those that could not."""


def new_images(model: Model, folder: Path, device: torch.device, workers: int) -> Iterator[Portion]:
    """The image files at any depth of a folder, by path, in portions that fit into memory.

    Hidden files, and those that are no images by their endings, are passed over.

    Args:
        model: that is to predict.
        folder: of the images.
        device: where batches are wanted.
        workers: processes that decode images of large data sets.

    Raises:
        LabError: when there is none.
    """
    if not folder.is_dir():
        raise LabError(f"{folder} is no folder", "a folder of images", "name one that exists")
    others: Counter[str] = Counter()
    files = sorted(file.relative_to(folder).as_posix() for file in image_files(folder, others))
    if not files:
        held = f" (it holds {', '.join(others)})" if others else ""
        raise LabError(f"no images in {folder}{held}", "image files at any depth", "another folder")
    for names in portions(files, BATCH):
        bad, pixels = _decoded(model, folder, names)
        good = [name for place, name in enumerate(names) if place not in bad]
        images = _views(model, folder, good, pixels, device, workers) if good else None
        yield Portion(good, images, [names[place] for place in bad])


def _decoded(model: Model, folder: Path, names: list[str]) -> tuple[dict[int, str], Pixels | None]:
    """What is wrong with files, by place, and the pixels of the others, where they fit in memory.

    Those are uint8 [N, H, W, C] of the shape that the model's data set has.
    """
    if model.card.transform is not None:
        return find_bad(folder, names, "decode", "images"), None
    height, width, n_channels = model.card.image_shape
    pixels = np.empty((len(names), height, width, 3), np.uint8)
    encoded = [Encoded(place, name, folder / name) for place, name in enumerate(names)]
    bad = decode_all([encoded], pixels, own=True, skip=True, title="images")
    pixels = np.delete(pixels, list(bad), axis=0)
    if n_channels == 1:
        pixels = ((pixels @ _GREY + 2**15) >> 16).astype(np.uint8)[..., None]
    return bad, pixels


def _views(
    model: Model, folder: Path, names: list[str], pixels: Pixels | None, device: torch.device,
    workers: int,
) -> ImageSource:  # fmt: skip
    """The views of good images that the model predicts from."""
    card = model.card

    def opened(mean: tuple[float, ...], std: tuple[float, ...]) -> ImageSource:
        if pixels is not None:
            return DeviceImages(pixels, mean, std, device)
        # Only those who decode large images pay for what does.
        from pipeline.data.images.decoded import DecodedImages

        images = IndexedImages(folder.name, "test", folder, np.array(names))
        transform = TRANSFORMS[str(card.transform)]
        return DecodedImages(images, transform, mean, std, device, workers=workers)

    images = opened(card.mean, card.std)
    if model.encoder is None:
        return images
    precision = card.settings["embedding_dtype"]
    n_channels = card.image_shape[2]
    rows = np.empty((len(names), model.encoder.card.n_features), precision)
    fill(rows, model.encoder, opened((0.0,) * n_channels, (1.0,) * n_channels), precision, device)
    return WithEmbeddings(images, rows, device)
