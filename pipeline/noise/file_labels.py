"""From the columns of a label file to one label per image, each on its own image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.dataset import Dataset
from pipeline.data.label_files import class_ids
from pipeline.data.label_files.formats import read_table
from pipeline.data.label_files.joining import by_index, by_path
from pipeline.data.label_files.label_column import label_column
from pipeline.data.label_files.roles import roles_of
from pipeline.errors import LabError
from pipeline.noise.arrays import Labels


@dataclass(frozen=True, eq=False)
class Target:
    """What labels are joined to.

    Args:
        n: number of training images.
        class_names: names of the classes, by class id.
        files: path of each training image, below the folder of the data set; None where the images
            came in one array.
    """

    n: int
    class_names: tuple[str, ...]
    files: tuple[str, ...] | None = None

    @classmethod
    def of(cls, dataset: Dataset) -> Target:
        """The training images of a data set."""
        return cls(dataset.card.n_train, dataset.card.class_names, dataset.train_files)


@dataclass(frozen=True, eq=False)
class FileLabels:
    """Labels of a file on their images.

    Args:
        index: int64 [n], positions of the images, ascending.
        noisy: int64 [n], in the range of the classes or not.
        joined: by what the rows were joined: `order`, `index` or `path`.
        left_out: number of rows for other images than the training ones.
        place: what the row behind a label is called.
    """

    index: Labels
    noisy: Labels
    joined: str
    left_out: int
    place: Callable[[int], str]


def read_labels(path: Path, column: str | None, target: Target) -> FileLabels:
    """The noisy labels of a file, joined to their images.

    Rows are joined by path or by index where the file has one, and taken in the order of the
    training images where it has none.

    Args:
        path: the file.
        column: its column or key; None where there is one, or one with the usual name.
        target: the images.

    Returns:
        The labels.

    Raises:
        LabError: if the file cannot be read, the column is unknown or needed, a row holds no label,
            or rows name images that are not there or the same image twice.
    """
    table = read_table(path, target.class_names)
    chosen = label_column(table, column)
    values, roles = table.columns[chosen], roles_of(table, chosen)
    rows = roles.training_rows(table, len(values))
    ids = class_ids.of_values(values, target.class_names, table, rows)
    if roles.path is not None:
        positions = by_path(table, roles.path, rows, target.files)
    elif roles.index is not None:
        positions = by_index(table, roles.index, rows, target.n)
    else:
        positions = np.arange(len(rows))
    order = np.argsort(positions, kind="stable")
    return FileLabels(
        positions[order],
        ids[order],
        "path" if roles.path is not None else "index" if roles.index is not None else "order",
        len(values) - len(rows),
        lambda label: table.place(int(rows[order[label]])),
    )


def whole_columns(path: Path) -> dict[str, Labels]:
    """All vectors of whole numbers that a label file holds, in the order of its index or rows.

    Args:
        path: the file.

    Returns:
        int64 vectors by column or key; the vector of a .npy file is called after the file.

    Raises:
        LabError: if it cannot be read or holds none.
    """
    table = read_table(path)
    roles = roles_of(table, None)
    index = None if roles.index is None else class_ids.whole_or_none(table.columns[roles.index])
    found = {}
    for name, values in table.columns.items():
        whole = None if name in roles.names() else class_ids.whole_or_none(values)
        if whole is not None:
            found[name] = whole
            if index is not None and len(index) == len(whole):
                found[name] = whole[np.argsort(index, kind="stable")]
    if not found:
        raise LabError(
            f"{path.name} holds no vector of whole numbers",
            "labels as class ids, one per sample",
            "uv run python -m pipeline.noise import FILE DATASET NAME, which reads names, too",
        )
    return found
