"""Reading published label files: .npy, .csv, .parquet and .pt, never running what a pickle says."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline.errors import LabError, suggest
from pipeline.noise.arrays import Labels

ENDINGS = (".npy", ".csv", ".parquet", ".pt")
_USUAL_COLUMNS = ("label_noisy", "noisy", "noisy_label", "labels_noisy")


def read_columns(path: Path) -> dict[str, Labels]:
    """All vectors of whole numbers that a label file holds.

    Args:
        path: the file.

    Returns:
        int64 vectors by column or key; the vector of a .npy file is called after the file.

    Raises:
        LabError: if it is missing, of another format, damaged, or a pickle that names anything but
            plain arrays (nothing of it is run).
    """
    if path.suffix not in ENDINGS:
        raise LabError(
            f"{path.name} ends in {path.suffix or 'nothing'!r}", f"one of: {', '.join(ENDINGS)}"
        )
    if not path.is_file():
        raise LabError(f"{path} is missing", "a file of labels", "check the path")
    try:
        raw = _READERS[path.suffix](path)
    except (ValueError, EOFError, pl.exceptions.PolarsError) as error:
        raise LabError(
            f"{path.name} cannot be read ({_first_line(error)})",
            "an intact file without Python objects",
            "fetch it again",
        ) from error
    columns = {name: whole for name, values in raw.items() if (whole := _whole(values)) is not None}
    if not columns:
        raise LabError(f"{path.name} holds no vector of whole numbers", "labels, one per sample")
    return columns


def read_labels(path: Path, column: str | None) -> Labels:
    """The noisy labels of a file.

    Args:
        path: the file.
        column: its column or key; None where there is one, or one with the usual name.

    Returns:
        int64 [n].

    Raises:
        LabError: as `read_columns`, or if the column is unknown or needed.
    """
    columns = read_columns(path)
    usual = [name for name in _USUAL_COLUMNS if name in columns]
    chosen = column or (next(iter(columns)) if len(columns) == 1 else next(iter(usual), None))
    if chosen is None:
        raise LabError(
            f"{path.name} holds several columns",
            f"one of: {', '.join(columns)}",
            "name it in `column`",
        )
    if chosen not in columns:
        raise LabError(f"{path.name} has no column {chosen!r}", *suggest(chosen, columns))
    return columns[chosen]


def _whole(values: npt.ArrayLike) -> Labels | None:
    """Labels as int64; some publishers write them as floats."""
    try:
        array = np.asarray(values)
    except ValueError:
        return None
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        return None
    return array.astype(np.int64) if (array == np.floor(array)).all() else None


def _read_npy(path: Path) -> dict[str, npt.NDArray[Any]]:
    return {path.stem: np.load(path, allow_pickle=False)}


def _read_csv(path: Path) -> dict[str, npt.NDArray[Any]]:
    return _vectors(pl.read_csv(path))


def _read_parquet(path: Path) -> dict[str, npt.NDArray[Any]]:
    frame = pl.read_parquet(path)
    return _vectors(frame.sort("index") if "index" in frame.columns else frame)


def _vectors(frame: pl.DataFrame) -> dict[str, npt.NDArray[Any]]:
    numeric = (column for column in frame if column.dtype.is_numeric())
    return {column.name: column.to_numpy() for column in numeric}


def _read_pt(path: Path) -> dict[str, Any]:
    # torch is slow to import and only this format needs it.
    import torch
    from numpy._core import multiarray

    # NumPy 1 wrote the module's old name; both build plain arrays and nothing else.
    names = ("numpy.core.multiarray", "numpy._core.multiarray")
    rebuild = [(multiarray._reconstruct, f"{name}._reconstruct") for name in names]
    kinds = [
        type(np.dtype(code))
        for code in ("int64", "int32", "int16", "uint8", "int8", "float64", "float32")
    ]
    try:
        with (
            warnings.catch_warnings(),
            torch.serialization.safe_globals([*rebuild, np.ndarray, np.dtype, *kinds]),
        ):
            # torch warns about unusual pickles before it refuses them; the refusal says it all.
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise LabError(
            f"{path.name} is refused ({_first_line(error)})",
            "a dictionary of plain arrays or tensors; nothing in a pickle is run",
            "convert it to .npy where you trust it",
        ) from error
    return content if isinstance(content, dict) else {path.stem: content}


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


_READERS = {".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet, ".pt": _read_pt}
