"""The data and labels of a run: made when they are missing, verified when they are loaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from pipeline.config import Params, RunSettings, validated
from pipeline.data import dataset as datasets
from pipeline.data.dataset import Dataset
from pipeline.data.spec import BUILT_IN, DataSpec
from pipeline.data.views import DeviceImages, channel_statistics
from pipeline.errors import LabError, suggest
from pipeline.files import data_folder, labels_folder
from pipeline.noise import table as tables
from pipeline.noise.table import LabelTable
from pipeline.training.devices import Devices
from pipeline.training.loop import Labelled
from pipeline.training.samples import choose_samples, uncovered
from pipeline.training.settings import noise_spec


class Inputs(NamedTuple):
    """What a run learns from."""

    dataset: Dataset
    table: LabelTable


@dataclass(frozen=True)
class Splits:
    """Samples on the training device; training positions are also given for the samples table."""

    train: Labelled
    validation: Labelled | None
    test: Labelled
    other_tests: dict[str, Labelled]


def data_spec(name: str, params: Params, root: str | None = None) -> DataSpec:
    """How a data set is read: its entry in params.yaml, or the built-in one.

    Args:
        name: of the data set.
        params: names further data sets.
        root: overrides where the files lie.

    Returns:
        The checked specification.

    Raises:
        LabError: for an unknown name or a faulty entry.
    """
    if name in params.datasets:
        spec = validated(DataSpec, params.datasets[name], f"params.yaml: datasets.{name}")
    elif name in BUILT_IN:
        spec = BUILT_IN[name]
    else:
        raise LabError(
            f"unknown data set {name!r}",
            suggest(name, [*params.datasets, *BUILT_IN]),
            "add it to the datasets block of params.yaml, as in  "
            f"{name}: {{kind: imagefolder, root: my-images, image_size: 32}}",
        )
    return spec if root is None else spec.model_copy(update={"root": root})


def prepare_data(name: str, params: Params, root: str | None = None) -> None:
    """Make a data set ready, unless it is."""
    if not (data_folder(name) / datasets.CARD).exists():
        datasets.prepare(name, data_spec(name, params, root))


def prepare_labels(dataset: str, noise: str, params: Params) -> None:
    """Make a label table ready, unless it is there as params.yaml asks for it."""
    folder, spec = labels_folder(dataset, noise), noise_spec(noise, params)
    if (folder / tables.CARD).exists():
        made = tables.read(folder).card
        current = made.data_digest == datasets.load(dataset).card.digest
        if current and made.details.get("spec") == spec.model_dump(mode="json"):
            return
    make_labels(dataset, noise, params)


def make_labels(dataset: str, noise: str, params: Params) -> None:
    """Make a label table, whatever is there."""
    # The generators load SciPy: only who makes labels waits for it.
    from pipeline.noise.make import make

    spec = noise_spec(noise, params)
    table = make(datasets.load(dataset), noise, spec)
    details = table.card.details | {"spec": spec.model_dump(mode="json")}
    tables.save(
        replace(table, card=replace(table.card, details=details)), labels_folder(dataset, noise)
    )


def load_inputs(dataset: str, noise: str) -> Inputs:
    """Load prepared data and labels; the labels are checked to belong to the images."""
    return Inputs(datasets.load(dataset), tables.load(dataset, noise))


def make_splits(inputs: Inputs, settings: RunSettings, devices: Devices,
                channels_last: bool) -> Splits:  # fmt: skip
    """Place images and labels on the device and hold out the validation samples.

    Args:
        inputs: data set and label table.
        settings: val_rate, seed, augmentation and normalisation are read.
        devices: where to.
        channels_last: memory order of the batches.

    Returns:
        The three splits; validation is None at val_rate 0.

    Raises:
        LabError: when the validation split would be empty or take all samples.
    """
    dataset, table = inputs
    measured = (dataset.card.mean, dataset.card.std)
    mean, std = channel_statistics(settings.normalisation, measured)
    if len(mean) != dataset.card.image_shape[2]:
        raise LabError(
            f"normalisation {settings.normalisation} for {dataset.card.image_shape[2]} channel(s)",
            "measured, which fits every data set",
            "--normalisation measured",
        )
    train_images = DeviceImages(
        _training_images(inputs), mean, std, devices.device,
        settings.crop_padding, settings.flip, channels_last,
    )  # fmt: skip
    test_images = DeviceImages(
        dataset.test_images, mean, std, devices.device, channels_last=channels_last
    )
    held_out, kept = choose_samples(table, settings)

    def placed(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.int64)).to(devices.device)

    def part(rows: np.ndarray) -> Labelled:
        clean = None if table.y_clean is None else placed(table.y_clean[rows])
        return Labelled(train_images, placed(table.index[rows]), placed(table.y_noisy[rows]), clean)

    validation = part(held_out) if len(held_out) else None
    if settings.validation == "uncovered":
        rest, clean = uncovered(inputs.dataset, table)
        validation = Labelled(train_images, placed(rest), placed(clean), placed(clean))

    n_test = len(dataset.test_labels)
    test_labels = torch.from_numpy(np.array(dataset.test_labels)).to(devices.device)
    test_index = torch.arange(n_test, device=devices.device)
    return Splits(
        train=part(kept),
        validation=validation,
        test=Labelled(test_images, test_index, test_labels, test_labels),
        other_tests={},
    )


def _training_images(inputs: Inputs) -> np.ndarray:
    """The training images, open-set ones put in the place of those they replace."""
    dataset, table = inputs
    if table.openset is None:
        return dataset.train_images
    images = np.array(dataset.train_images)
    source = datasets.load(table.openset.source).train_images
    images[table.openset.index] = source[table.openset.source_index]
    return images
