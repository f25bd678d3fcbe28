"""Writing a data set whose images are read into arrays: decoding, checks, card."""

import json
import os
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from pipeline.data.arrays import create_images, pixel_statistics
from pipeline.data.data_card import DataCard
from pipeline.data.data_spec import DataKind
from pipeline.data.listed import Bad
from pipeline.data.source import Labels, Pixels, Source, Split
from pipeline.errors import LabError, quoted
from pipeline.identity import array_digest

TRAIN_IMAGES, TRAIN_LABELS, TRAIN_CLEAN = "train_images.npy", "train_labels.npy", "train_clean.npy"
TEST_IMAGES, TEST_LABELS = "test_images.npy", "test_labels.npy"
TRAIN_FILES = "train_files.json"
_MOVED_AT_ONCE = 1024


def write_arrays(
    folder: Path, name: str, kind: DataKind, source: Source, facts: dict[str, JsonValue]
) -> DataCard:
    """Write every file of a data set into an empty folder and describe it.

    Args:
        folder: an empty folder.
        name: of the data set.
        kind: the reader it came from.
        source: what to write.
        facts: what it is made from.

    Returns:
        The card.

    Raises:
        LabError: if an image is bad and the settings say `stop`, or leaving out bad ones leaves a
            class without images.
    """
    bad: list[Bad] = []
    train_images, train = _write_images(folder / TRAIN_IMAGES, source, source.train, "train", bad)
    test_images, test = _write_images(folder / TEST_IMAGES, source, source.test, "test", bad)
    _check_classes(train.labels, source.class_names)
    np.save(folder / TRAIN_LABELS, train.labels)
    np.save(folder / TEST_LABELS, test.labels)
    if train.clean is not None:
        np.save(folder / TRAIN_CLEAN, train.clean)
    if (files := train.images.names(train.rows)) is not None:
        (folder / TRAIN_FILES).write_text(json.dumps(files, indent=0) + "\n", encoding="utf-8")
    if bad:
        # Imported here because only damaged data sets need polars.
        from pipeline.data.indexed.index_table import BAD, write_bad

        write_bad(folder / BAD, bad)
    mean, std = pixel_statistics(train_images)
    left_out = source.left_out | {"images that cannot be decoded": len(bad)}
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
        digest=arrays_digest(train_images, train.labels, test_images, test.labels, train.clean),
        mean=mean,
        std=std,
        source=source.description,
        left_out={what: n for what, n in left_out.items() if n},
        made_from=facts,
    )
    card.write(folder)
    return card


def arrays_digest(*arrays: Pixels | Labels | None) -> str:
    """The digest of a data set: train images and labels, test images and labels, clean labels."""
    return array_digest(*(array for array in arrays if array is not None))


def _write_images(
    path: Path, source: Source, split: Split, part: str, bad: list[Bad]
) -> tuple[Pixels, Split]:
    """Write the images of a part; what was left out joins `bad` and leaves the part."""
    images = create_images(path, (len(split.rows), *source.image_shape))
    faults = split.images.write(split.rows, images, f"{part} images")
    if not faults:
        return images, split
    kept = np.delete(np.arange(len(split.rows)), list(faults))
    if not kept.size:
        raise LabError(
            f"no {part} image can be decoded, the first: {next(iter(faults.values()))}",
            "one image or more",
            "check root: in params.yaml",
        )
    names = split.images.names(split.rows)
    bad += [
        Bad(part, reason, None if names is None else names[place])
        for place, reason in faults.items()
    ]
    whole = path.with_name(f".{path.name}")
    moved = create_images(whole, (len(kept), *source.image_shape))
    for start in range(0, len(kept), _MOVED_AT_ONCE):
        rows = kept[start : start + _MOVED_AT_ONCE]
        moved[start : start + len(rows)] = images[rows]
    os.replace(whole, path)
    return moved, split.take(kept)


def _check_classes(labels: Labels, class_names: tuple[str, ...]) -> None:
    absent = np.flatnonzero(np.bincount(labels, minlength=len(class_names)) == 0)
    if absent.size:
        raise LabError(
            f"no training image of class {quoted(class_names[absent[0]])} can be decoded",
            "one or more of each class",
            "replace the damaged images, or remove the class",
        )
