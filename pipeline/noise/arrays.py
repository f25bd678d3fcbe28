"""Array types of the noise room and the reading of arrays that a table is made from."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import LabError
from pipeline.files import project_root

Floats = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Source = np.random.Generator | np.random.RandomState
"""Where uniform numbers come from: `random(n)` means the same for both."""


def project_path(path: str) -> Path:
    """A path of params.yaml, taken relative to the project unless it is absolute."""
    return project_root() / path


def read_matrix(path: str, what: str, n_columns: int | None = None) -> Floats:
    """Map a two-dimensional .npy file of finite numbers.

    Args:
        path: the file, relative to the project.
        what: what it should hold, for the error.
        n_columns: required second dimension; None for any.

    Returns:
        float [n, n_columns], in the precision of the file.

    Raises:
        LabError: if it is missing, damaged, holds Python objects or has another shape.
    """
    remedy = f"write {what} to {path} with numpy.save"
    try:
        array: Floats = np.load(project_path(path), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LabError(f"{path} is missing", f"a .npy file with {what}", remedy) from None
    except (ValueError, EOFError) as error:
        raise LabError(
            f"{path} cannot be read ({error})", f"a .npy file with {what}", remedy
        ) from error
    fits = array.ndim == 2 and n_columns in (None, array.shape[-1])
    if not fits or not np.issubdtype(array.dtype, np.floating):
        raise LabError(f"{path} holds {array.dtype} {list(array.shape)}", f"{what}, float", remedy)
    if not np.isfinite(array).all():
        raise LabError(f"{path} holds values that are not finite", what, remedy)
    return array
