"""Batches of images that are decoded from their files by worker processes."""

from collections.abc import Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.data.host import fetched
from pipeline.data.images.augmentation import AUGMENTATIONS
from pipeline.data.images.decode import open_rgb
from pipeline.data.images.strong import MIN_SCALE
from pipeline.data.images.transforms import CROP, N_DRAWS, Transform, view
from pipeline.data.listed import IndexedImages
from pipeline.data.randomness import sample_uniforms
from pipeline.errors import LabError


class DecodedImages:
    """Images of one split, decoded anew for every batch; an `ImageSource`.

    Workers live as long as one call of `batches`, which serves one epoch. What they make depends on
    the files, the seeds and the positions alone, so their number changes nothing.

    Args:
        images: the files.
        transform: how views are made.
        mean: per channel, of pixels / 255.
        std: per channel, of pixels / 255.
        device: where batches are wanted.
        workers: worker processes; 0 to decode in this one.
        prefetch: batches that each worker makes ahead of their use.
        channels_last: memory order of the batches.
        strong_scale: least share of the area that a crop of the strong view covers.
    """

    def __init__(
        self,
        images: IndexedImages,
        transform: Transform,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        device: torch.device,
        workers: int = 0,
        prefetch: int = 2,
        channels_last: bool = True,
        strong_scale: float = MIN_SCALE,
    ) -> None:
        # Takes seconds: loaded here, where workers are forked from, not anew in each of them.
        import_module("torchvision.transforms.v2.functional")
        self._images, self._transform, self._device = images, transform, device
        self._strong_scale = strong_scale
        self._workers, self._prefetch = workers, prefetch
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        scale = 255.0 * torch.tensor(std, device=device)
        self._factor = (1.0 / scale)[:, None, None]
        self._shift = (-255.0 * torch.tensor(mean, device=device) / scale)[:, None, None]

    def __len__(self) -> int:
        return len(self._images)

    def batches(
        self, requests: Sequence[Tensor], views: Sequence[str], seeds: Sequence[int]
    ) -> Iterator[tuple[Tensor, ...]]:
        """Batches in the order of the requests, made ahead of their use; see `ImageSource`.

        Raises:
            LabError: naming a file that is missing or cannot be decoded.
        """
        if not requests:
            return
        # Workers must not touch the device, so all positions leave it, in one go.
        positions = [torch.from_numpy(part) for part in fetched(requests)]
        named = list(zip(views, seeds, strict=True))
        batches = _Batches(self._images, self._transform, positions, named, self._strong_scale)
        for index, made in zip(requests, self._loader(batches), strict=True):
            if isinstance(made, LabError):
                raise made
            yield tuple(
                self._normalised(pixels, name, index, seed)
                for pixels, (name, seed) in zip(made, named, strict=True)
            )

    def _loader(self, batches: "_Batches") -> DataLoader[Any]:
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self._workers,
            prefetch_factor=self._prefetch if self._workers else None,
            pin_memory=self._device.type == "cuda",
            # Without one of its own it would draw from the global stream, which belongs to methods.
            generator=torch.Generator(),
        )

    def _normalised(self, pixels: Tensor, name: str, index: Tensor, seed: int) -> Tensor:
        x = pixels.to(self._device, non_blocking=True).permute(0, 3, 1, 2).to(torch.float32)
        x = torch.addcmul(self._shift, x, self._factor)
        if name in AUGMENTATIONS:
            x = AUGMENTATIONS[name].without_square(x, index, seed)
        return x.contiguous(memory_format=self._format)


class _Batches(Dataset[list[Tensor] | LabError]):
    """Makes one batch after the other; a copy of it goes to every worker.

    Args:
        images: the files.
        transform: how views are made.
        requests: int64 [B] each, positions; on the CPU.
        named: name and seed of every view.
        strong_scale: see `DecodedImages`.
    """

    def __init__(
        self,
        images: IndexedImages,
        transform: Transform,
        requests: Sequence[Tensor],
        named: Sequence[tuple[str, int]],
        strong_scale: float,
    ) -> None:
        self._images, self._transform = images, transform
        self._requests, self._named, self._strong_scale = requests, named, strong_scale

    def __len__(self) -> int:
        return len(self._requests)

    def __getitem__(self, number: int) -> list[Tensor] | LabError:
        """Views of one request, uint8 [B, H, W, 3] each; an error is handed over, not raised.

        An error with three parts would not survive the way out of a worker process as it is.
        """
        index = self._requests[number]
        views = [np.empty((len(index), CROP, CROP, 3), np.uint8) for _ in self._named]
        draws = [sample_uniforms(seed, index, N_DRAWS) for _, seed in self._named]
        for place, position in enumerate(index.tolist()):
            file = self._images.file(position)
            try:
                image = open_rgb(file, str(file))
            except LabError as error:
                remedy = (
                    "mend the file, or leave it out with check_images: decode and on_bad_image: "
                    "skip in params.yaml, then uv run python -m pipeline.stages.data "
                    f"{self._images.dataset}"
                )
                return LabError(error.given, error.allowed, remedy)
            for pixels, numbers, (name, _) in zip(views, draws, self._named, strict=True):
                pixels[place] = np.asarray(
                    view(
                        name,
                        image,
                        self._transform,
                        self._images.split,
                        numbers[place],
                        self._strong_scale,
                    )
                )
        return [torch.from_numpy(pixels) for pixels in views]
