"""Parquet files with one encoded image per row, read as one table: the layout of image hubs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.data.images.decode import BATCH, Encoded, decode_all
from pipeline.data.source import Labels, Pixels
from pipeline.errors import LabError, quoted, suggest


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
        own: whether images are the user's own; see `decode`.
        skip: leave out what cannot be decoded.
    """

    files: list[Path]
    image_column: str
    own: bool
    skip: bool = False

    def column(self, name: str) -> pa.ChunkedArray:
        """One column of all files; LabError if it is absent, changes its type or has gaps."""
        parts: list[pa.ChunkedArray] = []
        for file in self.files:
            with _opened(file) as table:
                _check_column(table, name, file)
                part = table.read(columns=[name]).column(name)
            if part.null_count:
                raise LabError(
                    f"column {quoted(name)} of {file} has {part.null_count} missing values",
                    "one in every row",
                    "remove these rows, or fill them in",
                )
            if parts and part.type != parts[0].type:
                raise LabError(
                    f"column {quoted(name)} of {file} holds {part.type}",
                    f"{parts[0].type}, as in the files before it",
                    "write all files with the same types",
                )
            parts.append(part)
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], parts[0].type)

    def integers(self, name: str) -> Labels:
        """One column of whole numbers, int64 [N]; LabError if it holds anything else."""
        column = self.column(name)
        if not pa.types.is_integer(column.type):
            raise LabError(
                f"column {quoted(name)} holds {column.type}",
                "whole numbers",
                "name another label_column in params.yaml, or convert this one",
            )
        numbers: Labels = column.to_numpy().astype(np.int64)
        return numbers

    def write(self, rows: Labels, out: Pixels, title: str) -> dict[int, str]:
        """Decode the image of row `rows[i]` to `out[i]` [N, size, size, 3]; see `Images`."""
        place_of_row = {int(row): place for place, row in enumerate(rows)}
        return decode_all(self._encoded(place_of_row), out, self.own, self.skip, title)

    def names(self, rows: Labels) -> list[str] | None:
        """Paths that stand beside the images, if each has one of its own."""
        names: list[str | None] = []
        for file in self.files:
            with _opened(file) as table:
                kind = table.schema_arrow.field(self.image_column).type
                if not pa.types.is_struct(kind) or kind.get_field_index("path") < 0:
                    return None
                for batch in table.iter_batches(columns=[f"{self.image_column}.path"]):
                    names += pc.struct_field(batch.column(0), "path").to_pylist()
        whole = [name for name in names if isinstance(name, str)]
        if len(set(whole)) < len(names):
            return None
        return [whole[row] for row in rows]

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
                f"column {quoted(column)} of {file} holds {kind}",
                "image files as bytes, or a struct with a field 'bytes'",
                "name another image_column in params.yaml",
            )
        leaf = f"{column}.bytes" if nested else column
        for batch in table.iter_batches(BATCH, columns=[leaf]):
            values = pc.struct_field(batch.column(0), "bytes") if nested else batch.column(0)
            # A row without an image is a bad image like one that cannot be decoded.
            yield [content or b"" for content in values.to_pylist()]


def _check_column(table: pq.ParquetFile, name: str, file: Path) -> None:
    if name not in table.schema_arrow.names:
        raise LabError(
            f"{file} has no column {quoted(name)}",
            *suggest(name, table.schema_arrow.names, "name its column in params.yaml"),
        )


@contextmanager
def _opened(file: Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file; what is wrong with its bytes becomes a LabError."""
    try:
        with pq.ParquetFile(file) as table:
            yield table
    # Beside its own errors Arrow raises plain ones for damaged bytes (text that is not UTF-8).
    except (pa.ArrowException, OSError, ValueError, TypeError, MemoryError) as error:
        raise LabError(
            f"{file} cannot be read ({error})", "a whole Parquet file", "fetch the file again"
        ) from error
