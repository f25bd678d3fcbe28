"""What a label file holds, by format, in bounded memory and without running what a pickle says."""

import io
import pickle
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.data.label_files.structured import columns_of_json
from pipeline.data.label_files.table import FileTable
from pipeline.data.label_files.text import columns_of_text
from pipeline.data.matrix import check_unpacked
from pipeline.errors import LabError, quoted

_MOST_BYTES = 2**30
"""Of a file, and of what it unpacks to: 64 million labels of eight bytes and an index."""
_MOST_VALUES = 2**27


def read_table(path: Path, class_names: tuple[str, ...] = ()) -> FileTable:
    """The columns of a label file.

    Args:
        path: the file.
        class_names: names of the classes, by which the first row of a text file is told from a
            header.

    Returns:
        Its columns, each a vector of values as the file has them.

    Raises:
        LabError: if it is missing, of another format, too large, damaged, or a pickle that names
            anything but plain arrays (nothing of it is run).
    """
    _check_file(path)
    try:
        # What a library warns of is either read rightly or refused in one line.
        with warnings.catch_warnings(action="ignore"):
            table = _READERS[path.suffix.lower()](path, class_names)
    except LabError:
        raise
    except Exception as error:  # each library has damage of its own to stumble over
        raise LabError(
            f"{path.name} cannot be read ({_first_line(error)})",
            f"an intact {path.suffix} file of labels",
            "fetch or write it again",
        ) from error
    if not table.columns:
        raise LabError(
            f"{path.name} holds no vector of labels",
            "a column, key or array with one label per image",
            "write the labels as a .npy vector or as a .csv with a header",
        )
    return table


def _check_file(path: Path) -> None:
    if path.suffix.lower() in (".pkl", ".pickle"):
        raise LabError(
            f"{path.name} is a pickle, which could run code",
            f"one of: {', '.join(ENDINGS)}",
            'where you trust it: uv run python -c "import numpy, pickle, sys; '
            "numpy.save('labels.npy', numpy.array(pickle.load(open(sys.argv[1], 'rb'))))\" FILE",
        )
    if path.suffix.lower() not in ENDINGS:
        raise LabError(
            f"{quoted(path.name)} ends in {quoted(path.suffix) if path.suffix else 'nothing'}",
            f"one of: {', '.join(ENDINGS)}",
            "write the labels in one of these formats",
        )
    if not path.is_file():
        raise LabError(f"{quoted(str(path))} is missing", "a file of labels", "check the path")
    if path.stat().st_size > _MOST_BYTES:
        raise LabError(
            f"{path.name} has {path.stat().st_size} bytes",
            f"at most {_MOST_BYTES}",
            "keep the labels alone, as a .npy vector",
        )


def _read_npy(path: Path, _names: tuple[str, ...]) -> FileTable:
    return FileTable(path.name, _vectors({path.stem: _array(path, path.name)}))


def _read_npz(path: Path, _names: tuple[str, ...]) -> FileTable:
    check_unpacked(path, _MOST_BYTES, _LABELS_ALONE)
    with zipfile.ZipFile(path) as archive:
        members = {
            Path(name).stem: _array(io.BytesIO(archive.read(name)), path.name)
            for name in archive.namelist()
            if name.endswith(".npy")
        }
    return FileTable(path.name, _vectors(members))


def _array(source: Path | io.BytesIO, name: str) -> Any:
    """An array, mapped where it is a file of its own: what its header promises is not allocated."""
    try:
        if isinstance(source, Path):
            return np.load(source, mmap_mode="r", allow_pickle=False)
        return np.load(source, allow_pickle=False)
    except ValueError as error:
        objects = any(words in str(error) for words in ("Object arrays", "Python objects"))
        if not objects and not _is_pickle(source):
            raise
        raise LabError(
            f"{name} holds pickled Python objects, which could run code",
            "plain numbers; the published CIFAR-N files in TensorFlow's order are pickles, and the "
            "order of their rows is not that of the usual archives either",
            "where you trust it: uv run python -c \"import numpy; a = numpy.load('FILE', "
            "allow_pickle=True); a = a.item() if a.ndim == 0 else {'noisy': a.astype(int)}; "
            "numpy.savez('labels.npz', **a)\"",
        ) from error


def _is_pickle(source: Path | io.BytesIO) -> bool:
    """Whether a file is a bare pickle; NumPy takes whatever is no array for one."""
    with source.open("rb") if isinstance(source, Path) else source as file:
        file.seek(0)
        return file.read(1) == b"\x80"


def _read_text(path: Path, class_names: tuple[str, ...]) -> FileTable:
    return columns_of_text(path, class_names)


def _read_json(path: Path, _names: tuple[str, ...]) -> FileTable:
    return columns_of_json(path)


def _read_parquet(path: Path, _names: tuple[str, ...]) -> FileTable:
    # Files of others are read by pyarrow: on some damage Polars ends the whole program.
    import pyarrow as pa
    import pyarrow.parquet as pq

    with path.open("rb") as opened, pq.ParquetFile(opened) as file:
        kinds = [field for field in file.schema_arrow if not pa.types.is_nested(field.type)]
        wanted = [field.name for field in kinds if not pa.types.is_binary(field.type)]
        n_rows = file.metadata.num_rows
        if n_rows * max(len(wanted), 1) > _MOST_VALUES:
            raise LabError(
                f"{path.name} holds {n_rows} rows of {len(wanted)} columns",
                f"at most {_MOST_VALUES} values",
                "keep the labels and their index alone",
            )
        columns = file.read(columns=wanted)
    found = {name: _values(columns.column(name)) for name in wanted}
    return FileTable(path.name, found)


def _values(column: Any) -> npt.NDArray[Any]:
    """A column of pyarrow: numbers and truth values as they are, others and gaps as text."""
    import pyarrow as pa

    plain = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
    if not column.null_count and any(is_kind(column.type) for is_kind in plain):
        return np.asarray(column.to_numpy())
    texts = ["" if value is None else str(value) for value in column.to_pylist()]
    return np.array(texts, dtype=object)


def _read_pt(path: Path, _names: tuple[str, ...]) -> FileTable:
    if zipfile.is_zipfile(path):
        check_unpacked(path, _MOST_BYTES, _LABELS_ALONE)
    # torch is slow to import and only this format needs it.
    import torch
    from numpy._core import multiarray

    # NumPy 1 wrote the module's old name; both build plain arrays and nothing else.
    names = ("numpy.core.multiarray", "numpy._core.multiarray")
    rebuild = [(multiarray._reconstruct, f"{name}._reconstruct") for name in names]
    kinds = [
        type(np.dtype(code))
        for code in ("int64", "int32", "int16", "uint8", "int8", "bool", "float64", "float32")
    ]
    try:
        with torch.serialization.safe_globals([*rebuild, np.ndarray, np.dtype, *kinds]):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise LabError(
            f"{path.name} is refused ({_first_line(error)})",
            "a dictionary of plain arrays or tensors; nothing in a pickle is run",
            "convert it to .npy where you trust it",
        ) from error
    members = content if isinstance(content, dict) else {path.stem: content}
    return FileTable(path.name, _vectors({str(name): value for name, value in members.items()}))


def _vectors(members: dict[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """The one-dimensional members; pictures and notes beside the labels are no labels."""
    found = {}
    for name, value in members.items():
        if isinstance(value, str | bytes):
            continue
        try:
            array = np.asarray(value)
        except (ValueError, TypeError, RuntimeError):
            continue
        if array.ndim == 1 and array.dtype.kind in "iufbU":
            found[name] = array
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_READERS: dict[str, Callable[[Path, tuple[str, ...]], FileTable]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".csv": _read_text,
    ".tsv": _read_text,
    ".txt": _read_text,
    ".json": _read_json,
    ".parquet": _read_parquet,
    ".pt": _read_pt,
}
ENDINGS = tuple(_READERS)
"""Formats of label files."""
_LABELS_ALONE = "keep the labels alone, as a .npy vector"
