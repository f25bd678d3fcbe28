"""Tables of numbers that others computed: features, softmax outputs."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from pipeline.errors import LabError
from pipeline.files import project_root

_Floats = npt.NDArray[np.floating[Any]]


def read_matrix(path: str, what: str, n_columns: int | None = None) -> _Floats:
    """Read a two-dimensional array of finite numbers from a file; a .npy file is mapped.

    Args:
        path: the file, relative to the project: .npy, or .npz, .pt or .pth with one array.
        what: what it should hold, for the error.
        n_columns: required second dimension; None for any.

    Returns:
        float [n, n_columns], in the precision of the file.

    Raises:
        LabError: if it is missing, damaged, holds Python objects or has another shape.
    """
    remedy = f"write {what} to a .npy file with numpy.save"
    try:
        array = _array(project_root() / Path(path).expanduser())
    except FileNotFoundError:
        raise LabError(f"{path} is missing", f"a .npy file with {what}", remedy) from None
    # Whatever a damaged file makes the readers of numpy and torch raise.
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise LabError(
            f"{path} cannot be read ({reason[:100]})",
            f"a .npy, .npz or .pt file with {what}, and nothing else",
            remedy,
        ) from error
    fits = array.ndim == 2 and n_columns in (None, array.shape[-1])
    if not fits or not np.issubdtype(array.dtype, np.floating):
        raise LabError(f"{path} holds {array.dtype} {list(array.shape)}", f"{what}, float", remedy)
    if not np.isfinite(array).all():
        raise LabError(f"{path} holds values that are not finite", what, remedy)
    return array


def _array(path: Path) -> _Floats:
    """The one array that a file holds; no pickle runs."""
    if path.suffix in {".pt", ".pth"}:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        tensor = content[_only(content)] if isinstance(content, dict) else content
        if not isinstance(tensor, torch.Tensor):
            raise ValueError(f"a {type(tensor).__name__} in place of an array")
        # numpy knows no bfloat16, and float32 holds its numbers.
        loaded: Any = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return np.asarray(loaded)
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        with loaded:
            loaded = loaded[_only(loaded.files)]
    return np.asanyarray(loaded)  # a mapped file stays mapped


def _only(names: Iterable[Any]) -> Any:
    """The name of the one array in a file of named ones."""
    found = list(names)
    if len(found) != 1:
        listed = ", ".join(map(str, found[:5])) or "none"
        raise ValueError(f"{len(found)} arrays instead of one: {listed}")
    return found[0]
