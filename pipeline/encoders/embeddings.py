"""Embeddings of whole splits: computed once, kept in a file, read by every run and process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from pipeline.data.host import fetched, sent
from pipeline.data.views import ImageSource
from pipeline.encoders.cached_array import cached_array
from pipeline.encoders.distances import proper_float32
from pipeline.encoders.encoder import Encoder
from pipeline.files import cache_folder
from pipeline.identity import digest

Precision = Literal["float32", "float16"]
Embeddings = npt.NDArray[Any]

VERSION = 1
"""Raised when the same weights and images would give other embeddings."""
VIEW = "embedding"
"""Name of the view that `WithEmbeddings` adds."""
_BATCH = 256


def embeddings(
    encoder: Encoder,
    pixels: Callable[[], ImageSource],
    n: int,
    data_digest: str,
    split: str,
    precision: Precision,
    device: torch.device,
) -> Embeddings:
    """Embeddings of all images of a split, from the cache or computed into it.

    The file is named by a digest of data, split, weights, transform, precision, kind of device and
    VERSION of this module: what another GPU or a CPU computes differs in the last digits.

    Args:
        encoder: computes them; it is moved to the device.
        pixels: opens the images, whose plain view gives pixels in [0, 1]; called if needed.
        n: number of images N.
        data_digest: of the images and their order.
        split: name of the split within the data set.
        precision: of the stored numbers, and of the arithmetic on a GPU.
        device: where to compute.

    Returns:
        [N, D], memory-mapped, read-only.
    """
    facts = {
        "data": data_digest,
        "split": split,
        "weights": encoder.card.weights_digest,
        "transform": encoder.card.transform,
        "precision": precision,
        "device": device.type,
        "version": VERSION,
    }
    shape = (n, encoder.card.n_features)
    return cached_array(
        cache_folder() / "embeddings" / f"{digest(facts)}.npy",
        precision,
        shape,
        lambda path: _write(path, encoder, pixels(), shape, precision, device),
        facts | {"encoder": encoder.card.name},
    )


def encoded(encoder: Encoder, images: Tensor, precision: Precision) -> Tensor:
    """Features of images as a table of that precision holds them, whatever the run computes in.

    Args:
        encoder: on the device of the images.
        images: float32 [B, C, H, W] in [0, 1].
        precision: of the numbers, and of the arithmetic on a GPU.

    Returns:
        [B, D], float32 or float16.
    """
    half = precision == "float16" and images.is_cuda
    kind = torch.float16 if half else None
    with proper_float32(), torch.autocast(images.device.type, kind, enabled=half):
        return encoder(images).to(getattr(torch, precision))


def _write(
    path: Path,
    encoder: Encoder,
    pixels: ImageSource,
    shape: tuple[int, int],
    precision: Precision,
    device: torch.device,
) -> None:
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=precision, shape=shape)
    fill(rows, encoder, pixels, precision, device)
    rows.flush()


def fill(
    rows: Embeddings,
    encoder: Encoder,
    pixels: ImageSource,
    precision: Precision,
    device: torch.device,
) -> None:
    """Compute embeddings into an array.

    Args:
        rows: [N, D], of the precision.
        encoder: it is moved to the device.
        pixels: N images, whose plain view gives pixels in [0, 1].
        precision: see `encoded`.
        device: where to compute.
    """
    encoder.to(device)
    parts = torch.arange(len(rows), device=device).split(_BATCH)
    made = pixels.batches(parts, ("plain",), (0,))
    # None means: shown on a terminal only.
    bar = tqdm(made, desc=f"embeddings by {encoder.card.name}", total=len(parts), disable=None)
    for number, (images,) in enumerate(bar):
        start = number * _BATCH
        rows[start : start + len(images)] = encoded(encoder, images, precision).cpu().numpy()


class WithEmbeddings:
    """An image source that answers the view `embedding` from a table, and others itself.

    Args:
        images: answers the other views.
        table: [N, D], one row per image.
        device: where batches are wanted.
    """

    def __init__(self, images: ImageSource, table: Embeddings, device: torch.device) -> None:
        self._images, self._table, self._device = images, table, device

    def batches(
        self, requests: Sequence[Tensor], views: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Batches in the order of the requests (`ImageSource`); embeddings are float32 [B, D]."""
        pairs = [pair for pair in zip(views, seeds, strict=True) if pair[0] != VIEW]
        if len(pairs) == len(views):
            yield from self._images.batches(requests, views, seeds)
            return
        made: Iterator[tuple[Tensor, ...]] = iter([()] * len(requests))
        if pairs:
            others, their_seeds = [name for name, _ in pairs], [seed for _, seed in pairs]
            made = self._images.batches(requests, others, their_seeds)
        for positions, batch in zip(fetched(requests), made, strict=True):
            rows = sent(np.asarray(self._table[positions], dtype=np.float32), self._device)
            rest = iter(batch)
            yield tuple(rows if name == VIEW else next(rest) for name in views)
