"""Tables of numbers that others computed: features, softmax outputs."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import LabError, quoted
from pipeline.storage.fetched import local_file

_Floats = npt.NDArray[np.floating[Any]]

_MOST_BYTES = 2**36
"""Of what an archive unpacks to: 64 GiB."""
_ONE_TABLE = "save the one table that is meant, with numpy.save"


def read_matrix(path: str, what: str, n_columns: int | None = None) -> _Floats:
    """A two-dimensional table of finite numbers; a .npy file is mapped, others are read.

    Args:
        path: a .npy, .npz or .pt file, relative to the project; `~` is the home folder, and
            s3://bucket/name an object. An archive holds one table.
        what: what it should hold, for the error.
        n_columns: required second dimension; None for any.

    Returns:
        float [n, n_columns], in the precision of the file.

    Raises:
        LabError: if it is missing, damaged, holds Python objects, several tables or another shape.
    """
    file = local_file(path)
    remedy = f"write {what} to it with numpy.save"
    expected = f"a file with {what}, ending in {', '.join(_READERS)}"
    if file.suffix.lower() not in _READERS:
        raise LabError(f"{quoted(path)} ends in {quoted(file.suffix)}", expected, remedy)
    if not file.is_file():
        raise LabError(f"{quoted(path)} is missing", expected, remedy)
    try:
        # What a library warns of is either read rightly or refused in one line.
        with warnings.catch_warnings(action="ignore"):
            array = _READERS[file.suffix.lower()](file)
    except LabError:
        raise
    except Exception as error:  # each format and library has damage of its own to stumble over
        line = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LabError(f"{quoted(path)} cannot be read ({line})", expected, remedy) from error
    fits = array.ndim == 2 and n_columns in (None, array.shape[-1])
    if not fits or not np.issubdtype(array.dtype, np.floating):
        raise LabError(
            f"{quoted(path)} holds {array.dtype} {list(array.shape)}", f"{what}, float", remedy
        )
    if not np.isfinite(array).all():
        raise LabError(f"{quoted(path)} holds values that are not finite", what, remedy)
    return array


def _read_npy(file: Path) -> npt.NDArray[Any]:
    array: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def _read_npz(file: Path) -> npt.NDArray[Any]:
    check_unpacked(file, _MOST_BYTES, _ONE_TABLE)
    with np.load(file, allow_pickle=False) as archive:
        return np.asarray(archive[_only(list(archive.files), file)])


def _read_pt(file: Path) -> npt.NDArray[Any]:
    if zipfile.is_zipfile(file):
        check_unpacked(file, _MOST_BYTES, _ONE_TABLE)
    # torch is slow to import and only this format needs it.
    import torch

    content = torch.load(file, map_location="cpu", weights_only=True)
    if isinstance(content, dict):
        tensors = [name for name, value in content.items() if isinstance(value, torch.Tensor)]
        content = content[_only(tensors, file)]
    if not isinstance(content, torch.Tensor):
        raise LabError(
            f"{file.name} holds a {type(content).__name__}",
            "one tensor, or a dictionary with one",
            "torch.save(tensor, FILE)",
        )
    plain = content.detach()
    return np.asarray((plain.float() if plain.dtype == torch.bfloat16 else plain).numpy())


def _only(names: list[Any], file: Path) -> Any:
    if len(names) != 1:
        listed = ", ".join(map(str, names[:6]))
        raise LabError(
            f"{file.name} holds {len(names)} tables{f' ({listed})' if names else ''}",
            "one table",
            "save the one that is meant alone, with numpy.save",
        )
    return names[0]


def check_unpacked(file: Path, most_bytes: int, remedy: str) -> None:
    """Refuse an archive that unpacks to more than it may.

    Args:
        file: a zip archive, as .npz and .pt files are.
        most_bytes: of all its members together.
        remedy: what to do, for the error.

    Raises:
        LabError: for an archive that is larger.
    """
    with zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    if unpacked > most_bytes:
        raise LabError(f"{file.name} unpacks to {unpacked} bytes", f"at most {most_bytes}", remedy)


_READERS: dict[str, Callable[[Path], npt.NDArray[Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".pt": _read_pt,
    ".pth": _read_pt,
}
