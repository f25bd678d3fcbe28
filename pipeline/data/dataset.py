"""Data sets on disk: prepare one from its source, load it memory-mapped."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pipeline.data.arrays import (
    BadFileError,
    create_images,
    open_array,
    open_labels,
    pixel_statistics,
)
from pipeline.data.data_card import CARD, DataCard, IndexFacts
from pipeline.data.data_spec import DataKind, DataSpec
from pipeline.data.listed import IndexedImages, LabelledFiles, ListedSource, ListedSplit
from pipeline.data.source import Labels, Pixels, Source, Split
from pipeline.errors import LabError
from pipeline.files import data_folder, replacing_folder
from pipeline.identity import array_digest

__all__ = ["CARD", "DataCard", "Dataset", "load_dataset", "prepare_dataset"]

TRAIN_IMAGES, TRAIN_LABELS, TRAIN_CLEAN = "train_images.npy", "train_labels.npy", "train_clean.npy"
TEST_IMAGES, TEST_LABELS = "test_images.npy", "test_labels.npy"
_DATA_SET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: images uint8 [N, H, W, C] (memory-mapped if loaded) or files, labels int64 [N].

    Args:
        card: its description.
        train: training images.
        train_labels: labels to learn from.
        test: test images.
        test_labels: labels to evaluate on.
        given_clean: true training labels where `train_labels` may differ from them.
        extra: further splits with true labels, by name.
    """

    card: DataCard
    train: Pixels | IndexedImages
    train_labels: Labels
    test: Pixels | IndexedImages
    test_labels: Labels
    given_clean: Labels | None = None
    extra: dict[str, LabelledFiles] = field(default_factory=dict)

    @property
    def train_images(self) -> Pixels:
        """Training images in one array; LabError where they stay in files of their own."""
        return self._pixels(self.train)

    @property
    def test_images(self) -> Pixels:
        """Test images in one array; LabError where they stay in files of their own."""
        return self._pixels(self.test)

    def _pixels(self, images: Pixels | IndexedImages) -> Pixels:
        if isinstance(images, IndexedImages):
            raise LabError(
                f"data set {self.card.name!r}, whose images stay in files of their own",
                "one whose images lie in one array, for what needs the pixels of all at once",
            )
        return images

    @property
    def train_clean_labels(self) -> Labels | None:
        """The true training labels int64 [N], or None where nobody knows them."""
        return self.train_labels if self.card.labels == "clean" else self.given_clean


def prepare_dataset(name: str, spec: DataSpec) -> DataCard:
    """Read a data set from its source and write it in the laboratory's form.

    The folder appears complete or not at all, and replaces an earlier one of that name. A data set
    that would have to be downloaded and is there already is kept.

    Args:
        name: name of the data set, which names its folder.
        spec: where it comes from.

    Returns:
        The card of the prepared data set.

    Raises:
        LabError: if the source is missing, damaged or holds what cannot be used.
    """
    folder = _folder(name)
    if spec.kind in ("cifar10", "cifar100") and spec.root is None:
        with suppress(BadFileError):
            card = _open(folder).card
            if card.kind == spec.kind:
                return card
    # Imported here so that loading a prepared data set does not pay for the readers.
    from pipeline.data.readers.every import READERS

    source = READERS[spec.kind](spec)
    with replacing_folder(folder) as new:
        if isinstance(source, ListedSource):
            from pipeline.data.indexing import write_index

            return write_index(new, name, spec, source)
        return _write(new, name, spec.kind, source, data_facts(spec))


def load_dataset(name: str, verify: bool = False) -> Dataset:
    """Open a prepared data set; images stay on disk until they are read.

    Args:
        name: name of the data set.
        verify: read everything and compare it with the digest, not only sizes and label range.

    Returns:
        The data set.

    Raises:
        LabError: if it is not prepared, or its files do not fit its card.
    """
    folder = _folder(name)
    if not (folder / CARD).exists():
        raise LabError(
            f"data set {name!r} is not prepared", f"prepared here: {_prepared()}", _remedy(name)
        )
    try:
        dataset = _open(folder)
        if verify:
            _verify(folder, dataset)
    except BadFileError as error:
        raise LabError(
            f"prepared data set {name!r}: {error}", "files as they were prepared", _remedy(name)
        ) from error
    return dataset


def _open(folder: Path) -> Dataset:
    try:
        card = TypeAdapter(DataCard).validate_json((folder / CARD).read_bytes())
    except FileNotFoundError as error:
        raise BadFileError(f"{CARD} is missing") from error
    except ValidationError as error:
        raise BadFileError(f"{CARD} is damaged or of another version") from error
    if card.index is not None:
        return _open_index(folder, card, card.index)
    stored_clean = card.labels == "given" and card.has_clean
    return Dataset(
        card=card,
        train=open_array(folder / TRAIN_IMAGES, np.uint8, (card.n_train, *card.image_shape)),
        train_labels=open_labels(folder / TRAIN_LABELS, card.n_train, card.n_classes),
        test=open_array(folder / TEST_IMAGES, np.uint8, (card.n_test, *card.image_shape)),
        test_labels=open_labels(folder / TEST_LABELS, card.n_test, card.n_classes),
        given_clean=open_labels(folder / TRAIN_CLEAN, card.n_train, card.n_classes)
        if stored_clean
        else None,
    )


def _open_index(folder: Path, card: DataCard, facts: IndexFacts) -> Dataset:
    splits = _read_tables(folder, card, facts)
    images = {name: split.images(card.name, name) for name, split in splits.items()}
    train, test = splits.pop("train"), splits.pop("test")
    return Dataset(
        card=card,
        train=images["train"],
        train_labels=train.y_noisy,
        test=images["test"],
        test_labels=test.y_clean,
        given_clean=train.y_clean if card.has_clean else None,
        extra={name: LabelledFiles(images[name], split.y_clean) for name, split in splits.items()},
    )


def _read_tables(folder: Path, card: DataCard, facts: IndexFacts) -> dict[str, ListedSplit]:
    # Imported here because only these data sets need polars.
    from pipeline.data.index_table import read_table, table_file

    sizes = {"train": card.n_train, "test": card.n_test, **facts.n_extra}
    return {
        name: read_table(folder / table_file(name), root, sizes[name], card.n_classes)
        for name, root in facts.roots.items()
    }


def _verify(folder: Path, dataset: Dataset) -> None:
    if (facts := dataset.card.index) is not None:
        from pipeline.data.index_table import index_digest

        found = index_digest(_read_tables(folder, dataset.card, facts), facts.pixels)
    else:
        found = _digest(
            dataset.train_images,
            dataset.train_labels,
            dataset.test_images,
            dataset.test_labels,
            dataset.given_clean,
        )
    if found != dataset.card.digest:
        raise BadFileError(f"its content has digest {found}, {CARD} says {dataset.card.digest}")


def _write(
    folder: Path, name: str, kind: DataKind, source: Source, made_from: dict[str, object]
) -> DataCard:
    """Write every file of a data set into an empty folder and describe it."""
    train, test = source.train, source.test
    train_images = _write_images(folder / TRAIN_IMAGES, train, source.image_shape, "train images")
    test_images = _write_images(folder / TEST_IMAGES, test, source.image_shape, "test images")
    np.save(folder / TRAIN_LABELS, train.labels)
    np.save(folder / TEST_LABELS, test.labels)
    if train.clean is not None:
        np.save(folder / TRAIN_CLEAN, train.clean)
    mean, std = pixel_statistics(train_images)
    card = DataCard(
        name=name,
        kind=kind,
        n_train=len(train.labels),
        n_test=len(test.labels),
        n_classes=len(source.class_names),
        class_names=source.class_names,
        image_shape=source.image_shape,
        labels=source.labels,
        has_clean=source.labels == "clean" or train.clean is not None,
        digest=_digest(train_images, train.labels, test_images, test.labels, train.clean),
        mean=mean,
        std=std,
        source=source.description,
        made_from=made_from,
    )
    card.write(folder)
    return card


def _write_images(path: Path, split: Split, shape: tuple[int, int, int], title: str) -> Pixels:
    images = create_images(path, (len(split.rows), *shape))
    split.images.write(split.rows, images, title)
    return images


def _digest(*arrays: Pixels | Labels | None) -> str:
    return array_digest(*(array for array in arrays if array is not None))


def _folder(name: str) -> Path:
    if not _DATA_SET_NAME.fullmatch(name):
        raise LabError(
            f"data set name {name!r}", "letters, digits, '_', '-' and '.', a letter or digit first"
        )
    return data_folder(name)


def _prepared() -> str:
    cards = data_folder("any").parent.glob(f"[!.]*/{CARD}")
    return ", ".join(sorted(card.parent.name for card in cards)) or "none"


def _remedy(name: str) -> str:
    return f"uv run python -m pipeline.stages.data {name}"


def data_facts(spec: DataSpec) -> dict[str, object]:
    """STAND-IN."""
    return {"spec": spec.model_dump(mode="json")}


def read_card(name: str) -> DataCard | None:
    """STAND-IN."""
    try:
        return TypeAdapter(DataCard).validate_json((_folder(name) / CARD).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
