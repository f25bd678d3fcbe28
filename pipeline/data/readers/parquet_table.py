"""Parquet files with one encoded image per row, read as one table: the layout of image hubs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.decode import BATCH, Encoded, decode_all
from pipeline.data.source import Labels, Pixels
from pipeline.errors import LabError, suggest


def find_parts(root: Path) -> tuple[list[Path], list[Path]]:
    """The train files and the test files under `root`.

    Args:
        root: a folder with `train*.parquet` and maybe `test*.parquet`, or with a folder `data` of
            such files, or one Parquet file, which then is the train part.

    Returns:
        Both lists sorted by name; either may be empty.
    """
    if root.is_file():
        return [root], []
    folder = root if any(root.glob("train*.parquet")) else root / "data"
    return sorted(folder.glob("train*.parquet")), sorted(folder.glob("test*.parquet"))


def column_names(file: Path) -> list[str]:
    """Names of the columns of a Parquet file; LabError if it is damaged."""
    with _opened(file) as table:
        return list(table.schema_arrow.names)


@dataclass(frozen=True, eq=False)
class ImageTable:
    """Rows of several Parquet files in order; one column holds an encoded image per row.

    Args:
        files: the files, with the same columns.
        image_column: column with the images: bytes, or a struct with a field `bytes`.
        resize: bring images to the wanted size; if False, another size is an error.
    """

    files: list[Path]
    image_column: str
    resize: bool

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all files; LabError if it is absent, changes its type or has gaps."""
        parts: list[pa.ChunkedArray] = []
        for file in self.files:
            with _opened(file) as table:
                _check_column(table, name, file)
                part = table.read(columns=[name]).column(name)
            if part.null_count:
                raise LabError(f"column {name!r} of {file} has missing values", "one in every row")
            if parts and part.type != parts[0].type:
                raise LabError(
                    f"column {name!r} of {file} holds {part.type}",
                    f"{parts[0].type}, as in the files before it",
                )
            parts.append(part)
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)

    def integers(self, name: str) -> Labels:
        """One column of whole numbers, int64 [N]; LabError if it holds anything else."""
        column = self.column(name)
        if not pa.types.is_integer(column.type):
            raise LabError(f"column {name!r} holds {column.type}", "whole numbers")
        numbers: Labels = column.to_numpy().astype(np.int64)
        return numbers

    def write(self, rows: Labels, out: Pixels, title: str) -> None:
        """Decode the image of row `rows[i]` to `out[i]` [N, size, size, 3]."""
        place_of_row = {int(row): place for place, row in enumerate(rows)}
        decode_all(self._encoded(place_of_row), out, self.resize, title)

    def _encoded(self, place_of_row: dict[int, int]) -> Iterator[list[Encoded]]:
        """The wanted images in the order of the files, in portions."""
        row = 0
        for file in self.files:
            for contents in _image_bytes(file, self.image_column):
                batch = []
                for content in contents:
                    if (place := place_of_row.get(row)) is not None:
                        batch.append(Encoded(place, f"image of row {row}, {file.name}", content))
                    row += 1
                yield batch


def _image_bytes(file: Path, column: str) -> Iterator[list[bytes]]:
    with _opened(file) as table:
        _check_column(table, column, file)
        kind = table.schema_arrow.field(column).type
        nested = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        content = kind.field("bytes").type if nested else kind
        if not (pa.types.is_binary(content) or pa.types.is_large_binary(content)):
            raise LabError(
                f"column {column!r} of {file} holds {kind}",
                "image files as bytes, or a struct with a field 'bytes'",
            )
        leaf = f"{column}.bytes" if nested else column
        for batch in table.iter_batches(BATCH, columns=[leaf]):
            values = pc.struct_field(batch.column(0), "bytes") if nested else batch.column(0)
            if values.null_count:
                raise LabError(
                    f"column {column!r} of {file} has missing images", "one in every row"
                )
            yield values.to_pylist()


def _check_column(table: pq.ParquetFile, name: str, file: Path) -> None:
    if name not in table.schema_arrow.names:
        raise LabError(f"{file} has no column {name!r}", *suggest(name, table.schema_arrow.names))


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what is wrong with its bytes becomes a LabError."""
    try:
        with pq.ParquetFile(file) as table:
            yield table
    except (pa.ArrowException, OSError) as error:
        raise LabError(f"{file} cannot be read ({error})", "a whole Parquet file") from error
