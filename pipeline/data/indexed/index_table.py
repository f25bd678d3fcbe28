"""Index tables: Parquet files that name the images of a split and their labels."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.data.arrays import BadFileError
from pipeline.data.listed import UNKNOWN, Bad, ListedSplit, as_paths
from pipeline.data.source import Labels, Pixels
from pipeline.identity import array_digest

BAD = "bad.parquet"
_LABEL_COLUMNS = ("y_noisy", "y_clean")
_COLUMNS = ("index", "path", *_LABEL_COLUMNS)


def table_file(split: str) -> str:
    """Name of the index table of a split."""
    return f"{split}.parquet"


def write_table(file: Path, split: ListedSplit) -> None:
    """Write an index table.

    Args:
        file: gets the columns index, path, y_noisy and y_clean; unknown labels are null.
        split: what to write.
    """
    labels = (split.y_noisy, split.y_clean)
    pl.DataFrame(
        {
            "index": np.arange(len(split)),
            "path": split.paths.tolist(),
            **{
                name: pl.Series(values).replace(UNKNOWN, None)
                for name, values in zip(_LABEL_COLUMNS, labels, strict=True)
            },
        },
    ).write_parquet(file, compression="zstd")


def read_table(file: Path, root: str, n: int, n_classes: int) -> ListedSplit:
    """Read an index table.

    Args:
        file: the table.
        root: folder that its paths start at.
        n: number of rows it must have.
        n_classes: number of classes.

    Returns:
        The split.

    Raises:
        BadFileError: if it is missing, damaged, of another size, or has a label out of range.
    """
    try:
        frame = pl.read_parquet(file, columns=list(_COLUMNS), glob=False)
        labels = [
            frame[name].cast(pl.Int64).fill_null(UNKNOWN).to_numpy() for name in _LABEL_COLUMNS
        ]
        paths = as_paths(frame["path"].cast(pl.String).to_list())
        ordered = (frame["index"] == pl.int_range(len(frame), eager=True)).all()
    # A panic is how polars ends on bytes that its readers did not expect.
    except (OSError, ValueError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise BadFileError(f"{file.name} is missing or damaged ({error})") from error
    if len(frame) != n or not ordered:
        raise BadFileError(f"{file.name} does not number {n} rows")
    if any(part.min() < UNKNOWN or part.max() >= n_classes for part in labels):
        raise BadFileError(f"{file.name} holds a label outside 0 to {n_classes - 1}")
    return ListedSplit(root, paths, *labels)


def index_digest(splits: Mapping[str, ListedSplit], pixels: str) -> str:
    """Digest over names, order, paths and labels of all splits; 16 hex digits.

    Args:
        splits: by name.
        pixels: how the images differ from those that were published.
    """
    parts: list[Pixels | Labels] = [_bytes(pixels)]
    for name, split in splits.items():
        paths = "\n".join(split.paths.tolist())
        parts += [_bytes(name), _bytes(paths), split.y_noisy, split.y_clean]
    return array_digest(*parts)


def _bytes(text: str) -> Pixels:
    return np.frombuffer(text.encode(), dtype=np.uint8)


def write_bad(file: Path, bad: list[Bad]) -> None:
    """Write what was left out: the columns split, path, list, line and reason."""
    pl.DataFrame(
        {
            "split": [entry.split for entry in bad],
            "path": [entry.path for entry in bad],
            "list": [entry.list_file for entry in bad],
            "line": [entry.line for entry in bad],
            "reason": [entry.reason for entry in bad],
        },
        schema={
            "split": pl.String,
            "path": pl.String,
            "list": pl.String,
            "line": pl.Int64,
            "reason": pl.String,
        },
    ).write_parquet(file, compression="zstd")
