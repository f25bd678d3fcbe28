"""Image files below one folder, and a file that says which label each of them has."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.data.data_spec import DataSpec
from pipeline.data.label_files.class_ids import is_missing, of_values, whole_or_none
from pipeline.data.label_files.formats import read_table
from pipeline.data.label_files.joining import by_index, by_path
from pipeline.data.label_files.label_column import label_column
from pipeline.data.label_files.roles import Parts, Roles, roles_of
from pipeline.data.label_files.table import FileTable
from pipeline.data.readers.image_folder import FileImages, image_files
from pipeline.data.readers.parts import choose_parts
from pipeline.data.source import Labels, Source, Split, hold_out, located, source_path
from pipeline.errors import LabError

_USUAL = "label"


def read_labelled_folder(spec: DataSpec) -> Source:
    """Read the images below `root`, with the labels of `label_file`.

    Rows name images by path (compared from its end), or by index from 0 in the order of the sorted
    paths. Labels are class ids from 0, or names, which are numbered in sorted order. Where a column
    such as `split` or `is_test`, or a folder above the images, says which images are for training
    and which for testing, it is followed; else `test_rate` of the images are held out. Test images
    are judged by the clean column, if there is one.

    Args:
        spec: settings with `root`, `label_file` and `image_size`.

    Returns:
        RGB images of `image_size`, in the order of their paths. Images without a row are left out.

    Raises:
        LabError: if the file cannot be read, names no images, an unknown one or one twice, or has a
            row without a label.
    """
    root = source_path(spec)
    files = tuple(sorted(image_files(root, Counter())))
    if not files:
        raise LabError(
            f"no images below {root}", "a folder with image files, at any depth", "check root:"
        )
    table = read_table(located(str(spec.label_file)))
    column = _label_column(table, spec)
    roles = roles_of(table, column)
    positions = _positions(table, roles, [file.relative_to(root).as_posix() for file in files])
    names = _class_names(table, [name for name in (column, spec.clean_column) if name])
    order, every = np.argsort(positions, kind="stable"), np.arange(len(positions))
    given, clean = (
        None if name is None else of_values(table.columns[name], names, table, every)[order]
        for name in (column, spec.clean_column)
    )
    assert given is not None  # a column of labels is demanded
    images = FileImages(root, files, skip=spec.on_bad_image == "skip")
    whole = Split(images, positions[order], given, clean)
    parts = roles.parts(table, len(every))
    train, test, n_others = _split(whole, None if parts is None else parts[order], spec)
    assert spec.image_size is not None  # the settings demand it for this kind
    return Source(
        train=train,
        test=test if test.clean is None else replace(test, labels=test.clean, clean=None),
        class_names=names,
        image_shape=(spec.image_size, spec.image_size, 3),
        labels=spec.labels,
        description="image files with a file of labels",
        left_out={
            "images without a label": len(files) - len(positions),
            "images of other parts": n_others,
        },
    )


def _label_column(table: FileTable, spec: DataSpec) -> str:
    """The column of labels: the one that is named, else `label`, else the only one."""
    is_named = spec.label_column != _USUAL or _USUAL in table.columns
    return label_column(table, spec.label_column if is_named else None, "label_column", "")


def _positions(table: FileTable, roles: Roles, files: list[str]) -> Labels:
    """Which of the files each row is about."""
    rows = np.arange(len(next(iter(table.columns.values()))))
    if roles.path is not None:
        return by_path(table, roles.path, rows, files)
    if roles.index is not None:
        return by_index(table, roles.index, rows, len(files))
    raise LabError(
        f"{table.name} does not say which image a row is about",
        "a column of paths, or of positions from 0 in the order of the sorted paths",
        "name these columns path or index",
    )


def _class_names(table: FileTable, columns: list[str]) -> tuple[str, ...]:
    """The classes that some columns name, sorted; those of numbers are 0, 1, 2, ..."""
    values = np.concatenate([table.columns[column].astype(object) for column in columns])
    numbers = whole_or_none(values)
    if numbers is None:
        texts = {str(value).strip() for value in values}
        return tuple(sorted(text for text in texts if not is_missing(text)))
    if numbers.min() < 0 or numbers.max() >= len(numbers):
        raise LabError(
            f"{table.name} holds labels from {numbers.min()} to {numbers.max()}",
            "class ids from 0 without a gap, or the names of the classes",
            "number the classes anew, or write their names",
        )
    return tuple(str(number) for number in range(int(numbers.max()) + 1))


def _split(whole: Split, parts: Parts | None, spec: DataSpec) -> tuple[Split, Split, int]:
    """Training and test images, and how many belong to neither."""
    words = np.full(len(whole.labels), "train", object) if parts is None else parts
    chosen = choose_parts(set(words) - {""}, spec.test_part, Path(str(spec.label_file)).name)
    train = whole.take(np.flatnonzero(words == chosen.train))
    if chosen.test is None:
        n_others = len(words) - len(train.labels)
        return *hold_out(train, spec.test_rate), n_others
    test = whole.take(np.flatnonzero(words == chosen.test))
    return train, test, len(words) - len(train.labels) - len(test.labels)
