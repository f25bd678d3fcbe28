"""Data sets on disk: prepare one from its source, load it memory-mapped."""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from pipeline.data.arrays import BadFileError, open_array, open_labels
from pipeline.data.data_card import CARD, DataCard, IndexFacts, read_card
from pipeline.data.data_spec import DataSpec
from pipeline.data.facts import data_facts, is_current, with_known_root
from pipeline.data.listed import IndexedImages, LabelledFiles, ListedSource, ListedSplit
from pipeline.data.source import Labels, Pixels
from pipeline.data.writing import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_CLEAN,
    TRAIN_FILES,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    arrays_digest,
    write_arrays,
)
from pipeline.errors import LabError, quoted
from pipeline.files import data_folder, replacing_folder
from pipeline.names import checked_name

__all__ = [
    "CARD",
    "DataCard",
    "Dataset",
    "data_facts",
    "load_card",
    "load_dataset",
    "prepare_dataset",
    "prepared_names",
]

_verified: set[tuple[object, ...]] = set()
"""Files of data sets that this program has compared with their digest, by name, size and times."""


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
        names_file: file with the names of the training images, if they have names.
    """

    card: DataCard
    train: Pixels | IndexedImages
    train_labels: Labels
    test: Pixels | IndexedImages
    test_labels: Labels
    given_clean: Labels | None = None
    extra: dict[str, LabelledFiles] = field(default_factory=dict)
    names_file: Path | None = None

    @cached_property
    def train_files(self) -> tuple[str, ...] | None:
        """Paths of the training images below the root, in order; None where they have none."""
        if isinstance(self.train, IndexedImages):
            return tuple(self.train.paths.tolist())
        if self.names_file is None:
            return None
        try:
            names = json.loads(self.names_file.read_bytes())
        except (OSError, ValueError, RecursionError):
            names = None
        if (
            not isinstance(names, list)
            or len(names) != self.card.n_train
            or not all(isinstance(name, str) for name in names)
        ):
            raise LabError(
                f"{self.names_file} is missing or damaged",
                f"the paths of {self.card.n_train} images",
                _remedy(self.card.name),
            )
        return tuple(names)

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
                f"data set {quoted(self.card.name)}, whose images stay in files of their own",
                "one whose images lie in one array, for what needs the pixels of all at once",
                "another data set, such as one of kind imagefolder",
            )
        return images

    @property
    def train_clean_labels(self) -> Labels | None:
        """The true training labels int64 [N], or None where nobody knows them."""
        return self.train_labels if self.card.labels == "clean" else self.given_clean


def prepare_dataset(name: str, spec: DataSpec) -> DataCard:
    """Read a data set from its source and write it in the laboratory's form.

    The folder appears complete or not at all, and replaces an earlier one of that name. Settings
    without a root mean the place that it was prepared from before, and a whole data set that is
    current is kept then: none is downloaded twice. What is left out of the source is printed with
    numbers.

    Args:
        name: name of the data set, which names its folder.
        spec: where it comes from.

    Returns:
        The card of the prepared data set.

    Raises:
        LabError: if the source is missing, damaged, changes while it is read, or holds what cannot
            be used.
    """
    folder = _folder(name)
    with suppress(BadFileError):
        before = read_card(folder)
        if spec.root is None and spec.kind != "digits" and is_current(before, spec):
            with suppress(LabError):
                return load_dataset(name, verify=True).card
        spec = with_known_root(spec, before)
    # Imported here so that loading a prepared data set does not pay for the readers.
    from pipeline.data.readers.every import READERS

    facts = data_facts(spec)
    source = READERS[spec.kind](spec)
    with replacing_folder(folder) as new:
        if isinstance(source, ListedSource):
            from pipeline.data.indexed.indexing import write_index

            card = write_index(new, name, spec, source, facts)
        else:
            card = write_arrays(new, name, spec.kind, source, facts)
        if data_facts(spec) != facts:
            raise LabError(
                f"files of data set {quoted(name)} changed while they were read",
                "files that stay as they are",
                _remedy(name),
            )
    if card.left_out:
        found = ", ".join(f"{what} ({n:,})" for what, n in card.left_out.items())
        print(f"{name}: left out: {found}")
    return card


def load_card(name: str) -> DataCard:
    """The card of a prepared data set; nothing else is opened.

    Raises:
        LabError: if it is not prepared, or its card is damaged.
    """
    folder = _prepared_folder(name)
    try:
        return read_card(folder)
    except BadFileError as error:
        raise _damaged(name, error) from error


def load_dataset(name: str, verify: bool = False) -> Dataset:
    """Open a prepared data set; images stay on disk until they are read.

    The first time that a program opens it, everything is read and compared with the digest; later
    only if a file has another size or time. This takes a second per 1.8 GB, or less.

    Args:
        name: name of the data set.
        verify: read everything again in any case.

    Returns:
        The data set.

    Raises:
        LabError: if it is not prepared, or its files do not fit its card.
    """
    folder = _prepared_folder(name)
    try:
        dataset = _open(folder)
        state = _state_of(folder)
        if verify or state not in _verified:
            _verify(folder, dataset)
            _verified.add(state)
    except BadFileError as error:
        raise _damaged(name, error) from error
    return dataset


def _prepared_folder(name: str) -> Path:
    folder = _folder(name)
    if not (folder / CARD).exists():
        names = ", ".join(prepared_names()) or "none"
        raise LabError(
            f"data set {quoted(name)} is not prepared", f"one of: {names}", _remedy(name)
        )
    return folder


def _damaged(name: str, error: BadFileError) -> LabError:
    return LabError(
        f"prepared data set {quoted(name)}: {error}", "files as they were prepared", _remedy(name)
    )


def _state_of(folder: Path) -> tuple[object, ...]:
    facts = ((file, file.stat()) for file in sorted(folder.iterdir()))
    return tuple(
        (file, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
        for file, status in facts
    )


def _open(folder: Path) -> Dataset:
    card = read_card(folder)
    if card.index is not None:
        return _open_index(folder, card, card.index)
    stored_clean = card.labels == "given" and card.has_clean
    names_file = folder / TRAIN_FILES
    return Dataset(
        card=card,
        train=open_array(folder / TRAIN_IMAGES, np.uint8, (card.n_train, *card.image_shape)),
        train_labels=open_labels(folder / TRAIN_LABELS, card.n_train, card.n_classes),
        test=open_array(folder / TEST_IMAGES, np.uint8, (card.n_test, *card.image_shape)),
        test_labels=open_labels(folder / TEST_LABELS, card.n_test, card.n_classes),
        given_clean=open_labels(folder / TRAIN_CLEAN, card.n_train, card.n_classes)
        if stored_clean
        else None,
        names_file=names_file if names_file.exists() else None,
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
    from pipeline.data.indexed.index_table import read_table, table_file

    sizes = {"train": card.n_train, "test": card.n_test, **facts.n_extra}
    return {
        name: read_table(folder / table_file(name), root, sizes[name], card.n_classes)
        for name, root in facts.roots.items()
    }


def _verify(folder: Path, dataset: Dataset) -> None:
    if (facts := dataset.card.index) is not None:
        from pipeline.data.indexed.index_table import index_digest

        found = index_digest(_read_tables(folder, dataset.card, facts), facts.pixels)
    else:
        found = arrays_digest(
            dataset.train_images,
            dataset.train_labels,
            dataset.test_images,
            dataset.test_labels,
            dataset.given_clean,
        )
    if found != dataset.card.digest:
        raise BadFileError(f"its content has digest {found}, {CARD} says {dataset.card.digest}")


def _folder(name: str) -> Path:
    return data_folder(checked_name(name, "data set"))


def prepared_names() -> tuple[str, ...]:
    """Names of the prepared data sets, sorted."""
    cards = data_folder("any").parent.glob(f"[!.]*/{CARD}")
    return tuple(sorted(card.parent.name for card in cards))


def _remedy(name: str) -> str:
    return f"uv run python -m pipeline.stages.data {name}"
