"""The splits of a run: images as sources of views, labels on the training device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pipeline.config import Execution, RunSettings
from pipeline.data.dataset import DataCard, Dataset, load_dataset
from pipeline.data.listed import IndexedImages
from pipeline.data.source import Labels, Pixels
from pipeline.data.views import DeviceImages, ImageSource, channel_statistics
from pipeline.errors import LabError, quoted, suggest
from pipeline.identity import digest
from pipeline.noise.label_table import LabelTable
from pipeline.runs.inputs.samples import choose_samples, provided, uncovered
from pipeline.training.batches import Labelled, TrainSamples

_NO_TESTS = {"val", "clean_train"}
"""Splits of a data set that are there to validate on, or that no method may learn from."""


@dataclass(frozen=True)
class Splits:
    """Samples on the training device; training positions are also given for the samples table."""

    train: TrainSamples
    validation: Labelled | None
    test: Labelled
    other_tests: dict[str, Labelled]

    @property
    def counts(self) -> dict[str, int]:
        """Numbers of samples, in the columns of the runs table."""
        return {
            "n_train": len(self.train.index),
            "n_val": len(self.validation.index) if self.validation else 0,
            "n_test": len(self.test.index),
        }


def usual_transform(card: DataCard, settings: RunSettings) -> str | None:
    """How the image files of a data set become views, by name; None where there are none."""
    return settings.transform or (None if card.index is None else card.index.transform)


class Opener:
    """Opens the image sets of a run as sources of views.

    Args:
        dataset: that the run learns from.
        table: its labels.
        settings: how views are made.
        execution: memory order and worker processes.
        device: where batches are wanted.
    """

    def __init__(
        self,
        dataset: Dataset,
        table: LabelTable,
        settings: RunSettings,
        execution: Execution,
        device: torch.device,
    ) -> None:
        self._dataset, self._table = dataset, table
        self._settings, self._execution, self._device = settings, execution, device
        card = dataset.card
        self._transform = usual_transform(card, settings)
        if settings.transform is not None and card.index is None:
            raise LabError(
                f"transform {settings.transform} for {card.name}, whose images lie in one array",
                "crop_padding and flip, which say how its weak view is made",
                "leave --transform out",
            )
        if settings.rotation and card.index is not None:
            raise LabError(
                f"rotation {settings.rotation:g} for {card.name}, whose images are files",
                "the transform, which says how its weak view is made",
                "leave --rotation out",
            )

    def usual(self, split: str) -> ImageSource:
        """The images of a split, normalised as the settings say."""
        card = self._dataset.card
        mean, std = channel_statistics(self._settings.normalisation, (card.mean, card.std))
        if len(mean) != card.image_shape[2]:
            raise LabError(
                f"normalisation {self._settings.normalisation} for {card.image_shape[2]} "
                "channel(s)",
                "measured, which fits every data set",
                "--normalisation measured",
            )
        return self._open(split, mean, std)

    def pixels(self, split: str) -> ImageSource:
        """The images of a split with values in [0, 1], as encoders take them."""
        n_channels = self._dataset.card.image_shape[2]
        return self._open(split, (0.0,) * n_channels, (1.0,) * n_channels)

    def digest(self, split: str) -> str:
        """What the plain view of a split depends on."""
        dataset, table = self._dataset, self._table
        facts = [dataset.card.digest]
        if self._transform is not None:
            facts.append(self._transform)
        if self.has_replaced_images(split):
            facts.append(table.card.labels_digest)
        return facts[0] if len(facts) == 1 else digest(facts)

    def has_replaced_images(self, split: str) -> bool:
        """Whether images of a split are not those of the data set, as open-set labels have it."""
        return split == "train" and self._table.openset is not None

    def size(self, split: str) -> int:
        """Number of images of a split."""
        return len(self._images(split))

    def _open(self, split: str, mean: tuple[float, ...], std: tuple[float, ...]) -> ImageSource:
        images, settings = self._images(split), self._settings
        in_order = self._execution.channels_last
        if not isinstance(images, IndexedImages):
            return DeviceImages(
                images, mean, std, self._device,
                settings.crop_padding if split == "train" else 0, settings.flip, in_order,
                settings.strong_scale, settings.rotation if split == "train" else 0.0,
            )  # fmt: skip
        # Only those who decode files pay for what decodes them.
        from pipeline.data.images.decoded import DecodedImages
        from pipeline.data.images.transforms import TRANSFORMS

        name = str(self._transform)
        if name not in TRANSFORMS:
            raise LabError(
                f"unknown transform {quoted(name)}",
                *suggest(name, TRANSFORMS, "leave --transform out"),
            )
        return DecodedImages(
            images, TRANSFORMS[name], mean, std, self._device,
            workers=self._execution.workers, channels_last=in_order,
            strong_scale=settings.strong_scale,
        )  # fmt: skip

    def _images(self, split: str) -> Pixels | IndexedImages:
        dataset, table = self._dataset, self._table
        if split == "test":
            return dataset.test
        if split != "train":
            return dataset.extra[split].images
        if table.openset is None:
            return dataset.train
        images = np.array(dataset.train_images)
        source = load_dataset(table.openset.source).train_images
        images[table.openset.index] = source[table.openset.source_index]
        return images


def make_splits(
    dataset: Dataset, table: LabelTable, settings: RunSettings, opener: Opener,
    device: torch.device,
) -> Splits:  # fmt: skip
    """Place labels on the device, open the images and choose the validation samples.

    Args:
        dataset: that the run learns from.
        table: its labels.
        settings: validation, val_rate, down_sample and the stream split are read.
        opener: of the images.
        device: where to.

    Returns:
        The splits; validation is None where the settings ask for none. Further test splits are
        those that the data set brings along, its own validation split aside.

    Raises:
        LabError: when the validation split would be empty or take all samples.
    """
    train_images = opener.usual("train")

    def placed(values: Labels) -> torch.Tensor:
        return torch.from_numpy(np.array(values, dtype=np.int64)).to(device)

    def part(rows: Labels) -> TrainSamples:
        clean = None if table.y_clean is None else placed(table.y_clean[rows])
        return TrainSamples(
            train_images, placed(table.index[rows]), placed(table.y_noisy[rows]), clean
        )

    def whole(split: str, labels: Labels) -> Labelled:
        y = placed(labels)
        return Labelled(opener.usual(split), torch.arange(len(y), device=device), None, y)

    held_out, kept = choose_samples(table, settings)
    validation: Labelled | None = part(held_out) if len(held_out) else None
    if settings.validation == "uncovered":
        rest, clean = uncovered(dataset, table)
        validation = Labelled(train_images, placed(rest), None, placed(clean))
    elif settings.validation == "provided":
        validation = whole("val", provided(dataset))
    return Splits(
        train=part(kept),
        validation=validation,
        test=whole("test", dataset.test_labels),
        other_tests={
            name: whole(name, split.labels)
            for name, split in dataset.extra.items()
            if name not in _NO_TESTS
        },
    )
