"""The user's own images in Parquet files: one encoded image and its label per row."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.data.data_spec import DataSpec
from pipeline.data.readers.parquet_parts import EXPECTED, find_parts
from pipeline.data.readers.parquet_table import ImageTable, column_names
from pipeline.data.source import Source, Split, hold_out, source_path
from pipeline.errors import LabError

Column = npt.NDArray[Any]


def read_hub_parquet(spec: DataSpec) -> Source:
    """Read one Parquet file, or `train*.parquet` and maybe `test*.parquet` of a folder.

    A test part may also be called `val`, `valid` or `validation`; `find_parts` says where the files
    may lie.
    Labels are whole numbers from 0 without a gap, or names, which are numbered in sorted order.
    Test images are judged by the clean column where it exists: always when they are held out of
    the train files, else if the test files have it.

    Args:
        spec: settings with `root`, `image_size` and the names of the columns.

    Returns:
        RGB images of `image_size`.

    Raises:
        LabError: if a file or column is missing or damaged, or the labels are unfit.
    """
    root = source_path(spec)
    parts = find_parts(root, spec.test_part)
    if not parts.train:
        raise LabError(f"no train*.parquet in {root}", EXPECTED, "name one file as root:")
    tables = [
        ImageTable(files, spec.image_column, own=True, skip=spec.on_bad_image == "skip")
        for files in (parts.train, parts.test)
        if files
    ]
    given = [_labels(table, spec.label_column) for table in tables]
    clean = [
        _labels(table, spec.clean_column)
        if spec.clean_column
        and (table is tables[0] or spec.clean_column in column_names(table.files[0]))
        else None
        for table in tables
    ]
    classes = _classes([labels for labels in (*given, *clean) if labels is not None])
    train, *rest = [
        Split(
            table,
            rows=np.arange(len(labels)),
            labels=np.searchsorted(classes, labels),
            clean=None if true is None else np.searchsorted(classes, true),
        )
        for table, labels, true in zip(tables, given, clean, strict=True)
    ]
    train, test = (train, *rest) if rest else hold_out(train, spec.test_rate)
    if test.clean is not None:
        test = replace(test, labels=test.clean, clean=None)
    assert spec.image_size is not None  # the settings demand it for this kind
    return Source(
        train=train,
        test=test,
        class_names=tuple(str(name) for name in classes),
        image_shape=(spec.image_size, spec.image_size, 3),
        labels=spec.labels,
        description="Parquet files of encoded images",
        left_out=parts.left_out,
    )


def _labels(table: ImageTable, name: str) -> Column:
    """Labels as the file has them: int64 [N] or text [N]."""
    column = table.column(name)
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return np.array(column.cast(pa.string()).to_pylist(), dtype=str)
    return table.integers(name)


def _classes(columns: list[Column]) -> Column:
    """Every class in the order of its number; LabError if numbers cannot be classes."""
    if len({column.dtype.kind for column in columns}) > 1:
        raise LabError(
            "labels of numbers in one place and of names in another",
            "one of the two",
            "write the label columns of all files in one way",
        )
    everything = np.concatenate(columns)
    if everything.dtype.kind == "U" or not everything.size:
        return np.unique(everything)
    low, high = int(everything.min()), int(everything.max())
    if low < 0 or high >= everything.size:
        raise LabError(
            f"labels from {low} to {high} on {everything.size} rows",
            "0, 1, 2 ... without a gap",
            "number the labels anew, or write them as names",
        )
    return np.arange(high + 1)
