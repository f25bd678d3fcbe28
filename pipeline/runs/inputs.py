"""The data and labels of a run: made when they are missing, verified when they are loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from pipeline.config import Params, validated
from pipeline.data import dataset as datasets
from pipeline.data.data_spec import BUILT_IN, DataSpec
from pipeline.data.dataset import Dataset, load_dataset, prepare_dataset
from pipeline.errors import LabError, suggest
from pipeline.files import data_folder, labels_folder
from pipeline.noise import label_table as tables
from pipeline.noise.label_table import LabelTable, load_table, open_table, save_table
from pipeline.noise.noise_spec import NoiseSpec, OpenSet
from pipeline.runs.settings import noise_spec


class Inputs(NamedTuple):
    """What a run learns from."""

    dataset: Dataset
    table: LabelTable


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
            *suggest(
                name,
                [*params.datasets, *BUILT_IN],
                "a new entry under datasets in params.yaml, as in  "
                "NAME: {kind: imagefolder, root: my-images, image_size: 32}",
            ),
        )
    return spec if root is None else spec.model_copy(update={"root": root})


def prepare_data(name: str, params: Params, root: str | None = None) -> None:
    """Make a data set ready, unless it is."""
    if not (data_folder(name) / datasets.CARD).exists():
        prepare_dataset(name, data_spec(name, params, root))


def prepare_labels(dataset: str, noise: str, params: Params) -> None:
    """Make a label table ready, unless it is there as params.yaml asks for it."""
    folder, spec = labels_folder(dataset, noise), noise_spec(noise, params)
    _prepare_source(spec, params)
    if (folder / tables.CARD).exists():
        made = open_table(folder).card
        current = made.data_digest == load_dataset(dataset).card.digest
        if current and made.details.get("spec") == spec.model_dump(mode="json"):
            return
    make_labels(dataset, noise, params)


def make_labels(dataset: str, noise: str, params: Params) -> None:
    """Make a label table, whatever is there."""
    # The generators load SciPy: only who makes labels waits for it.
    from pipeline.noise.generate import make

    spec = noise_spec(noise, params)
    _prepare_source(spec, params)
    table = make(load_dataset(dataset), noise, spec)
    details = table.card.details | {"spec": spec.model_dump(mode="json")}
    save_table(
        replace(table, card=replace(table.card, details=details)), labels_folder(dataset, noise)
    )


def _prepare_source(spec: NoiseSpec, params: Params) -> None:
    """Make the data set ready that open-set images come from."""
    if isinstance(spec, OpenSet):
        prepare_data(spec.source, params)


def load_inputs(dataset: str, noise: str) -> Inputs:
    """Load prepared data and labels; the labels are checked to belong to the images."""
    return Inputs(load_dataset(dataset), load_table(dataset, noise))
