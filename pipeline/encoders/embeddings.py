"""Embeddings of whole splits: computed once, kept in a file, read by every run and process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from filelock import FileLock
from torch import Tensor
from tqdm import tqdm

from pipeline.data.arrays import BadFileError, open_array
from pipeline.data.views import ImageSource
from pipeline.encoders.encoder import Encoder
from pipeline.files import cache_folder, replacing
from pipeline.identity import digest

Precision = Literal["float32", "float16"]
Embeddings = npt.NDArray[Any]

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

    The file is named by a digest of data, split, weights, transform, precision and kind of device:
    what another GPU or a CPU computes differs in the last digits. A second process waits for the
    first one.

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
    }
    path = cache_folder() / "embeddings" / f"{digest(facts)}.npy"
    shape = (n, encoder.card.n_features)
    found = _open(path, precision, shape)
    if found is None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = _open(path, precision, shape)
            if found is None:
                _compute(path, encoder, pixels(), shape, precision, device)
                note = facts | {"encoder": encoder.card.name, "shape": shape}
                with replacing(path.with_suffix(".json")) as temporary:
                    temporary.write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
                found = open_array(path, precision, shape)
    return found


def _open(path: Path, precision: Precision, shape: tuple[int, int]) -> Embeddings | None:
    try:
        return open_array(path, precision, shape)
    except BadFileError:
        return None


def _compute(
    path: Path,
    encoder: Encoder,
    pixels: ImageSource,
    shape: tuple[int, int],
    precision: Precision,
    device: torch.device,
) -> None:
    encoder.to(device)
    arithmetic: AbstractContextManager[Any] = nullcontext()
    if precision == "float16" and device.type == "cuda":
        arithmetic = torch.autocast(device.type, torch.float16)
    parts = torch.arange(shape[0], device=device).split(_BATCH)
    with replacing(path) as temporary, arithmetic:
        rows = np.lib.format.open_memmap(temporary, mode="w+", dtype=precision, shape=shape)
        made = pixels.batches(parts, ("plain",), (0,))
        # None means: shown on a terminal only.
        bar = tqdm(made, desc=f"embeddings by {encoder.card.name}", total=len(parts), disable=None)
        for number, (images,) in enumerate(bar):
            start = number * _BATCH
            rows[start : start + len(images)] = encoder(images).cpu().numpy()
        rows.flush()


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
        if not pairs:
            yield from ((self._rows(index),) * len(views) for index in requests)
            return
        others, their_seeds = [name for name, _ in pairs], [seed for _, seed in pairs]
        made = self._images.batches(requests, others, their_seeds)
        for index, batch in zip(requests, made, strict=True):
            rest = iter(batch)
            yield tuple(self._rows(index) if name == VIEW else next(rest) for name in views)

    def _rows(self, index: Tensor) -> Tensor:
        rows = torch.from_numpy(np.asarray(self._table[index.cpu().numpy()], dtype=np.float32))
        return rows.to(self._device)
